package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"postrider/test/suite"
)

func TestForward(t *testing.T) {
	eachWay(t, func(t *testing.T, o suite.Options) {
		o.Daemons = suite.Incoming
		s := suite.New(t, o)
		s.HomeFile("alice", ".forward", "# to a colleague\n\\alice, "+local("bob")+", x@far.example\n", 0o600)
		s.HomeFile("carol", ".forward", "", 0o644)
		s.HomeFile("carol", ".forward+work", "bob\n", 0o600)
		s.StartAll()
		id := s.MailTo("forwarded", local("alice"))
		s.Mails("alice", 1)
		text := s.Mails("bob", 1)[0]
		contains(t, text, "Return-Path: <sender@elsewhere.example>\nDelivered-To: "+local("bob")+"\n", "\nDelivered-To: "+local("alice")+"\n", "Subject: forwarded")
		s.WaitLine(id, "status=sent (forwarded to 2 addresses)")
		remote := s.WaitQueue("remote", "new", 1)
		b, err := os.ReadFile(remote[0])
		must(t, err)
		contains(t, string(b), "to: <x@far.example> via=remote", "parent="+id, "from: <sender@elsewhere.example>")

		s.MailTo("empty file", local("carol"))
		s.Mails("carol", 1)
		s.MailTo("extension", local("carol+Work"))
		s.Mails("bob", 2)
		s.MailTo("other extension", local("carol+home"))
		contains(t, strings.Join(s.Mails("carol", 2), ""), "Delivered-To: "+local("carol+home"))
	})
}

// What is wrong with a .forward defers the mail, keeps it, and is named in the log and by mailq; a repaired file delivers it.
func TestForwardFaults(t *testing.T) {
	faults := []struct {
		name  string
		spoil func(t *testing.T, s *suite.Suite)
		why   string
	}{
		{"unsafe mode", func(t *testing.T, s *suite.Suite) { s.HomeFile("bob", ".forward", local("carol"), 0o666) }, "writable for others"},
		{"unreadable", func(t *testing.T, s *suite.Suite) {
			s.HomeFile("bob", ".forward", local("carol"), 0o000)
		}, "permission denied"},
		{"garbage", func(t *testing.T, s *suite.Suite) { s.HomeFile("bob", ".forward", "a@@b\n", 0o600) }, "is not an address"},
		{"command", func(t *testing.T, s *suite.Suite) { s.HomeFile("bob", ".forward", "\"|/bin/cat\"\n", 0o600) }, "not supported yet"},
		{"symlink", func(t *testing.T, s *suite.Suite) {
			must(t, os.Symlink("/etc/passwd", filepath.Join(s.Mail, "bob", ".forward")))
		}, "symbolic links"},
	}
	eachWay(t, func(t *testing.T, o suite.Options) {
		o.Extra = patient
		s := suite.Start(t, o)
		path := filepath.Join(s.Mail, "bob", ".forward")
		for i, fault := range faults {
			os.Remove(path) // of the fault before
			fault.spoil(t, s)
			id := s.MailTo(fault.name, local("bob"))
			line := s.WaitLine(id, "to=<"+local("bob")+">", "dsn=4.3.5, status=deferred")
			contains(t, line, fault.why)
			s.WaitQueue("local", "cur", i+1)
		}
		must(t, os.Remove(path))
		out := s.Call(suite.Program{Name: "mailq", Args: []string{"-C", s.Config}})
		contains(t, out.Out, "451 4.3.5 user's forward cannot be used", "in 5 Requests")
		if r := s.Call(suite.Program{Name: "sendmail", Args: []string{"-C", s.Config, "-q"}}); r.Code != 0 {
			t.Fatalf("sendmail -q: %+v", r)
		}
		s.Mails("bob", len(faults))
		s.WaitQueue("local", "cur", 0)
		if n := len(suite.Maildir(s.Mailbox("carol"))); n != 0 {
			t.Errorf("%d messages were forwarded by an unsafe file", n)
		}
	})
}

func TestLoops(t *testing.T) {
	eachWay(t, func(t *testing.T, o suite.Options) {
		o.Extra = "[smtpd]\nmax_hops = 3\n"
		s := suite.New(t, o)
		s.HomeFile("alice", ".forward", local("bob"), 0o600)
		s.HomeFile("bob", ".forward", local("alice"), 0o600)
		s.StartAll()
		c := hello(s, "smtp")
		c.Send(local("carol"), []string{local("alice")}, suite.Text("round and round"))
		contains(t, s.Mails("carol", 1)[0], "Status: 5.4.6", "mail forwarding loop for "+local("alice"))
		s.HomeFile("alice", ".forward", local("alice"), 0o600)
		c.Send(local("carol"), []string{local("alice")}, suite.Text("to itself"))
		s.Mails("alice", 1)
		c.Send(local("carol"), []string{local("alice")}, "Delivered-To: Alice@"+suite.Domain+"\r\n"+suite.Text("seen before"))
		contains(t, strings.Join(s.Mails("carol", 2), ""), "Subject: seen before")

		hops := func(n int) string {
			return strings.Repeat("Received: from a by b; Sat, 21 Nov 2026 20:00:00 +0000\r\n", n)
		}
		c.Send("a@b.example", []string{local("alice")}, hops(3)+suite.Text("three hops"))
		s.Mails("alice", 2)
		c.Cmd(250, "MAIL FROM:<a@b.example>")
		c.Cmd(250, "RCPT TO:<%s>", local("alice"))
		c.Cmd(354, "DATA")
		w := c.DotWriter()
		w.Write([]byte(hops(4) + suite.Text("four hops")))
		must(t, w.Close())
		contains(t, c.Expect(554), "5.4.6 Too many hops")
		s.WaitQueue("local", "cur", 0)
	})
}

func TestCatchAll(t *testing.T) {
	eachWay(t, func(t *testing.T, o suite.Options) {
		o.Extra = "[localdeliver]\ncatch_all = \"carol\"\n"
		s := suite.New(t, o)
		s.File("etc/domains", suite.Domain+" local\nvirt.example virtual\n")
		s.File("etc/users", s.UserLine("alice")+s.UserLine("carol")+strings.Replace(s.UserLine("bob"), "bob:", "bob@virt.example:", 1))
		s.StartAll()
		s.MailTo("whoever", local("whoever"))
		contains(t, s.Mails("carol", 1)[0], "X-Original-To: "+local("whoever"), "Delivered-To: "+local("carol"))
		s.MailTo("virtual user", "bob@virt.example", "Bob+x@VIRT.example")
		if texts := s.Mails("bob", 2); !strings.Contains(strings.Join(texts, ""), "Delivered-To: bob@virt.example") {
			t.Errorf("%s", texts)
		}
		s.MailTo("postmaster", "postmaster")
		s.MailTo("postmaster of the virtual domain", "Postmaster@virt.example")
		s.Mails("alice", 2)
	})
}
