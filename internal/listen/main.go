package listen

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"postrider/internal/sandbox"
)

// The exit statuses of Main, as runit's tools have them.
const (
	exitUsage  = 100
	exitFailed = 111
)

// Main is `postrider listen`: it makes listening sockets, gives up privileges, and executes a command that inherits the
// sockets as from systemd. It returns only if that fails.
func Main(args []string) int {
	o, err := parseOptions(args)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(os.Stderr, usage)
		return 0
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "postrider listen: %v\n%s", err, usage)
		return exitUsage
	}
	if err := o.run(); err != nil {
		fmt.Fprintf(os.Stderr, "postrider listen: %v\n", err)
		return exitFailed
	}
	return 0
}

func (o options) run() error {
	program, err := exec.LookPath(o.command[0])
	if err != nil {
		return err
	}
	if program, err = filepath.Abs(program); err != nil { // -dir is the command's, not ours
		return err
	}
	fds, err := o.bindAll()
	if err == nil {
		err = o.becomeAndExec(program, fds)
	}
	o.removeSockets(len(fds))
	return err
}

// bindAll makes the sockets in order, and returns those that it made also with an error.
func (o options) bindAll() ([]int, error) {
	var fds []int
	for _, s := range o.sockets {
		fd, err := s.bind(context.Background())
		if err != nil {
			return fds, err
		}
		fds = append(fds, fd)
	}
	return fds, nil
}

// removeSockets removes what was made for a command that then was not executed.
func (o options) removeSockets(made int) {
	for _, s := range o.sockets[:made] {
		if s.path != "" {
			os.Remove(s.path)
		}
	}
}

// becomeAndExec does the rest in the only order that works: limits while they may be raised, groups before the uid, the
// bounding set while CAP_SETPCAP is there, no_new_privs last.
func (o options) becomeAndExec(program string, fds []int) error {
	for _, l := range o.limits {
		if err := l.apply(); err != nil {
			return err
		}
	}
	if o.umask >= 0 {
		syscall.Umask(o.umask)
	}
	if err := o.dropPrivileges(); err != nil {
		return err
	}
	if o.dir != "" {
		if err := os.Chdir(o.dir); err != nil {
			return err
		}
	}
	return o.execute(program, fds)
}

// dropPrivileges leaves the process with the identity and exactly the capabilities that were asked for. Without -user
// and -caps it changes nothing.
func (o options) dropPrivileges() error {
	var caps sandbox.Capabilities
	if o.caps != nil {
		caps = *o.caps
	}
	if o.caps != nil || o.user != nil {
		if err := sandbox.LimitBounding(caps); err != nil {
			return err
		}
	}
	if o.user != nil {
		if err := sandbox.Become(o.user.uid, o.user.gid, o.user.groups); err != nil {
			return err
		}
	}
	if o.caps != nil || o.user != nil {
		if err := sandbox.HoldCapabilities(caps); err != nil {
			return err
		}
	}
	if o.nnp {
		return sandbox.NoNewPrivileges()
	}
	return nil
}

// execute moves the sockets to descriptors 3 and up and executes the program in this very process, so that LISTEN_PID
// holds.
func (o options) execute(program string, fds []int) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	// The runtime's own descriptors may lie where the sockets must go. Execution takes this thread's table, so a table
	// of its own leaves the other threads theirs.
	if err := unix.Unshare(unix.CLONE_FILES); err != nil {
		return fmt.Errorf("unshare descriptors: %w", err)
	}
	if err := unix.CloseRange(firstFD, ^uint(0)>>1, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return fmt.Errorf("close_range: %w", err)
	}
	for i, fd := range fds { // out of the way first
		moved, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, firstFD+len(fds))
		if err != nil {
			return fmt.Errorf("move descriptor: %w", err)
		}
		fds[i] = moved
	}
	for i, fd := range fds {
		if err := unix.Dup3(fd, firstFD+i, 0); err != nil {
			return fmt.Errorf("move descriptor: %w", err)
		}
		if err := unix.SetNonblock(firstFD+i, false); err != nil {
			return fmt.Errorf("set blocking: %w", err)
		}
	}
	if err := syscall.Exec(program, o.command, o.environment()); err != nil {
		return fmt.Errorf("execute %s: %w", program, err)
	}
	return nil
}

// environment is ours with the sockets in it.
func (o options) environment() []string {
	var env []string
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "LISTEN_") {
			env = append(env, variable)
		}
	}
	if len(o.sockets) == 0 {
		return env
	}
	names := make([]string, len(o.sockets))
	for i, s := range o.sockets {
		names[i] = s.name
	}
	return append(env,
		"LISTEN_PID="+strconv.Itoa(os.Getpid()),
		"LISTEN_FDS="+strconv.Itoa(len(names)),
		"LISTEN_FDNAMES="+strings.Join(names, ":"))
}
