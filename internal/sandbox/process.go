package sandbox

import (
	"fmt"
	"os"
	"strconv"
	"strings"
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

// workerOOMScore is what counts for a worker when memory runs out: as much as a fifth of the machine's on top of its own.
const workerOOMScore = 200

// offerToOOM has the kernel take this process, and what it executes, before it takes a daemon. Where that cannot be, memory alone
// counts. The file is the process's own only while that may be dumped: no moment for a process that is a user's already.
func offerToOOM() {
	const file = "/proc/self/oom_score_adj"
	text, err := os.ReadFile(file)
	if err != nil {
		return
	}
	if score, err := strconv.Atoi(strings.TrimSpace(string(text))); err != nil || score >= workerOOMScore {
		return
	}
	unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0)
	os.WriteFile(file, []byte(strconv.Itoa(workerOOMScore)), 0)
	unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
}

func allThreadsPrctl(option int, arg2, arg3 uintptr) error {
	if _, _, errno := syscall.AllThreadsSyscall6(unix.SYS_PRCTL, uintptr(option), arg2, arg3, 0, 0, 0); errno != 0 {
		return errno
	}
	return nil
}
