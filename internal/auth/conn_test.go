package auth

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"postrider/internal/sockettest"
)

// pair returns two ends of a connection, which wait for 20 s at most.
func pair(t *testing.T) (a, b *net.UnixConn) {
	t.Helper()
	a, b = sockettest.Pair(t)
	for _, end := range []*net.UnixConn{a, b} {
		end.SetDeadline(time.Now().Add(20 * time.Second))
	}
	return a, b
}

// pipe returns a pipe whose reader hears the end when nobody has the writer any more.
func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	return r, w
}

func TestConnPassesDescriptors(t *testing.T) {
	t.Parallel()
	a, b := pair(t)
	writer, reader := NewConn(a), NewConn(b)
	var readers []*os.File
	for range 3 { // all before the first is read
		r, w := pipe(t)
		readers = append(readers, r)
		if err := writer.WriteLine(NewLine(Begin).With("id", "1"), w); err != nil {
			t.Fatal(err)
		}
		w.Close()
	}
	if err := writer.WriteLine(NewLine(No), nil); err != nil {
		t.Fatal(err)
	}
	for i, r := range readers {
		if l, err := reader.ReadLine(); err != nil || l.Verb != Begin {
			t.Fatalf("line %d: %v, %v", i, l, err)
		}
		f := reader.File()
		if f == nil {
			t.Fatalf("line %d: no descriptor", i)
		}
		if flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("a passed descriptor would be inherited: %#x, %v", flags, err)
		}
		if _, err := f.WriteString("x"); err != nil {
			t.Error(err)
		}
		f.Close()
		if text, err := io.ReadAll(r); err != nil || string(text) != "x" {
			t.Errorf("line %d came with another's descriptor: %q, %v", i, text, err)
		}
	}
	if l, err := reader.ReadLine(); err != nil || l.Verb != No || reader.File() != nil {
		t.Errorf("got %v, %v", l, err)
	}
}

// Whatever comes, no descriptor stays open, and a line with too many is none.
func TestConnRefusesDescriptors(t *testing.T) {
	t.Parallel()
	for name, counts := range map[string][]int{"three": {3}, "many": {200}, "one by one": {1, 1, 1}, "late": {0, 0, 2, 1}} {
		a, b := pair(t)
		reader := NewConn(b)
		r, w := pipe(t)
		for _, n := range counts {
			fds := make([]int, n)
			for i := range fds {
				fds[i] = int(w.Fd())
			}
			if _, _, err := a.WriteMsgUnix([]byte("n"), unix.UnixRights(fds...), nil); err != nil {
				t.Fatal(err)
			}
		}
		w.Close()
		a.Write([]byte("o\n"))
		if l, err := reader.ReadLine(); !errors.Is(err, ErrSyntax) {
			t.Errorf("%s: %v, %v", name, l, err)
		}
		if _, err := reader.ReadLine(); !errors.Is(err, ErrSyntax) {
			t.Errorf("%s: it goes on: %v", name, err)
		}
		reader.Discard()
		r.SetReadDeadline(time.Now().Add(10 * time.Second))
		if _, err := r.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("%s: descriptors stay open: %v", name, err)
		}
	}
}

// sessionServer says yes to each login, and answers sessions with what answer says.
func sessionServer(t *testing.T, answer func(l Line, f *os.File) string) *Client {
	t.Helper()
	dir, err := os.MkdirTemp("", "pr")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "auth")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close(); os.RemoveAll(dir) })
	serve := func(c *Conn) {
		defer c.Close()
		for {
			l, err := c.ReadLine()
			if err != nil {
				return
			}
			text := aliceLine
			if l.Verb == Begin {
				f := c.File()
				text = answer(l, f)
				f.Close()
			}
			if text == "" {
				return
			}
			c.Write([]byte(text))
		}
	}
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			go serve(NewConn(c.(*net.UnixConn)))
		}
	}()
	client := &Client{Path: path}
	t.Cleanup(client.Close)
	return client
}

func (c *Client) kept() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.idle)
}

func logIn(t *testing.T, c *Client) *Exchange {
	t.Helper()
	x := c.Start(t.Context(), Request{Service: "imap", Mechanism: "PLAIN", Initial: []byte("x"), Session: true})
	if _, done, u, err := x.Step(nil); !done || err != nil || u.Name != "alice" {
		t.Fatalf("login: %v, %v, %v", done, u, err)
	}
	return x
}

func TestOpen(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		answer string
		pid    int
		want   error
		kept   int
	}{
		{"ok pid=4711\n", 4711, nil, 1}, {"no\n", 0, ErrInUse, 1}, {"later busy\n", 0, ErrLater, 1}, {"ok\n", 0, ErrLater, 0}, {"ok pid=-1\n", 0, ErrLater, 0},
		{"cont =\n", 0, ErrLater, 0}, {"", 0, ErrLater, 0}, {"nonsense\n", 0, ErrLater, 0},
	} {
		said := make(chan string, 1)
		c := sessionServer(t, func(l Line, f *os.File) string {
			said <- string(l.Append(nil))
			f.WriteString("here")
			return tt.answer
		})
		x := logIn(t, c)
		if c.kept() != 0 {
			t.Error("the connection is given back before the session is there")
		}
		r, w := pipe(t)
		pid, err := x.Open(t.Context(), Session{ID: "abc/1+2==", Tag: "A1"}, w)
		w.Close()
		if pid != tt.pid || !errors.Is(err, tt.want) {
			t.Errorf("%q: %d, %v", tt.answer, pid, err)
		}
		if got, want := <-said, "session id=abc/1+2B2+3D+3D tag=A1\n"; got != want {
			t.Errorf("said %q, want %q", got, want)
		}
		if text, _ := io.ReadAll(r); string(text) != "here" {
			t.Errorf("the descriptor is another: %q", text)
		}
		if n := c.kept(); n != tt.kept {
			t.Errorf("%q: %d connections kept", tt.answer, n)
		}
		if _, err := x.Open(t.Context(), Session{ID: "x"}, w); !errors.Is(err, ErrLater) {
			t.Errorf("a second session: %v", err)
		}
		x.Abort()
		if n := c.kept(); n != tt.kept {
			t.Errorf("after Abort: %d connections kept", n)
		}
	}
}

func TestOpenGivenUp(t *testing.T) {
	t.Parallel()
	blocked := make(chan struct{})
	c := sessionServer(t, func(Line, *os.File) string { <-blocked; return "ok pid=1\n" })
	defer close(blocked)
	x := logIn(t, c)
	x.Abort()
	if c.kept() != 1 {
		t.Error("a login without a session costs its connection")
	}
	x = logIn(t, c)
	_, w := pipe(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := x.Open(ctx, Session{ID: "x"}, w); !errors.Is(err, ErrLater) || c.kept() != 0 {
		t.Errorf("got %v, %d connections kept", err, c.kept())
	}
	unasked := c.Start(t.Context(), Request{Service: "imap", Mechanism: "PLAIN", Initial: []byte("x")})
	unasked.Step(nil)
	if _, err := unasked.Open(t.Context(), Session{ID: "x"}, w); !errors.Is(err, ErrLater) || c.kept() != 1 {
		t.Errorf("not asked for: %v, %d connections kept", err, c.kept())
	}
}

func TestParseSession(t *testing.T) {
	t.Parallel()
	for _, want := range []Session{{ID: "a"}, {ID: "a/b+c=", Tag: "a b]"}, {ID: strings.Repeat("x", 64), Tag: strings.Repeat("+", 1024)}} {
		l, err := ParseLine(strings.TrimSuffix(string(want.line().With("new", "x").Append(nil)), "\n"))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := ParseSession(l); err != nil || got != want {
			t.Errorf("got %v, %v, want %v", got, err, want)
		}
	}
	for _, l := range []Line{
		NewLine(No), NewLine(Begin), NewLine(Begin).With("id", ""), NewLine(Begin).With("id", "a b"), NewLine(Begin).With("id", "a>"),
		NewLine(Begin).With("id", "é"), NewLine(Begin).With("id", strings.Repeat("x", 65)), NewLine(Begin).With("id", "a").With("tag", "a\r\n"),
		NewLine(Begin).With("id", "a").With("tag", strings.Repeat("x", 1025)),
	} {
		if s, err := ParseSession(l); !errors.Is(err, ErrSyntax) {
			t.Errorf("%v is read as %v, %v", l, s, err)
		}
	}
}
