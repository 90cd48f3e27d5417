package authd

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"postrider/internal/auth"
	"postrider/internal/config"
)

// The configuration, the tables, the editor and the server meet.
func TestWholeWay(t *testing.T) {
	t.Parallel()
	site := newSite(t, true)
	site.must("wonderland\n", "add", "-stdin", "alice")
	site.must("unixpw\n", "passwd", "-stdin", "unix")
	cfg, err := config.Load(site.config)
	if err != nil {
		t.Fatal(err)
	}
	var log recorder
	client, _ := run(t, NewSettings(cfg, []byte("seed"), &log, nil))
	for _, name := range []string{"alice", "alice@example.test", "alice@localhost", "Alice@Mail.Example.Test"} {
		u, err := plainLogin(t, client, "smtp", name, "wonderland")
		if err != nil || u.Name != "alice" || u.UID != uint32(os.Getuid()) || u.Home != "/var/mail/v/example.test/alice" {
			t.Errorf("%s: %+v, %v\n%s", name, u, err, log.text())
		}
	}
	if u, err := plainLogin(t, client, "imap", "unix", "unixpw"); err != nil || u.UID != 1500 || u.Home != "/home/unix" {
		t.Errorf("unix: %+v, %v", u, err)
	}
	if _, err := client.Who(t.Context(), "alice@elsewhere.test"); !errors.Is(err, auth.ErrUnknown) {
		t.Errorf("foreign domain: %v", err)
	}
	list, err := client.Mechanisms(t.Context())
	if err != nil || len(list) != 3 {
		t.Errorf("mechanisms %q, %v", list, err)
	}
	sc := scramClient{service: "smtp", mechanism: "SCRAM-SHA-256", name: "alice", password: "wonderland"}
	if u, err := sc.run(t, client); err != nil || u.Name != "alice" {
		t.Errorf("SCRAM: %v, %v", u, err)
	}
}

// Virtual users log in under the uid of the mailbox user, which is below first_valid_uid where a package has made it; other low
// uids do not, nor does the mailbox user.
func TestMailboxUser(t *testing.T) {
	t.Parallel()
	site := newSite(t, false)
	site.write(site.config, strings.Replace(site.read(site.config), "version = 1\n", "version = 1\nmailbox_user = \"150\"\n", 1))
	site.write(site.users, "alice:150:150:::\n")
	passwd := filepath.Join(filepath.Dir(site.config), "passwd")
	site.write(passwd, site.read(passwd)+"low:x:151:151::/home/low:/bin/sh\n150:x:150:150::/var/mail/v:/bin/sh\n")
	site.write(site.passwords, "")
	for _, name := range []string{"alice", "low", "150"} {
		site.must("wonderland\n", "passwd", "-stdin", name)
	}
	cfg, err := config.Load(site.config)
	if err != nil {
		t.Fatal(err)
	}
	var log recorder
	s := NewSettings(cfg, []byte("seed"), &log, nil)
	s.MailboxUID = 150
	client, _ := run(t, s)
	if u, err := plainLogin(t, client, "imap", "alice", "wonderland"); err != nil || u.UID != 150 {
		t.Errorf("alice: %+v, %v\n%s", u, err, log.text())
	}
	for _, name := range []string{"low", "150"} {
		if u, err := plainLogin(t, client, "imap", name, "wonderland"); !errors.Is(err, auth.ErrRefused) {
			t.Errorf("%s: %+v, %v", name, u, err)
		}
	}
}

func TestSeed(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "authd")
	first, err := Seed(dir)
	if err != nil || len(first) != seedSize {
		t.Fatalf("got %x, %v", first, err)
	}
	second, err := Seed(dir)
	if err != nil || string(second) != string(first) {
		t.Errorf("another seed: %v", err)
	}
	if info, err := os.Stat(filepath.Join(dir, "scram-seed")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if err := os.WriteFile(filepath.Join(dir, "scram-seed"), []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	if b, err := Seed(dir); err != nil || len(b) != seedSize {
		t.Errorf("a torn seed: %x, %v", b, err)
	}
}
