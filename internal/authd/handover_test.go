package authd

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"postrider/internal/auth"
	"postrider/internal/authd/sessions"
)

// fakeSessions greets each connection and keeps whose it is.
type fakeSessions struct {
	mu     sync.Mutex
	logins []sessions.Login
	err    error
}

func (f *fakeSessions) Open(_ context.Context, l sessions.Login, file *os.File) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.logins = append(f.logins, l)
	c, err := net.FileConn(file)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	io.WriteString(c, "hello "+l.User.Name)
	return 4711, f.err
}

func (f *fakeSessions) all() []sessions.Login {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.logins)
}

func (f *fakeSessions) count() int { return len(f.all()) }

func (f *fakeSessions) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

// connected returns a connection to hand over, and its other end.
func connected(t *testing.T, kind int) (theirs, ours *os.File) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	theirs, ours = os.NewFile(uintptr(fds[0]), "theirs"), os.NewFile(uintptr(fds[1]), "ours")
	t.Cleanup(func() { theirs.Close(); ours.Close() })
	return theirs, ours
}

func sessionLogin(t *testing.T, c *auth.Client, service, name, pw string) *auth.Exchange {
	t.Helper()
	x := c.Start(t.Context(), auth.Request{Service: service, Mechanism: "PLAIN", RemoteIP: "192.0.2.1", LocalIP: "192.0.2.2",
		Initial: []byte("\x00" + name + "\x00" + pw), Session: true})
	t.Cleanup(x.Abort)
	if _, done, _, err := x.Step(nil); !done || err != nil {
		t.Fatalf("login: %v, %v", done, err)
	}
	return x
}

func TestSession(t *testing.T) {
	t.Parallel()
	var log recorder
	taker := &fakeSessions{}
	client, _ := runWith(t, testSettings(t, &log), taker)
	for _, service := range []string{"imap", "pop3"} {
		x := sessionLogin(t, client, service, "Alice@local.test", "wonderland")
		theirs, ours := connected(t, unix.SOCK_STREAM)
		pid, err := x.Open(t.Context(), auth.Session{ID: "abc", Tag: "A1"}, theirs)
		theirs.Close()
		if pid != 4711 || err != nil {
			t.Fatalf("%s: %d, %v", service, pid, err)
		}
		if text, err := io.ReadAll(ours); string(text) != "hello alice" || err != nil {
			t.Errorf("%s: heard %q, %v", service, text, err)
		}
		got := taker.all()[taker.count()-1]
		want := sessions.Login{User: auth.User{Name: "alice", UID: 1000, GID: 1000, Home: "/home/alice"}, Service: service,
			Session: auth.Session{ID: "abc", Tag: "A1"}}
		if got != want {
			t.Errorf("handed over %+v, want %+v", got, want)
		}
	}
	for reason, want := range map[error]error{auth.ErrInUse: auth.ErrInUse, errors.New("no process"): auth.ErrLater} {
		taker.fail(reason)
		x := sessionLogin(t, client, "pop3", "alice", "wonderland")
		theirs, _ := connected(t, unix.SOCK_STREAM)
		if _, err := x.Open(t.Context(), auth.Session{ID: "abc"}, theirs); !errors.Is(err, want) {
			t.Errorf("%v: %v", reason, err)
		}
	}
	if _, err := client.Who(t.Context(), "alice"); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// front speaks to authd as a front would that has been taken over.
type front struct {
	*auth.Conn
	t *testing.T
}

func newFront(t *testing.T, c *auth.Client) *front {
	conn := dial(t, c).(*net.UnixConn)
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	return &front{auth.NewConn(conn), t}
}

// say writes a line with descriptors and returns the verb of its answer, or "closed".
func (f *front) say(line string, files ...*os.File) string {
	f.t.Helper()
	var rights []byte
	if len(files) > 0 {
		fds := make([]int, len(files))
		for i, file := range files {
			fds[i] = int(file.Fd())
		}
		rights = unix.UnixRights(fds...)
	}
	if _, _, err := f.WriteMsgUnix([]byte(line+"\n"), rights, nil); err != nil {
		return "closed"
	}
	l, err := f.ReadLine()
	if err != nil {
		if ne := net.Error(nil); errors.As(err, &ne) && ne.Timeout() {
			f.t.Errorf("%s: no answer", line)
		}
		return "closed"
	}
	return string(l.Verb)
}

func plainLine(service, name, pw string) string {
	return "auth " + service + " PLAIN ir=" + base64.StdEncoding.EncodeToString([]byte("\x00"+name+"\x00"+pw))
}

// TestNoSessionWithoutLogin: whatever a front says, it gets at most one session of each login, and that is of who logged in.
func TestNoSessionWithoutLogin(t *testing.T) {
	t.Parallel()
	var log recorder
	taker := &fakeSessions{}
	client, _ := runWith(t, testSettings(t, &log), taker)
	good, _ := connected(t, unix.SOCK_STREAM)
	alice := plainLine("imap", "alice", "wonderland")
	const session = "session id=x"
	type step struct {
		line  string
		files []*os.File
		want  string
	}
	with := []*os.File{good}
	for name, tt := range map[string]struct {
		steps  []step
		opened int
	}{
		"without a login":       {[]step{{session, with, "closed"}}, 0},
		"a second one":          {[]step{{alice, nil, "ok"}, {session, with, "ok"}, {session, with, "closed"}}, 1},
		"after a failed login":  {[]step{{plainLine("imap", "alice", "x"), nil, "no"}, {session, with, "closed"}}, 0},
		"after a later failure": {[]step{{alice, nil, "ok"}, {plainLine("imap", "bob", "x"), nil, "no"}, {session, with, "closed"}}, 0},
		"after who":             {[]step{{"who alice", nil, "ok"}, {session, with, "closed"}}, 0},
		"login, then who":       {[]step{{alice, nil, "ok"}, {"who bob", nil, "ok"}, {session, with, "closed"}}, 0},
		"login, mechanisms":     {[]step{{alice, nil, "ok"}, {"mechanisms", nil, "ok"}, {session, with, "closed"}}, 0},
		"of a login to smtp":    {[]step{{plainLine("smtp", "alice", "wonderland"), nil, "ok"}, {session, with, "closed"}}, 0},
		"within an exchange":    {[]step{{"auth imap PLAIN", nil, "cont"}, {session, with, "closed"}}, 0},
		"after abort":           {[]step{{"auth imap PLAIN", nil, "cont"}, {"abort", nil, "no"}, {session, with, "closed"}}, 0},
		"without a descriptor":  {[]step{{alice, nil, "ok"}, {session, nil, "closed"}}, 0},
		"with two":              {[]step{{alice, nil, "ok"}, {session, []*os.File{good, good}, "closed"}}, 0},
		"with many":             {[]step{{alice, nil, "ok"}, {session, []*os.File{good, good, good, good, good}, "closed"}}, 0},
		"descriptor with who":   {[]step{{"who alice", with, "closed"}}, 0},
		"descriptor with auth":  {[]step{{alice, with, "closed"}}, 0},
		"descriptor with cont":  {[]step{{"auth imap PLAIN", nil, "cont"}, {"cont =", with, "closed"}}, 0},
		"in one burst":          {[]step{{alice + "\n" + session, with, "closed"}}, 0},
		"bad id":                {[]step{{alice, nil, "ok"}, {"session id=a+20b", with, "closed"}}, 0},
		"another's name":        {[]step{{alice, nil, "ok"}, {session + " name=bob uid=1001 home=/home/bob service=pop3", with, "ok"}}, 1},
	} {
		f := newFront(t, client)
		before := taker.count()
		for _, s := range tt.steps {
			if got := f.say(s.line, s.files...); got != s.want {
				t.Errorf("%s: %.20q is answered %q, want %q", name, s.line, got, s.want)
			}
		}
		if n := taker.count() - before; n != tt.opened {
			t.Errorf("%s: %d sessions, want %d", name, n, tt.opened)
		}
	}
	for _, l := range taker.all() {
		if l.User.Name != "alice" || l.Service != "imap" {
			t.Errorf("a session of %+v", l)
		}
	}
}

// TestOnlyConnections: what a session process gets is a connection between two programs of this host, and nothing else.
func TestOnlyConnections(t *testing.T) {
	t.Parallel()
	var log recorder
	taker := &fakeSessions{}
	client, _ := runWith(t, testSettings(t, &log), taker)
	for name, file := range strangers(t) {
		f := newFront(t, client)
		if got := f.say(plainLine("imap", "alice", "wonderland")); got != "ok" {
			t.Fatal(got)
		}
		if got := f.say("session id=x", file); got != "closed" {
			t.Errorf("%s: %s", name, got)
		}
	}
	if n := taker.count(); n > 0 {
		t.Errorf("%d sessions", n)
	}
}

// strangers are descriptors that are no connection.
func strangers(t *testing.T) map[string]*os.File {
	t.Helper()
	dir, err := os.MkdirTemp("", "pr")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	files := make(map[string]*os.File)
	add := func(name string, f *os.File, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		t.Cleanup(func() { f.Close() })
		files[name] = f
	}
	f, err := os.Create(filepath.Join(dir, "file"))
	add("a file", f, err)
	f, err = os.Open(dir)
	add("a directory", f, err)
	f, _, err = os.Pipe()
	add("a pipe", f, err)
	files["datagrams"], _ = connected(t, unix.SOCK_DGRAM)
	files["packets"], _ = connected(t, unix.SOCK_SEQPACKET)
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	add("not connected", os.NewFile(uintptr(fd), "socket"), err)
	l, err := net.Listen("unix", filepath.Join(dir, "socket"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	f, err = l.(*net.UnixListener).File()
	add("a listener", f, err)
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tcp.Close() })
	c, err := net.Dial("tcp", tcp.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	f, err = c.(*net.TCPConn).File()
	add("TCP", f, err)
	return files
}

// TestProofExpires: a login that is kept for later is none.
func TestProofExpires(t *testing.T) {
	t.Parallel()
	var log recorder
	theirs, _ := connected(t, unix.SOCK_STREAM)
	a, b := connected(t, unix.SOCK_STREAM)
	if err := auth.NewConn(unixConn(t, a)).WriteLine(auth.NewLine(auth.Begin).With("id", "x"), theirs); err != nil {
		t.Fatal(err)
	}
	taker := &fakeSessions{}
	c := &connection{server: New(testSettings(t, &log), taker), conn: auth.NewConn(unixConn(t, b))}
	question, err := c.next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	old := &proof{until: time.Now().Add(-time.Millisecond)}
	if err := c.session(t.Context(), c.server.verifier.Load(), old, question); !errors.Is(err, auth.ErrSyntax) || taker.count() > 0 {
		t.Errorf("got %v, %d sessions", err, taker.count())
	}
	if p := proofOf(attempt{service: "imap"}, auth.User{}); time.Until(p.until) > provenTimeout || !strings.Contains(p.Service, "imap") {
		t.Errorf("proof %+v", p)
	}
}

func unixConn(t *testing.T, f *os.File) *net.UnixConn {
	t.Helper()
	c, err := net.FileConn(f)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c.(*net.UnixConn)
}
