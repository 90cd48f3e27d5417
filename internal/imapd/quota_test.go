package imapd

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"postrider/internal/dovecottest"
	"postrider/internal/mailstore"
	"postrider/internal/quota"
	"postrider/internal/usertest"
)

// newQuotaServer limits the mail to some octets.
func newQuotaServer(t *testing.T, octets int64) *server {
	t.Helper()
	s := newServer(t)
	store, err := mailstore.Open(s.root, mailstore.Options{Quota: quota.New(s.root, octets)})
	if err != nil {
		t.Fatal(err)
	}
	s.store, s.options.Store = store, store
	return s
}

func (s *server) maildirsize() string {
	s.t.Helper()
	text, err := os.ReadFile(filepath.Join(s.root, "maildirsize"))
	if err != nil {
		s.t.Fatal(err)
	}
	return string(text)
}

func TestQuota(t *testing.T) {
	t.Parallel()
	s := newQuotaServer(t, 5000)
	c := s.connect()
	body := strings.Repeat("x", 998)
	appendOne := "{1000+}\r\n" + body + "\r\n"
	c.dialogue(`
		C: a GETQUOTAROOT inbox
		S: * QUOTAROOT INBOX "User quota"
		S: * QUOTA "User quota" (STORAGE 0 5)
		S: a OK …
		C: b GETQUOTA "User quota"
		S: * QUOTA "User quota" (STORAGE 0 5)
		S: b OK …
		C: c GETQUOTA ""
		S: c NO [NONEXISTENT] …
		C: d SETQUOTA "" (STORAGE 9)
		S: d BAD …
		C: e GETQUOTAROOT "&"
		S: e NO [CANNOT] …
		C: f APPEND INBOX {6000}
		S: f NO [OVERQUOTA] …
	`)
	for range 4 {
		c.ok("APPEND INBOX %s", appendOne)
	}
	c.ok("CREATE a")
	c.ok("SELECT INBOX")
	c.dialogue(`
		C: b COPY 1:2 a
		S: b NO [OVERQUOTA] …
		C: c COPY 1 a
		S: c OK [COPYUID …
		C: d GETQUOTA "User quota"
		S: * QUOTA "User quota" (STORAGE 5 5)
		S: d OK …
		C: e MOVE 2 a
		S: * OK [COPYUID …
		S: * 2 EXPUNGE
		S: * 3 RECENT
		S: e OK …
		C: f STORE 1:2 +FLAGS.SILENT (\Deleted)
		S: f OK …
		C: g STATUS INBOX (DELETED DELETED-STORAGE)
		S: * STATUS INBOX (DELETED 2 DELETED-STORAGE 1998)
		S: g OK …
		C: h EXPUNGE
		S: * 2 EXPUNGE
		S: * 1 EXPUNGE
		S: * 1 RECENT
		S: h OK …
		C: i GETQUOTA "User quota"
		S: * QUOTA "User quota" (STORAGE 3 5)
		S: i OK …
		C: j DELETE a
		S: j OK …
		C: k GETQUOTA "User quota"
		S: * QUOTA "User quota" (STORAGE 1 5)
		S: k OK …
	`)
	if got := s.maildirsize(); !strings.HasPrefix(got, "5000S\n") || strings.Count(got, "\n") < 5 {
		t.Errorf("maildirsize: %q", got)
	}
	if log := s.log.all(); log != "" {
		t.Errorf("log: %s", log)
	}
}

// TestQuotaOfFile has the limits in maildirsize alone.
func TestQuotaOfFile(t *testing.T) {
	t.Parallel()
	s := newQuotaServer(t, 0)
	s.deliverSome(2)
	if err := os.WriteFile(filepath.Join(s.root, "maildirsize"), []byte("1048576S,3C\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := s.connect()
	c.dialogue(`
		C: a GETQUOTAROOT INBOX
		S: * QUOTAROOT INBOX "User quota"
		S: * QUOTA "User quota" (STORAGE 1 1024 MESSAGE 2 3)
		S: a OK …
		C: b APPEND INBOX {5+}
		C: a: b
		S: b OK …
		C: c APPEND INBOX {5}
		S: c NO [OVERQUOTA] …
	`)
}

func TestNoQuota(t *testing.T) {
	t.Parallel()
	for _, s := range []*server{newServer(t), newQuotaServer(t, 0)} {
		c := s.connect()
		c.dialogue(`
			C: a GETQUOTAROOT INBOX
			S: * QUOTAROOT INBOX
			S: a OK …
			C: b GETQUOTA "User quota"
			S: b NO [NONEXISTENT] …
		`)
	}
}

// TestQuotaRace has several sessions fill a mailbox at once.
func TestQuotaRace(t *testing.T) {
	t.Parallel()
	s := newQuotaServer(t, 1001) // the last one is announced with its CR
	var wait sync.WaitGroup
	var mu sync.Mutex
	came := 0
	for range 4 {
		c := s.connect()
		wait.Go(func() {
			for range 5 {
				_, answer := c.do("APPEND INBOX {101+}\r\n%s\r\n", strings.Repeat("x", 99))
				mu.Lock()
				if strings.HasPrefix(answer, "OK") {
					came++
				} else if !strings.HasPrefix(answer, "NO [OVERQUOTA]") {
					t.Error(answer)
				}
				mu.Unlock()
			}
		})
	}
	wait.Wait()
	if files := s.files("cur/*"); came != 10 || len(files) != 10 {
		t.Errorf("%d messages of 100 octets came, %d are there, where 1001 octets were allowed", came, len(files))
	}
}

// TestQuotaOfDovecot has Dovecot read what we write, and us what it writes.
func TestQuotaOfDovecot(t *testing.T) {
	t.Parallel()
	dovecottest.Need(t, dovecottest.Admin)
	s := newQuotaServer(t, 5000)
	s.deliverSome(3)
	c := s.connect()
	c.add("INBOX")
	c.ok("CREATE Trash")
	c.add("Trash")
	used, _, err := s.store.Quota().Usage(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	before := s.maildirsize()
	usertest.Give(t, s.root)
	d := newDovecotUser(t, s.root, "mail_plugins = quota\nplugin {\n quota = maildir:User quota\n quota_rule = *:storage=5000B\n}\n")
	if used.Messages != 5 || !strings.Contains(d.admin(t, "quota", "get"), "MESSAGE\t5") {
		t.Errorf("%d messages; Dovecot:\n%s", used.Messages, d.admin(t, "quota", "get"))
	}
	if after := s.maildirsize(); after != before {
		t.Errorf("Dovecot wrote the file anew: %q, %q", before, after)
	}
	d.admin(t, "quota", "recalc")
	if got, want := s.maildirsize(), fmt.Sprintf("5000S\n%d %d\n", used.Octets, used.Messages); got != want {
		t.Errorf("Dovecot counts %q, we %q", got, want)
	}
}

// dovecotUser is Dovecot's configuration for a Maildir.
type dovecotUser struct{ conf, home string }

func newDovecotUser(t *testing.T, root, more string) dovecotUser {
	t.Helper()
	home := t.TempDir()
	d := dovecotUser{filepath.Join(home, "dovecot.conf"), home}
	text := fmt.Sprintf("ssl = no\nbase_dir = %s/run\nmail_location = maildir:%s\nlog_path = /dev/stderr\nfirst_valid_uid = 1\n"+
		"namespace inbox {\n inbox = yes\n separator = .\n}\n%s", home, root, more)
	if err := os.WriteFile(d.conf, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	usertest.Give(t, home)
	return d
}

// admin runs doveadm and returns what it says.
func (d dovecotUser) admin(t *testing.T, args ...string) string {
	t.Helper()
	cmd := dovecottest.Command(t, dovecottest.Admin, d.conf, d.home, append([]string{"-f", "tab"}, args...)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("doveadm %q: %v\n%s", args, err, out)
	}
	return string(out)
}
