package smtpd

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"postrider/internal/config"
	"postrider/internal/envelope"
	"postrider/internal/logline"
)

// Dialogues are testdata/*.smtp. Each begins anew with `== title [service] [client address]`; its lines are
//
//	C: text       the client sends a line
//	C*n: text     n times
//	R: "go\n"     the client sends these octets (a Go string)
//	S: pattern    the server answers this line (* matches anything)
//	S*n: pattern  n times
//	S+ pattern    the server answers lines, the last of which matches; all of them are kept for H
//	H: pattern    one of the lines of the last S+ matches
//	N: pattern    none of them does
//	T             TLS handshake
//	EOF           the server closes the connection
//	CLOSE         the client does
//	SET key value configuration, or the spool's state (before the first C)
//	TAKEN n       so many messages have been accepted, and none is left open
//	E: pattern    a line of the last message's envelope matches
//	M: pattern    a line of the last message matches; lines are matched in order
//	X: pattern    no line of the last message matches
//	L: pattern    a line of the log matches
type dialogue struct {
	*testing.T
	file, title string
	line        int
	service     string
	client      netip.Addr
	config      *config.Config
	spool       *memory
	auth        *logins
	log         *lockedBuffer
	conn        net.Conn
	in          *bufio.Reader
	ended       chan struct{}
	multi       []string
	message     []string // lines not yet matched by M
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

const testTimeout = 10 * time.Second

func TestDialogues(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.smtp")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(string(text), "\n")
		for i, l := range lines {
			if title, ok := strings.CutPrefix(l, "== "); ok {
				end := i + 1
				for end < len(lines) && !strings.HasPrefix(lines[end], "== ") {
					end++
				}
				t.Run(strings.TrimSuffix(filepath.Base(f), ".smtp")+"/"+title, func(t *testing.T) {
					t.Parallel()
					playDialogue(t, f, title, i+1, lines[i+1:end])
				})
			}
		}
	}
}

func playDialogue(t *testing.T, file, title string, first int, lines []string) {
	d := &dialogue{T: t, file: file, title: title, service: "smtp", client: netip.MustParseAddr("192.0.2.1"),
		config: testConfig(), spool: &memory{}, auth: &logins{}, log: &lockedBuffer{}}
	title, rest, ok := strings.Cut(title, "[")
	d.title = strings.TrimSpace(title)
	if ok {
		service, client, has := strings.Cut(strings.TrimSuffix(rest, "]"), " ")
		d.service = service
		if has {
			d.client = netip.Addr{}
			if client != "unix" {
				d.client = netip.MustParseAddr(client)
			}
		}
	}
	defer d.end()
	for i, l := range lines {
		d.line = first + i + 1
		if l = strings.TrimRight(l, "\r"); l != "" && l[0] != '#' {
			d.step(l)
		}
	}
}

func (d *dialogue) failf(format string, args ...any) {
	d.Helper()
	d.Fatalf("%s:%d: %s\nlog:\n%s", d.file, d.line, fmt.Sprintf(format, args...), d.log)
}

func (d *dialogue) step(l string) {
	d.Helper()
	key, text, _ := strings.Cut(l, " ")
	if d.conn == nil && key != "SET" {
		d.start()
	}
	switch key {
	case "C:":
		d.send(text + "\r\n")
	case "R:":
		s, err := strconv.Unquote(text)
		if err != nil {
			d.failf("%v", err)
		}
		d.send(s)
	case "S:":
		if got := d.receive(); !match(text, got) {
			d.failf("got  %s\nwant %s", got, text)
		}
	case "S+":
		d.receiveAll(text)
	case "H:", "N:":
		if found := matchAny(text, d.multi) != 0; found != (key == "H:") {
			d.failf("%s in %q: %v", text, d.multi, found)
		}
	case "T":
		conn := tls.Client(d.conn, &tls.Config{InsecureSkipVerify: true, ServerName: "mx.example.test"})
		if err := conn.Handshake(); err != nil {
			d.failf("%v", err)
		}
		d.conn, d.in = conn, bufio.NewReader(conn)
	case "EOF":
		if b, err := d.in.ReadByte(); err == nil {
			d.failf("not closed: %q", b)
		} else if ne := net.Error(nil); errors.As(err, &ne) && ne.Timeout() {
			d.failf("not closed")
		}
	case "CLOSE":
		d.conn.Close()
		<-d.ended
	case "SET":
		d.set(text)
	case "TAKEN":
		if taken, open := d.spool.state(); strconv.Itoa(taken) != text || open != 0 {
			d.failf("%d messages, %d open", taken, open)
		}
		d.message = nil
	case "E:", "M:", "X:":
		d.stored(key, text)
	case "L:":
		if matchAny(text, strings.Split(d.log.String(), "\n")) == 0 {
			d.failf("not in the log: %s", text)
		}
	default:
		d.repeat(key, text)
	}
}

// repeat carries out C*n: and S*n:.
func (d *dialogue) repeat(key, text string) {
	d.Helper()
	what, digits, _ := strings.Cut(strings.TrimSuffix(key, ":"), "*")
	n, err := strconv.Atoi(digits)
	switch {
	case err != nil:
		d.failf("bad line %q", key)
	case what == "C":
		d.send(strings.Repeat(text+"\r\n", n))
	default:
		for range n {
			d.step(what + ": " + text)
		}
	}
}

func (d *dialogue) set(text string) {
	key, value, _ := strings.Cut(text, " ")
	n, _ := strconv.Atoi(value)
	switch key {
	case "max_errors":
		d.config.SMTPD.MaxErrors = n
	case "command_timeout":
		d.config.SMTPD.CommandTimeout = config.Duration(time.Duration(n) * time.Millisecond)
	case "data_timeout":
		d.config.SMTPD.DataTimeout = config.Duration(time.Duration(n) * time.Millisecond)
	case "message_size":
		d.config.MessageSize = config.Size(n)
	case "authd_away":
		d.auth.away = true
	case "allow_percent":
		d.config.SMTPD.AllowPercent = true
	case "spool_full":
		d.spool.full = true
	case "spool_room":
		d.spool.room = n
	case "spool_broken":
		d.spool.broken = errors.New("fsync: input/output error")
	default:
		d.failf("unknown setting %s", key)
	}
}

func (d *dialogue) start() {
	d.Helper()
	server := New(d.config, tables{}, Deps{
		Spool: d.spool, Auth: d.auth, Names: named{}, Log: logline.NewWriter(d.log, "smtpd", logline.Text), Identity: testIdentity,
		Login: func(uid uint32) (string, bool) { return "carol", uid == 1003 },
		Now:   func() time.Time { return time.Date(2026, 11, 21, 20, 0, 0, 0, time.UTC) },
	})
	d.conn, d.ended = connect(d.T, server, context.Background(), d.service, d.client)
	d.conn.SetDeadline(time.Now().Add(testTimeout))
	d.in = bufio.NewReader(d.conn)
}

// addressed is a connection with other addresses.
type addressed struct {
	net.Conn
	remote, local net.Addr
}

func (a addressed) RemoteAddr() net.Addr { return a.remote }
func (a addressed) LocalAddr() net.Addr  { return a.local }

// connect begins a session for a client of that address, or of uid 1003 on a Unix socket, and returns the client's end.
func connect(t testing.TB, s *Server, ctx context.Context, service string, client netip.Addr) (net.Conn, chan struct{}) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ours, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	a := addressed{Conn: theirs, remote: &net.UnixAddr{}, local: &net.UnixAddr{}}
	uid := int64(1003)
	if client.IsValid() {
		uid = envelope.NoUID
		a.remote = &net.TCPAddr{IP: client.AsSlice(), Port: 40000}
		a.local = &net.TCPAddr{IP: net.IPv4(192, 0, 2, 25), Port: 25}
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer theirs.Close()
		s.Serve(ctx, a, service, uid)
	}()
	return ours, ended
}

func (d *dialogue) send(s string) {
	d.Helper()
	if _, err := io.WriteString(d.conn, s); err != nil {
		d.failf("%v", err)
	}
}

func (d *dialogue) receive() string {
	d.Helper()
	l, err := d.in.ReadString('\n')
	if err != nil {
		d.failf("%q, %v", l, err)
	}
	if !strings.HasSuffix(l, "\r\n") {
		d.failf("reply without CRLF: %q", l)
	}
	return strings.TrimSuffix(l, "\r\n")
}

func (d *dialogue) receiveAll(pattern string) {
	d.Helper()
	d.multi = nil
	for {
		l := d.receive()
		d.multi = append(d.multi, l)
		if len(l) < 4 || l[3] != '-' {
			if !match(pattern, l) {
				d.failf("got %s\nwant %s", l, pattern)
			}
			return
		}
	}
}

func (d *dialogue) stored(key, pattern string) {
	d.Helper()
	m := d.spool.last()
	if m == nil {
		d.failf("no message")
	}
	lines := strings.Split(m.body.String(), "\r\n")
	switch key {
	case "E:":
		lines = strings.Split(string(m.envelope.Append(nil)), "\n")
	case "M:":
		if d.message == nil {
			d.message = lines
		}
		lines = d.message
	}
	i := matchAny(pattern, lines)
	if (i > 0) != (key != "X:") {
		d.failf("%s %s\n%s", key, pattern, strings.Join(lines, "\n"))
	}
	if key == "M:" {
		d.message = d.message[i:]
	}
}

// end closes the connection and waits for the session; nothing may be left of it.
func (d *dialogue) end() {
	if d.conn == nil {
		return
	}
	d.conn.Close()
	select {
	case <-d.ended:
	case <-time.After(testTimeout):
		d.Error("the session does not end")
	}
	if _, open := d.spool.state(); open != 0 {
		d.Errorf("%s: %s: %d messages neither taken nor dropped", d.file, d.title, open)
	}
}

func matchAny(pattern string, lines []string) int {
	for i, l := range lines {
		if match(pattern, l) {
			return i + 1
		}
	}
	return 0
}

// match is path.Match with * only, over slashes too.
func match(pattern, s string) bool {
	quoted := strings.NewReplacer(`\`, `\\`, "[", `\[`, "?", `\?`, "/", "\x01").Replace(pattern)
	ok, err := path.Match(quoted, strings.ReplaceAll(s, "/", "\x01"))
	return ok && err == nil
}
