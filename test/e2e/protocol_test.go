package e2e

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"postrider/test/suite"
)

func TestLMTP(t *testing.T) {
	eachWay(t, func(t *testing.T, o suite.Options) {
		s := suite.Start(t, o)
		c := s.Dial("lmtp")
		c.Cmd(500, "EHLO x")
		c.Cmd(250, "LHLO client.example")
		c.Cmd(250, "MAIL FROM:<a@b.example>")
		c.Cmd(250, "RCPT TO:<%s>", local("alice"))
		c.Cmd(550, "RCPT TO:<%s>", local("nobody"))
		c.Cmd(250, "RCPT TO:<%s>", local("bob"))
		c.Cmd(554, "RCPT TO:<x@far.example>")
		c.Cmd(354, "DATA")
		c.Raw(suite.Text("by LMTP") + ".\r\n")
		first, second := c.Expect(250), c.Expect(250) // one for each that was accepted
		if suite.QueueID(t, first) != suite.QueueID(t, second) {
			t.Errorf("%q, %q", first, second)
		}
		contains(t, s.Mails("alice", 1)[0], "with LMTP id")
		s.Mails("bob", 1)
		c.Cmd(250, "MAIL FROM:<a@b.example>")
		c.Cmd(550, "RCPT TO:<%s>", local("nobody"))
		c.Cmd(503, "DATA") // RFC 2033 §4.2
		c.Cmd(221, "QUIT")
	})
}

func TestBDAT(t *testing.T) {
	eachWay(t, func(t *testing.T, o suite.Options) {
		s := suite.Start(t, o)
		c := hello(s, "smtp")
		text := suite.Text("in chunks") + ".\r\nnot the end\r\nhalf a line"
		cut := len(text) - 20
		c.Raw(fmt.Sprintf("MAIL FROM:<a@b.example> BODY=8BITMIME\r\nRCPT TO:<%s>\r\nBDAT %d\r\n%sBDAT %d LAST\r\n%sNOOP\r\n", local("bob"), cut, text[:cut], 20, text[cut:]))
		for _, code := range []int{250, 250, 250} {
			c.Expect(code)
		}
		contains(t, c.Expect(250), "queued as")
		c.Expect(250) // NOOP
		contains(t, s.Mails("bob", 1)[0], "\n.\nnot the end\nhalf a line\n")

		c.Cmd(503, "BDAT 0 LAST")
		c.Cmd(250, "MAIL FROM:<a@b.example>")
		c.Raw("BDAT 6 LAST\r\nQUIT\r\n") // the chunk is read, not obeyed
		c.Expect(503)
		c.Cmd(250, "RCPT TO:<%s>", local("bob"))
		c.Raw("BDAT 4\r\na\nb\n")
		c.Expect(550)
		c.Raw("BDAT 3 LAST\r\nc\r\n")
		c.Expect(503)
		c.Cmd(250, "RSET")
		c.Cmd(521, "BDAT x")
		c.Closed()
	})
}

func TestSMTPUTF8(t *testing.T) {
	eachWay(t, func(t *testing.T, o suite.Options) {
		s := suite.New(t, o)
		s.File("etc/aliases", "postmaster: alice\njürgen: bob\n")
		s.StartAll()
		c := hello(s, "smtp")
		c.Cmd(553, "MAIL FROM:<é@b.example>")
		c.Cmd(250, "MAIL FROM:<a@b.example>")
		c.Cmd(553, "RCPT TO:<jürgen@%s>", suite.Domain)
		c.Cmd(250, "RSET")
		c.Cmd(250, "MAIL FROM:<é@bücher.example> SMTPUTF8")
		c.Cmd(250, "RCPT TO:<jürgen@%s>", suite.Domain)
		data(c, "From: é@bücher.example\r\nSubject: Grüße\r\n\r\nhallo\r\n")
		contains(t, s.Mails("bob", 1)[0], "Subject: Grüße\n", "with UTF8SMTP id", "X-Original-To: jürgen@"+suite.Domain, "Return-Path: <é@")
	})
}

// No line end but CRLF ends anything: what one server takes for text, the next must not take for commands.
func TestSmuggling(t *testing.T) {
	eachWay(t, func(t *testing.T, o suite.Options) {
		s := suite.Start(t, o)
		smuggled := fmt.Sprintf("MAIL FROM:<boss@%s>\r\nRCPT TO:<%s>\r\nDATA\r\nSubject: smuggled\r\n\r\nx\r\n", suite.Domain, local("bob"))
		for _, end := range []string{"\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r", "\r\n.\r", "\r.\r\n", "\n.\r", "\r\n.\r\r\n", "\r\n.\r\x00\n"} {
			c := hello(s, "smtp")
			c.Cmd(250, "MAIL FROM:<a@b.example>")
			c.Cmd(250, "RCPT TO:<%s>", local("alice"))
			c.Cmd(354, "DATA")
			c.Raw("Subject: carrier\r\n\r\nx" + end + smuggled + ".\r\nQUIT\r\n")
			if got := c.Expect(550); !strings.Contains(got, "5.6.11") {
				t.Errorf("%q: %s", end, got)
			}
			c.Expect(221)
		}
		for _, end := range []string{"\r\n\x00.\r\n", "\r\n.\x00\r\n", "\r\n. \r\n", "\r\n..\r\n"} { // text
			c := hello(s, "smtp")
			c.Cmd(250, "MAIL FROM:<a@b.example>")
			c.Cmd(250, "RCPT TO:<%s>", local("alice"))
			c.Cmd(354, "DATA")
			c.Raw("Subject: carrier\r\n\r\nx" + end + smuggled + ".\r\nQUIT\r\n")
			c.Expect(250)
			c.Expect(221)
		}
		s.Mails("alice", 4)
		if n := len(suite.Maildir(s.Mailbox("bob"))); n > 0 {
			t.Errorf("%d messages were smuggled", n)
		}
		for _, line := range []string{"NOOP\nNOOP\r\n", "NOOP\rNOOP\r\n"} {
			c := hello(s, "smtp")
			c.Raw(line)
			c.Expect(521)
			c.Closed()
		}
		c := hello(s, "smtp")
		c.Raw("GET / HTTP/1.1\r\nHost: x\r\nMAIL FROM:<a@b.example>\r\n")
		c.Expect(421)
		c.Closed()
	})
}

// What came in clear with STARTTLS is not heard after the handshake.
func TestStartTLSInjection(t *testing.T) {
	eachWay(t, func(t *testing.T, o suite.Options) {
		s := suite.Start(t, o)
		conn, err := net.DialTimeout("tcp", s.Addr["smtp"], 10*time.Second)
		must(t, err)
		defer conn.Close()
		must(t, conn.SetDeadline(time.Now().Add(20*time.Second)))
		read := func(from net.Conn) string {
			b := make([]byte, 4096)
			n, err := from.Read(b)
			must(t, err)
			return string(b[:n])
		}
		read(conn)
		fmt.Fprint(conn, "EHLO x\r\n")
		read(conn)
		fmt.Fprint(conn, "STARTTLS\r\nEHLO injected\r\nMAIL FROM:<injected@b.example>\r\n")
		if got := read(conn); !strings.HasPrefix(got, "220 ") || strings.Count(got, "\r\n") != 1 {
			t.Fatalf("%q", got)
		}
		c := tls.Client(conn, s.TLSConfig())
		must(t, c.Handshake())
		fmt.Fprint(c, "RCPT TO:<bob>\r\nMAIL FROM:<x@b.example>\r\n")
		got := read(c)
		if strings.Count(got, "\r\n") < 2 {
			got += read(c)
		}
		if strings.Count(got, "503 5.5.1") != 2 { // neither a transaction nor a hello has survived
			t.Errorf("%q", got)
		}
	})
}

func TestXCLIENT(t *testing.T) {
	eachWay(t, func(t *testing.T, o suite.Options) {
		o.Extra = "[smtpd]\nxclient_networks = [\"127.0.0.0/8\"]\nrelay_networks = [\"192.0.2.7/32\"]\n"
		s := suite.Start(t, o)
		c := s.Dial("smtp")
		contains(t, c.Cmd(250, "EHLO proxy.example"), "XCLIENT NAME ADDR")
		c.Cmd(501, "XCLIENT ADDR=nonsense")
		c.Cmd(220, "XCLIENT NAME=mx.far.example ADDR=192.0.2.9")
		c.Cmd(503, "MAIL FROM:<a@b.example>")
		c.Cmd(250, "EHLO far.example")
		c.Cmd(250, "MAIL FROM:<a@b.example>")
		c.Cmd(554, "RCPT TO:<x@far.example>")
		c.Cmd(250, "RCPT TO:<%s>", local("bob"))
		data(c, suite.Text("through a proxy"))
		contains(t, s.Mails("bob", 1)[0], "Received: from far.example (mx.far.example [192.0.2.9])")
		s.WaitLog(": client=mx.far.example[192.0.2.9]")
		c.Cmd(220, "XCLIENT NAME=[UNAVAILABLE] ADDR=192.0.2.7")
		c.Cmd(250, "EHLO near.example")
		c.Cmd(250, "MAIL FROM:<a@b.example>")
		c.Cmd(250, "RCPT TO:<x@far.example>")
	})
}

func TestXCLIENTFromStrangers(t *testing.T) {
	eachWay(t, func(t *testing.T, o suite.Options) {
		s := suite.Start(t, o)
		c := s.Dial("smtp")
		containsNot(t, c.Cmd(250, "EHLO proxy.example"), "XCLIENT")
		c.Cmd(550, "XCLIENT ADDR=192.0.2.9")
	})
}

func TestPROXY(t *testing.T) {
	eachWay(t, func(t *testing.T, o suite.Options) {
		o.Extra = "[smtpd]\nproxy_networks = [\"127.0.0.0/8\"]\nrelay_networks = [\"2001:db8::7/128\"]\n"
		s := suite.Start(t, o)
		v2 := "\r\n\r\n\x00\r\nQUIT\n\x21\x21\x00\x24" + string(net.ParseIP("2001:db8::7").To16()) + string(net.ParseIP("::1").To16()) + "\x30\x39\x00\x19"
		for head, want := range map[string]string{"PROXY TCP4 192.0.2.9 127.0.0.1 12345 25\r\n": "[192.0.2.9]", v2: "[IPv6:2001:db8::7]"} {
			c := s.DialAfter("smtp", head)
			c.Cmd(250, "EHLO far.example")
			c.Cmd(250, "MAIL FROM:<a@b.example>")
			c.Cmd(map[bool]int{true: 250, false: 554}[head == v2], "RCPT TO:<x@far.example>")
			c.Cmd(250, "RCPT TO:<%s>", local("bob"))
			id := data(c, suite.Text("balanced"))
			s.WaitLine(id, "status=sent")
			contains(t, strings.Join(s.Mails("bob", len(suite.Maildir(s.Mailbox("bob")))), ""), want)
		}
		conn, err := net.Dial("tcp", s.Addr["smtp"])
		must(t, err)
		defer conn.Close()
		must(t, conn.SetDeadline(time.Now().Add(20*time.Second)))
		fmt.Fprint(conn, "EHLO without.header\r\n")
		if got, _ := io.ReadAll(conn); len(got) > 0 {
			t.Errorf("a connection without a header was answered %q", got)
		}
		s.WaitLog("warning: smtp: PROXY header from 127.0.0.1")
	})
}
