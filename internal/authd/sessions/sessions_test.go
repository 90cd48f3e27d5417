package sessions

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"postrider/internal/auth"
	"postrider/internal/config"
	"postrider/internal/sandbox"
	"postrider/internal/session/handover"
	"postrider/internal/sockettest"
)

const patience = 20 * time.Second

// worker is a session process that is a goroutine. What it does is its test's.
type worker struct {
	*auth.Conn // its end
	manager    *net.UnixConn
	uid, gid   uint32
	pid        int
	done       chan struct{}
	status     syscall.WaitStatus // set before done
	killed     chan struct{}
	once       sync.Once
}

// end is the end of the process.
func (w *worker) end() {
	w.once.Do(func() { w.Close(); close(w.done) })
}

// process is the manager's view of it.
type processOf struct{ *worker }

func (p processOf) Conn() *net.UnixConn        { return p.manager }
func (p processOf) PID() int                   { return p.pid }
func (p processOf) Done() <-chan struct{}      { return p.done }
func (p processOf) Status() syscall.WaitStatus { return p.status }
func (p processOf) Kill() {
	select {
	case <-p.killed:
	default:
		close(p.killed)
	}
	p.end()
}

// starter starts workers.
type starter struct {
	t       *testing.T
	behave  func(*worker)
	err     error
	mu      sync.Mutex
	workers []*worker
}

func (s *starter) Start(_ context.Context, uid, gid uint32) (Process, error) {
	if s.err != nil {
		return nil, s.err
	}
	a, b := sockettest.Pair(s.t)
	s.mu.Lock()
	defer s.mu.Unlock()
	w := &worker{Conn: auth.NewConn(b), manager: a, uid: uid, gid: gid, pid: 100 + len(s.workers), done: make(chan struct{}), killed: make(chan struct{})}
	s.workers = append(s.workers, w)
	go s.behave(w)
	return processOf{w}, nil
}

func (s *starter) started() []*worker {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*worker(nil), s.workers...)
}

type recorder struct {
	mu    sync.Mutex
	lines []string
}

func (r *recorder) Warn(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, fmt.Sprintf(format, args...))
}

func (r *recorder) text() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.lines, "\n")
}

// rig is a manager with workers that are goroutines.
type rig struct {
	*Manager
	t   *testing.T
	s   *starter
	log recorder
	cfg *config.Config
}

func newRig(t *testing.T, behave func(*worker)) *rig {
	t.Helper()
	r := &rig{t: t, s: &starter{t: t, behave: behave}, cfg: config.Default()}
	r.Manager = New(r.s, &r.log)
	r.times = times{start: patience, answer: patience, write: patience, open: patience, end: patience, owing: patience}
	r.cfg.MailRoot = "/srv/mail"
	r.configure(func(*config.Config) {})
	t.Cleanup(func() {
		r.Close()
		for _, w := range r.s.started() {
			w.end()
		}
	})
	return r
}

// configure changes the configuration.
func (r *rig) configure(change func(*config.Config)) {
	c := *r.cfg
	change(&c)
	r.cfg = &c
	r.Configure(Settings{Config: &c, MailboxUID: 900})
}

func user(name string, uid uint32) auth.User {
	return auth.User{Name: name, UID: uid, GID: uid + 1, Home: "/home/" + name}
}

// open opens a session and returns the client's end.
func (r *rig) open(u auth.User) (client *net.UnixConn, pid int, err error) {
	r.t.Helper()
	client, theirs := sockettest.Pair(r.t)
	file, err := theirs.File()
	if err != nil {
		r.t.Fatal(err)
	}
	defer file.Close()
	defer theirs.Close()
	client.SetDeadline(time.Now().Add(patience))
	pid, err = r.Open(r.t.Context(), Login{User: u, Service: "imap", Session: auth.Session{ID: "x", Tag: "a"}}, file)
	return client, pid, err
}

func (r *rig) mustOpen(u auth.User) (*net.UnixConn, int) {
	r.t.Helper()
	c, pid, err := r.open(u)
	if err != nil {
		r.t.Fatalf("session of %s: %v", u.Name, err)
	}
	return c, pid
}

// wait polls until ok.
func (r *rig) wait(what string, ok func() bool) {
	r.t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			r.t.Fatalf("%s: not within %v", what, patience)
		}
	}
}

func (r *rig) await(what string, done <-chan struct{}) {
	r.t.Helper()
	select {
	case <-done:
	case <-time.After(patience):
		r.t.Fatalf("%s: not within %v", what, patience)
	}
}

func (r *rig) processes() (current, alive int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.current), len(r.alive)
}

// serve is a good worker: it says what it was told, and each session echoes lines until its client leaves.
func serve(w *worker) {
	defer w.end()
	var sessions sync.WaitGroup
	defer sessions.Wait()
	var hello handover.Hello
	for {
		l, err := w.ReadLine()
		if err != nil {
			return
		}
		if l.Verb == auth.Hello {
			hello, _ = handover.ParseHello(l)
			continue
		}
		s, err := handover.ParseSession(l)
		if err != nil {
			return
		}
		conn, err := net.FileConn(w.File())
		if err != nil {
			return
		}
		w.WriteLine(handover.Answer{Verb: auth.OK, Number: s.Number}.Line(), nil)
		idle := hello.IMAPIdle
		sessions.Go(func() {
			fmt.Fprintf(conn, "%s %s %v\n", s.User, s.Maildir, idle)
			io.Copy(conn, conn)
			conn.Close()
			w.WriteLine(handover.Answer{Verb: auth.End, Number: s.Number}.Line(), nil)
		})
	}
}

func line(t *testing.T, c net.Conn) string {
	t.Helper()
	text, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(text)
}

// TestProcesses: users with a uid have a process each, those of one uid and root share one.
func TestProcesses(t *testing.T) {
	t.Parallel()
	r := newRig(t, serve)
	virtual := func(name string) auth.User {
		return auth.User{Name: name, UID: 900, GID: 900, Home: "/srv/mail/" + name}
	}
	elsewhere := user("bob", 1001)
	elsewhere.Maildir = "/var/mail/bob"
	for _, tt := range []struct {
		user auth.User
		pid  int
		says string
	}{
		{user("alice", 1000), 100, "alice /home/alice/Maildir 30m0s"}, {user("bob", 1001), 101, "bob /home/bob/Maildir 30m0s"},
		{user("alice", 1000), 100, "alice /home/alice/Maildir 30m0s"}, {virtual("a@x"), 102, "a@x /srv/mail/a@x/Maildir 30m0s"},
		{virtual("b@x"), 102, "b@x /srv/mail/b@x/Maildir 30m0s"}, {elsewhere, 103, "bob /var/mail/bob 30m0s"},
	} {
		c, pid := r.mustOpen(tt.user)
		if says := line(t, c); pid != tt.pid || says != tt.says {
			t.Errorf("%s: process %d, want %d; %q", tt.user.Name, pid, tt.pid, says)
		}
	}
	for i, want := range []uint32{1000, 1001, 900, 1001} {
		if w := r.s.started()[i]; w.uid != want {
			t.Errorf("process %d has uid %d, want %d", i, w.uid, want)
		}
	}
}

// TestReload: sessions that come after it are served by the new settings, in the same process.
func TestReload(t *testing.T) {
	t.Parallel()
	r := newRig(t, serve)
	r.mustOpen(user("alice", 1000))
	r.configure(func(c *config.Config) { c.IMAPD.IdleTimeout = config.Duration(time.Hour) })
	c, pid := r.mustOpen(user("alice", 1000))
	if says := line(t, c); says != "alice /home/alice/Maildir 1h0m0s" || pid != 100 {
		t.Errorf("process %d says %q", pid, says)
	}
}

func TestIdle(t *testing.T) {
	t.Parallel()
	r := newRig(t, serve)
	r.configure(func(c *config.Config) { c.Authd.SessionIdle = config.Duration(20 * time.Millisecond) })
	c, _ := r.mustOpen(user("alice", 1000))
	d, _ := r.mustOpen(user("alice", 1000))
	c.Close()
	d.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	line(t, d)
	if _, err := d.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a session ends with the idle time: %v", err)
	}
	d.Close()
	r.await("the process to end", r.s.started()[0].done)
	r.wait("no process", func() bool { current, alive := r.processes(); return current == 0 && alive == 0 })
	if _, pid := r.mustOpen(user("alice", 1000)); pid != 101 {
		t.Errorf("process %d", pid)
	}
}

// TestAnswers: what a process may say is what its sessions' clients hear; whatever else it says ends the dialogue.
func TestAnswers(t *testing.T) {
	t.Parallel()
	for says, want := range map[string]string{
		"ok id=1":                           "",
		"no id=1":                           "in use",
		"later disk+20full id=1":            "disk full",
		"ok id=1\nok id=1":                  "",
		"ok id=9":                           "ended",
		"end id=1":                          "ended",
		"ok":                                "ended",
		"ok id=x":                           "ended",
		"hello version=1":                   "ended",
		"session id=1":                      "ended",
		"nonsense":                          "ended",
		strings.Repeat("x", auth.MaxLine+1): "ended",
		"":                                  "ended",
		"later " + strings.Repeat("y", 9000) + " id=1": "yyyy",
	} {
		r := newRig(t, func(w *worker) {
			defer w.end()
			w.ReadLine()
			w.ReadLine()
			w.Discard()
			w.Write([]byte(says + "\n"))
			w.ReadLine() // the end
		})
		_, _, err := r.open(user("alice", 1000))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%.30q: %v, want %q", says, err, want)
		}
		if errors.Is(err, auth.ErrInUse) != (want == "in use") || err != nil && len(err.Error()) > 2000 {
			t.Errorf("%.30q: %v", says, err)
		}
	}
}

// TestLateLies: a process that floods or lies after it took a session is parted with; the session stays its own.
func TestLateLies(t *testing.T) {
	t.Parallel()
	flooded := make(chan struct{})
	r := newRig(t, func(w *worker) {
		w.ReadLine()
		w.ReadLine()
		conn, _ := net.FileConn(w.File())
		w.Write([]byte("ok id=1\n"))
		<-flooded
		for range 1 << 20 {
			if _, err := w.Write([]byte("end id=7\n")); err != nil {
				break
			}
		}
		io.Copy(conn, conn)
		conn.Close()
		w.end()
	})
	c, _ := r.mustOpen(user("alice", 1000))
	close(flooded)
	r.wait("parting", func() bool { current, _ := r.processes(); return current == 0 })
	c.Write([]byte("still\n"))
	if says := line(t, c); says != "still" {
		t.Errorf("the session says %q", says)
	}
	c.Close()
	r.wait("its end", func() bool { _, alive := r.processes(); return alive == 0 })
}

// TestHung: a process that does not answer is left, killed if it serves nobody, and the next login has another; others never wait
// for it, and its user can have no more of these than a few.
func TestHung(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(w *worker) {
		if w.uid != 1000 {
			serve(w)
		}
	})
	r.times.start, r.times.answer, r.times.end = 500*time.Millisecond, 50*time.Millisecond, time.Hour
	for i := range ordinaryProcesses {
		if _, _, err := r.open(user("alice", 1000)); !errors.Is(err, errHung) {
			t.Fatalf("login %d: %v", i, err)
		}
	}
	if _, _, err := r.open(user("alice", 1000)); err == nil || errors.Is(err, errHung) {
		t.Errorf("one more: %v", err)
	}
	r.mustOpen(user("bob", 1001))
	if n := len(r.s.started()); n != ordinaryProcesses+1 {
		t.Errorf("%d processes", n)
	}
	for _, w := range r.s.started()[:ordinaryProcesses] {
		w.end()
	}
}

func TestHungIsKilled(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(*worker) {})
	r.times.answer, r.times.end = 20*time.Millisecond, 20*time.Millisecond
	if _, _, err := r.open(user("alice", 1000)); !errors.Is(err, errHung) {
		t.Fatal(err)
	}
	r.await("the kill", r.s.started()[0].killed)
	r.wait("its place", func() bool { _, alive := r.processes(); return alive == 0 })
}

// TestStopped: a process that reads nothing holds up only those who log in as its user, and of these not too many.
func TestStopped(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(w *worker) {
		if w.uid != 1000 {
			serve(w)
		}
	})
	failures := make(chan error, ordinaryWaiting+10)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for range cap(failures) {
		go func() {
			_, theirs := sockettest.Pair(t)
			file, err := theirs.File()
			if err != nil {
				failures <- err
				return
			}
			defer file.Close()
			long := user("alice", 1000)
			_, err = r.Open(ctx, Login{User: long, Service: "imap", Session: auth.Session{ID: "x", Tag: strings.Repeat("t", 1024)}}, file)
			failures <- err
		}()
	}
	for range 10 { // those that were too many are told so at once
		select {
		case err := <-failures:
			if err == nil || !strings.Contains(err.Error(), "too many") {
				t.Errorf("got %v", err)
			}
		case <-time.After(patience):
			t.Fatal("nobody was too many")
		}
	}
	r.mustOpen(user("bob", 1001))
	cancel()
	for range ordinaryWaiting {
		if err := <-failures; err == nil {
			t.Error("a session without an answer")
		}
	}
}

// TestLimit: beyond the limit of processes an idle one has to go; where none is idle the login has to wait.
func TestLimit(t *testing.T) {
	t.Parallel()
	r := newRig(t, serve)
	r.configure(func(c *config.Config) { c.Authd.MaxSessions = 2 })
	a, _ := r.mustOpen(user("a", 1001))
	b, _ := r.mustOpen(user("b", 1002))
	if _, _, err := r.open(user("c", 1003)); !errors.Is(err, errBusy) {
		t.Errorf("got %v", err)
	}
	a.Close()
	r.wait("idleness", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		for p := range r.alive {
			if !p.idle.IsZero() {
				return true
			}
		}
		return false
	})
	r.mustOpen(user("c", 1003))
	r.await("the idle one's end", r.s.started()[0].done)
	b.Write([]byte("still\n"))
	line(t, b)
}

func TestStartFails(t *testing.T) {
	t.Parallel()
	r := newRig(t, serve)
	r.s.err = sandbox.ErrRefused
	for range 3 {
		if _, _, err := r.open(user("alice", 1000)); !errors.Is(err, sandbox.ErrRefused) {
			t.Errorf("got %v", err)
		}
	}
	if current, alive := r.processes(); current+alive > 0 {
		t.Errorf("left behind: %d, %d", current, alive)
	}
	r.s.err = nil
	r.mustOpen(user("alice", 1000))
}

// TestAway: a process that hears nothing any longer costs a login nothing.
func TestAway(t *testing.T) {
	t.Parallel()
	r := newRig(t, serve)
	c, _ := r.mustOpen(user("alice", 1000))
	if err := r.s.started()[0].CloseRead(); err != nil { // which the manager learns by writing to it
		t.Fatal(err)
	}
	if _, pid := r.mustOpen(user("alice", 1000)); pid != 101 {
		t.Errorf("process %d", pid)
	}
	c.Write([]byte("still\n"))
	line(t, c)
}

// TestNeverTwice: a connection that one process has been given is given to no other, whatever becomes of that one.
func TestNeverTwice(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(w *worker) {
		w.ReadLine()
		w.ReadLine()
		if w.pid == 100 {
			w.Write([]byte("ok id=7\n"))
		}
		w.end()
	})
	for i := range 2 {
		if _, _, err := r.open(user("alice", 1000)); !errors.Is(err, errLost) {
			t.Errorf("got %v", err)
		}
		if n := len(r.s.started()); n != i+1 {
			t.Errorf("%d processes have seen %d connections", n, i+1)
		}
	}
}

// picky is a process that leaves the answers to its test.
type picky struct {
	sessions chan handover.Session
	stays    bool // until it is killed
}

func (p picky) serve(w *worker) {
	for {
		l, err := w.ReadLine()
		if err != nil {
			if !p.stays {
				w.end()
			}
			return
		}
		if s, err := handover.ParseSession(l); err == nil {
			w.Discard()
			p.sessions <- s
		}
	}
}

func (w *worker) answer(verb auth.Verb, s handover.Session) {
	w.WriteLine(handover.Answer{Verb: verb, Number: s.Number}.Line(), nil)
}

// TestSlowMailbox: a session that is not answered in time costs its process nothing while that answers others, and may be answered late.
func TestSlowMailbox(t *testing.T) {
	t.Parallel()
	virtual := func(name string) auth.User {
		return auth.User{Name: name, UID: 900, GID: 900, Home: "/srv/mail/" + name}
	}
	p := picky{sessions: make(chan handover.Session, 1)}
	r := newRig(t, p.serve)
	r.times.answer = time.Second
	failed := make(chan error, 1)
	go func() {
		_, _, err := r.open(virtual("slow@x"))
		failed <- err
	}()
	slow := <-p.sessions
	w := r.s.started()[0]
	go func() { w.answer(auth.OK, <-p.sessions) }()
	r.mustOpen(virtual("b@x"))
	if err := <-failed; !errors.Is(err, errHung) {
		t.Errorf("the slow one: %v", err)
	}
	w.answer(auth.OK, slow)
	w.answer(auth.End, slow)
	go func() { w.answer(auth.OK, <-p.sessions) }()
	if _, pid := r.mustOpen(virtual("c@x")); pid != 100 {
		t.Errorf("another process, %d: %s", pid, r.log.text())
	}
	r.wait("the late one's end", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		for p := range r.alive {
			return len(p.sessions) == 2 && p.waiting == 0
		}
		return false
	})
}

// TestOwing: a process that has sessions and owes answers for long is killed if that harms one user only.
func TestOwing(t *testing.T) {
	t.Parallel()
	for uid, killed := range map[uint32]bool{1000: true, 900: false} {
		p := picky{sessions: make(chan handover.Session, 1), stays: true}
		r := newRig(t, p.serve)
		r.times.answer, r.times.owing = 500*time.Millisecond, 20*time.Millisecond
		go func() {
			s := <-p.sessions
			r.s.started()[0].answer(auth.OK, s)
		}()
		r.mustOpen(user("alice", uid))
		if _, _, err := r.open(user("alice", uid)); !errors.Is(err, errHung) {
			t.Errorf("got %v", err)
		}
		w := r.s.started()[0]
		if killed {
			r.await("the kill", w.killed)
			continue
		}
		select {
		case <-w.killed:
			t.Error("sessions of others were ended")
		case <-time.After(10 * r.times.owing):
		}
	}
}

// TestCrash: a process that does not end as it should is in the log, with what it took along.
func TestCrash(t *testing.T) {
	t.Parallel()
	for status, want := range map[syscall.WaitStatus]string{0: "", 9: "ended with signal 9 (killed); sessions lost: 1", 2 << 8: "ended with status 2; sessions lost: 1"} {
		r := newRig(t, serve)
		r.mustOpen(user("alice", 1000))
		w := r.s.started()[0]
		w.status = status
		w.end()
		r.wait("its end", func() bool { _, alive := r.processes(); return alive == 0 })
		if want == "" {
			if text := r.log.text(); text != "" {
				t.Errorf("log: %s", text)
			}
			continue
		}
		r.wait(want, func() bool { return r.log.text() == "session process 100 of uid 1000 "+want })
	}
}

// TestNoDescriptors: what a process passes to authd does not arrive.
func TestNoDescriptors(t *testing.T) {
	t.Parallel()
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	r := newRig(t, func(w *worker) {
		w.ReadLine()
		w.ReadLine()
		w.WriteLine(handover.Answer{Verb: auth.OK, Number: 1}.Line(), out)
		out.Close()
		w.ReadLine() // the end
	})
	r.mustOpen(user("alice", 1000))
	in.SetReadDeadline(time.Now().Add(patience))
	if _, err := in.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the descriptor is kept: %v", err)
	}
}

// lingering is a socket that takes its time to be closed: what it is to send before nobody reads. release lets it close.
func lingering(t *testing.T) (file *os.File, release func()) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	peer, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	tcp := c.(*net.TCPConn)
	tcp.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
	for err = nil; err == nil; {
		_, err = tcp.Write(make([]byte, 64<<10))
	}
	if err = tcp.SetLinger(10 * int(patience/time.Second)); err == nil {
		file, err = tcp.File()
	}
	if err != nil {
		t.Fatal(err)
	}
	release = func() { peer.Close() } // with octets unread: that resets the connection
	t.Cleanup(release)
	return file, release
}

// TestDescriptorThatHangs: a process may pass what takes for ever to close. Nobody else waits for that.
func TestDescriptorThatHangs(t *testing.T) {
	t.Parallel()
	file, release := lingering(t)
	r := newRig(t, nil)
	r.s.behave = func(w *worker) {
		if w.uid != 1000 {
			serve(w)
			return
		}
		w.ReadLine()
		w.ReadLine()
		w.WriteLine(handover.Answer{Verb: auth.OK, Number: 1}.Line(), file)
		file.Close()
	}
	r.times.answer = time.Second
	for _, want := range []struct {
		user auth.User
		err  error
	}{{user("alice", 1000), errHung}, {user("bob", 1001), nil}} {
		opened := make(chan error, 1)
		go func() {
			_, _, err := r.open(want.user)
			opened <- err
		}()
		select {
		case err := <-opened:
			if !errors.Is(err, want.err) {
				t.Errorf("%s: %v, want %v", want.user.Name, err, want.err)
			}
		case <-time.After(patience):
			release()
			t.Fatalf("%s waits for what alice's process passed", want.user.Name)
		}
	}
	release()
}

// TestOpenIsBounded: whatever a login waits for, it does not wait longer than the front does.
func TestOpenIsBounded(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(*worker) {})
	r.times.open = 20 * time.Millisecond
	if _, _, err := r.open(user("alice", 1000)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

// TestLongLine: a session that no line can hold is that session's failure.
func TestLongLine(t *testing.T) {
	t.Parallel()
	r := newRig(t, serve)
	r.mustOpen(user("alice", 1000))
	u := user("alice", 1000)
	u.Name = strings.Repeat("+", auth.MaxLine/2)
	if _, _, err := r.open(u); !errors.Is(err, auth.ErrSyntax) {
		t.Errorf("got %v", err)
	}
	if _, pid := r.mustOpen(user("alice", 1000)); pid != 100 {
		t.Errorf("process %d", pid)
	}
}
