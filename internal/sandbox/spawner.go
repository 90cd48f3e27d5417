package sandbox

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"postrider/internal/fault"
)

var (
	// ErrRefused says that the limits do not allow that uid or gid, or that there is no such kind of worker.
	ErrRefused = errors.New("sandbox: refused by the spawner")
	// ErrBusy says that a limit of living workers is reached; it passes.
	ErrBusy = errors.New("sandbox: too many workers")
	// ErrGone says that the spawner has ended. The daemon holds no capability to start another one, and should end.
	ErrGone = errors.New("sandbox: the spawner has ended")
)

// Spawner is the manager's hold on its spawner process. Its methods may be used by several goroutines.
type Spawner struct {
	conn    *net.UnixConn
	command *exec.Cmd
	gone    chan struct{}

	mu       sync.Mutex
	sequence uint32
	waiting  map[uint32]chan result
	workers  map[uint32]*Worker
}

// result is the answer to one request.
type result struct {
	worker *Worker
	err    error
}

// Worker is a process that the spawner started. Conn is the manager's; closing it tells the worker to end.
type Worker struct {
	Conn *net.UnixConn
	UID  uint32
	PID  int // for logs; the manager may not signal it

	spawner *Spawner
	done    chan struct{}
	status  syscall.WaitStatus
}

// Done is closed when the worker's process has ended, or nobody is left to say so.
func (w *Worker) Done() <-chan struct{} { return w.done }

// Status says how the process ended. It may be asked for after Done.
func (w *Worker) Status() syscall.WaitStatus { return w.status }

// Kill has a worker killed that does not end by itself; Done tells when that has happened. Other processes of that uid
// can hinder it: what they keep alive counts against the uid's own limit.
func (w *Worker) Kill(ctx context.Context) error {
	_, err := w.spawner.ask(ctx, request{op: opKill, pid: uint32(w.PID)})
	if err != nil && !errors.Is(err, ErrRefused) { // refused: it has ended
		return fmt.Errorf("kill worker %d: %w", w.PID, err)
	}
	return nil
}

// StartSpawner starts this program again as the spawner and waits until that is confined. It must be called while the
// daemon still has CAP_SETUID and CAP_SETGID (unless limits say SingleUID), before it confines itself, and before it
// looks at any input. The program's main must call SpawnerMain first of all.
func StartSpawner(ctx context.Context, limits Limits) (*Spawner, error) {
	return launch{program: "/proc/self/exe"}.start(ctx, limits)
}

// launch is how the spawner's process is started; tests start another program, or as another user.
type launch struct {
	program    string
	credential *syscall.Credential
}

func (l launch) start(ctx context.Context, limits Limits) (*Spawner, error) {
	if err := limits.valid(); err != nil {
		return nil, err
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("start spawner: socketpair: %w", err)
	}
	theirs := os.NewFile(uintptr(pair[1]), "spawner")
	defer theirs.Close()
	conn, err := unixConn(pair[0], "manager")
	if err != nil {
		return nil, fmt.Errorf("start spawner: %w", err)
	}
	command := &exec.Cmd{
		Path:        l.program,
		Args:        []string{os.Args[0], spawnerArgument, limits.String()},
		Env:         environment(),
		Dir:         "/",
		Stderr:      os.Stderr,
		ExtraFiles:  []*os.File{theirs},
		SysProcAttr: &syscall.SysProcAttr{Setsid: true, Credential: l.credential},
	}
	if !limits.SingleUID {
		command.SysProcAttr.AmbientCaps = identityCaps
	}
	if err := command.Start(); err != nil {
		conn.Close()
		if errors.Is(err, os.ErrPermission) && !limits.SingleUID {
			err = fmt.Errorf("%w (it takes CAP_SETUID and CAP_SETGID)", err)
		}
		return nil, fmt.Errorf("start spawner: %w", err)
	}
	theirs.Close()
	s := &Spawner{
		conn: conn, command: command, gone: make(chan struct{}),
		waiting: make(map[uint32]chan result), workers: make(map[uint32]*Worker),
	}
	if err := s.awaitReady(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// identityCaps are the capabilities of the spawner and of a starter.
var identityCaps = []uintptr{unix.CAP_SETUID, unix.CAP_SETGID}

// environment is all that spawner and workers see of the daemon's.
func environment() []string {
	env := append(fault.Env(), "PATH=/usr/local/bin:/usr/bin:/bin")
	for _, name := range []string{"LANG", "TZ", "JOURNAL_STREAM"} { // the last says what descriptor 2 is
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// awaitReady returns when the spawner says that it is confined. From then on, reports are read in the background.
func (s *Spawner) awaitReady(ctx context.Context) error {
	ready := make(chan error, 1)
	go func() {
		r, _, err := s.receive()
		if err == nil && r.op != opReady {
			err = errMessage
		}
		ready <- err
		s.readReports(err)
	}()
	select {
	case err := <-ready:
		if err != nil {
			<-s.gone
			return fmt.Errorf("start spawner: it ended before it was ready (%s)", s.command.ProcessState)
		}
		return nil
	case <-ctx.Done():
		s.Close()
		return fmt.Errorf("start spawner: %w", ctx.Err())
	}
}

// Gone is closed when the spawner has ended.
func (s *Spawner) Gone() <-chan struct{} { return s.gone }

// Close lets the spawner end and waits for it. Workers live on until their own sockets are closed.
func (s *Spawner) Close() error {
	err := s.conn.Close()
	<-s.gone
	return err
}

// Start starts a worker of that kind under uid and gid. The error is ErrRefused, ErrBusy, ErrGone, the context's or the
// system's, wrapped. A worker that cannot take on its identity ends at once, with ExitIdentity.
func (s *Spawner) Start(ctx context.Context, uid, gid uint32, kind byte) (*Worker, error) {
	worker, err := s.ask(ctx, request{op: opStart, kind: kind, uid: uid, gid: gid})
	if err != nil {
		return nil, fmt.Errorf("start worker for uid %d: %w", uid, err)
	}
	return worker, nil
}

// ask sends a request and waits for what becomes of it.
func (s *Spawner) ask(ctx context.Context, r request) (*Worker, error) {
	answer := make(chan result, 1)
	s.mu.Lock()
	s.sequence++
	r.sequence = s.sequence
	s.waiting[r.sequence] = answer
	s.mu.Unlock()

	if _, err := s.conn.Write(r.encode()); err != nil {
		s.forget(r.sequence, answer)
		return nil, fmt.Errorf("%w: %w", ErrGone, err)
	}
	select {
	case a := <-answer:
		if a.worker != nil {
			a.worker.UID = r.uid
		} else if a.err == nil && r.op == opStart {
			a.err = unix.EMFILE // the kernel dropped its socket
		}
		return a.worker, a.err
	case <-ctx.Done():
		s.forget(r.sequence, answer)
		return nil, ctx.Err()
	case <-s.gone:
		s.forget(r.sequence, answer)
		return nil, ErrGone
	}
}

// forget gives up a request. A worker that came for it nevertheless is told to end.
func (s *Spawner) forget(sequence uint32, answer chan result) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.waiting, sequence)
	select {
	case a := <-answer:
		if a.worker != nil {
			a.worker.Conn.Close()
		}
	default:
	}
}

// readReports works until the spawner ends, which it makes sure of. err is what went wrong before.
func (s *Spawner) readReports(err error) {
	for err == nil {
		var r report
		var conn *net.UnixConn
		if r, conn, err = s.receive(); err == nil {
			err = s.take(r, conn)
		}
	}
	s.conn.Close()
	s.command.Wait() // its status is of interest only at the start, and is in ProcessState
	s.mu.Lock()
	defer s.mu.Unlock()
	for pid, worker := range s.workers {
		delete(s.workers, pid)
		close(worker.done)
	}
	close(s.gone)
}

// take acts on one report.
func (s *Spawner) take(r report, conn *net.UnixConn) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch r.op {
	case opEnded:
		if worker, ok := s.workers[r.pid]; ok {
			delete(s.workers, r.pid)
			worker.status = syscall.WaitStatus(r.status)
			close(worker.done)
		}
		return nil
	case opDone:
		s.answer(r, conn)
		return nil
	}
	return errMessage
}

// answer gives a result to who waits for it; a worker that nobody waits for is told to end.
func (s *Spawner) answer(r report, conn *net.UnixConn) {
	var a result
	switch r.outcome {
	case outcomeRefused:
		a.err = ErrRefused
	case outcomeBusy:
		a.err = ErrBusy
	case outcomeErrno:
		a.err = syscall.Errno(r.status)
	}
	if conn != nil {
		a.worker = &Worker{Conn: conn, PID: int(r.pid), spawner: s, done: make(chan struct{})}
		s.workers[r.pid] = a.worker
	}
	if waiter, ok := s.waiting[r.sequence]; ok {
		delete(s.waiting, r.sequence)
		waiter <- a
	} else if conn != nil {
		conn.Close()
	}
}

// receive reads a report, and the socket that comes with it if there is one.
func (s *Spawner) receive() (report, *net.UnixConn, error) {
	b, oob := make([]byte, reportSize+1), make([]byte, unix.CmsgSpace(4))
	n, oobn, _, _, err := s.conn.ReadMsgUnix(b, oob)
	if err != nil {
		return report{}, nil, err
	}
	r, err := decodeReport(b[:n])
	if err != nil || oobn == 0 {
		return r, nil, err
	}
	messages, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil || len(messages) != 1 {
		return report{}, nil, errMessage
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return report{}, nil, errMessage
	}
	conn, err := unixConn(fds[0], "worker")
	if err != nil { // no descriptor is free: without its socket the worker ends
		return r, nil, nil
	}
	return r, conn, nil
}

// unixConn makes a connection of a descriptor, which it takes over.
func unixConn(fd int, name string) (*net.UnixConn, error) {
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	conn, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("%s socket: %w", name, err)
	}
	c, ok := conn.(*net.UnixConn)
	if !ok {
		conn.Close()
		return nil, fmt.Errorf("%s socket: not a Unix socket", name)
	}
	return c, nil
}
