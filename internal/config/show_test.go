package config

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestShow(t *testing.T) {
	t.Parallel()
	c, err := load(t, "version = 1\nadmins = [\"a\\\"b\", \"c\"]\n[smtpd]\nmax_errors = 3\ndata_timeout = \"180s\"\n[smtpd.service.\"submit.int\"]\nmax_per_client = 9\n[authd]\nhash_memory = \"128M\"\n")
	if err != nil {
		t.Fatal(err)
	}
	d := constants()
	d.complete(testHost)
	for _, s := range []struct {
		name   string
		all    bool
		wanted []string
		want   string
	}{
		{"differences", false, nil, "version = 1\nadmins = [\"a\\\"b\", \"c\"]\n\n[smtpd]\nmax_errors = 3\n\n[smtpd.service.\"submit.int\"]\nmax_per_client = 9\n\n[authd]\nhash_memory = \"128M\"\n"},
		{"one", false, []string{"smtpd.max_errors"}, "[smtpd]\nmax_errors = 3  # default: 20\n"},
		{"default", false, []string{"hostname"}, "hostname = \"mail.example.test\"\n"},
		{"table", false, []string{"tls"}, "[tls]\ncertificate = \"\"\nkey = \"\"\nmin_version = \"1.2\"\n"},
		{"service", false, []string{"smtpd.service.lmtp.tls"}, "[smtpd.service.lmtp]\ntls = \"none\"\n"},
	} {
		var b strings.Builder
		if err := show(&b, c, d, s.all, s.wanted); err != nil || b.String() != s.want {
			t.Errorf("%s: %v\n got %q\nwant %q", s.name, err, b.String(), s.want)
		}
	}
	var b strings.Builder
	if err := show(&b, c, d, false, []string{"smtpd.max"}); err == nil || b.Len() > 0 {
		t.Errorf("part of a name: %v, %q", err, b.String())
	}
}

// What show prints can be pasted: read again, it gives the same configuration.
func TestShowReadsBack(t *testing.T) {
	t.Parallel()
	c, err := load(t, "version = 1\nhostname = \"a.example\"\nsingle_uid = true\n[smtpd]\nrelay_networks = [\"192.0.2.0/24\"]\n[localdeliver]\nbatch_linger = \"15ms\"\n[smtpd.service.smtp]\ntls = \"none\"\n")
	if err != nil {
		t.Fatal(err)
	}
	for _, all := range []bool{false, true} {
		var b strings.Builder
		d := constants()
		d.complete(testHost)
		if err := show(&b, c, d, all, nil); err != nil {
			t.Fatal(err)
		}
		again, err := load(t, b.String())
		if err != nil {
			t.Fatalf("all %v: %v\n%s", all, err, b.String())
		}
		// empty and absent lists are the same
		again.SMTPD.XClientNetworks, again.SMTPD.ProxyNetworks, again.Admins = nil, nil, nil
		again.IMAPD.ProxyNetworks, again.POP3D.ProxyNetworks = nil, nil
		if !reflect.DeepEqual(c, again) {
			t.Errorf("all %v: got %+v\nwant %+v", all, again, c)
		}
	}
}

func TestRunShow(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "c.toml")
	if err := os.WriteFile(path, []byte("version = 1\nhostname = \"a.example\"\norigin = \"b.example\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args   []string
		status int
		want   string
	}{
		{[]string{"-c", path, "origin"}, 0, "origin = \"b.example\""},
		{[]string{"-c", path, "-a", "smtpd.service"}, 0, "[smtpd.service.smtp]\n"},
		{[]string{"-c", path, "nothing"}, 1, "postrider show: there is no \"nothing\""},
		{[]string{"-c", path + "x"}, 1, "no such file"},
		{[]string{"-z"}, 2, "usage: postrider show"},
	} {
		var b strings.Builder
		if status := runShow(c.args, &b, &b); status != c.status || !strings.Contains(b.String(), c.want) {
			t.Errorf("%v: %d, %q", c.args, status, b.String())
		}
	}
}
