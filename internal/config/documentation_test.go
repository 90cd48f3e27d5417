package config

import (
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

// defaultsByKey are the default values as TOML, by dotted key; all services as one, by the name NAME.
func defaultsByKey(t *testing.T) map[string]string {
	t.Helper()
	list, err := settings(constants())
	if err != nil {
		t.Fatal(err)
	}
	defaults := make(map[string]string)
	for _, s := range list {
		key := s.key()
		if len(s.table) == 3 {
			if s.table[2] != "smtp" {
				continue
			}
			key = "smtpd.service.NAME." + s.name
		}
		defaults[key] = s.value
	}
	return defaults
}

// The manual page has every key, with its default, and no other.
func TestManual(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../man/postrider.toml.5")
	if err != nil {
		t.Fatal(err)
	}
	defaults := defaultsByKey(t)
	for _, item := range regexp.MustCompile(`(?m)^\.It Ic (\S+) No = (.*)$`).FindAllStringSubmatch(string(page), -1) {
		key, value := item[1], strings.ReplaceAll(item[2], `\(dq`, `"`)
		want, ok := defaults[key]
		switch {
		case !ok:
			t.Errorf("%s is described (or described twice) but does not exist", key)
		case key != "hostname" && key != "origin" && value != want:
			t.Errorf("%s: the page says %s, the default is %s", key, value, want)
		}
		delete(defaults, key)
	}
	for key := range defaults {
		t.Errorf("%s is not described", key)
	}
}

// The example has every key with its default, commented out.
func TestExample(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../etc/postrider.toml")
	if err != nil {
		t.Fatal(err)
	}
	if c, err := load(t, string(text)); err != nil || c.Warnings != nil {
		t.Errorf("as it is: %v, %v", err, c)
	}
	uncommented := regexp.MustCompile(`(?m)^#([a-z0-9_]+ = )`).ReplaceAllString(string(text), "$1")
	c, err := load(t, uncommented)
	if err != nil {
		t.Fatalf("with all keys: %v", err)
	}
	want := constants()
	want.Hostname, want.Origin, want.Path = "mail.example.org", "example.org", "f"
	want.Admins, want.SMTPD.RelayNetworks, want.SMTPD.XClientNetworks, want.SMTPD.ProxyNetworks = c.Admins, c.SMTPD.RelayNetworks, c.SMTPD.XClientNetworks, c.SMTPD.ProxyNetworks
	want.IMAPD.ProxyNetworks, want.POP3D.ProxyNetworks = c.IMAPD.ProxyNetworks, c.POP3D.ProxyNetworks
	if len(c.IMAPD.ProxyNetworks)+len(c.POP3D.ProxyNetworks)+len(c.Admins)+len(c.SMTPD.RelayNetworks)+len(c.SMTPD.XClientNetworks)+len(c.SMTPD.ProxyNetworks) > 0 || !reflect.DeepEqual(c, want) {
		t.Errorf("with all keys:\n got %+v\nwant %+v", c, want)
	}
	list, err := settings(c)
	if err != nil {
		t.Fatal(err)
	}
	present := assigned(uncommented)
	for _, s := range list {
		if !present[s.key()] {
			t.Errorf("%s is missing", s.key())
		}
	}
}

// assigned are the dotted keys that a file of plain tables and assignments sets.
func assigned(text string) map[string]bool {
	keys := make(map[string]bool)
	table := ""
	for line := range strings.SplitSeq(text, "\n") {
		if strings.HasPrefix(line, "[") {
			table = line[1:strings.Index(line, "]")] + "."
		} else if name, _, ok := strings.Cut(line, " = "); ok && !strings.HasPrefix(name, "#") {
			keys[table+name] = true
		}
	}
	return keys
}
