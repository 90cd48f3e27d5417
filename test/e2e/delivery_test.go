package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"postrider/test/suite"
)

func TestDelivery(t *testing.T) {
	eachWay(t, func(t *testing.T, o suite.Options) {
		s := suite.Start(t, o)
		id := s.MailTo("first", "alice@"+suite.Domain)
		text := s.Mails("alice", 1)[0]
		for _, want := range []string{
			"Return-Path: <sender@elsewhere.example>\n", "Delivered-To: alice@" + suite.Domain + "\n", "with ESMTP id " + id, "for <alice@" + suite.Domain + ">",
			"Subject: first\n", "\n\nHello.\n.. two dots\n",
		} {
			if !strings.Contains(text, want) {
				t.Errorf("no %q in\n%s", want, text)
			}
		}
		if strings.Contains(text, "\r") {
			t.Errorf("CR in a Maildir file:\n%q", text)
		}
		name := filepath.Base(suite.Maildir(s.Mailbox("alice"))[0])
		if !strings.Contains(name, "."+id) || !strings.Contains(name, fmt.Sprintf(",S=%d,W=%d", len(text), len(text)+strings.Count(text, "\n"))) {
			t.Errorf("file name %s for %d octets", name, len(text))
		}
		s.WaitLog(id + ": removed")
		for _, line := range []string{
			id + ": client=", id + ": message-id=<first@elsewhere.example>", id + ": from=<sender@elsewhere.example>, size=", ", nrcpt=1 (queue active)",
			id + ": to=<alice@" + suite.Domain + ">, relay=virtual, delay=", "dsn=2.0.0, status=sent (",
		} {
			if !strings.Contains(s.Log(), line) {
				t.Errorf("no %q in the log", line)
			}
		}
		for _, dir := range []string{"new", "cur", "log", "hold", "bad"} {
			if left := s.Queue("local", dir); len(left) != 0 {
				t.Errorf("left in %s: %v", dir, left)
			}
		}
	})
}

func TestSystemUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root: delivers as another uid")
	}
	t.Parallel()
	o := suite.Options{IDs: suite.Separated()}
	s := suite.New(t, o)
	home := filepath.Join(s.Dir, "dave")
	for _, err := range []error{os.Mkdir(home, 0o700), os.Chown(home, 62001, 62001)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	s.File("etc/passwd", fmt.Sprintf("root:x:0:0::/root:/bin/sh\ndave:x:62001:62001:Dave:%s:/bin/sh\ndaemon:x:2:2::/:/bin/false\n", home))
	s.StartAll()
	s.MailTo("to dave", "dave@"+suite.Domain)
	s.Wait("mail for dave", func() bool { return len(suite.Maildir(home+"/Maildir")) == 1 })
	st, err := os.Stat(suite.Maildir(home + "/Maildir")[0])
	if err != nil || st.Sys().(*syscall.Stat_t).Uid != 62001 || st.Mode().Perm()&0o077 != 0 {
		t.Errorf("%v, %v", st, err)
	}
	s.WaitLog("relay=local, delay=")
	c := s.Dial("smtp")
	c.Cmd(250, "EHLO x")
	c.Cmd(250, "MAIL FROM:<a@b.example>")
	c.Cmd(550, "RCPT TO:<daemon@%s>", suite.Domain)
	c.Cmd(250, "RCPT TO:<root@%s>", suite.Domain) // by its alias
}

func TestTwoChannels(t *testing.T) {
	eachWay(t, func(t *testing.T, o suite.Options) {
		o.Daemons = suite.Incoming
		s := suite.Start(t, o)
		s.AddPassword("alice")
		c := s.Dial("submissions")
		c.Cmd(250, "EHLO client.example")
		c.Login("alice", suite.Password)
		id := c.Send("alice@"+suite.Domain, []string{"bob@" + suite.Domain, "x@far.example", "carol"}, "Subject: both\r\n\r\nhi\r\n")
		text := s.Mails("bob", 1)[0]
		for _, want := range []string{"From: ", "Date: ", "Message-ID: <", "alice@" + suite.Domain} {
			if !strings.Contains(text, want) {
				t.Errorf("no %q in\n%s", want, text)
			}
		}
		s.Mails("carol", 1)
		if strings.Contains(text, "for <") {
			t.Errorf("a recipient is named in Received:\n%s", text)
		}
		remote := s.Queue("remote", "new")
		if len(remote) != 1 || filepath.Base(remote[0]) != id {
			t.Fatalf("remote/new: %v", remote)
		}
		b, err := os.ReadFile(remote[0])
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"to: <x@far.example> via=remote\n", "to: <bob@" + suite.Domain + "> via=local\n", "auth=alice", "origin: auth\n", "proto=ESMTPSA"} {
			if !strings.Contains(string(b), want) {
				t.Errorf("no %q in\n%s", want, b)
			}
		}
	})
}

func TestAliases(t *testing.T) {
	eachWay(t, func(t *testing.T, o suite.Options) {
		s := suite.New(t, o)
		s.File("etc/aliases", "postmaster: alice\nroot: alice\nteam: bob, carol,\n  sales@virt.example\nloop: pool\npool: loop\nprog: \"|/bin/cat\"\n")
		s.File("etc/domains", suite.Domain+" local\nvirt.example virtual\n")
		s.File("etc/virtual", "sales@virt.example alice\n@virt.example bob\n")
		s.StartAll()
		s.MailTo("to the team", "team@"+suite.Domain)
		s.Mails("alice", 1)
		s.Mails("bob", 1)
		s.Mails("carol", 1)
		s.MailTo("catch all", "anything@virt.example")
		s.Mails("bob", 2)
		s.MailTo("extension", "carol+lists@"+suite.Domain)
		if text := s.Mails("carol", 2); !strings.Contains(strings.Join(text, ""), "Delivered-To: carol+lists@") {
			t.Errorf("no extension in Delivered-To:\n%s", text)
		}
		c := s.Dial("smtp")
		c.Cmd(250, "EHLO x")
		c.Cmd(250, "MAIL FROM:<a@b.example>")
		c.Cmd(250, "RCPT TO:<postmaster>")
		c.Cmd(550, "RCPT TO:<nobody@%s>", suite.Domain)
		for _, trick := range []string{"x%far.example@" + suite.Domain, "far.example!x@" + suite.Domain, `"x@far.example"@` + suite.Domain} {
			c.Cmd(554, "RCPT TO:<%s>", trick)
		}
		c.Cmd(554, "RCPT TO:<x@far.example>")
		c.Cmd(554, "RCPT TO:<@%s:x@far.example>", suite.Domain)
		id := s.MailTo("to a program", "prog@"+suite.Domain)
		s.WaitLog(id + ": to=<prog@" + suite.Domain + ">")
		s.Wait("a deferral", func() bool { return strings.Contains(s.Log(), "status=deferred") })
		if q := s.Queue("local", "cur"); len(q) != 1 {
			t.Errorf("queue: %v", q)
		}
	})
}
