package session

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"postrider/internal/auth"
	"postrider/internal/logline"
	"postrider/internal/maildir"
	"postrider/internal/session/handover"
	"postrider/internal/sockettest"
)

const patience = 20 * time.Second

// logBuffer keeps the log.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// rig is a server with authd's end of the dialogue.
type rig struct {
	t      *testing.T
	authd  *auth.Conn
	server *Server
	log    *logBuffer
	root   string
	stop   context.CancelFunc
	done   chan error
	next   uint64

	opening, ready chan struct{} // closed by the engine of pop3, and by the test to have it go on
}

// slow opens one session when it is told to.
func (r *rig) slow(ctx context.Context, q *Request) (Serve, error) {
	close(r.opening)
	<-r.ready
	return echo(ctx, q)
}

// echo is a service: it says whose session it is, and then what it hears. "panic" is a fault.
func echo(_ context.Context, r *Request) (Serve, error) {
	switch r.User {
	case "busy":
		return nil, auth.ErrInUse
	case "broken":
		return nil, errors.New("no such luck")
	case "faulty":
		panic("at the opening")
	}
	return func(ctx context.Context, conn net.Conn) string {
		defer context.AfterFunc(ctx, func() { conn.SetReadDeadline(time.Unix(1, 0)) })()
		fmt.Fprintf(conn, "%s %d %p\n", r.User, r.Settings.MessageSize, r.Store)
		lines := bufio.NewScanner(conn)
		for lines.Scan() {
			if lines.Text() == "panic" {
				panic("in the session")
			}
			fmt.Fprintln(conn, lines.Text())
		}
		if ctx.Err() != nil {
			fmt.Fprintln(conn, "BYE")
		}
		return "Logged out in=7"
	}, nil
}

func newRig(t *testing.T, confine func([]string) error) *rig {
	t.Helper()
	ours, theirs := sockettest.Pair(t)
	r := &rig{t: t, authd: auth.NewConn(ours), log: &logBuffer{}, root: filepath.Join(t.TempDir(), "mail"), done: make(chan error, 1),
		opening: make(chan struct{}), ready: make(chan struct{})}
	if err := os.Mkdir(r.root, 0o700); err != nil {
		t.Fatal(err)
	}
	ours.SetDeadline(time.Now().Add(patience))
	r.server = &Server{Engines: map[string]Engine{"imap": echo, "pop3": r.slow}, Confine: confine,
		Log: func(string) *logline.Logger { return logline.NewWriter(r.log, "session", logline.Text) }}
	ctx, stop := context.WithCancel(context.Background())
	r.stop = stop
	go func() { r.done <- r.server.Serve(ctx, theirs) }()
	t.Cleanup(stop)
	return r
}

func free([]string) error { return nil }

func (r *rig) hello(size int64) {
	r.t.Helper()
	r.greet(handover.Hello{MessageSize: size, Roots: []string{r.root}})
}

func (r *rig) greet(h handover.Hello) {
	r.t.Helper()
	if err := r.authd.WriteLine(h.Line(), nil); err != nil {
		r.t.Fatal(err)
	}
}

// open gives the process a session and returns the client's end and the first answer.
func (r *rig) open(name string) (client *bufio.ReadWriter, close func(), answer handover.Answer) {
	r.t.Helper()
	home := filepath.Join(r.root, "d", name)
	return r.openAt(handover.Session{Service: "imap", User: name, Home: home, Maildir: home + "/Maildir"})
}

func (r *rig) openAt(s handover.Session) (client *bufio.ReadWriter, close func(), answer handover.Answer) {
	r.t.Helper()
	ours, theirs := sockettest.Pair(r.t)
	file, err := theirs.File()
	if err != nil {
		r.t.Fatal(err)
	}
	theirs.Close()
	r.next++
	s.Number, s.ID = r.next, fmt.Sprint("s", r.next)
	if err := r.authd.WriteLine(s.Line(), file); err != nil {
		r.t.Fatal(err)
	}
	file.Close()
	ours.SetDeadline(time.Now().Add(patience))
	if answer = r.answer(); answer.Verb == auth.OK {
		if err := handover.Relay(ours); err != nil {
			r.t.Fatal(err)
		}
	}
	if answer.Number != r.next {
		r.t.Errorf("answer to %d instead of %d", answer.Number, r.next)
	}
	return bufio.NewReadWriter(bufio.NewReader(ours), bufio.NewWriterSize(ours, 1)), func() { ours.Close() }, answer
}

func (r *rig) answer() handover.Answer {
	r.t.Helper()
	l, err := r.authd.ReadLine()
	if err != nil {
		r.t.Fatalf("no answer: %v", err)
	}
	a, err := handover.ParseAnswer(l)
	if err != nil {
		r.t.Fatal(err)
	}
	return a
}

func (r *rig) ended() error {
	r.t.Helper()
	select {
	case err := <-r.done:
		return err
	case <-time.After(patience):
		r.t.Fatal("the process does not end")
	}
	return nil
}

func say(t *testing.T, c *bufio.ReadWriter, text string) string {
	t.Helper()
	if text != "" {
		if _, err := c.WriteString(text + "\n"); err != nil {
			t.Fatal(err)
		}
		c.Flush()
	}
	line, err := c.ReadString('\n')
	if err != nil && err != io.EOF {
		t.Fatal(err)
	}
	return strings.TrimSpace(line)
}

func TestSessions(t *testing.T) {
	t.Parallel()
	r := newRig(t, free)
	r.hello(1)
	a, closeA, answer := r.open("alice")
	if answer.Verb != auth.OK {
		t.Fatalf("answer %+v", answer)
	}
	first := say(t, a, "")
	if !strings.HasPrefix(first, "alice 1 0x") {
		t.Errorf("alice hears %q", first)
	}
	r.hello(2)
	b, closeB, _ := r.open("alice")
	if got, want := say(t, b, ""), strings.Replace(first, " 1 ", " 2 ", 1); got != want {
		t.Errorf("a second session hears %q, want %q: another store, or old settings", got, want)
	}
	c, closeC, _ := r.open("bob")
	if got := say(t, c, ""); strings.Fields(got)[2] == strings.Fields(first)[2] {
		t.Errorf("bob has alice's store: %q", got)
	}
	for name, want := range map[string]auth.Verb{"busy": auth.No, "broken": auth.Later} {
		d, _, answer := r.open(name)
		if answer.Verb != want {
			t.Errorf("%s: %+v", name, answer)
		}
		if text := say(t, d, ""); text != "" {
			t.Errorf("%s hears %q", name, text)
		}
	}
	closeA()
	if a := r.answer(); a.Verb != auth.End || a.Number != 1 {
		t.Errorf("the end is told as %+v", a)
	}
	if got := say(t, b, "still"); got != "still" {
		t.Errorf("got %q", got)
	}
	r.authd.Close() // sessions survive that
	if got := say(t, b, "there"); got != "there" {
		t.Errorf("without authd: %q", got)
	}
	closeB()
	closeC()
	if err := r.ended(); err != nil {
		t.Error(err)
	}
	want := fmt.Sprintf("imap(alice)<%d><s1>: Disconnected: Logged out in=7\n", os.Getpid())
	if !strings.Contains(r.log.String(), want) {
		t.Errorf("log:\n%swant %s", r.log, want)
	}
	for key, store := range r.server.stores.all {
		if store.users != 0 {
			t.Errorf("%s has %d users", key.path, store.users)
		}
	}
}

// TestFirstUse: the home of a virtual user is made, that of a system user is not.
func TestFirstUse(t *testing.T) {
	t.Parallel()
	r := newRig(t, free)
	r.hello(1)
	home := filepath.Join(r.root, "d", "alice")
	if _, _, answer := r.open("alice"); answer.Verb != auth.OK {
		t.Fatalf("answer %+v", answer)
	}
	for _, dir := range []string{home, home + "/Maildir", home + "/Maildir/new"} {
		if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v, %v", dir, info, err)
		}
	}
	outside := filepath.Join(filepath.Dir(r.root), "home")
	s := handover.Session{Service: "imap", User: "bob", Home: outside, Maildir: outside + "/Maildir"}
	if _, _, answer := r.openAt(s); answer.Verb != auth.Later {
		t.Errorf("no home: %+v", answer)
	}
	if err := os.Mkdir(outside, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, _, answer := r.openAt(s); answer.Verb != auth.OK {
		t.Errorf("home: %+v", answer)
	}
	s.Service = "smtp"
	if _, _, answer := r.openAt(s); answer.Verb != auth.Later {
		t.Errorf("unknown service: %+v", answer)
	}
}

// TestMount: below a root that is not the mount that it should be, nothing is made.
func TestMount(t *testing.T) {
	t.Parallel()
	r := newRig(t, free)
	r.greet(handover.Hello{MessageSize: 1, Roots: []string{r.root}, Mount: "mail1"})
	if _, _, answer := r.open("alice"); answer.Verb != auth.Later {
		t.Errorf("not mounted: %+v", answer)
	}
	if found, _ := filepath.Glob(r.root + "/*"); len(found) != 0 {
		t.Error("made:", found)
	}
	if err := os.WriteFile(filepath.Join(r.root, maildir.MountFile), []byte("mail1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, _, answer := r.open("alice"); answer.Verb != auth.OK {
		t.Errorf("mounted: %+v", answer)
	}
}

// TestFaults: a fault of the program ends one session, and the process takes no more.
func TestFaults(t *testing.T) {
	t.Parallel()
	r := newRig(t, free)
	r.hello(1)
	a, _, _ := r.open("alice")
	say(t, a, "")
	b, closeB, _ := r.open("bob")
	say(t, b, "")
	if got := say(t, a, "panic"); got != "" {
		t.Errorf("got %q", got)
	}
	if got := say(t, b, "still"); got != "still" {
		t.Errorf("got %q", got)
	}
	if a := r.answer(); a.Verb != auth.End || a.Number != 1 {
		t.Errorf("the end is told as %+v", a)
	}
	if l, err := r.authd.ReadLine(); err != io.EOF {
		t.Errorf("it takes more: %v, %v", l, err)
	}
	closeB()
	r.ended()
	for _, want := range []string{"Error: internal error: in the session", "session_test.go", "Disconnected: Internal error"} {
		if !strings.Contains(r.log.String(), want) {
			t.Errorf("the log has no %q:\n%s", want, r.log)
		}
	}
}

func TestFaultAtOpening(t *testing.T) {
	t.Parallel()
	r := newRig(t, free)
	r.hello(1)
	home := filepath.Join(r.root, "faulty")
	ours, theirs := sockettest.Pair(t)
	file, _ := theirs.File()
	theirs.Close()
	r.authd.WriteLine(handover.Session{Number: 1, ID: "x", Service: "imap", User: "faulty", Home: home, Maildir: home}.Line(), file)
	file.Close()
	ours.SetDeadline(time.Now().Add(patience))
	if a := r.answer(); a.Verb != auth.Later {
		t.Errorf("answer %+v", a)
	}
	if _, err := ours.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the connection stays: %v", err)
	}
	r.ended()
	if !strings.Contains(r.log.String(), "at the opening") {
		t.Errorf("log:\n%s", r.log)
	}
}

func TestSIGTERM(t *testing.T) {
	t.Parallel()
	r := newRig(t, free)
	r.hello(1)
	a, _, _ := r.open("alice")
	say(t, a, "")
	r.stop()
	if got := say(t, a, ""); got != "BYE" {
		t.Errorf("the session hears %q", got)
	}
	if err := r.ended(); err != nil {
		t.Error(err)
	}
}

// TestMissingRoot: what was asked is answered, then the next process is to look.
func TestMissingRoot(t *testing.T) {
	t.Parallel()
	r := newRig(t, free)
	if err := os.Remove(r.root); err != nil {
		t.Fatal(err)
	}
	r.hello(1)
	if _, _, answer := r.open("broken"); answer.Verb != auth.Later {
		t.Errorf("answer %+v", answer)
	}
	if err := r.ended(); err != nil {
		t.Error(err)
	}
	if !strings.Contains(r.log.String(), "not within reach: stat "+r.root) {
		t.Errorf("log:\n%s", r.log)
	}
}

// TestReplacedRoot: a process whose confinement is to a directory that is no longer there answers what it was asked, then the next is
// to look.
func TestReplacedRoot(t *testing.T) {
	t.Parallel()
	r := newRig(t, free)
	r.hello(1)
	if _, _, answer := r.open("broken"); answer.Verb != auth.Later {
		t.Errorf("answer %+v", answer)
	}
	a, closeA, answer := r.open("alice")
	if answer.Verb != auth.OK {
		t.Fatalf("it does not outlive a failure: %+v", answer)
	}
	say(t, a, "")
	if err := errors.Join(os.Rename(r.root, r.root+".old"), os.Mkdir(r.root, 0o700)); err != nil {
		t.Fatal(err)
	}
	if _, _, answer := r.open("broken"); answer.Verb != auth.Later {
		t.Errorf("answer %+v", answer)
	}
	if l, err := r.authd.ReadLine(); err != io.EOF {
		t.Errorf("it takes more: %v, %v", l, err)
	}
	if got := say(t, a, "still"); got != "still" {
		t.Errorf("got %q", got)
	}
	closeA()
	if err := r.ended(); err != nil {
		t.Error(err)
	}
}

// TestUnansweredIsNotServed: a session of which authd does not hear that it is served is not.
func TestUnansweredIsNotServed(t *testing.T) {
	t.Parallel()
	r := newRig(t, free)
	r.hello(1)
	ours, theirs := sockettest.Pair(t)
	file, err := theirs.File()
	if err != nil {
		t.Fatal(err)
	}
	theirs.Close()
	home := filepath.Join(r.root, "alice")
	r.authd.WriteLine(handover.Session{Number: 1, ID: "x", Service: "pop3", User: "alice", Home: home, Maildir: home}.Line(), file)
	file.Close()
	<-r.opening
	r.authd.Close()
	close(r.ready)
	ours.SetDeadline(time.Now().Add(patience))
	if n, err := ours.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("it is served: %d octets, %v", n, err)
	}
	r.ended()
}

func TestBadDialogue(t *testing.T) {
	t.Parallel()
	hello := string(handover.Hello{Roots: []string{"/"}}.Line().Append(nil))
	session := string(handover.Session{ID: "x", Service: "imap", User: "a", Home: "/a", Maildir: "/a"}.Line().Append(nil))
	for name, text := range map[string]string{
		"no hello": session, "other version": strings.Replace(hello, "version=1", "version=2", 1), "no roots": strings.Replace(hello, " root=/", "", 1),
		"no descriptor": hello + session, "unexpected": hello + "who alice\n", "syntax": hello + "x\n",
	} {
		r := newRig(t, free)
		r.authd.Write([]byte(text))
		if err := r.ended(); err == nil && name != "syntax" {
			t.Errorf("%s is taken", name)
		}
	}
	r := newRig(t, func([]string) error { return errors.New("no sandbox") })
	r.hello(1)
	if err := r.ended(); err == nil {
		t.Error("it serves without its confinement")
	}
}
