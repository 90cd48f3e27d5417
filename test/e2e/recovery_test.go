package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"postrider/test/suite"
)

// Each daemon may be killed at any time; started again, everything goes on and nothing is lost or comes twice.
func TestKilled(t *testing.T) {
	for _, daemon := range suite.Daemons {
		t.Run(daemon, func(t *testing.T) {
			eachWay(t, func(t *testing.T, o suite.Options) {
				o.Extra = eager
				s := suite.Start(t, o)
				s.AddPassword("alice")
				const n = 20
				c := hello(s, "smtp")
				for i := range n {
					c.Send("a@b.example", []string{local("alice"), local("bob")}, suite.Text(fmt.Sprint("message ", i)))
					if i == n/2 && daemon != "smtpd" {
						s.Crash(daemon)
					}
				}
				if daemon == "smtpd" {
					c.Cmd(250, "MAIL FROM:<a@b.example>")
					c.Cmd(250, "RCPT TO:<%s>", local("bob"))
					c.Cmd(354, "DATA")
					c.Raw("Subject: half a message\r\n")
					s.Wait("a file in stage", func() bool { return len(staged(s)) == 1 })
					s.Crash(daemon)
				}
				s.StartDaemon(daemon)
				s.Mails("alice", n)
				s.Mails("bob", n)
				s.WaitQueue("local", "cur", 0)
				if left := staged(s); len(left) > 0 {
					t.Errorf("left: %v", left)
				}
				c = hello(s, "submissions")
				c.Login("alice", suite.Password)
				c.Send(local("alice"), []string{"carol"}, suite.Text("afterwards"))
				s.Mails("carol", 1)
			})
		})
	}
}

// staged are the files in stage/.
func staged(s *suite.Suite) []string {
	all, _ := filepath.Glob(filepath.Join(s.Spool, "stage", "*.*"))
	return all
}

// Without localdeliver mail is taken, listed and kept.
func TestLocaldeliverDown(t *testing.T) {
	eachWay(t, func(t *testing.T, o suite.Options) {
		s := suite.New(t, o)
		s.StartDaemon("authd")
		s.StartDaemon("smtpd")
		id := s.MailTo("early", local("bob"))
		s.WaitQueue("local", "new", 1)
		s.StartDaemon("localdeliver")
		s.Mails("bob", 1)
		s.Stop("localdeliver")
		second := s.MailTo("between", local("bob"))
		contains(t, mailq(s).Out, second+" ")
		s.StartDaemon("localdeliver")
		s.Mails("bob", 2)
		s.WaitLog(second + ": removed")
		if id >= second {
			t.Errorf("ids do not follow time: %s, %s", id, second)
		}
	})
}

// A home that cannot be used defers its own user's mail only.
func TestUnreadableHome(t *testing.T) {
	eachWay(t, func(t *testing.T, o suite.Options) {
		o.Extra = patient
		s := suite.Start(t, o)
		home := filepath.Join(s.Mail, "bob")
		must(t, os.Chmod(home, 0))
		id := s.MailTo("no way in", local("bob"), local("carol"))
		s.Mails("carol", 1)
		contains(t, s.WaitLine(id, "to=<"+local("bob")+">", "status=deferred"), "ermission")
		contains(t, mailq(s).Out, local("bob"))
		containsNot(t, mailq(s).Out, local("carol"))
		must(t, os.Chmod(home, 0o700))
		flush(t, s)
		s.Mails("bob", 1)
		must(t, os.RemoveAll(s.Mailbox("carol")))
		must(t, os.WriteFile(s.Mailbox("carol"), []byte("in the way"), 0o600))
		id = s.MailTo("a file in the way", local("carol"))
		s.WaitLine(id, "to=<"+local("carol")+">", "status=deferred")
		must(t, os.Remove(s.Mailbox("carol")))
		flush(t, s)
		contains(t, s.Mails("carol", 1)[0], "a file in the way")
	})
}

// What is no queue file of ours in new/ is left alone or kept in bad/, told once, and stops nothing.
func TestGarbageInNew(t *testing.T) {
	eachWay(t, func(t *testing.T, o suite.Options) {
		s := suite.Start(t, o)
		s.Stop("localdeliver")
		id := s.MailTo("the original", local("bob"))
		dir := filepath.Join(s.Spool, "local/new")
		original, err := os.ReadFile(filepath.Join(dir, id))
		must(t, err)
		others := strings.ReplaceAll("bcdfghjkl", id[15:], "")
		name := func(i int) string { return id[:15] + others[i:i+1] } // of no message yet
		put := func(name, text string, uid int) {
			path := filepath.Join(dir, name)
			must(t, os.WriteFile(path, []byte(text), 0o640))
			if os.Getuid() == 0 {
				must(t, os.Chown(path, uid, s.IDs.Read))
			}
		}
		alone := []string{"garbage", ".hidden", "core.1234", name(0), name(1), name(2)}
		put("garbage", "garbage", s.IDs.SMTPD)
		put(".hidden", "", s.IDs.SMTPD)
		put("core.1234", "", s.IDs.SMTPD)
		must(t, unix.Mkfifo(filepath.Join(dir, name(0)), 0o600))
		must(t, os.Symlink("/etc/passwd", filepath.Join(dir, name(1))))
		must(t, os.Mkdir(filepath.Join(dir, name(2)), 0o700))
		bad := []string{name(3), name(4), name(5), name(6)}
		put(name(3), "", s.IDs.SMTPD)
		put(name(4), strings.Replace(string(original), id, name(4), 1)[:200], s.IDs.SMTPD)
		put(name(5), strings.Replace(strings.Replace(string(original), id, name(5), 1), "Hello.", "Hullo.", 1), s.IDs.SMTPD)
		put(name(6), string(original), s.IDs.SMTPD)
		if os.Getuid() == 0 { // another uid's work, though in perfect order
			put(name(7), strings.Replace(string(original), id, name(7), 1), 61999)
			alone = append(alone, name(7))
		}
		s.StartDaemon("localdeliver")
		s.MailTo("as if nothing were", local("bob"))
		s.Mails("bob", 2)
		for _, n := range alone {
			s.WaitLine("warning: ", `new/"`+n+`"`, "left alone")
			if _, err := os.Lstat(filepath.Join(dir, n)); err != nil {
				t.Error(err)
			}
		}
		for _, n := range bad {
			s.WaitLine("error: ", n, "kept, not delivered")
			if _, err := os.Lstat(filepath.Join(s.Spool, "local/bad", n)); err != nil {
				t.Error(err)
			}
		}
		for _, n := range alone { // moved in again, they are seen again
			aside := filepath.Join(s.Dir, "aside")
			must(t, os.Rename(filepath.Join(dir, n), aside))
			must(t, os.Rename(aside, filepath.Join(dir, n)))
		}
		s.MailTo("a last one", local("bob"))
		s.Mails("bob", 3)
		for _, n := range alone {
			if lines := s.LogLines("left alone", n); len(lines) != 1 {
				t.Errorf("not one line about %s: %q", n, lines)
			}
		}
		check := s.Call(suite.Program{Name: "postrider", Args: []string{"spool", "-c", s.Config, "check"}})
		if check.Code != 1 {
			t.Errorf("postrider spool check: %+v", check)
		}
	})
}

// disk makes a small filesystem for a test.
func disk(t *testing.T, options string) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root: mounts a small filesystem")
	}
	dir, err := os.MkdirTemp("", "prdisk")
	must(t, err)
	must(t, os.Chmod(dir, 0o755))
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		t.Skipf("mounting is not allowed here: %v", err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

// fill takes all the space of a filesystem but some, and returns what gives it back.
func fill(t *testing.T, dir string, leave int64) func() {
	t.Helper()
	var st unix.Statfs_t
	must(t, unix.Statfs(dir, &st))
	path := filepath.Join(dir, "ballast")
	f, err := os.Create(path)
	must(t, err)
	defer f.Close()
	if n := int64(st.Bavail)*st.Bsize - leave; n > 0 {
		must(t, unix.Fallocate(int(f.Fd()), 0, 0, n))
	}
	return func() { must(t, os.Remove(path)) }
}

func TestSpoolFull(t *testing.T) {
	eachWay(t, func(t *testing.T, o suite.Options) {
		o.Spool = filepath.Join(disk(t, "size=4m,nr_inodes=10000,mode=755"), "spool")
		o.Extra = "message_size = \"256K\"\n"
		s := suite.Start(t, o)
		free := fill(t, filepath.Dir(s.Spool), 300<<10)
		c := hello(s, "smtp")
		c.Cmd(250, "MAIL FROM:<a@b.example>")
		c.Cmd(250, "RCPT TO:<%s>", local("bob"))
		contains(t, c.Cmd(452, "DATA"), "4.3.1")
		if r := s.Sendmail("Subject: x\n\nx\n", "-f", "alice", "bob"); r.Code != 75 {
			t.Errorf("sendmail: %+v", r)
		}
		internal := s.DialUnix("submit.int") // what makes room in the end is let in
		internal.Cmd(250, "EHLO x")
		internal.Cmd(250, "MAIL FROM:<>")
		internal.Cmd(250, "RCPT TO:<%s>", local("carol"))
		data(internal, suite.Text("a notice"))
		s.Mails("carol", 1)
		free()
		c.Send("a@b.example", []string{local("bob")}, suite.Text("afterwards"))
		s.Mails("bob", 1)
		if left := staged(s); len(left) > 0 {
			t.Errorf("left: %v", left)
		}
	})
}

func TestMaildirFull(t *testing.T) {
	eachWay(t, func(t *testing.T, o suite.Options) {
		o.Mail = filepath.Join(disk(t, "size=1m,nr_inodes=1000,mode=755"), "mail")
		o.Extra = patient
		s := suite.Start(t, o)
		s.MailTo("the first", local("bob"))
		s.Mails("bob", 1)
		free := fill(t, filepath.Dir(s.Mail), 0)
		id := s.MailTo("no room", local("bob"))
		s.WaitLine(id, "to=<"+local("bob")+">", "dsn=4.", "status=deferred", "no space left")
		s.Mails("bob", 1)
		free()
		flush(t, s)
		s.Mails("bob", 2)
		if left, _ := filepath.Glob(s.Mailbox("bob") + "/tmp/*"); len(left) > 0 {
			t.Errorf("left: %v", left)
		}
	})
}

// A worker that is killed costs a retry, the spawner's end a restart; neither costs mail.
func TestWorkerKilled(t *testing.T) {
	eachWay(t, func(t *testing.T, o suite.Options) {
		o.Extra = eager
		s := suite.Start(t, o)
		s.MailTo("first", local("bob"))
		s.Mails("bob", 1)
		workers := s.Processes("localdeliver", "-worker")
		if len(workers) != 1 {
			t.Fatalf("%d workers", len(workers))
		}
		must(t, syscall.Kill(workers[0], syscall.SIGKILL))
		s.MailTo("second", local("bob"))
		s.Mails("bob", 2)
		spawners := s.Processes("localdeliver", "@spawner")
		if len(spawners) != 1 {
			t.Fatalf("%d spawners", len(spawners))
		}
		must(t, syscall.Kill(spawners[0], syscall.SIGKILL))
		s.Gone("localdeliver")
		s.MailTo("third", local("bob"))
		s.StartDaemon("localdeliver")
		s.Mails("bob", 3)
	})
}
