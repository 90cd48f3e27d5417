package front

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"postrider/internal/auth"
)

func TestPOP3Dialogues(t *testing.T) {
	t.Parallel()
	for name, dialogue := range map[string]string{
		"commands": `
			C: CAPA
			S: +OK
			S: TOP
			S: UIDL
			S: RESP-CODES
			S: PIPELINING
			S: AUTH-RESP-CODE
			S: UTF8
			S: STLS
			S: USER
			S: SASL SCRAM-SHA-256 PLAIN LOGIN
			S: .
			C: AUTH
			S: +OK
			S: SCRAM-SHA-256
			S: PLAIN
			S: LOGIN
			S: .
			C: utf8
			S: +OK *
			C: LAST
			S: -ERR Unknown command.
			C: NOOP
			S: -ERR Unknown command.
			C: APOP alice 0123456789abcdef0123456789abcdef
			S: -ERR Unknown command.
			C: STAT
			S: -ERR Unknown command.
			C: QUIT
			S: +OK Logging out.`,
		"refused": `
			C: PASS secret
			S: -ERR USER comes first.
			C: USER
			S: -ERR USER needs a name.
			C: USER alice
			S: +OK
			C: PASS wrong
			S: -ERR [AUTH] Authentication failed.
			C: PASS secret
			S: -ERR USER comes first.
			C: AUTH PLAIN ` + b64("\x00alice\x00wrong") + `
			S: -ERR [AUTH] Authentication failed.
			C: AUTH LOGIN
			S: + ` + b64("Username:") + `
			C: *
			S: -ERR Authentication cancelled.
			C: AUTH PLAIN
			S: + 
			C: §
			S: -ERR Invalid base64.
			C: AUTH PLAIN §
			S: -ERR Invalid base64.
			C: AUTH CRAM-MD5
			S: -ERR Unsupported authentication mechanism.
			C: QUIT
			S: +OK *`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newRig(t, POP3, nil).local()
			c.expect("+OK Postrider ready.")
			c.say(dialogue)
			c.expectEnd()
		})
	}
}

func TestPOP3Clear(t *testing.T) {
	t.Parallel()
	r := newRig(t, POP3, nil)
	c := r.remote()
	c.say(`
		S: +OK *
		C: CAPA
		S: +OK
		S: TOP
		S: UIDL
		S: RESP-CODES
		S: PIPELINING
		S: AUTH-RESP-CODE
		S: UTF8
		S: STLS
		S: .
		C: USER alice
		S: -ERR [AUTH] *
		C: PASS secret
		S: -ERR [AUTH] *
		C: AUTH PLAIN ` + b64("\x00alice\x00secret") + `
		S: -ERR [AUTH] *
		C: STLS
		S: +OK *
		TLS
		C: STLS
		S: -ERR *
		C: AUTH
		S: +OK
		S: SCRAM-SHA-256-PLUS
		S: SCRAM-SHA-256
		S: PLAIN
		S: LOGIN
		S: .
		C: QUIT
		S: +OK *`)
	c.expectEnd()
	if len(r.authd.requests) > 0 {
		t.Error("authd was asked about a password in clear")
	}
}

func TestPOP3Logins(t *testing.T) {
	t.Parallel()
	for name, dialogue := range map[string]string{
		"USER":       "C: USER alice\nS: +OK\nC: PASS secret",
		"spaces":     "C: user bob\nS: +OK\nC: pass  two  spaces ",
		"pipelined":  "C: CAPA\nC: USER alice\nC: PASS secret",
		"initial":    "C: AUTH PLAIN " + b64("\x00alice\x00secret"),
		"two lines":  "C: auth plain\nS: + \nC: " + b64("\x00alice\x00secret"),
		"LOGIN":      "C: AUTH LOGIN\nS: + VXNlcm5hbWU6\nC: YWxpY2U=\nS: + UGFzc3dvcmQ6\nC: c2VjcmV0",
		"after fail": "C: AUTH PLAIN =\nS: -ERR [AUTH] *\nC: USER alice\nS: +OK\nC: PASS secret",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, POP3, nil)
			k := r.secure()
			k.expect("+OK *")
			k.say(dialogue)
			s := r.session()
			if s.Tag != "" || s.ID == "" {
				t.Errorf("session %+v", s.Session)
			}
			if got := r.authd.last(); got.Service != "pop3" || !got.Session {
				t.Errorf("request %+v", got)
			}
			r.waitLog("pop3-login: Login: user=<", ", mpid=4711, TLS, session=<"+s.ID+">")
		})
	}
}

func TestPOP3Pipelined(t *testing.T) {
	t.Parallel()
	r := newRig(t, POP3, nil)
	c := r.local()
	c.send("USER alice\r\nPASS secret\r\nSTAT\r\nUIDL\r\n")
	s := r.session()
	got := make([]byte, len("STAT\r\nUIDL\r\n"))
	if _, err := io.ReadFull(s, got); err != nil || string(got) != "STAT\r\nUIDL\r\n" {
		t.Errorf("the session got %q, %v", got, err)
	}
	io.WriteString(s, "+OK 0 messages\r\n")
	c.expect("+OK Postrider ready.", "+OK", "+OK 0 messages")
}

func TestPOP3NoSession(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		refusal error
		answer  string
	}{
		{auth.ErrInUse, "-ERR [IN-USE] *"},
		{fmt.Errorf("%w: no process", auth.ErrLater), "-ERR [SYS/TEMP] *"},
	} {
		r := newRig(t, POP3, nil)
		r.authd.refusal = c.refusal
		k := r.local()
		k.send("USER alice\r\nPASS secret\r\nQUIT\r\n")
		k.expect("+OK *", "+OK", c.answer, "+OK Logging out.")
		k.expectEnd()
	}
}

func TestPOP3Injection(t *testing.T) {
	t.Parallel()
	r := newRig(t, POP3, nil)
	k := r.remote()
	k.expect("+OK *")
	k.send("STLS\r\nUSER mallory\r\n")
	k.expect("-ERR *")
	k.expectEnd()
	r.waitLog("pop3-login: Disconnected: Commands sent ahead of STARTTLS")
}

// slow gives one octet a time.
type slow struct{ text string }

func (s *slow) Read(p []byte) (int, error) {
	if s.text == "" {
		return 0, io.EOF
	}
	p[0] = s.text[0]
	s.text = s.text[1:]
	return 1, nil
}

// collect reads all lines.
func collect(src io.Reader) (got []string, end error) {
	l := lines{src: src, flush: func() error { return nil }}
	for {
		line, err := l.next()
		switch err {
		case nil:
			got = append(got, line)
		case errLongLine:
			got = append(got, "(too long)")
		default:
			return got, err
		}
	}
}

func TestLines(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", maxLine-2)
	text := "USER alice\r\nPASS x\n\r\n" + long + "\r\n" + long + "y\r\n" + strings.Repeat("z", 3*maxLine) + "\r\nQUIT\r\nrest"
	want := []string{"USER alice", "PASS x", "", long, "(too long)", "(too long)", "QUIT"}
	for _, src := range []io.Reader{strings.NewReader(text), &slow{text}} {
		got, err := collect(src)
		if strings.Join(got, "|") != strings.Join(want, "|") || err != io.EOF {
			t.Errorf("%T: %.200q, %v", src, got, err)
		}
	}
}

func FuzzPOP3(f *testing.F) {
	f.Add("USER alice\r\nPASS  secret \r\n")
	f.Add("AUTH PLAIN =\n\r\r\n")
	f.Add(strings.Repeat("A", maxLine) + "\r\n\x00")
	f.Fuzz(func(t *testing.T, text string) {
		fast, fastEnd := collect(strings.NewReader(text))
		crawled, end := collect(&slow{text})
		if fastEnd != end || strings.Join(fast, "\n") != strings.Join(crawled, "\n") {
			t.Fatalf("read at once %q, %v; in pieces %q, %v", fast, fastEnd, crawled, end)
		}
		for _, line := range fast {
			if len(line) >= maxLine || strings.Contains(line, "\n") {
				t.Fatalf("line %.80q", line)
			}
			keyword, argument, ok := parseCommand(line)
			if again := keyword + " " + argument; ok && !strings.EqualFold(again, line) && !strings.EqualFold(again, line+" ") {
				t.Fatalf("%q is %q and %q", line, keyword, argument)
			}
			if ok && strings.ContainsAny(argument, "\x00\r\n") {
				t.Fatalf("argument %q", argument)
			}
		}
	})
}
