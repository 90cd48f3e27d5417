package smtpc

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"postrider/internal/reply"
	"postrider/internal/smtpc/smtpctest"
)

// hurried is a connection on which, once the peer hangs, time runs a thousand times as fast: deadlines that the client sets
// come soon, and those that it does not set never.
type hurried struct {
	net.Conn
	mu          sync.Mutex
	hung        bool
	read, write time.Time
}

func (h *hurried) soon(t time.Time) time.Time {
	if !h.hung || t.IsZero() {
		return t
	}
	return time.Now().Add(time.Until(t) / 1000)
}

func (h *hurried) SetReadDeadline(t time.Time) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.read = t
	return h.Conn.SetReadDeadline(h.soon(t))
}

func (h *hurried) SetWriteDeadline(t time.Time) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.write = t
	return h.Conn.SetWriteDeadline(h.soon(t))
}

func (h *hurried) SetDeadline(t time.Time) error {
	return errors.Join(h.SetReadDeadline(t), h.SetWriteDeadline(t))
}

// hang starts the hurry.
func (h *hurried) hang() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.hung = true
	h.Conn.SetReadDeadline(h.soon(h.read))
	h.Conn.SetWriteDeadline(h.soon(h.write))
}

// evil is what a server does instead of answering; hang is called when it has nothing more to say.
type evil func(conn net.Conn, hang func())

func says(text string) evil {
	return func(conn net.Conn, _ func()) {
		io.WriteString(conn, text)
		io.Copy(io.Discard, conn)
	}
}

func hangs(after string) evil {
	return func(conn net.Conn, hang func()) {
		io.WriteString(conn, after)
		hang()
		io.Copy(io.Discard, conn)
	}
}

func closes(net.Conn, func()) {}

// repeats says the same until the client has enough.
func repeats(text string) evil {
	return func(conn net.Conn, _ func()) {
		go io.Copy(io.Discard, conn)
		for {
			if _, err := io.WriteString(conn, text); err != nil {
				return
			}
		}
	}
}

// evils are what servers do, and what comes of it at any step: a code, or a kind of error.
var evils = map[string]struct {
	do   evil
	says string // instead of do: a refusal, after which the server goes on
	code int
	kind error
}{
	"hangs":           {do: hangs(""), kind: errTimeout},
	"hangs in a line": {do: hangs("250"), kind: errTimeout},
	"hangs in lines":  {do: hangs("250-a\r\n250-b\r\n"), kind: errTimeout},
	"closes":          {do: closes, kind: ErrLost},
	"421":             {do: says("421 4.3.2 bye\r\n"), code: 421},
	"450":             {says: "450 4.2.0 later", code: 450},
	"550":             {says: "550 5.7.1 no", code: 550},
	"garbage":         {do: says("HTTP/1.1 400 Bad Request\r\n"), kind: ErrProtocol},
	"binary":          {do: says("\x00\xff\x16\x03\x01\r\n"), kind: ErrProtocol},
	"1xx":             {do: says("150 please wait\r\n"), kind: ErrProtocol},
	"6xx":             {do: says("650 no\r\n"), kind: ErrProtocol},
	"another code":    {do: says("250-a\r\n550 b\r\n"), kind: ErrProtocol},
	"200 lines":       {do: says(strings.Repeat("250-a\r\n", 199) + "250 a\r\n"), kind: ErrProtocol},
	"long line":       {do: says("250 " + strings.Repeat("x", 100<<10) + "\r\n"), kind: ErrProtocol},
	"endless line":    {do: repeats(strings.Repeat("x", 4096)), kind: ErrProtocol},
	"endless lines":   {do: repeats("250-x\r\n"), kind: ErrProtocol},
	"empty lines":     {do: repeats("\r\n"), kind: ErrProtocol},
}

var errTimeout = errors.New("timeout")

func (k evilCase) fits(err error) bool {
	e, ok := errors.AsType[*Error](err)
	switch {
	case !ok:
		return false
	case k.code != 0:
		return e.Reply() != nil && e.Reply().Code == k.code
	case e.Reply() != nil:
		return false
	case k.kind == errTimeout:
		return e.Timeout()
	}
	return errors.Is(err, k.kind)
}

type evilCase struct {
	code int
	kind error
}

// hostileSteps are the commands at which a server turns evil.
var hostileSteps = []struct {
	at   string // command, or "connect" and "end"
	step Step
	ext  []string
}{
	{"connect", StepGreeting, nil},
	{"STARTTLS", StepSTARTTLS, nil},
	{"AUTH", StepAUTH, nil},
	{"MAIL", StepMAIL, nil},
	{"MAIL", StepMAIL, smtpctest.All},
	{"RCPT", StepRCPT, nil},
	{"RCPT", StepRCPT, []string{"PIPELINING"}},
	{"DATA", StepDATA, nil},
	{"DATA", StepDATA, []string{"PIPELINING"}},
	{"end", StepEnd, nil},
	{"end", StepEnd, smtpctest.All},
	{"BDAT", StepEnd, smtpctest.All},
	{"EHLO", StepEHLO, nil},
}

// session is all that a client can do: TLS, login, a message.
func session(ctx context.Context, conn net.Conn, config *tls.Config) (Result, *Client, error) {
	c, err := New(ctx, conn, Options{Timeouts: Timeouts{20 * time.Second, 20 * time.Second, 20 * time.Second}})
	if err != nil {
		return Result{}, nil, err
	}
	if err = c.StartTLS(ctx, config); err == nil {
		err = c.Auth(ctx, "alice", "secret", false)
	}
	if err != nil {
		return Result{}, c, err
	}
	r, err := c.Send(ctx, simple("bob@example.org"), strings.NewReader("Subject: x\r\n\r\nhello\r\n"))
	return r, c, err
}

func TestHostile(t *testing.T) {
	t.Parallel()
	server, client := smtpctest.Certificate(t, "mx.example.org")
	for _, s := range hostileSteps {
		for name, e := range evils {
			if s.at == "EHLO" && e.code == 550 {
				continue // no error: HELO follows
			}
			t.Run(fmt.Sprintf("%s/%d/%s", s.at, len(s.ext), name), func(t *testing.T) {
				t.Parallel()
				hung := make(chan struct{})
				hang := sync.OnceFunc(func() { close(hung) })
				srv := (&smtpctest.Server{Extensions: s.ext, TLS: server, Users: map[string]string{"alice": "secret"},
					Take: func(command string, conn net.Conn) bool {
						if e.do == nil || !strings.HasPrefix(command, s.at) {
							return false
						}
						e.do(conn, hang)
						return true
					}, Answer: refuse(map[string]string{s.at: e.says}), Taken: func(string, int) string {
						if s.at == "end" {
							return e.says
						}
						return ""
					}}).Start(t)
				conn, err := net.Dial("unix", srv.Path)
				if err != nil {
					t.Fatal(err)
				}
				h := &hurried{Conn: conn}
				defer h.Close()
				go func() {
					select {
					case <-hung:
						h.hang()
					case <-t.Context().Done():
					}
				}()
				ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
				defer cancel()
				r, c, err := session(ctx, h, client)
				if !(evilCase{e.code, e.kind}).fits(err) {
					t.Fatalf("error %v", err)
				}
				checkHostile(t, s.step, e.code, r, c, err)
				if m := srv.Messages(); len(m) > 0 {
					t.Errorf("the server has taken %+v", m)
				}
			})
		}
	}
}

// checkHostile looks at where an error is said to have happened, and at what is left of the client.
func checkHostile(t *testing.T, step Step, code int, r Result, c *Client, err error) {
	t.Helper()
	e, _ := errors.AsType[*Error](err)
	if e.Step != step {
		t.Errorf("at %s", e.Step)
	}
	if want := step == StepEnd && code == 0; e.Uncertain != want {
		t.Errorf("uncertain: %t", e.Uncertain)
	}
	if c != nil && c.Usable() != (code == 450 || code == 550) {
		t.Errorf("usable: %t", c.Usable())
	}
	if r.Message != nil && took(r.Message) {
		t.Errorf("message taken: %v", r.Message)
	}
	if c != nil && !c.Usable() {
		_, again := c.Send(t.Context(), simple("bob"), strings.NewReader("x\r\n"))
		if f, _ := errors.AsType[*Error](again); f == nil || f.Reply() != nil || f.Uncertain {
			t.Errorf("next message: %v", again)
		}
	}
}

// TestOutOfStep: a server that says more than it is asked is found out before a message counts as sent.
func TestOutOfStep(t *testing.T) {
	t.Parallel()
	for mode, ext := range modes() {
		for _, at := range []string{"connect", "EHLO", "MAIL", "RCPT", "DATA"} {
			if at == "DATA" && slices.Contains(ext, "CHUNKING") {
				continue
			}
			usual := map[string]string{"connect": "220 hi", "DATA": "354 go on"}[at]
			if usual == "" {
				usual = "250 ok"
			}
			for _, junk := range []string{"250 junk", "250 a\r\n250 b", "354 junk", "junk"} {
				s := (&smtpctest.Server{Extensions: ext, Answer: refuse(map[string]string{at: usual + "\r\n" + junk})}).Start(t)
				err := sendOnce(t, s)
				if e, ok := errors.AsType[*Error](err); !ok || !errors.Is(err, ErrProtocol) && !errors.Is(err, ErrLost) || e.Reply() != nil {
					t.Errorf("%s, %q at %s: %v", mode, junk, at, err)
				}
			}
		}
	}
}

// sendOnce connects and sends a message that is never taken.
func sendOnce(t *testing.T, s *smtpctest.Server) error {
	t.Helper()
	conn, err := net.Dial("unix", s.Path)
	if err != nil {
		t.Fatal(err)
	}
	c, err := New(t.Context(), conn, Options{})
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.Send(t.Context(), simple("bob@example.org"), strings.NewReader("x\r\n"))
	return err
}

// TestWrongCodes: replies that are positive but have no meaning at their place are none.
func TestWrongCodes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ at, answer string }{
		{"connect", "354 go on"}, {"MAIL", "354 go on"}, {"RCPT", "354 go on"}, {"DATA", "250 ok"}, {"BDAT", "354 go on"}, {"RSET", "550 no"},
	} {
		for mode, ext := range modes() {
			if chunked := slices.Contains(ext, "CHUNKING"); c.at == "BDAT" && !chunked || c.at == "DATA" && chunked {
				continue
			}
			s := (&smtpctest.Server{Extensions: ext, Answer: refuse(map[string]string{c.at: c.answer, "<bad": "550 no"})}).Start(t)
			client, err := Dial(t.Context(), s.Path, Options{}, 0)
			if err == nil {
				client.Send(t.Context(), simple("bad"), strings.NewReader("x\r\n"))
				_, err = client.Send(t.Context(), simple("bob"), strings.NewReader("x\r\n"))
			}
			if !errors.Is(err, ErrProtocol) && !errors.Is(err, ErrUnusable) {
				t.Errorf("%s: %s to %s: %v", mode, c.answer, c.at, err)
			}
		}
	}
}

// TestSenderRefusedInPart: a server that refuses the sender, takes the recipients and waits for a message gets none, not even
// an empty one.
func TestSenderRefusedInPart(t *testing.T) {
	t.Parallel()
	got := make(chan string, 1)
	client, server := net.Pipe()
	go func() {
		io.WriteString(server, "220 hi\r\n")
		buf := make([]byte, 4096)
		server.Read(buf)
		io.WriteString(server, "250-hi\r\n250 PIPELINING\r\n")
		server.Read(buf)
		io.WriteString(server, "550 no\r\n250 ok\r\n354 go on\r\n")
		rest, _ := io.ReadAll(server)
		got <- string(rest)
	}()
	c, err := New(t.Context(), client, Options{})
	if err != nil {
		t.Fatal(err)
	}
	r, err := c.Send(t.Context(), simple("bob"), strings.NewReader("x\r\n"))
	if e, ok := errors.AsType[*Error](err); !ok || e.Reply() == nil || e.Reply().Code != 550 || e.Step != StepMAIL {
		t.Errorf("error %v", err)
	}
	if r.Recipients[0] == nil || !took(r.Recipients[0]) || c.Usable() {
		t.Errorf("%+v, usable %t", r, c.Usable())
	}
	if rest := <-got; rest != "" {
		t.Errorf("the server got %q", rest)
	}
}

// TestSlowReader: a server that stops to read is given up.
func TestSlowReader(t *testing.T) {
	t.Parallel()
	for mode, ext := range modes() {
		var h *hurried
		ready := make(chan struct{})
		s := (&smtpctest.Server{Extensions: ext, Take: func(command string, conn net.Conn) bool {
			switch {
			case strings.HasPrefix(command, "DATA"):
				io.WriteString(conn, "354 go on\r\n")
			case !strings.HasPrefix(command, "BDAT"):
				return false
			}
			<-ready
			h.hang()
			<-t.Context().Done()
			return true
		}}).Start(t)
		conn, err := net.Dial("unix", s.Path)
		if err != nil {
			t.Fatal(err)
		}
		h = &hurried{Conn: conn}
		close(ready)
		c, err := New(t.Context(), h, Options{})
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Send(t.Context(), simple("bob"), io.LimitReader(zeros{}, 64<<20))
		e, ok := errors.AsType[*Error](err)
		if !ok || !e.Timeout() || e.Step != StepMessage || e.Uncertain {
			t.Errorf("%s: %v", mode, err)
		}
	}
}

// TestDrip: a reply that comes a line at a time has one deadline.
func TestDrip(t *testing.T) {
	t.Parallel()
	client, server := net.Pipe()
	defer server.Close()
	go func() {
		for {
			if _, err := io.WriteString(server, "220-wait\r\n"); err != nil {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
	}()
	_, err := New(t.Context(), client, Options{Timeouts: Timeouts{Command: 100 * time.Millisecond}})
	if e, ok := errors.AsType[*Error](err); !ok || !e.Timeout() {
		t.Errorf("got %v", err)
	}
}

// TestInjectionIntoTLS: what is said between the reply to STARTTLS and the handshake never counts as said under TLS.
func TestInjectionIntoTLS(t *testing.T) {
	t.Parallel()
	server, client := smtpctest.Certificate(t, "mx.example.org")
	s := (&smtpctest.Server{TLS: server, Answer: refuse(map[string]string{"STARTTLS": "220 go ahead\r\n250-evil\r\n250 AUTH PLAIN"})}).Start(t)
	c := connect(t, s)
	if err := c.StartTLS(t.Context(), client); !errors.Is(err, ErrProtocol) || c.Usable() || c.TLS() != nil {
		t.Errorf("got %v", err)
	}
}

// TestHandshakeHangs: a handshake has a deadline, too.
func TestHandshakeHangs(t *testing.T) {
	t.Parallel()
	_, client := smtpctest.Certificate(t, "mx.example.org")
	hung := make(chan struct{})
	s := (&smtpctest.Server{Take: func(command string, conn net.Conn) bool {
		if command == "STARTTLS" {
			hangs("220 go ahead\r\n")(conn, func() { close(hung) })
		}
		return command == "STARTTLS"
	}}).Start(t)
	conn, err := net.Dial("unix", s.Path)
	if err != nil {
		t.Fatal(err)
	}
	h := &hurried{Conn: conn}
	c, err := New(t.Context(), h, Options{Timeouts: Timeouts{Command: 20 * time.Second}})
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		<-hung
		h.hang()
	}()
	err = c.StartTLS(t.Context(), client)
	if e, ok := errors.AsType[*Error](err); !ok || !e.Timeout() || !errors.Is(err, ErrTLS) || e.Step != StepTLS || c.Usable() {
		t.Errorf("got %v", err)
	}
}

// TestUncertain: only a message that was sent to its end may have been taken, and a refusal is certain.
func TestUncertain(t *testing.T) {
	t.Parallel()
	for mode, ext := range modes() {
		for answer, want := range map[string]bool{"close": true, "garbage": true, "354 go on": true, "451 later": false, "554 no": false, "421 bye": false} {
			s := (&smtpctest.Server{Extensions: ext, Taken: func(string, int) string { return answer }}).Start(t)
			_, err := connect(t, s).Send(t.Context(), simple("bob"), strings.NewReader(strings.Repeat("0123456789abcdef\r\n", blockSize/4)))
			e, ok := errors.AsType[*Error](err)
			if !ok || e.Uncertain != want || e.Step != StepEnd {
				t.Errorf("%s, %s: %+v", mode, answer, err)
			}
			if _, refused := errors.AsType[*reply.Reply](err); refused == want {
				t.Errorf("%s, %s: %v", mode, answer, err)
			}
		}
	}
}
