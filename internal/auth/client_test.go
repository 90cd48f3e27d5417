package auth

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// fakeServer answers each line with what its function says; an empty answer closes the connection.
type fakeServer struct {
	path   string
	answer func(line string) string

	mu    sync.Mutex
	l     net.Listener
	conns []net.Conn
	count int
}

func newFakeServer(t *testing.T, answer func(string) string) *fakeServer {
	dir, err := os.MkdirTemp("", "pr")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &fakeServer{path: filepath.Join(dir, "auth"), answer: answer}
	s.start(t)
	t.Cleanup(s.stop)
	return s
}

func (s *fakeServer) start(t *testing.T) {
	l, err := net.Listen("unix", s.path)
	if err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	s.l = l
	s.mu.Unlock()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns = append(s.conns, c)
			s.count++
			s.mu.Unlock()
			go s.serve(c)
		}
	}()
}

func (s *fakeServer) serve(c net.Conn) {
	defer c.Close()
	r := NewReader(c)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		answer := s.answer(strings.TrimSuffix(line, "\n"))
		if answer == "" {
			return
		}
		if answer != "-" {
			c.Write([]byte(answer))
		}
	}
}

// stop ends the server as a restart does: connections too.
func (s *fakeServer) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.l.Close()
	for _, c := range s.conns {
		c.Close()
	}
	s.conns = nil
}

func (s *fakeServer) connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count
}

const aliceLine = "ok name=alice uid=1000 gid=1000 home=/home/alice\n"

func TestWho(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		answer string
		want   error
	}{
		{aliceLine, nil}, {"no\n", ErrUnknown}, {"later disk+20full\n", ErrLater}, {"ok\n", ErrLater}, {"cont =\n", ErrLater},
		{"yes\n", ErrLater}, {"", ErrLater}, {"ok name=" + strings.Repeat("x", MaxLine) + "\n", ErrLater},
	} {
		s := newFakeServer(t, func(string) string { return tt.answer })
		c := &Client{Path: s.path}
		u, err := c.Who(t.Context(), "alice")
		if !errors.Is(err, tt.want) || tt.want == nil && (err != nil || u.Name != "alice") {
			t.Errorf("%q: %v, %v", tt.answer, u, err)
		}
		if err != nil && errors.Is(err, ErrUnknown) != (tt.want == ErrUnknown) {
			t.Errorf("%q: %v may be taken for no such user", tt.answer, err)
		}
	}
	c := &Client{Path: "/nonexistent/auth"}
	if _, err := c.Who(t.Context(), "alice"); !errors.Is(err, ErrLater) {
		t.Errorf("no server: %v", err)
	}
}

func TestReasonIsKept(t *testing.T) {
	t.Parallel()
	s := newFakeServer(t, func(string) string { return "later disk+20full\n" })
	if _, err := (&Client{Path: s.path}).Who(t.Context(), "alice"); err == nil || !strings.Contains(err.Error(), "disk full") {
		t.Errorf("got %v", err)
	}
}

func TestConnectionIsKept(t *testing.T) {
	t.Parallel()
	s := newFakeServer(t, func(string) string { return aliceLine })
	c := &Client{Path: s.path}
	for range 5 {
		if _, err := c.Who(t.Context(), "alice"); err != nil {
			t.Fatal(err)
		}
	}
	if n := s.connections(); n != 1 {
		t.Errorf("%d connections for 5 questions", n)
	}
	s.stop()
	s.start(t)
	if _, err := c.Who(t.Context(), "alice"); err != nil {
		t.Errorf("after a restart: %v", err)
	}
	c.Close()
	if _, err := c.Who(t.Context(), "alice"); err != nil {
		t.Errorf("after Close: %v", err)
	}
}

func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	s := newFakeServer(t, func(string) string { return aliceLine })
	c := &Client{Path: s.path}
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if _, err := c.Who(context.Background(), "alice"); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.idle) > maxIdle {
		t.Errorf("%d connections kept", len(c.idle))
	}
}

func TestSurplusAnswer(t *testing.T) {
	t.Parallel()
	s := newFakeServer(t, func(line string) string {
		if line == "who alice" {
			return aliceLine + "ok name=root uid=0 gid=0 home=/root\n"
		}
		return "no\n"
	})
	c := &Client{Path: s.path}
	if _, err := c.Who(t.Context(), "alice"); err != nil {
		t.Fatal(err)
	}
	if u, err := c.Who(t.Context(), "bob"); !errors.Is(err, ErrUnknown) {
		t.Errorf("an answer to another question is taken: %v, %v", u, err)
	}
}

func TestHungServer(t *testing.T) {
	t.Parallel()
	s := newFakeServer(t, func(string) string { return "-" })
	c := &Client{Path: s.path, Timeout: 20 * time.Millisecond}
	if _, err := c.Who(t.Context(), "alice"); !errors.Is(err, ErrLater) {
		t.Errorf("timeout: %v", err)
	}
	c.Timeout = time.Minute
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := c.Who(ctx, "alice"); !errors.Is(err, ErrLater) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("context: %v", err)
	}
	if len(c.idle) != 0 {
		t.Error("a connection in the middle of a question is kept")
	}
}

func TestExchange(t *testing.T) {
	t.Parallel()
	s := newFakeServer(t, func(line string) string {
		switch line {
		case "auth smtp LOGIN rip=192.0.2.1 lip= tls=TLSv1.3":
			return "cont VXNlcm5hbWU6\n"
		case "cont YWxpY2U=":
			return "cont =\n"
		case "cont =":
			return aliceLine
		case "cont Ym9i", "abort":
			return "no\n"
		}
		return "later unexpected\n"
	})
	c := &Client{Path: s.path}
	request := Request{Service: "smtp", Mechanism: "login", RemoteIP: "192.0.2.1", TLS: "TLSv1.3"}
	x := c.Start(t.Context(), request)
	if challenge, done, _, err := x.Step(nil); string(challenge) != "Username:" || done || err != nil {
		t.Fatalf("first step: %q, %v, %v", challenge, done, err)
	}
	if challenge, done, _, err := x.Step([]byte("alice")); challenge == nil || len(challenge) > 0 || done || err != nil {
		t.Fatalf("second step: %q, %v, %v", challenge, done, err)
	}
	if _, done, u, err := x.Step([]byte{}); !done || u.Name != "alice" || err != nil {
		t.Fatalf("last step: %v, %v, %v", done, u, err)
	}
	if _, done, _, err := x.Step(nil); !done || !errors.Is(err, ErrLater) {
		t.Errorf("step after the end: %v, %v", done, err)
	}
	x.Abort()

	x = c.Start(t.Context(), request)
	x.Step(nil)
	if _, done, _, err := x.Step([]byte("bob")); !done || !errors.Is(err, ErrRefused) {
		t.Errorf("refused: %v, %v", done, err)
	}
	x = c.Start(t.Context(), request)
	x.Step(nil)
	x.Abort()
	x.Abort()
	c.Start(t.Context(), request).Abort()
	if n := s.connections(); n != 1 {
		t.Errorf("%d connections for three exchanges", n)
	}
}

func TestRequestLine(t *testing.T) {
	t.Parallel()
	r := Request{Service: "imap", Mechanism: "scram-sha-256-plus", RemoteIP: "::1", LocalIP: "::2", TLS: "TLSv1.3",
		Bindings: []Binding{{"tls-exporter", []byte("ab")}, {"tls-server-end-point", []byte("c")}}, Initial: []byte{}}
	const want = "auth imap SCRAM-SHA-256-PLUS rip=::1 lip=::2 tls=TLSv1.3 cb=tls-exporter:YWI= cb=tls-server-end-point:Yw== ir=\n"
	if got := string(r.line().Append(nil)); got != want {
		t.Errorf("got %q", got)
	}
}

func TestEndlessChallenges(t *testing.T) {
	t.Parallel()
	s := newFakeServer(t, func(string) string { return "cont =\n" })
	x := (&Client{Path: s.path}).Start(t.Context(), Request{Service: "smtp", Mechanism: "PLAIN"})
	for range 2 * maxSteps {
		if _, done, _, err := x.Step(nil); done {
			if !errors.Is(err, ErrLater) {
				t.Errorf("got %v", err)
			}
			return
		}
	}
	t.Error("no end")
}
