package e2e

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"postrider/test/suite"
)

func TestLimits(t *testing.T) {
	eachWay(t, func(t *testing.T, o suite.Options) {
		o.Extra = "message_size = \"64K\"\n[smtpd]\nmax_recipients = 2\nmax_errors = 6\n"
		s := suite.Start(t, o)
		c := s.Dial("smtp")
		contains(t, c.Cmd(250, "EHLO x"), "SIZE 65536", "LIMITS RCPTMAX=2")
		contains(t, c.Cmd(552, "MAIL FROM:<a@b.example> SIZE=65537"), "5.3.4")
		c.Cmd(250, "MAIL FROM:<a@b.example> SIZE=1000")
		c.Cmd(250, "RCPT TO:<%s>", local("alice"))
		c.Cmd(250, "RCPT TO:<%s>", local("bob"))
		contains(t, c.Cmd(452, "RCPT TO:<%s>", local("carol")), "4.5.3")
		c.Cmd(354, "DATA")
		c.Raw(suite.Text("too large") + strings.Repeat(strings.Repeat("x", 98)+"\r\n", 700) + ".\r\n")
		contains(t, c.Expect(552), "5.3.4")
		c.Send("a@b.example", []string{local("alice")}, suite.Text("small"))
		contains(t, s.Mails("alice", 1)[0], "Subject: small")
		for range 5 {
			c.Cmd(500, "NONSENSE")
		}
		c.Cmd(500, "NONSENSE")
		c.Expect(421)
		c.Closed()
		if left := s.Queue("stage", "."); len(left) > 0 {
			t.Errorf("left in stage: %v", left)
		}
	})
}

func TestConnectionLimits(t *testing.T) {
	eachWay(t, func(t *testing.T, o suite.Options) {
		o.Extra = "[smtpd]\nmax_connections = 3\n\n[smtpd.service.smtp]\nmax_per_client = 2\n"
		s := suite.Start(t, o)
		first, second := hello(s, "smtp"), hello(s, "smtp")
		contains(t, refusal(t, s, "smtp"), "421 4.7.0 Too many connections from your host")
		third := hello(s, "submission")
		contains(t, refusal(t, s, "lmtp"), "421 4.3.2 Too many connections\r\n")
		first.Cmd(250, "NOOP")
		third.Cmd(221, "QUIT")
		second.Cmd(221, "QUIT")
		s.Wait("room for a client", func() bool { return strings.HasPrefix(greeting(t, s, "smtp"), "220 ") })
		first.Cmd(250, "NOOP")
	})
}

// greeting is the first line that a new client gets.
func greeting(t *testing.T, s *suite.Suite, service string) string {
	t.Helper()
	conn, err := net.DialTimeout("tcp", s.Addr[service], 10*time.Second)
	must(t, err)
	defer conn.Close()
	must(t, conn.SetDeadline(time.Now().Add(20*time.Second)))
	b := make([]byte, 1000)
	n, err := conn.Read(b)
	if err != nil && err != io.EOF {
		t.Fatal(err)
	}
	return string(b[:n])
}

// refusal is all that a new client gets.
func refusal(t *testing.T, s *suite.Suite, service string) string {
	t.Helper()
	conn, err := net.DialTimeout("tcp", s.Addr[service], 10*time.Second)
	must(t, err)
	defer conn.Close()
	must(t, conn.SetDeadline(time.Now().Add(20*time.Second)))
	b, err := io.ReadAll(conn)
	must(t, err)
	return string(b)
}

// flood opens connections to a service until some are not answered, at most n, and returns how many were, and a function
// that closes all of them.
func flood(t *testing.T, s *suite.Suite, service string, n int) (answered int, stop func()) {
	t.Helper()
	var conns []net.Conn
	results := make(chan bool, n)
	for range n {
		conn, err := net.DialTimeout("tcp", s.Addr[service], 5*time.Second)
		if err != nil {
			results <- false
			continue
		}
		conns = append(conns, conn)
		go func() {
			conn.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
			b := make([]byte, 4)
			_, err := io.ReadFull(conn, b)
			results <- err == nil && string(b) == "220 "
		}()
	}
	for range n {
		if <-results {
			answered++
		}
	}
	return answered, func() {
		for _, c := range conns {
			c.Close()
		}
	}
}

// Out of descriptors smtpd goes on with what it has, and takes mail again when some are free.
func TestDescriptorsOfSMTPD(t *testing.T) {
	eachWay(t, func(t *testing.T, o suite.Options) {
		o.Listen = map[string][]string{"smtpd": {"-limit", "nofile=48"}}
		o.Extra = "[smtpd]\nmax_per_client = 1000\n"
		s := suite.Start(t, o)
		c := hello(s, "smtp")
		answered, stop := flood(t, s, "smtp", 80)
		if answered == 0 || answered >= 48 {
			t.Errorf("%d of 80 connections were answered with 48 descriptors", answered)
		}
		s.WaitLog("too many open files")
		c.Cmd(250, "MAIL FROM:<a@b.example>")
		must(t, c.PrintfLine("RCPT TO:<%s>", local("bob")))
		if code, text, _ := c.ReadResponse(0); code != 250 && code/100 != 4 {
			t.Errorf("without a descriptor: %d %s", code, text)
		} else if code == 250 {
			must(t, c.PrintfLine("DATA"))
			if code, text, _ := c.ReadResponse(0); code/100 != 4 {
				t.Errorf("a message without a descriptor: %d %s", code, text)
			}
		}
		stop()
		s.Wait("a greeting", func() bool { return strings.HasPrefix(greeting(t, s, "smtp"), "220 ") })
		c = hello(s, "smtp")
		s.Wait("the tables, read at last", func() bool {
			c.Cmd(250, "RSET")
			c.Cmd(250, "MAIL FROM:<a@b.example>")
			must(t, c.PrintfLine("RCPT TO:<%s>", local("bob")))
			code, _, _ := c.ReadResponse(0)
			return code == 250
		})
		c.Cmd(250, "RSET")
		c.Send("a@b.example", []string{local("bob")}, suite.Text("afterwards"))
		s.Mails("bob", 1)
		if n := len(s.LogLines("too many open files")); n > 20 {
			t.Errorf("%d lines about it", n)
		}
	})
}

// Out of descriptors localdeliver leaves mail where it is, and goes on; once there are enough all of it is delivered.
func TestDescriptorsOfLocaldeliver(t *testing.T) {
	eachWay(t, func(t *testing.T, o suite.Options) {
		o.Extra = eager
		o.Listen = map[string][]string{"localdeliver": {"-limit", "nofile=24"}}
		s := suite.New(t, o)
		s.StartDaemon("authd")
		s.StartDaemon("smtpd")
		const n = 40
		c := hello(s, "smtp")
		for i := range n {
			c.Send("a@b.example", []string{local("alice"), local("bob"), local("carol")}, suite.Text(fmt.Sprint("message ", i)))
		}
		s.StartDaemon("localdeliver")
		s.WaitLog("too many open files")
		s.MailTo("meanwhile", local("alice"))
		s.Wait("a delivery, or a worker that cannot be started", func() bool {
			return len(suite.Maildir(s.Mailbox("bob"))) > 0 || len(s.LogLines("start worker for uid")) > 0
		})
		containsNot(t, s.Log(), "the spawner has ended", "panic:")
		s.Stop("localdeliver")
		s.Limit("localdeliver")
		s.StartDaemon("localdeliver")
		s.Mails("alice", n+1)
		s.Mails("bob", n)
		s.Mails("carol", n)
		s.WaitQueue("local", "cur", 0)
	})
}
