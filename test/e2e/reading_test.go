package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"postrider/test/suite"
)

// reading is a suite with imapd and pop3d, whose users have passwords.
func reading(t *testing.T, o suite.Options) *suite.Suite {
	t.Helper()
	o.Daemons = suite.Reading
	s := suite.Start(t, o)
	s.AddPassword("alice")
	s.AddPassword("bob")
	return s
}

// A message sent by one user is read by another over each service, and the copy in Sent by the first.
func TestRead(t *testing.T) {
	eachWay(t, func(t *testing.T, o suite.Options) {
		s := reading(t, o)
		a := s.Read("alice") // her first login: no mail, no home yet
		contains(t, a.Do("OK", "LIST (SUBSCRIBED) %q %q RETURN (SPECIAL-USE)", "", "*"), `\Sent`, `\Trash`, `\Drafts`, `\Junk`)
		contains(t, a.Do("OK", "SELECT INBOX"), "* 0 EXISTS", "READ-WRITE")
		idle := a.Begin("IDLE")
		if line := a.Line(); !strings.HasPrefix(line, "+") {
			t.Fatalf("IDLE: %q", line)
		}

		c := hello(s, "submissions")
		c.Login("bob", suite.Password)
		c.Send(local("bob"), []string{local("alice")}, suite.Text("first message"))
		if line := a.Line(); line != "* 1 EXISTS" {
			t.Fatalf("while idle: %q", line)
		}
		a.Raw("DONE\r\nnext NOOP\r\n")
		a.Finish(idle, "OK")
		a.Finish("next", "OK")
		contains(t, a.Do("OK", "FETCH 1 (FLAGS ENVELOPE BODY.PEEK[])"), `"first message"`, "Delivered-To: alice", "\r\n.. two dots\r\n")
		a.Do("OK", "STORE 1 +FLAGS (\\Flagged $Label1)")
		a.Do("OK", "UID COPY 1 Archive")

		b := s.Read("bob")
		text := suite.Text("kept")
		b.Do("OK", "APPEND Sent (\\Seen) {%d+}\r\n%s", len(text), text)
		contains(t, b.Do("OK", "STATUS Sent (MESSAGES UNSEEN)"), "MESSAGES 1", "UNSEEN 0")
		b.Do("OK", "LOGOUT")

		p := s.DialReader("pop3s")
		p.POP("+OK", "USER alice")
		p.POP("+OK", "PASS %s", suite.Password)
		p.POP("+OK 1 ", "STAT")
		p.POP("+OK", "RETR 1")
		contains(t, strings.Join(p.Dots(), "\n"), "Subject: first message", "\n.. two dots")
		second := s.DialReader("pop3")
		second.POP("+OK", "USER alice")
		second.POP("-ERR [IN-USE]", "PASS %s", suite.Password)
		p.POP("+OK", "DELE 1")
		p.POP("+OK", "QUIT")
		contains(t, a.Do("OK", "NOOP"), "* 1 EXPUNGE")
		contains(t, a.Do("OK", "STATUS Archive (MESSAGES)"), "MESSAGES 1")
		a.Do("OK", "LOGOUT")
		s.WaitLog("imap-login: Login: user=<alice>, method=PLAIN, rip=127.0.0.1")
		s.WaitLog("pop3-login: Login: user=<alice>, method=PLAIN")
	})
}

// What authd does not confirm opens nothing, and is answered late and alike.
func TestReadRefused(t *testing.T) {
	eachWay(t, func(t *testing.T, o suite.Options) {
		o.Extra = "[authd]\nfailure_delay = \"10ms\"\nmax_delay = \"20ms\"\n"
		s := reading(t, o)
		r := s.DialReader("imap")
		wrong := r.Do("NO [AUTHENTICATIONFAILED]", "LOGIN alice wrong")
		unknown := r.Do("NO [AUTHENTICATIONFAILED]", "LOGIN nobody wrong")
		if wrong[3:] != unknown[3:] {
			t.Errorf("%q but %q", wrong, unknown)
		}
		r.Do("BAD", "SELECT INBOX")
		r.Do("OK", "LOGIN alice {%d+}\r\n%s", len(suite.Password), suite.Password)
		r.Do("OK", "SELECT INBOX")
		s.WaitLog("password mismatch")
	})
}

// Sessions go on while authd is killed and started anew, while imapd reloads, and while mail is delivered.
func TestReadThroughRestart(t *testing.T) {
	eachWay(t, func(t *testing.T, o suite.Options) {
		s := reading(t, o)
		a := s.Read("alice")
		a.Do("OK", "SELECT INBOX")
		s.Crash("authd")
		a.Do("OK", "NOOP")
		r := s.DialReader("imaps")
		r.Do("NO [UNAVAILABLE]", "LOGIN alice %q", suite.Password)
		s.StartDaemon("authd")
		r.Do("OK", "LOGIN alice %q", suite.Password)
		r.Do("OK", "SELECT INBOX")
		s.Stop("authd")
		s.StartDaemon("authd")
		s.Certify()
		s.Signal("imapd", syscall.SIGHUP)
		s.WaitLog("reloaded")
		s.MailTo("afterwards", local("alice"))
		s.Mails("alice", 1)
		contains(t, a.Do("OK", "NOOP"), "* 1 EXISTS")
		contains(t, r.Do("OK", "NOOP"), "* 1 EXISTS")
		c := s.Read("alice")
		contains(t, c.Do("OK", "SELECT INBOX"), "* 1 EXISTS")
	})
}

// STARTTLS forgets what came before it, and takes nothing that was sent ahead.
func TestReadStartTLS(t *testing.T) {
	s := reading(t, suite.Options{IDs: suite.Single()})
	r := s.DialReader("imap")
	r.Do("OK", "STARTTLS")
	r.StartTLS(s.TLSConfig())
	containsNot(t, r.Do("OK", "CAPABILITY"), "STARTTLS", "LOGINDISABLED")
	r.Do("OK", "LOGIN alice %q", suite.Password)
	p := s.DialReader("pop3")
	p.POP("+OK", "STLS")
	p.StartTLS(s.TLSConfig())
	p.POP("+OK", "USER alice")
	p.POP("+OK", "PASS %s", suite.Password)
	p.POP("+OK", "QUIT")
	injected := s.DialReader("imap")
	injected.Raw("a STARTTLS\r\nb LOGIN alice \"" + suite.Password + "\"\r\n")
	if rest := injected.Ended(); strings.Contains(rest, "b OK") {
		t.Errorf("a command in clear counted after STARTTLS: %q", rest)
	}
}

// postrider who shows everybody's sessions to root, a user's own to that user, and kick ends them.
func TestWhoAndKick(t *testing.T) {
	eachWay(t, func(t *testing.T, o suite.Options) {
		s := reading(t, o)
		a, b := s.Read("alice"), s.Read("bob")
		a.Do("OK", "SELECT INBOX")
		out, err := s.RunStdin("", "postrider", "who", "-c", s.Config)
		must(t, err)
		contains(t, out, "alice", "bob", "imap", "127.0.0.1")
		if out, err = s.RunStdin("", "postrider", "kick", "-c", s.Config, "alice"); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		a.Ended()
		b.Do("OK", "NOOP")
		if s.IDs.Separate {
			r := s.Call(suite.Program{Name: "postrider", Args: []string{"kick", "-c", s.Config, "bob"}, UID: suite.Nobody})
			if r.Code == 0 {
				t.Errorf("a stranger may kick: %+v", r)
			}
			r = s.Call(suite.Program{Name: "postrider", Args: []string{"who", "-c", s.Config}, UID: suite.Nobody})
			containsNot(t, r.Out, "bob")
		}
		b.Do("OK", "NOOP")
	})
}

// Told to end, imapd lets sessions go on for drain_timeout and then ends them.
func TestReadDrain(t *testing.T) {
	s := reading(t, suite.Options{IDs: suite.Single(), Extra: "[imapd]\ndrain_timeout = \"2s\"\n"})
	a := s.Read("alice")
	before := s.DialReader("imap")
	s.Signal("imapd", syscall.SIGTERM)
	contains(t, before.Ended(), "* BYE")
	a.Do("OK", "NOOP")
	a.Ended()
	s.Gone("imapd")
	s.StartDaemon("imapd")
	s.Read("alice").Do("OK", "NOOP")
}

// A session process has nothing: no capability, no new privileges, and the kernel filters its system calls; users with uids of their
// own have processes of their own.
func TestSessionProcess(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root: gives each user a uid")
	}
	t.Parallel()
	s := suite.New(t, suite.Options{IDs: suite.Separated(), Daemons: suite.Reading})
	users := map[string]int{"dora": 61031, "erik": 61032}
	lines := ""
	for name, uid := range users {
		home := filepath.Join(s.Dir, "home", name)
		must(t, os.MkdirAll(home, 0o755))
		must(t, os.Chmod(filepath.Dir(home), 0o755))
		must(t, os.Chown(home, uid, uid))
		lines += fmt.Sprintf("%s:%d:%d:%s::\n", name, uid, uid, home)
	}
	s.File("etc/users", lines)
	s.StartAll()
	for name := range users {
		s.AddPassword(name)
	}
	for name, uid := range users {
		r := s.Read(name)
		r.Do("OK", "SELECT INBOX")
		pid := s.SessionProcess(uid)
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		must(t, err)
		for _, want := range []string{`CapEff:\s+0+\n`, `CapPrm:\s+0+\n`, `CapInh:\s+0+\n`, `CapAmb:\s+0+\n`, `NoNewPrivs:\s+1\n`, `Seccomp:\s+2\n`, `Groups:\s*\n`} {
			if !regexp.MustCompile(want).Match(status) {
				t.Errorf("session of %s is not %s:\n%s", name, want, status)
			}
		}
	}
	// erik's Maildir is open to all, and dora has a way to it: only the confinement of her session is in between.
	must(t, filepath.Walk(filepath.Join(s.Dir, "home/erik"), func(path string, _ os.FileInfo, err error) error {
		must(t, err)
		return os.Chmod(path, 0o777)
	}))
	must(t, os.Symlink(filepath.Join(s.Dir, "home/erik/Maildir"), filepath.Join(s.Dir, "home/dora/Maildir/.Erik")))
	s.Read("dora").Do("NO", "SELECT Erik")
}

// A user who may have only so many sessions from one address is told so, and others are not hindered.
func TestReadLimit(t *testing.T) {
	s := reading(t, suite.Options{IDs: suite.Single(), Extra: "[imapd]\nmax_per_user = 2\n"})
	first := s.Read("alice")
	s.Read("alice")
	r := s.DialReader("imaps")
	r.Do("NO [LIMIT]", "LOGIN alice %q", suite.Password)
	s.Read("bob")
	first.Do("OK", "LOGOUT")
	first.Ended()
	suite.Wait(t, "the place of a session that ended", func() bool {
		tag := r.Begin("LOGIN alice %q", suite.Password)
		line := r.Line()
		return strings.HasPrefix(line, tag+" OK")
	})
}

// New mail reaches an idle client in a moment.
func TestIdleSoon(t *testing.T) {
	s := reading(t, suite.Options{IDs: suite.Single()})
	a := s.Read("alice")
	a.Do("OK", "SELECT INBOX")
	a.Begin("IDLE")
	a.Line()
	dir := s.Mailbox("alice")
	for i := range 5 {
		tmp := fmt.Sprintf("%s/tmp/%d.foreign", dir, i)
		must(t, os.WriteFile(tmp, []byte("Subject: foreign\n\nmail\n"), 0o644))
		began := time.Now()
		must(t, os.Rename(tmp, fmt.Sprintf("%s/new/%d.foreign", dir, i)))
		if line := a.Line(); line != fmt.Sprintf("* %d EXISTS", i+1) {
			t.Fatalf("%q", line)
		}
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("message %d was told after %v", i+1, took)
		}
		if line := a.Line(); !strings.HasSuffix(line, "RECENT") {
			t.Fatalf("%q", line)
		}
	}
}

// With index_dir nothing of ours that can be made again lies with the mail, and each user's processes have a directory of their own.
func TestIndexDir(t *testing.T) {
	eachWay(t, func(t *testing.T, o suite.Options) {
		dir := t.TempDir()
		if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(dir, os.ModeSticky|0o733); err != nil {
			t.Fatal(err)
		}
		o.Extra = fmt.Sprintf("index_dir = %q\n", dir)
		s := reading(t, o)
		s.MailTo("one", local("alice"))
		s.Mails("alice", 1)
		a := s.Read("alice")
		contains(t, a.Do("OK", "SELECT INBOX"), "* 1 EXISTS")
		contains(t, a.Do("OK", "FETCH 1 ENVELOPE"), `"one"`)
		a.Do("OK", "LOGOUT")
		for _, kind := range []string{"index", "cache"} {
			own, err := filepath.Glob(dir + "/*/*-postrider." + kind)
			if err != nil || len(own) != 1 {
				t.Errorf("of this host: %q, %v", own, err)
			}
			if with, _ := filepath.Glob(s.Mailbox("alice") + "/postrider." + kind); len(with) > 0 {
				t.Errorf("with the mail: %q", with)
			}
		}
	})
}
