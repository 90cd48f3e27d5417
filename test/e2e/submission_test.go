package e2e

import (
	"encoding/base64"
	"net/textproto"
	"os"
	"strings"
	"testing"

	"github.com/xdg-go/scram"

	"postrider/test/suite"
)

func encode(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

func decode(t *testing.T, s string) string {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(s)
	must(t, err)
	return string(b)
}

func TestLogin(t *testing.T) {
	eachWay(t, func(t *testing.T, o suite.Options) {
		o.Extra = "[authd]\nfailure_delay = \"10ms\"\nmax_delay = \"10ms\"\n"
		s := suite.Start(t, o)
		s.AddPassword("alice")

		c := s.Dial("submission")
		ehlo := c.Cmd(250, "EHLO client.example")
		contains(t, ehlo, "STARTTLS")
		containsNot(t, ehlo, "AUTH")
		c.Cmd(530, "MAIL FROM:<%s>", local("alice"))
		c.Cmd(538, "AUTH PLAIN %s", encode("\x00alice\x00"+suite.Password))
		c.StartTLS(s.TLSConfig())
		ehlo = c.Cmd(250, "EHLO client.example")
		contains(t, ehlo, "AUTH ", "PLAIN", "LOGIN", "SCRAM-SHA-256")
		containsNot(t, ehlo, "STARTTLS")
		c.Cmd(530, "MAIL FROM:<%s>", local("alice"))
		wrong := c.Cmd(535, "AUTH PLAIN %s", encode("\x00alice\x00wrong"))
		if unknown := c.Cmd(535, "AUTH PLAIN %s", encode("\x00nobody\x00"+suite.Password)); unknown != wrong {
			t.Errorf("%q and %q tell users from others", unknown, wrong)
		}
		contains(t, s.Log(), "warning: localhost[127.0.0.1]: SASL PLAIN authentication failed")
		c.Cmd(504, "AUTH CRAM-MD5")
		c.Cmd(334, "AUTH LOGIN")
		c.Cmd(501, "*")
		if prompt := decode(t, c.Cmd(334, "AUTH LOGIN")); prompt != "Username:" {
			t.Errorf("%q", prompt)
		}
		if prompt := decode(t, c.Cmd(334, "%s", encode("alice"))); prompt != "Password:" {
			t.Errorf("%q", prompt)
		}
		c.Cmd(235, "%s", encode(suite.Password))
		c.Cmd(503, "AUTH PLAIN %s", encode("\x00alice\x00"+suite.Password))
		c.Send(local("alice"), []string{local("bob")}, suite.Text("by LOGIN"))
		contains(t, s.Mails("bob", 1)[0], "with ESMTPSA id")

		c = hello(s, "submissions")
		c.Cmd(334, "AUTH PLAIN")
		c.Cmd(235, "%s", encode("\x00alice\x00"+suite.Password))

		c = hello(s, "smtp") // no logins on port 25
		c.StartTLS(s.TLSConfig())
		containsNot(t, c.Cmd(250, "EHLO x"), "AUTH")
		c.Cmd(502, "AUTH PLAIN %s", encode("\x00alice\x00"+suite.Password))
	})
}

// scramLogin logs in with SCRAM-SHA-256 and returns the code of the last reply.
func scramLogin(t *testing.T, c *suite.Client, user, password string) int {
	t.Helper()
	client, err := scram.SHA256.NewClient(user, password, "")
	must(t, err)
	x := client.NewConversation()
	step := ""
	line := "AUTH SCRAM-SHA-256 "
	for {
		out, err := x.Step(step)
		must(t, err)
		must(t, c.PrintfLine("%s", line+encode(out)))
		code, text, err := c.ReadResponse(0)
		if code != 334 {
			if _, reply := err.(*textproto.Error); err != nil && !reply {
				t.Fatal(err)
			}
			if code == 235 && !x.Valid() {
				t.Error("the server did not prove that it knows the password")
			}
			return code
		}
		line, step = "", decode(t, text)
	}
}

func TestSCRAM(t *testing.T) {
	eachWay(t, func(t *testing.T, o suite.Options) {
		s := suite.Start(t, o)
		s.AddPassword("carol")
		c := hello(s, "submissions")
		if code := scramLogin(t, c, "carol", "wrong"); code != 535 {
			t.Errorf("wrong password: %d", code)
		}
		if code := scramLogin(t, c, "carol", suite.Password); code != 235 {
			t.Fatalf("right password: %d", code)
		}
		c.Send("", []string{local("bob")}, suite.Text("by SCRAM"))
		s.WaitLog("sasl_method=SCRAM-SHA-256, sasl_username=carol")
	})
}

func TestAuthdDown(t *testing.T) {
	eachWay(t, func(t *testing.T, o suite.Options) {
		s := suite.Start(t, o)
		s.AddPassword("alice")
		c := hello(s, "submissions")
		s.Crash("authd")
		contains(t, c.Cmd(454, "AUTH PLAIN %s", encode("\x00alice\x00"+suite.Password)), "4.7.0")
		in := hello(s, "smtp")
		in.Cmd(250, "MAIL FROM:<a@b.example>")
		in.Cmd(250, "RCPT TO:<%s>", local("bob"))
		in.Cmd(451, "RCPT TO:<%s>", local("perhaps")) // authd may know it
		s.StartDaemon("authd")
		c.Cmd(235, "AUTH PLAIN %s", encode("\x00alice\x00"+suite.Password))
		in.Cmd(550, "RCPT TO:<%s>", local("perhaps"))
	})
}

func TestCompletion(t *testing.T) {
	eachWay(t, func(t *testing.T, o suite.Options) {
		o.Daemons = suite.Incoming
		s := suite.Start(t, o)
		s.AddPassword("alice")
		c := hello(s, "submissions")
		c.Login("alice", suite.Password)
		c.Send("alice", []string{"bob", "x@far.example"}, "To: bob, X <x@far.example>\r\nSubject: little\r\n\r\nhi\r\n")
		text := s.Mails("bob", 1)[0]
		contains(t, text, "Return-Path: <"+local("alice")+">\n", "To: "+local("bob")+", X <x@far.example>\n", "From: "+local("alice")+"\n", "\nDate: ", "\nMessage-ID: <", "@"+suite.Host+">\n")
		b, err := os.ReadFile(s.WaitQueue("remote", "new", 1)[0])
		must(t, err)
		contains(t, string(b), "from: <"+local("alice")+">\n", "to: <"+local("bob")+"> via=local", "auth=alice")

		c.Send(local("alice"), []string{"bob"}, "From: A <a@b.example>\r\nDate: Sat, 1 Jan 2000 00:00:00 +0000\r\nMessage-ID: <mine@b.example>\r\n\r\nhi\r\n")
		text = strings.Join(s.Mails("bob", 2), "")
		contains(t, text, "\nFrom: A <a@b.example>\nDate: Sat, 1 Jan 2000 00:00:00 +0000\nMessage-ID: <mine@b.example>\n\nhi\n")

		in := hello(s, "smtp") // from outside nothing is completed
		in.Send("a@b.example", []string{local("carol")}, "Subject: bare\r\n\r\nhi\r\n")
		containsNot(t, s.Mails("carol", 1)[0], "\nDate:", "\nFrom:", "\nMessage-ID:")
	})
}
