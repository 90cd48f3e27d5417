package e2e

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"postrider/test/suite"
)

// A good configuration and certificate hold for new connections; a session that is there goes on as it began.
func TestReload(t *testing.T) {
	eachWay(t, func(t *testing.T, o suite.Options) {
		s := suite.Start(t, o)
		old := hello(s, "smtp")
		old.StartTLS(s.TLSConfig())
		before := old.Certificate().SerialNumber
		old.Cmd(250, "MAIL FROM:<a@b.example>")
		old.Cmd(250, "RCPT TO:<%s>", local("bob"))

		s.Configure("message_size = \"64K\"\n[localdeliver]\ncatch_all = \"carol\"\n")
		s.Certify()
		for _, daemon := range suite.Daemons {
			s.Reload(daemon, "reloaded "+s.Config)
		}
		c := s.Dial("smtp")
		contains(t, c.Cmd(250, "EHLO x"), "SIZE 65536")
		c.StartTLS(s.TLSConfig()) // which trusts the new authority only
		if c.Certificate().SerialNumber.Cmp(before) == 0 {
			t.Error("the old certificate")
		}
		id := data(old, suite.Text("begun before")+strings.Repeat(strings.Repeat("x", 98)+"\r\n", 1000))
		s.WaitLine(id, "status=sent")
		old.Cmd(250, "MAIL FROM:<a@b.example> SIZE=100000")
		old.Cmd(250, "RSET")
		s.MailTo("caught", local("whoever"))
		contains(t, s.Mails("carol", 1)[0], "Subject: caught")
	})
}

// A broken configuration changes nothing, and the log says where it is broken.
func TestReloadBroken(t *testing.T) {
	eachWay(t, func(t *testing.T, o suite.Options) {
		o.Extra = "message_size = \"1M\"\n"
		s := suite.Start(t, o)
		s.AddPassword("alice")
		s.Configure("message_size = \"64K\"\nno_such_key = 1\n[smtpd]\nmax_hops = 0\n")
		text, err := os.ReadFile(s.Config)
		must(t, err)
		line := func(key string) string {
			before, _, _ := strings.Cut(string(text), key)
			return fmt.Sprintf("%s:%d: ", s.Config, strings.Count(before, "\n")+1)
		}
		for _, daemon := range suite.Daemons {
			s.Reload(daemon, "error: reload: nothing changed: ")
			said := s.WaitLine("postrider/"+daemon+"[", "nothing changed: ")
			contains(t, said, line("no_such_key"), line("max_hops"))
		}
		contains(t, s.Dial("smtp").Cmd(250, "EHLO x"), "SIZE 1048576")

		s.Configure("message_size = \"64K\"\n")
		s.File("tls/cert.pem", "no certificate\n")
		s.Reload("smtpd", "error: reload: nothing changed: ")
		contains(t, s.LogLines("postrider/smtpd[", "nothing changed: ")[1], s.Dir+"/tls/cert.pem")
		c := s.Dial("submissions") // the old certificate is still shown
		contains(t, c.Cmd(250, "EHLO x"), "SIZE 1048576")
		c.Login("alice", suite.Password)
		c.Send(local("alice"), []string{"bob"}, suite.Text("as before"))
		s.Mails("bob", 1)
	})
}

// A new table holds at once, without a signal; a broken one is reported, with file and line, and the old one stays.
func TestTables(t *testing.T) {
	eachWay(t, func(t *testing.T, o suite.Options) {
		s := suite.Start(t, o)
		s.MailTo("by the first tables", local("alice"))
		s.Mails("alice", 1)
		c := hello(s, "smtp")
		c.Cmd(250, "MAIL FROM:<a@b.example>")
		c.Cmd(550, "RCPT TO:<%s>", local("sales"))
		s.File("etc/aliases", "postmaster: alice\nsales: carol\n")
		accepted := func(format string, args ...any) func() bool {
			return func() bool {
				must(t, c.PrintfLine(format, args...))
				code, _, _ := c.ReadResponse(0)
				if code == 421 {
					t.Fatal("too many errors")
				}
				if code != 250 { // which resets the count of errors that the waiting makes
					c.Close()
					c = hello(s, "smtp")
					c.Cmd(250, "MAIL FROM:<a@b.example>")
				}
				return code == 250
			}
		}
		s.Wait("the new alias", accepted("RCPT TO:<%s>", local("sales")))
		s.File("etc/aliases", "postmaster: alice\nsales: bob, @@\nnew: bob\n")
		s.File("etc/users", s.UserLine("carol")+"bob:broken\n")
		s.Wait("complaints about both", func() bool { // a table is looked at when it is used
			c.Cmd(250, "RCPT TO:<%s>", local("alice"))
			c.Cmd(250, "RSET")
			c.Cmd(250, "MAIL FROM:<a@b.example>")
			return len(s.LogLines("postrider/smtpd[", s.Dir+"/etc/aliases:2: ")) > 0 && len(s.LogLines("postrider/smtpd[", s.Dir+"/etc/users:2: ")) > 0
		})
		c.Cmd(550, "RCPT TO:<%s>", local("new"))
		c.Cmd(250, "RSET")
		id := c.Send("a@b.example", []string{local("sales"), local("alice")}, suite.Text("by the old tables"))
		s.Mails("carol", 1)
		s.Mails("alice", 2)
		s.WaitLog(id + ": removed")
		s.File("etc/aliases", "postmaster: alice\nnew: bob\n")
		s.File("etc/users", s.UserLine("carol")+s.UserLine("bob"))
		c.Cmd(250, "MAIL FROM:<a@b.example>")
		s.Wait("the mended alias", accepted("RCPT TO:<%s>", local("new")))
		if n := len(s.LogLines("postrider/smtpd[", "/etc/aliases:2: ")); n != 1 {
			t.Errorf("%d complaints", n)
		}
	})
}

// A signal at a moment when a table is broken changes nothing either.
func TestReloadBrokenTable(t *testing.T) {
	eachWay(t, func(t *testing.T, o suite.Options) {
		s := suite.Start(t, o)
		s.MailTo("before", local("bob"))
		s.Mails("bob", 1)
		s.File("etc/aliases", "postmaster: alice\nbroken: @@\n")
		s.Reload("smtpd", "reload")
		s.Reload("localdeliver", "reload")
		s.MailTo("after", local("bob"))
		s.Mails("bob", 2)
		s.WaitLog(s.Dir + "/etc/aliases:2: ")
	})
}

// At SIGTERM smtpd lets messages that are on their way come in, and tells idle clients.
func TestDrain(t *testing.T) {
	eachWay(t, func(t *testing.T, o suite.Options) {
		s := suite.Start(t, o)
		idle, busy := hello(s, "smtp"), hello(s, "smtp")
		busy.Cmd(250, "MAIL FROM:<a@b.example>")
		busy.Cmd(250, "RCPT TO:<%s>", local("bob"))
		busy.Cmd(354, "DATA")
		busy.Raw("Subject: at the last moment\r\n")
		s.Signal("smtpd", syscall.SIGTERM)
		idle.Expect(421)
		idle.Closed()
		busy.Raw("\r\nhi\r\n.\r\n")
		busy.Expect(250)
		busy.Expect(421)
		busy.Closed()
		s.Gone("smtpd")
		contains(t, s.Mails("bob", 1)[0], "at the last moment")
	})
}
