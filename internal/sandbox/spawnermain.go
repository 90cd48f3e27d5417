package sandbox

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// The first arguments by which a program of the suite knows that it was started by itself. Whoever else gives them gets
// no more than a process of his own.
const (
	spawnerArgument = "@spawner" // limits
	starterArgument = "@start"   // uid, gid, arguments of the worker
	killerArgument  = "@kill"    // uid, gid
)

// ExitIdentity is the exit status of a worker that could not take on its identity; the log has the reason.
const ExitIdentity = 111

// passedFD is the descriptor that comes with each of the private arguments, and to a worker.
const passedFD = 3

// SpawnerMain is to be called before anything else by the main of a program that calls StartSpawner, with its os.Args.
// If these say that the process is a spawner, or one on its way to become a worker, it does that job, and ours is true:
// main exits with status. kinds are the workers' arguments behind the program's name; the program's own main serves
// them.
func SpawnerMain(args []string, kinds map[byte][]string) (status int, ours bool) {
	if len(args) < 2 {
		return 0, false
	}
	var err error
	switch args[1] {
	case spawnerArgument:
		err = runSpawner(args, kinds)
	case starterArgument:
		err = runStarter(args)
	case killerArgument:
		err = runKiller(args)
	default:
		return 0, false
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %s: %v\n", args[0], args[1], err)
		return ExitIdentity, true
	}
	return 0, true
}

// process is a living child of the spawner.
type process struct {
	uid, gid uint32
	victim   int // not a worker, but on its way to kill this one; 0 if a worker
}

// gone is the victim of a killer that has none any more.
const gone = -1

// spawner is the state of the spawner's process, touched by one goroutine.
type spawner struct {
	program    string // argv[0] of workers
	kinds      map[byte][]string
	limits     Limits
	uids, gids idSet
	manager    *net.UnixConn
	children   map[int]process
	workers    int
	perUID     map[uint32]int // all children, killers too
}

func runSpawner(args []string, kinds map[byte][]string) error {
	if len(args) != 3 {
		return errors.New("wrong arguments")
	}
	limits, err := parseLimits(args[2])
	if err != nil {
		return err
	}
	manager, err := unixConn(passedFD, "manager")
	if err != nil {
		return err
	}
	defer manager.Close()
	s := &spawner{
		program: args[0], kinds: kinds, limits: limits, manager: manager,
		children: make(map[int]process), perUID: make(map[uint32]int),
	}
	s.uids, s.gids = limits.identities(uint32(os.Getuid()), uint32(os.Getgid()))
	if err := s.confine(); err != nil {
		return err
	}
	return s.serve()
}

// confine takes from the process all that it does not need, before it reads its first request.
func (s *spawner) confine() error {
	if os.Getuid() == 0 || os.Geteuid() == 0 {
		return errors.New("refusing to run as root")
	}
	var keep Capabilities
	if !s.limits.SingleUID {
		keep = SetUID | SetGID
		permitted, _, err := held()
		if err != nil {
			return err
		}
		if permitted&keep != keep {
			return errors.New("CAP_SETUID and CAP_SETGID are missing")
		}
	}
	if err := closeOnExec(passedFD); err != nil {
		return err
	}
	syscall.Umask(0o077)
	if err := os.Chdir("/"); err != nil {
		return err
	}
	if err := keepCapabilities(keep); err != nil {
		return err
	}
	if err := NoCoreDumps(); err != nil {
		return err
	}
	return LimitIdentities(s.limits)
}

// closeOnExec keeps all descriptors from first on from what is executed next.
func closeOnExec(first uint) error {
	if err := unix.CloseRange(first, ^uint(0)>>1, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return fmt.Errorf("close_range: %w", err)
	}
	return nil
}

// serve carries out requests one by one until the manager ends.
func (s *spawner) serve() error {
	ignored := make(chan os.Signal, 1)
	signal.Notify(ignored, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP) // SIG_IGN would be inherited
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGCHLD)
	requests, failed := make(chan request), make(chan error, 1)
	go s.readRequests(requests, failed)

	err := s.report(report{op: opReady}, -1)
	for err == nil {
		select {
		case r := <-requests:
			err = s.carryOut(r)
		case <-ended:
			err = s.reap()
		case err := <-failed:
			return err
		}
	}
	if errors.Is(err, unix.EPIPE) {
		return nil // the manager has ended
	}
	return err
}

// readRequests ends with nil when the manager has ended.
func (s *spawner) readRequests(requests chan<- request, failed chan<- error) {
	b := make([]byte, requestSize+1)
	for {
		n, err := s.manager.Read(b)
		if err != nil {
			failed <- nil
			return
		}
		r, err := decodeRequest(b[:n])
		if err != nil {
			failed <- err
			return
		}
		requests <- r
	}
}

func (s *spawner) carryOut(r request) error {
	if r.op == opKill {
		return s.kill(r)
	}
	arguments, known := s.kinds[r.kind]
	answer := report{op: opDone, sequence: r.sequence}
	switch {
	case !known || !s.uids.has(r.uid) || !s.gids.has(r.gid):
		answer.outcome = outcomeRefused
	case s.workers >= s.limits.Workers || s.perUID[r.uid] >= s.limits.PerUID:
		answer.outcome = outcomeBusy
	default:
		return s.start(answer, r.uid, r.gid, arguments)
	}
	return s.report(answer, -1)
}

// start makes the socketpair and the process, and reports with the manager's end.
func (s *spawner) start(answer report, uid, gid uint32, arguments []string) error {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return s.reportErrno(answer, err)
	}
	defer unix.Close(pair[0])
	defer unix.Close(pair[1])
	pid, err := s.fork(process{uid: uid, gid: gid}, pair[1], starterArgument, arguments)
	if err != nil {
		return s.reportErrno(answer, err)
	}
	answer.pid = uint32(pid)
	err = s.report(answer, pair[0])
	if errors.Is(err, unix.ETOOMANYREFS) { // descriptors of this uid are on their way everywhere: without its socket the worker ends
		return s.reportErrno(answer, err)
	}
	return err
}

// kill ends a worker: itself while the process has the spawner's uid, later through a process of the worker's uid, as
// the kernel lets no other (but root's) do it. It goes by pidfd: a number could be another process's by then.
func (s *spawner) kill(r request) error {
	answer := report{op: opDone, sequence: r.sequence}
	victim, ok := s.children[int(r.pid)]
	if !ok || victim.victim != 0 {
		answer.outcome = outcomeRefused
		return s.report(answer, -1)
	}
	fd, err := unix.PidfdOpen(int(r.pid), 0)
	if err != nil {
		return s.reportErrno(answer, err)
	}
	defer unix.Close(fd)
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err == nil || errors.Is(err, unix.ESRCH) {
		return s.report(answer, -1)
	}
	if s.killing(int(r.pid)) {
		return s.report(answer, -1)
	}
	killer := process{uid: victim.uid, gid: victim.gid, victim: int(r.pid)}
	if _, err := s.fork(killer, fd, killerArgument, nil); err != nil {
		return s.reportErrno(answer, err)
	}
	return s.report(answer, -1)
}

// killing says whether a killer is on its way to that worker: one is enough, as what can stop it can stop more.
func (s *spawner) killing(pid int) bool {
	for _, p := range s.children {
		if p.victim == pid {
			return true
		}
	}
	return false
}

// fork executes this program again under the spawner's own uid, for p, with fd as its descriptor 3.
func (s *spawner) fork(p process, fd int, role string, arguments []string) (pid int, err error) {
	argv := append([]string{s.program, role, number(p.uid), number(p.gid)}, arguments...)
	attributes := &syscall.ProcAttr{
		Dir:   "/",
		Env:   os.Environ(),
		Files: []uintptr{0, 1, 2, uintptr(fd)},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	}
	if !s.limits.SingleUID {
		attributes.Sys.AmbientCaps = identityCaps
	}
	pid, err = syscall.ForkExec("/proc/self/exe", argv, attributes)
	if err != nil {
		return 0, err
	}
	s.children[pid] = p
	s.perUID[p.uid]++
	if p.victim == 0 {
		s.workers++
	}
	return pid, nil
}

func number(id uint32) string { return strconv.FormatUint(uint64(id), 10) }

// reap collects all children that have ended, and reports the workers among them.
func (s *spawner) reap() error {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || pid <= 0 {
			return nil // none, or none that has ended
		}
		p, ok := s.children[pid]
		if !ok {
			continue
		}
		s.remove(pid, p)
		if p.victim != 0 {
			continue
		}
		if err := s.report(report{op: opEnded, pid: uint32(pid), status: uint32(status)}, -1); err != nil {
			return err
		}
	}
}

func (s *spawner) remove(pid int, p process) {
	delete(s.children, pid)
	if p.victim == 0 {
		s.workers--
		s.forgetVictim(pid)
	}
	if s.perUID[p.uid]--; s.perUID[p.uid] == 0 {
		delete(s.perUID, p.uid)
	}
}

// forgetVictim lets the killers of an ended worker hold up nobody who gets its number.
func (s *spawner) forgetVictim(pid int) {
	for killer, p := range s.children {
		if p.victim == pid {
			p.victim = gone
			s.children[killer] = p
		}
	}
}

func (s *spawner) reportErrno(answer report, err error) error {
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		errno = syscall.EIO
	}
	answer.outcome, answer.status = outcomeErrno, uint32(errno)
	return s.report(answer, -1)
}

// report sends r, with descriptor fd if that is not negative.
func (s *spawner) report(r report, fd int) error {
	var rights []byte
	if fd >= 0 {
		rights = unix.UnixRights(fd)
	}
	if _, _, err := s.manager.WriteMsgUnix(r.encode(), rights, nil); err != nil {
		return fmt.Errorf("report to manager: %w", err)
	}
	return nil
}
