package imapd

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"postrider/internal/imap"
	"postrider/internal/mailstore"
)

// tb is what the helpers need of a test; rapid's T has it too.
type tb interface {
	Helper()
	Fatalf(format string, args ...any)
	Fatal(args ...any)
}

// server is a Maildir, and the sessions on it.
type server struct {
	t       testing.TB
	root    string
	store   *mailstore.Store
	log     *logLines
	options Options
	times   times
}

func newServer(t testing.TB) *server {
	t.Helper()
	return newServerAt(t, t.TempDir())
}

// newServerAt serves the Maildir at root.
func newServerAt(t testing.TB, root string) *server {
	t.Helper()
	watcher := mailstore.NewWatcher()
	t.Cleanup(watcher.Close)
	store, err := mailstore.Open(root, mailstore.Options{LockTimeout: 20 * time.Second, Watcher: watcher})
	if err != nil {
		t.Fatal(err)
	}
	log := &logLines{}
	return &server{t: t, root: root, store: store, log: log, times: defaultTimes,
		options: Options{Store: store, Log: log, MessageSize: 1 << 20}}
}

// deliver writes a message as a delivery agent does, into "new" of a folder's directory below the root.
func (s *server) deliver(dir, name, text string) {
	s.t.Helper()
	tmp := filepath.Join(s.root, dir, "tmp", name)
	if err := os.WriteFile(tmp, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Rename(tmp, filepath.Join(s.root, dir, "new", name)); err != nil {
		s.t.Fatal(err)
	}
}

// deliverSome delivers n messages to INBOX, of 30 octets each with CRLF.
func (s *server) deliverSome(n int) {
	for i := range n {
		s.deliver("", fmt.Sprintf("%d.M1P1.h", 1000000+i), fmt.Sprintf("Subject: s%d\n\nbody number %03d\n", i%10, i))
	}
}

// files are the names in a directory of the Maildir that match a pattern.
func (s *server) files(pattern string) []string {
	names, err := filepath.Glob(filepath.Join(s.root, pattern))
	if err != nil {
		s.t.Fatal(err)
	}
	return names
}

// file is the one name that matches.
func (s *server) file(pattern string) string {
	s.t.Helper()
	names := s.files(pattern)
	if len(names) != 1 {
		s.t.Fatalf("%s: %q", pattern, names)
	}
	return names[0]
}

// logLines is what was logged.
type logLines struct {
	mu    sync.Mutex
	lines []string
}

func (l *logLines) add(format string, args []any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, fmt.Sprintf(format, args...))
}

func (l *logLines) Warn(format string, args ...any)  { l.add(format, args) }
func (l *logLines) Error(format string, args ...any) { l.add(format, args) }

func (l *logLines) all() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines, "\n")
}

// client is the other end of a session.
type client struct {
	t    tb
	conn net.Conn
	r    *bufio.Reader
	stop context.CancelFunc
	done chan struct{}
	sum  *Summary // once done is closed
}

const patience = 20 * time.Second

// connect begins a session that the test ends, at the latest by its end.
func (s *server) connect(change ...func(*Options)) *client { return s.connectFor(s.t, change...) }

func (s *server) connectFor(t tb, change ...func(*Options)) *client {
	o := s.options
	for _, f := range change {
		f(&o)
	}
	near, far := socketpair(t)
	ctx, cancel := context.WithCancel(context.Background())
	c := &client{t: t, conn: near, r: bufio.NewReader(near), stop: cancel, done: make(chan struct{})}
	go func() {
		defer close(c.done)
		c.sum = serve(ctx, far, o, s.times)
	}()
	s.t.Cleanup(c.hangUp)
	return c
}

// selected is a session that has selected INBOX.
func (s *server) selected() *client {
	s.t.Helper()
	c := s.connect()
	c.ok("SELECT INBOX")
	return c
}

// serve is Serve with other times.
func serve(ctx context.Context, conn net.Conn, o Options, t times) *Summary {
	return newSession(conn, &o, t).serve(ctx)
}

func socketpair(t tb) (near, far net.Conn) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var conns [2]net.Conn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "socketpair")
		if conns[i], err = net.FileConn(f); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	return conns[0], conns[1]
}

// hangUp closes the connection and waits for the end of the session.
func (c *client) hangUp() {
	c.conn.Close()
	<-c.done
	c.stop()
}

// ends waits until the session has ended by itself.
func (c *client) ends() *Summary {
	c.t.Helper()
	select {
	case <-c.done:
	case <-time.After(patience):
		c.t.Fatal("the session goes on")
	}
	return c.sum
}

// send writes octets as they are.
func (c *client) send(text string) {
	c.t.Helper()
	c.conn.SetWriteDeadline(time.Now().Add(patience))
	if _, err := c.conn.Write([]byte(text)); err != nil {
		c.t.Fatal("send:", err)
	}
}

// line reads a line, without its CRLF; a literal in it stays in it.
func (c *client) line() string {
	c.t.Helper()
	c.conn.SetReadDeadline(time.Now().Add(patience))
	var b strings.Builder
	for {
		part, err := c.r.ReadString('\n')
		if err != nil {
			c.t.Fatalf("read: %v after %q", err, b.String()+part)
		}
		part, complete := strings.CutSuffix(part, "\r\n")
		if !complete {
			c.t.Fatalf("line without CRLF: %q", part)
		}
		b.WriteString(part)
		size := literalHeader.FindStringSubmatch(part)
		if size == nil {
			return b.String()
		}
		n, _ := strconv.Atoi(size[1])
		text := make([]byte, n)
		if _, err := io.ReadFull(c.r, text); err != nil {
			c.t.Fatal("read literal:", err)
		}
		b.WriteString("\r\n" + string(text))
	}
}

var literalHeader = regexp.MustCompile(`\{(\d+)\}$`)

// expect reads as many lines as are given; in each, "…" stands for anything.
func (c *client) expect(want ...string) {
	c.t.Helper()
	for _, w := range want {
		if got := c.line(); !like(w, got) {
			c.t.Fatalf("got  %q\nwant %q", got, w)
		}
	}
}

func like(pattern, text string) bool {
	parts := strings.Split(pattern, "…")
	for i := range parts {
		parts[i] = regexp.QuoteMeta(parts[i])
	}
	return regexp.MustCompile(`(?s)^` + strings.Join(parts, ".*") + `$`).MatchString(text)
}

// dialogue plays a script: lines of "C: " are sent, those of "S: " expected.
func (c *client) dialogue(script string) {
	c.t.Helper()
	for i, line := range strings.Split(strings.TrimSpace(script), "\n") {
		line = strings.TrimSpace(line)
		if text, ok := strings.CutPrefix(line, "C: "); ok {
			c.send(text + "\r\n")
		} else if text, ok := strings.CutPrefix(line, "S: "); ok {
			text = strings.ReplaceAll(text, `\r\n`, "\r\n")
			if got := c.line(); !like(text, got) {
				c.t.Fatalf("line %d:\ngot  %q\nwant %q", i+1, got, text)
			}
		} else if line != "" {
			c.t.Fatalf("script line %d: %q", i+1, line)
		}
	}
}

// do sends a command and returns what comes before its answer, and that without the tag.
func (c *client) do(format string, args ...any) (untagged []string, answer string) {
	c.t.Helper()
	c.send("do " + fmt.Sprintf(format, args...) + "\r\n")
	return c.collect("do ")
}

func (c *client) collect(tag string) (untagged []string, answer string) {
	c.t.Helper()
	for {
		line := c.line()
		if answer, ok := strings.CutPrefix(line, tag); ok {
			return untagged, answer
		}
		untagged = append(untagged, line)
	}
}

// ok is do for a command that must succeed.
func (c *client) ok(format string, args ...any) []string {
	c.t.Helper()
	untagged, answer := c.do(format, args...)
	if !strings.HasPrefix(answer, "OK") {
		c.t.Fatalf("%s: %s", fmt.Sprintf(format, args...), answer)
	}
	return untagged
}

var specials = []SpecialFolder{
	{imap.AttrDrafts, "Drafts"}, {imap.AttrSent, "Sent"}, {imap.AttrJunk, ""}, {imap.AttrTrash, "Trash"},
}
