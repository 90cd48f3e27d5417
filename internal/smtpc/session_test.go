package smtpc

import (
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"

	"postrider/internal/address"
	"postrider/internal/envelope"
	"postrider/internal/smtpc/smtpctest"
)

func TestStartTLS(t *testing.T) {
	t.Parallel()
	server, client := smtpctest.Certificate(t, "mx.example.org")
	s := (&smtpctest.Server{Extensions: smtpctest.All, TLS: server}).Start(t)
	c := connect(t, s)
	if _, ok := c.Extension("STARTTLS"); !ok || c.TLS() != nil || c.Name() != "test" || c.Greeting() != "test ESMTP" {
		t.Fatalf("offered %t, name %q, greeting %q", ok, c.Name(), c.Greeting())
	}
	if err := c.StartTLS(t.Context(), client); err != nil {
		t.Fatal(err)
	}
	if _, ok := c.Extension("STARTTLS"); ok || c.TLS() == nil || c.TLS().ServerName != "mx.example.org" {
		t.Errorf("still offered %t, %+v", ok, c.TLS())
	}
	if _, err := c.Send(t.Context(), simple("bob"), strings.NewReader("x\r\n")); err != nil || !s.Messages()[0].TLS {
		t.Errorf("%v, %+v", err, s.Messages())
	}
	if err := c.StartTLS(t.Context(), client); err == nil || !c.Usable() {
		t.Errorf("again: %v", err)
	}
	c.Quit()
	if got := s.Commands(); got[0] != "EHLO localhost" || got[2] != "EHLO localhost" || got[len(got)-1] != "QUIT" {
		t.Errorf("commands %q", got)
	}
}

func TestTLSRefused(t *testing.T) {
	t.Parallel()
	server, client := smtpctest.Certificate(t, "mx.example.org")
	other := client.Clone()
	other.ServerName = "mx.example.net"
	c := connect(t, (&smtpctest.Server{TLS: server}).Start(t))
	if err := c.StartTLS(t.Context(), other); !errors.Is(err, ErrTLS) || c.Usable() {
		t.Errorf("wrong name: %v", err)
	}
	s := (&smtpctest.Server{TLS: server, Answer: refuse(map[string]string{"STARTTLS": "454 4.7.0 not now"})}).Start(t)
	c = connect(t, s)
	if e, ok := errors.AsType[*Error](c.StartTLS(t.Context(), client)); !ok || e.Reply() == nil || e.Step != StepSTARTTLS || !c.Usable() {
		t.Errorf("refused: %v", e)
	}
	if _, err := c.Send(t.Context(), simple("bob"), strings.NewReader("x\r\n")); err != nil {
		t.Errorf("without TLS: %v", err)
	}
	s = (&smtpctest.Server{TLS: server, Take: func(command string, conn net.Conn) bool {
		if command == "STARTTLS" {
			io.WriteString(conn, "220 go ahead\r\n")
			io.WriteString(conn, "554 no\r\n")
		}
		return command == "STARTTLS"
	}}).Start(t)
	c = connect(t, s)
	if err := c.StartTLS(t.Context(), client); !errors.Is(err, ErrTLS) && !errors.Is(err, ErrProtocol) || c.Usable() {
		t.Errorf("no handshake: %v", err)
	}
}

func TestImplicitTLS(t *testing.T) {
	t.Parallel()
	server, client := smtpctest.Certificate(t, "mx.example.org")
	a, b := net.Pipe()
	go func() {
		conn := tls.Server(b, server)
		fmt.Fprint(conn, "220 hi\r\n")
		buf := make([]byte, 100)
		conn.Read(buf)
		fmt.Fprint(conn, "250 mx.example.org at your service\r\n")
	}()
	c, err := NewTLS(t.Context(), a, client, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if c.TLS() == nil || c.Name() != "mx.example.org" {
		t.Errorf("TLS %+v, name %q", c.TLS(), c.Name())
	}
	a, b = net.Pipe()
	go func() {
		go io.Copy(io.Discard, b)
		fmt.Fprint(b, "220 no TLS here\r\n")
	}()
	if _, err := NewTLS(t.Context(), a, client, Options{}); !errors.Is(err, ErrTLS) {
		t.Errorf("without TLS: %v", err)
	}
}

func TestAuth(t *testing.T) {
	t.Parallel()
	server, client := smtpctest.Certificate(t, "mx.example.org")
	old := server.Clone()
	old.MaxVersion = tls.VersionTLS12
	for _, v := range []struct {
		name    string
		tls     *tls.Config
		clear   bool
		offered []string
		allowed []string
		used    string // the AUTH command begins so
		err     error
	}{
		{name: "all", tls: server, used: "AUTH SCRAM-SHA-256-PLUS "},
		{name: "TLS 1.2", tls: old, used: "AUTH SCRAM-SHA-256-PLUS "},
		{name: "no binding", tls: server, offered: []string{"LOGIN", "PLAIN", "SCRAM-SHA-256"}, used: "AUTH SCRAM-SHA-256 eSws"}, // y,,
		{name: "filtered", tls: server, allowed: []string{"SCRAM-SHA-256"}, used: "AUTH SCRAM-SHA-256 biws"},                     // n,,
		{name: "plain", tls: server, offered: []string{"LOGIN", "PLAIN", "CRAM-MD5"}, used: "AUTH PLAIN "},
		{name: "login", tls: server, offered: []string{"LOGIN", "XOAUTH2"}, used: "AUTH LOGIN"},
		{name: "none", tls: server, offered: []string{"GSSAPI"}, err: ErrNoMechanism},
		{name: "none allowed", tls: server, allowed: []string{"GSSAPI"}, err: ErrNoMechanism},
		{name: "not without TLS", err: ErrClear},
		{name: "clear", clear: true, used: "AUTH SCRAM-SHA-256 biws"},
	} {
		for _, password := range []string{"secret", "wrong"} {
			s := (&smtpctest.Server{TLS: v.tls, Users: map[string]string{"alice": "secret"}, Mechanisms: v.offered}).Start(t)
			conn, err := net.Dial("unix", s.Path)
			if err != nil {
				t.Fatal(err)
			}
			c, err := New(t.Context(), conn, Options{Mechanisms: v.allowed})
			if err != nil {
				t.Fatal(err)
			}
			if v.tls != nil {
				if err := c.StartTLS(t.Context(), client); err != nil {
					t.Fatal(err)
				}
			}
			err = c.Auth(t.Context(), "alice", password, v.clear)
			e, _ := errors.AsType[*Error](err)
			switch {
			case v.err != nil:
				if !errors.Is(err, v.err) || !c.Usable() {
					t.Errorf("%s: %v", v.name, err)
				}
			case password == "wrong":
				if e == nil || e.Reply() == nil || e.Reply().Code != 535 || e.Step != StepAUTH || !c.Usable() {
					t.Errorf("%s, wrong password: %v", v.name, err)
				}
			case err != nil:
				t.Errorf("%s: %v", v.name, err)
			}
			if !slices.ContainsFunc(s.Commands(), func(l string) bool { return v.used == "" || strings.HasPrefix(l, v.used) }) {
				t.Errorf("%s: commands %q", v.name, s.Commands())
			}
			c.Quit()
		}
	}
}

// TestFalseServer: a server that does not know the password cannot pretend to, nor make us compute for ever.
func TestFalseServer(t *testing.T) {
	t.Parallel()
	final := func(text string) string { return "334 " + base64.StdEncoding.EncodeToString([]byte(text)) }
	for name, v := range map[string]struct {
		salt   string // and iterations, after the nonce
		answer string // to the proof
	}{
		"just says yes":   {",s=MDEyMzQ1Njc=,i=4096", "235 welcome"},
		"false signature": {",s=MDEyMzQ1Njc=,i=4096", final("v=MDEyMzQ1Njc=")},
		"many iterations": {",s=MDEyMzQ1Njc=,i=2000000000", "235 welcome"},
		"few iterations":  {",s=MDEyMzQ1Njc=,i=1", "235 welcome"},
		"no number":       {",s=MDEyMzQ1Njc=,i=x", "235 welcome"},
		"garbage":         {"", "235 welcome"},
		"no base64":       {",s=MDEyMzQ1Njc=,i=4096", "334 ###"},
		"endless":         {",s=MDEyMzQ1Njc=,i=4096", final("e=other-error")},
	} {
		s := (&smtpctest.Server{Users: map[string]string{}, Mechanisms: []string{"SCRAM-SHA-256"}, Answer: func(command string) string {
			words := strings.Fields(command)
			if len(words) == 3 && words[0] == "AUTH" {
				b, _ := base64.StdEncoding.DecodeString(words[2])
				_, nonce, _ := strings.Cut(string(b), ",r=")
				return final("r=" + nonce + "more" + v.salt)
			}
			if len(words) == 0 || words[0] != "EHLO" && words[0] != "connect" {
				return v.answer
			}
			return ""
		}}).Start(t)
		c := connect(t, s)
		if err := c.Auth(t.Context(), "alice", "secret", true); !errors.Is(err, ErrProtocol) || c.Usable() {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestLMTP(t *testing.T) {
	t.Parallel()
	for mode, ext := range modes() {
		s := (&smtpctest.Server{Extensions: ext, LMTP: true, Answer: refuse(map[string]string{"<no@": "550 5.1.1 no"}),
			Final: func(rcpt string) string {
				switch rcpt[:5] {
				case "<full":
					return "452 4.2.2 full"
				case "<gone":
					return "close"
				}
				return ""
			}}).Start(t)
		conn, err := net.Dial("unix", s.Path)
		if err != nil {
			t.Fatal(err)
		}
		c, err := New(t.Context(), conn, Options{LMTP: true})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			r, err := c.Send(t.Context(), simple("a@x", "no@x", "full@x", "b@x"), strings.NewReader("x\r\n"))
			if err != nil || codes(r.Recipients) != "250 550 452 250" {
				t.Errorf("%s: %s, %v", mode, codes(r.Recipients), err)
			}
			for i, want := range []Step{"", StepRCPT, StepEnd, ""} {
				took, e := r.Of(i, err)
				if want == "" && (took == nil || e != nil) || want != "" && (e == nil || e.Step != want || took != nil) {
					t.Errorf("%s: recipient %d: %v, %v", mode, i, took, e)
				}
			}
		}
		r, err := c.Send(t.Context(), simple("a@x", "no@x", "gone@x", "b@x"), strings.NewReader("x\r\n"))
		if codes(r.Recipients) != "250 550 - -" || !errors.Is(err, ErrLost) {
			t.Errorf("%s: %s, %v", mode, codes(r.Recipients), err)
		}
		if took, e := r.Of(0, err); took == nil || e != nil {
			t.Errorf("%s: the first: %v, %v", mode, took, e)
		}
		if took, e := r.Of(3, err); took != nil || e == nil || !e.Uncertain || e.Step != StepEnd {
			t.Errorf("%s: the last: %v, %v", mode, took, e)
		}
	}
}

// TestLMTPRefused: when no recipient is left, an LMTP server that wants the message all the same is left alone.
func TestLMTPRefused(t *testing.T) {
	t.Parallel()
	for answer, usable := range map[string]bool{"503 5.5.1 no recipients": true, "354 go on": false} {
		s := (&smtpctest.Server{Extensions: []string{"PIPELINING"}, LMTP: true, Answer: refuse(map[string]string{"RCPT": "550 no", "DATA": answer})}).Start(t)
		conn, err := net.Dial("unix", s.Path)
		if err != nil {
			t.Fatal(err)
		}
		c, err := New(t.Context(), conn, Options{LMTP: true})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Send(t.Context(), simple("a@x"), strings.NewReader("x\r\n")); !errors.Is(err, ErrRecipients) || c.Usable() != usable {
			t.Errorf("%s: %v, usable %t", answer, err, c.Usable())
		}
		c.Quit()
	}
}

func TestTooManyRecipients(t *testing.T) {
	t.Parallel()
	for answer, excess := range map[string]bool{
		"452 4.5.3 enough": true, "552 too many recipients": true, "452 Too many recipients": true, "451 4.5.3 enough": true,
		"452 4.2.2 mailbox full": false, "552 5.2.2 mailbox full": false, "550 5.5.3 too many recipients": false,
	} {
		for mode, ext := range modes() {
			s := (&smtpctest.Server{Extensions: ext, Answer: refuse(map[string]string{"<c@": answer, "<d@": answer})}).Start(t)
			r, err := connect(t, s).Send(t.Context(), simple("a@x", "b@x", "c@x", "d@x"), strings.NewReader("x\r\n"))
			if err != nil || len(s.Messages()) != 1 || len(s.Messages()[0].To) != 2 {
				t.Fatalf("%s, %s: %v", answer, mode, err)
			}
			for i, want := range []bool{false, false, excess, excess} {
				if r.Excess(i) != want || want && !r.Recipients[i].Temporary() {
					t.Errorf("%s, %s: recipient %d: %v", answer, mode, i, r.Recipients[i])
				}
			}
			_, e := r.Of(3, err)
			if took, none := r.Of(0, err); took != r.Message || none != nil || e == nil || e.Step != StepRCPT {
				t.Errorf("%s, %s: %v, %v, %v", answer, mode, took, none, e)
			}
		}
	}
	s := (&smtpctest.Server{Answer: refuse(map[string]string{"RCPT": "452 4.5.3 enough"})}).Start(t)
	r, err := connect(t, s).Send(t.Context(), simple("a@x"), strings.NewReader("x\r\n"))
	if !errors.Is(err, ErrRecipients) || r.Excess(0) {
		t.Errorf("none: %v", err)
	}
}

func TestUTF8(t *testing.T) {
	t.Parallel()
	grün := address.Address{Local: "grün", Domain: "example.org"}
	for _, v := range []struct {
		name   string
		ext    []string
		change func(*Envelope)
		mail   string // its end
		rcpts  string
		err    error
	}{
		{"not needed", nil, func(e *Envelope) { e.From.SMTPUTF8 = true }, "org>", "250 250", nil},
		{"offered", smtpctest.All, func(e *Envelope) { e.From.SMTPUTF8 = true }, " SMTPUTF8", "250 250", nil},
		{"header", nil, func(e *Envelope) { e.From.SMTPUTF8, e.UTF8Header = true, true }, "", "- -", ErrNoUTF8},
		{"header, not marked", nil, func(e *Envelope) { e.UTF8Header = true }, "org>", "250 250", nil},
		{"sender", nil, func(e *Envelope) { e.From.Addr = grün }, "", "- -", ErrNoUTF8},
		{"sender, offered", smtpctest.All, func(e *Envelope) { e.From.Addr = grün }, "<grün@example.org> SMTPUTF8", "250 250", nil},
		{"a recipient", nil, func(e *Envelope) { e.To[1].Addr = grün }, "org>", "250 553", nil},
		{"a recipient, offered", smtpctest.All, func(e *Envelope) { e.To[1].Addr = grün }, " SMTPUTF8", "250 250", nil},
		{"all recipients", nil, func(e *Envelope) { e.To[0].Addr, e.To[1].Addr = grün, grün }, "org>", "553 553", ErrNoUTF8},
		{"a recipient of the whole", nil, func(e *Envelope) { e.To[1].Addr, e.Whole = grün, true }, "org>", "250 553", ErrNoUTF8},
		{"U-label", nil, func(e *Envelope) { e.From.Addr.Domain = "grün.example" }, "<alice@xn--grn-ioa.example>", "250 250", nil},
	} {
		s := (&smtpctest.Server{Extensions: v.ext}).Start(t)
		e := simple("a@example.org", "b@example.org")
		v.change(e)
		r, err := connect(t, s).Send(t.Context(), e, strings.NewReader("x\r\n"))
		if !errors.Is(err, v.err) && !(v.err == ErrNoUTF8 && err != nil && strings.Contains(err.Error(), ErrNoUTF8.Text)) || codes(r.Recipients) != v.rcpts {
			t.Errorf("%s: %s, %v", v.name, codes(r.Recipients), err)
		}
		if f, ok := errors.AsType[*Error](err); ok && !f.Local {
			t.Errorf("%s: not our own refusal", v.name)
		}
		if got := s.Commands(); v.mail != "" && (len(got) < 2 || !strings.HasSuffix(got[1], v.mail)) {
			t.Errorf("%s: commands %q", v.name, got)
		}
	}
}

func TestOriginalRecipient(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		orcpt string
		utf8  bool
		want  string
	}{
		{"rfc822;a+b@x", true, "rfc822;a+2Bb@x"},
		{"rfc822;grün@x", false, "rfc822;gr+C3+BCn@x"},
		{"utf-8;grün@x", true, "utf-8;grün@x"},
		{"utf-8;grün@x", false, `utf-8;gr\x{FC}n@x`},
		{`utf-8;gr\x{FC}n+1@x`, true, `utf-8;gr\x{FC}n\x{2B}1@x`},
	} {
		kind, addr, _ := strings.Cut(c.orcpt, ";")
		if got := kind + ";" + originalRecipient(kind, addr, c.utf8); got != c.want {
			t.Errorf("%s, %t: %s", c.orcpt, c.utf8, got)
		}
	}
}

func TestSize(t *testing.T) {
	t.Parallel()
	for params, want := range map[string]int64{"": 0, "0": 0, "1000": 1000, "x": 0, "-5": 0, "99999999999999999999": 0} {
		c := Client{extensions: map[string]string{"SIZE": params}}
		if n, ok := c.MaxSize(); n != want || ok != (want > 0) {
			t.Errorf("%q: %d, %t", params, n, ok)
		}
	}
	s := (&smtpctest.Server{Extensions: []string{"SIZE 10"}}).Start(t)
	c := connect(t, s)
	e := simple("bob")
	e.Size = 11
	if _, err := c.Send(t.Context(), e, strings.NewReader("0123456789\r\n")); !errors.Is(err, ErrTooBig) || !c.Usable() || len(s.Commands()) != 1 {
		t.Errorf("too big: %v, %q", err, s.Commands())
	}
}

func TestExtensions(t *testing.T) {
	t.Parallel()
	ext := extensions("size 10\nAUTH=LOGIN\nAUTH PLAIN LOGIN\n\nx y z")
	if ext["SIZE"] != "10" || !strings.Contains(ext["AUTH"], "PLAIN") || ext["X"] != "y z" || len(ext) != 3 {
		t.Errorf("%q", ext)
	}
	if ext := extensions("AUTH=LOGIN PLAIN"); strings.Join(strings.Fields(ext["AUTH"]), " ") != "LOGIN PLAIN" {
		t.Errorf("%q", ext)
	}
}

func TestDescribe(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		answers map[string]string
		want    string
	}{
		{map[string]string{"connect": "554 5.7.1 go away"}, "host mx[::1] refused to talk to me: 554 5.7.1 go away"},
		{map[string]string{"MAIL": "451 4.3.0 later"}, "host mx[::1] said: 451 4.3.0 later (in reply to MAIL FROM command)"},
		{map[string]string{"RCPT": "550 5.1.1 who"}, "host mx[::1] said: 550 5.1.1 who (in reply to RCPT TO command)"},
		{map[string]string{"RCPT": "close"}, "lost connection with mx[::1] while sending RCPT TO"},
		{map[string]string{"DATA": "close"}, "lost connection with mx[::1] while sending DATA command"},
	} {
		err := sendOnce(t, (&smtpctest.Server{Answer: refuse(c.answers)}).Start(t))
		if e, ok := errors.AsType[*Error](err); !ok || e.Describe("mx[::1]") != c.want {
			t.Errorf("%q: %v", c.want, err)
		}
	}
	s := (&smtpctest.Server{Taken: func(string, int) string { return "close" }}).Start(t)
	e, _ := errors.AsType[*Error](sendOnce(t, s))
	if got := e.Describe("mx"); got != "lost connection with mx while sending end of data -- message may be sent more than once" {
		t.Error(got)
	}
}

// TestPipelinedReset: ending a transaction costs no round trip of its own.
func TestPipelinedReset(t *testing.T) {
	t.Parallel()
	s := (&smtpctest.Server{Extensions: []string{"PIPELINING"}, Answer: refuse(map[string]string{"<bad": "550 5.1.1 no"})}).Start(t)
	c := connect(t, s)
	c.Send(t.Context(), simple("bad"), strings.NewReader("x\r\n"))
	if _, err := c.Send(t.Context(), simple("bob"), strings.NewReader("x\r\n")); err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(s.Commands(), "RSET") {
		t.Errorf("commands %q", s.Commands())
	}
}

func TestNotify(t *testing.T) {
	t.Parallel()
	s := (&smtpctest.Server{Extensions: []string{"DSN"}}).Start(t)
	e := simple("bob")
	e.To[0] = envelope.Recipient{Addr: e.To[0].Addr, Notify: []string{"never"}, ORcpt: "utf-8;grün@x"}
	e.From.EnvID = "Grün"
	if _, err := connect(t, s).Send(t.Context(), e, strings.NewReader("x\r\n")); err != nil {
		t.Fatal(err)
	}
	got := s.Commands()
	if !strings.HasSuffix(got[1], " ENVID=Gr+C3+BCn") || got[2] != `RCPT TO:<bob> NOTIFY=NEVER ORCPT=utf-8;gr\x{FC}n@x` {
		t.Errorf("commands %q", got)
	}
}
