package sandbox

import (
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// NoNewPrivileges makes setuid bits and file capabilities of everything executed from here on ineffective, for all
// threads and all that they start.
func NoNewPrivileges() error {
	if err := allThreadsPrctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0); err != nil {
		return fmt.Errorf("set no_new_privs: %w", err)
	}
	return nil
}

// NoCoreDumps keeps the memory of this process off the disk and out of the reach of other processes of its uid
// (ptrace, /proc/PID/mem, pidfd_getfd). The limit is inherited, the second half ends with the next exec.
func NoCoreDumps() error {
	if err := syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{}); err != nil {
		return fmt.Errorf("limit core dumps: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("set dumpable: %w", err)
	}
	return nil
}

func allThreadsPrctl(option int, arg2, arg3 uintptr) error {
	if _, _, errno := syscall.AllThreadsSyscall6(unix.SYS_PRCTL, uintptr(option), arg2, arg3, 0, 0, 0); errno != 0 {
		return errno
	}
	return nil
}
