package pop3d

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"postrider/internal/mailstore"
	"postrider/internal/sockettest"
)

// testLog fails a test that an administrator would hear of, unless it expects that.
type testLog struct {
	t     testing.TB
	lines chan string // nil = none are expected
}

func (l testLog) Warn(format string, args ...any)  { l.add(fmt.Sprintf("warning: "+format, args...)) }
func (l testLog) Error(format string, args ...any) { l.add(fmt.Sprintf("error: "+format, args...)) }

func (l testLog) add(s string) {
	if l.lines == nil {
		l.t.Error("logged:", s)
		return
	}
	select {
	case l.lines <- s:
	default:
		l.t.Error("logged too much:", s)
	}
}

// maildir is a Maildir with messages that have the UIDs 1 to n under UIDVALIDITY 0x6b01f3d3.
func maildir(t testing.TB, messages ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, sub := range []string{"tmp", "new", "cur"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	list := fmt.Sprintf("3 V%d N%d Gabc\n", 0x6b01f3d3, len(messages)+1)
	for i, m := range messages {
		base := fmt.Sprintf("%d.m%d.host", i+1, i+1)
		write(t, dir+"/cur/"+base+":2,", m)
		list += fmt.Sprintf("%d :%s\n", i+1, base)
	}
	write(t, dir+"/dovecot-uidlist", list)
	return dir
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// files are the names in cur.
func files(t testing.TB, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir + "/cur")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func wantFiles(t testing.TB, dir string, want ...string) {
	t.Helper()
	if got := files(t, dir); !slices.Equal(got, want) {
		t.Errorf("cur has %q, want %q", got, want)
	}
}

func options(t testing.TB, dir string) Options {
	t.Helper()
	store, err := mailstore.Open(dir, mailstore.Options{LockTimeout: 20 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return Options{Store: store, Maildir: dir, User: "alice", Log: testLog{t: t}}
}

// client is the other end of a session.
type client struct {
	t testing.TB
	net.Conn
	r    *bufio.Reader
	done chan Summary
}

func start(ctx context.Context, t testing.TB, o Options) *client {
	t.Helper()
	session, err := Open(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	server, peer := sockettest.TCP(t)
	c := &client{t: t, Conn: peer, r: bufio.NewReader(peer), done: make(chan Summary, 1)}
	c.SetDeadline(time.Now().Add(time.Minute))
	go func() {
		defer close(c.done)
		c.done <- session.Serve(ctx, server)
	}()
	t.Cleanup(func() {
		c.Close()
		for range c.done {
		}
	})
	return c
}

// login starts a session and reads its greeting.
func login(t testing.TB, o Options) *client {
	t.Helper()
	c := start(t.Context(), t, o)
	c.want("+OK Logged in.")
	return c
}

func (c *client) say(format string, args ...any) {
	c.t.Helper()
	if _, err := fmt.Fprintf(c, format+"\r\n", args...); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) line() string {
	c.t.Helper()
	s, err := c.r.ReadString('\n')
	if err != nil {
		c.t.Fatalf("%v after %q", err, s)
	}
	text, ok := strings.CutSuffix(s, "\r\n")
	if !ok {
		c.t.Fatalf("line %q", s)
	}
	return text
}

func (c *client) want(line string) {
	c.t.Helper()
	if got := c.line(); got != line {
		c.t.Fatalf("answer %q, want %q", got, line)
	}
}

// all is everything up to the end of the connection.
func (c *client) all() string {
	c.t.Helper()
	b, err := io.ReadAll(c.r)
	if err != nil {
		c.t.Error(err)
	}
	return string(b)
}

func (c *client) ends(summary string) {
	c.t.Helper()
	select {
	case s := <-c.done:
		if s.String() != summary {
			c.t.Errorf("%s\nwant %s", s, summary)
		}
	case <-time.After(30 * time.Second):
		c.t.Fatal("the session does not end")
	}
}

// play follows a script: C: is said, S: expected.
func (c *client) play(script string) {
	c.t.Helper()
	for l := range strings.Lines(strings.TrimSpace(script)) {
		l = strings.TrimSuffix(l, "\n")
		switch text := l[min(len(l), 3):]; l[:2] {
		case "C:":
			c.say("%s", text)
		case "S:":
			if got := c.line(); got != text {
				c.t.Fatalf("answer %q, want %q", got, text)
			}
		default:
			c.t.Fatalf("script line %q", l)
		}
	}
}

const (
	first  = "A: b\n\nfirst\n.dot\n..\n.\n"       // 28 octets on the wire
	second = "A: b\r\n\r\nwith CRLF\r\nand\nLF\n" // 28
	third  = "A: b\nB: c\n\n1\n2\n3"              // 21
)

func TestDialogue(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, script, summary string }{
		{"lists", `
C: STAT
S: +OK 3 77
C: LIST
S: +OK 3 messages:
S: 1 28
S: 2 28
S: 3 21
S: .
C: list 2
S: +OK 2 28
C: UIDL
S: +OK
S: 1 000000016b01f3d3
S: 2 000000026b01f3d3
S: 3 000000036b01f3d3
S: .
C: UIDL   3 
S: +OK 3 000000036b01f3d3
C: noop
S: +OK
C: CAPA
S: +OK
S: CAPA
S: TOP
S: UIDL
S: RESP-CODES
S: PIPELINING
S: AUTH-RESP-CODE
S: UTF8
S: .
C: QUIT
S: +OK Logging out.`, "Logged out top=0/0, retr=0/0, del=0/3, size=77"},
		{"retr", `
C: RETR 1
S: +OK 28 octets
S: A: b
S: 
S: first
S: ..dot
S: ...
S: ..
S: .
C: RETR 2
S: +OK 28 octets
S: A: b
S: 
S: with CRLF
S: and
S: LF
S: .
C: RETR 3
S: +OK 21 octets
S: A: b
S: B: c
S: 
S: 1
S: 2
S: 3
S: .
C: QUIT
S: +OK Logging out.`, "Logged out top=0/0, retr=3/127, del=0/3, size=77"},
		{"top", `
C: TOP 1 0
S: +OK
S: A: b
S: 
S: .
C: TOP 3 2
S: +OK
S: A: b
S: B: c
S: 
S: 1
S: 2
S: .
C: TOP 2 99999999999999999999
S: +OK
S: A: b
S: 
S: with CRLF
S: and
S: LF
S: .
C: QUIT
S: +OK Logging out.`, "Logged out top=3/71, retr=0/0, del=0/3, size=77"},
		{"dele", `
C: DELE 2
S: +OK Marked to be deleted.
C: DELE 2
S: -ERR Message is deleted.
C: RETR 2
S: -ERR Message is deleted.
C: LIST 2
S: -ERR Message is deleted.
C: STAT
S: +OK 2 49
C: LIST
S: +OK 2 messages:
S: 1 28
S: 3 21
S: .
C: UIDL
S: +OK
S: 1 000000016b01f3d3
S: 3 000000036b01f3d3
S: .
C: RSET
S: +OK
C: STAT
S: +OK 3 77
C: DELE 1
S: +OK Marked to be deleted.
C: QUIT
S: +OK Logging out, messages deleted.`, "Logged out top=0/0, retr=0/0, del=1/3, size=77"},
		{"refusals", `
C: LAST
S: -ERR Unknown command: "LAST"
C: 
S: -ERR Unknown command.
C: RETR
S: -ERR Invalid message number: ""
C: RETR x
S: -ERR Invalid message number: "x"
C: RETR -1
S: -ERR Invalid message number: "-1"
C: RETR 1 2
S: -ERR Invalid message number: "1 2"
C: RETR 0
S: -ERR There's no message 0.
C: DELE 4
S: -ERR There's no message 4.
C: TOP 1
S: -ERR Invalid size: ""
C: TOP 1 -1
S: -ERR Invalid size: "-1"
C: TOP 9 1
S: -ERR There's no message 9.
C: UTF8
S: -ERR Unknown command: "UTF8"
C: QUIT
S: +OK Logging out.`, "Logged out top=0/0, retr=0/0, del=0/3, size=77"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := login(t, options(t, maildir(t, first, second, third)))
			c.play(test.script)
			if rest := c.all(); rest != "" {
				t.Errorf("after the end: %q", rest)
			}
			c.ends("Disconnected: " + test.summary)
		})
	}
}

func TestEmpty(t *testing.T) {
	t.Parallel()
	c := login(t, options(t, maildir(t)))
	c.play("C: STAT\nS: +OK 0 0\nC: LIST\nS: +OK 0 messages:\nS: .\nC: UIDL\nS: +OK\nS: .\nC: QUIT\nS: +OK Logging out.")
	c.ends("Disconnected: Logged out top=0/0, retr=0/0, del=0/0, size=0")
}

// TestMigrated has unique-ids and an order from another server, one of them unusable.
func TestMigrated(t *testing.T) {
	t.Parallel()
	dir := maildir(t, "1\n", "2\n", "3\n", "4\n")
	write(t, dir+"/dovecot-uidlist", "3 V77 N9 Gabc\n1 PUID1-99 :1.m1.host\n2 P"+strings.Repeat("x", 71)+" O7 :2.m2.host\n3 :3.m3.host\n4 O3 W3 S2 P<a> :4.m4.host\n")
	c := login(t, options(t, dir))
	c.play(`
C: UIDL
S: +OK
S: 1 <a>
S: 2 000000020000004d
S: 3 UID1-99
S: 4 000000030000004d
S: .
C: TOP 1 0
S: +OK
S: 4
S: .
C: QUIT
S: +OK Logging out.`)
}

// TestUpdate looks at what a session leaves behind.
func TestUpdate(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, say string
		want      []string
	}{
		{"quit", "RETR 1\r\nRETR 2\r\nDELE 2\r\nTOP 3 1\r\nQUIT", []string{"1.m1.host:2,S", "3.m3.host:2,"}},
		{"dropped", "RETR 1\r\nDELE 1\r\nDELE 2", []string{"1.m1.host:2,S", "2.m2.host:2,", "3.m3.host:2,"}},
		{"reset", "RETR 1\r\nDELE 3\r\nRSET\r\nQUIT", []string{"1.m1.host:2,", "2.m2.host:2,", "3.m3.host:2,"}},
		{"without an end", "RETR 3\r\nDELE 3\r\nQUIT ", []string{"1.m1.host:2,", "2.m2.host:2,", "3.m3.host:2,S"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := maildir(t, first, second, third)
			c := login(t, options(t, dir))
			io.WriteString(c, test.say)
			if test.name != "without an end" {
				io.WriteString(c, "\r\n")
			}
			c.Conn.(*net.TCPConn).CloseWrite()
			c.all()
			<-c.done
			wantFiles(t, dir, test.want...)
		})
	}
}

// TestNewMail is moved to cur at login, and what comes later waits for the next session.
func TestNewMail(t *testing.T) {
	t.Parallel()
	dir := maildir(t, first)
	write(t, dir+"/new/7.x,S=2,W=3", "x\n")
	o := options(t, dir)
	c := login(t, o)
	write(t, dir+"/new/8.y,S=2,W=3", "y\n")
	c.play("C: LIST\nS: +OK 2 messages:\nS: 1 28\nS: 2 3\nS: .\nC: DELE 1\nS: +OK Marked to be deleted.\nC: QUIT\nS: +OK Logging out, messages deleted.")
	wantFiles(t, dir, "7.x,S=2,W=3:2,")
	c = login(t, o)
	c.play("C: UIDL\nS: +OK\nS: 1 000000026b01f3d3\nS: 2 000000036b01f3d3\nS: .")
}

func TestPipelining(t *testing.T) {
	t.Parallel()
	const n = 1000
	dir := maildir(t, strings.Repeat("A: b\n", 2000), second)
	c := login(t, options(t, dir))
	go io.WriteString(c, "STAT\r\n"+strings.Repeat("RETR 1\r\nNOOP\r\n", n)+"DELE 1\r\nQUIT\r\n")
	c.want("+OK 2 12028")
	size := int64(len("+OK 12000 octets\r\n.\r\n+OK\r\n") + 12000)
	if _, err := io.CopyN(io.Discard, c.r, n*size); err != nil {
		t.Fatal(err)
	}
	c.play("S: +OK Marked to be deleted.\nS: +OK Logging out, messages deleted.")
	c.ends(fmt.Sprintf("Disconnected: Logged out top=0/0, retr=%d/%d, del=1/2, size=12028", n, n*(size-8)))
	wantFiles(t, dir, "2.m2.host:2,")
}

// TestHalfLine waits for an answer in the middle of the next command.
func TestHalfLine(t *testing.T) {
	t.Parallel()
	c := login(t, options(t, maildir(t, first)))
	io.WriteString(c, "STAT\r\nLI")
	c.want("+OK 1 28")
	io.WriteString(c, "ST 1\nQUIT\n") // lines may end in LF
	c.play("S: +OK 1 28\nS: +OK Logging out.")
}
