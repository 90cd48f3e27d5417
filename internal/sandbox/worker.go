package sandbox

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// WorkerConn returns the worker's end of its socketpair, descriptor 3. It may be called once. The end of the connection
// tells a worker to end.
func WorkerConn() (*net.UnixConn, error) {
	if err := closeOnExec(passedFD); err != nil {
		return nil, err
	}
	return unixConn(passedFD, "worker")
}

// runStarter turns this process into a worker. It returns only if that fails.
func runStarter(args []string) error {
	if len(args) < 4 {
		return errors.New("wrong arguments")
	}
	offerToOOM()
	if err := becomeUser(args[2], args[3]); err != nil {
		return err
	}
	if err := closeOnExec(passedFD + 1); err != nil {
		return err
	}
	argv := append([]string{args[0]}, args[4:]...)
	if err := syscall.Exec("/proc/self/exe", argv, os.Environ()); err != nil {
		return fmt.Errorf("execute worker: %w", err)
	}
	return nil
}

// runKiller kills the process behind descriptor 3.
func runKiller(args []string) error {
	if len(args) != 4 {
		return errors.New("wrong arguments")
	}
	if err := becomeUser(args[2], args[3]); err != nil {
		return err
	}
	err := unix.PidfdSendSignal(passedFD, unix.SIGKILL, nil, 0)
	if err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("kill worker of uid %s: %w", args[2], err)
	}
	return nil
}

// becomeUser changes the identity, unless it is the process's own already, gives up all capabilities, and checks that
// neither can be had back.
func becomeUser(uidText, gidText string) error {
	uid, err := strconv.ParseUint(uidText, 10, 32)
	if err != nil {
		return err
	}
	gid, err := strconv.ParseUint(gidText, 10, 32)
	if err != nil {
		return err
	}
	if os.Getuid() != int(uid) || os.Getgid() != int(gid) {
		if err := Become(uint32(uid), uint32(gid), nil); err != nil {
			return err
		}
	}
	if err := DropCapabilities(); err != nil {
		return err
	}
	return verifyIdentity(int(uid), int(gid))
}

// verifyIdentity distrusts the steps before it: a worker with a trace of another identity must not come to be.
func verifyIdentity(uid, gid int) error {
	var r, e, s int
	if r, e, s = unix.Getresuid(); r != uid || e != uid || s != uid || uid == 0 {
		return fmt.Errorf("uids are %d, %d, %d", r, e, s)
	}
	if r, e, s = unix.Getresgid(); r != gid || e != gid || s != gid {
		return fmt.Errorf("gids are %d, %d, %d", r, e, s)
	}
	permitted, _, err := held()
	if err != nil {
		return err
	}
	if permitted != 0 {
		return fmt.Errorf("capabilities are %#x", uint64(permitted))
	}
	return nil
}
