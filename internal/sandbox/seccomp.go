package sandbox

import (
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// NoExec makes execve and execveat fail with EPERM, for all threads, for good.
func NoExec() error {
	return installFilter(
		rule{unix.SYS_EXECVE, answer(unix.EPERM)},
		rule{unix.SYS_EXECVEAT, answer(unix.EPERM)},
	)
}

// NoNetwork leaves Unix sockets as the only ones that can be made (others: EAFNOSUPPORT), for all threads, for good.
// Sockets that are open stay so. Landlock's rules for TCP would not do: they overlook MPTCP, which is what Go listens
// with.
func NoNetwork() error {
	unixOnly := filter{
		loadArgument(0),
		jumpIf(unix.BPF_JEQ, unix.AF_UNIX, 0, 1),
		allow,
		fail(unix.EAFNOSUPPORT),
	}
	return installFilter(
		rule{unix.SYS_SOCKET, unixOnly},
		rule{unix.SYS_IO_URING_SETUP, answer(unix.ENOSYS)}, // it makes sockets without the system call
	)
}

// NoSockets leaves the process the sockets that it has or is handed: none can be made or connected (EPERM), for all threads, for
// good. What listens on a Unix socket may well execute programs: a user's D-Bus does, and systemd. Pairs are refused since an end of
// one can send datagrams anywhere.
func NoSockets() error {
	return installFilter(
		rule{unix.SYS_SOCKET, answer(unix.EPERM)},
		rule{unix.SYS_SOCKETPAIR, answer(unix.EPERM)},
		rule{unix.SYS_CONNECT, answer(unix.EPERM)},
		rule{unix.SYS_IO_URING_SETUP, answer(unix.ENOSYS)},
	)
}

// filter is a piece of classic BPF, as seccomp(2) runs it over struct seccomp_data.
type filter []unix.SockFilter

// rule says what becomes of one system call: a filter in which every path ends in a return.
type rule struct {
	call   uint32
	filter filter
}

// Offsets in struct seccomp_data. Arguments are 64 bits wide; all that are looked at here are 32 bits to the kernel too,
// which ignores the upper half, and so does loadArgument.
const (
	offsetCall      = 0
	offsetArch      = 4
	offsetArguments = 16
)

// x32Bit marks system calls of the x32 interface, which shares the architecture's number with amd64.
const x32Bit = 0x40000000

var allow = unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW}
var kill = unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_KILL_PROCESS}

func fail(errno unix.Errno) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(errno)}
}

func answer(errno unix.Errno) filter { return filter{fail(errno)} }

func load(offset uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}
}

func loadArgument(n int) unix.SockFilter { return load(offsetArguments + 8*uint32(n)) }

// jumpIf compares with k (unsigned) and skips the given numbers of instructions.
func jumpIf(comparison uint16, k uint32, skipTrue, skipFalse int) unix.SockFilter {
	return unix.SockFilter{
		Code: unix.BPF_JMP | comparison | unix.BPF_K, K: k, Jt: uint8(skipTrue), Jf: uint8(skipFalse),
	}
}

// architecture is the AUDIT_ARCH number of the running program. Filters are for little-endian machines of 64 bits, whose
// set*uid calls have one form each.
func architecture() (uint32, error) {
	switch runtime.GOARCH {
	case "amd64":
		return unix.AUDIT_ARCH_X86_64, nil
	case "arm64":
		return unix.AUDIT_ARCH_AARCH64, nil
	case "riscv64":
		return unix.AUDIT_ARCH_RISCV64, nil
	case "ppc64le":
		return unix.AUDIT_ARCH_PPC64LE, nil
	case "loong64":
		return unix.AUDIT_ARCH_LOONGARCH64, nil
	}
	return 0, fmt.Errorf("seccomp: no filter for architecture %s", runtime.GOARCH)
}

// assemble joins rules to a program: system calls of another table end the process, those without a rule are allowed.
func assemble(arch uint32, rules []rule) filter {
	program := filter{load(offsetArch), jumpIf(unix.BPF_JEQ, arch, 1, 0), kill, load(offsetCall)}
	if arch == unix.AUDIT_ARCH_X86_64 {
		program = append(program, jumpIf(unix.BPF_JGE, x32Bit, 0, 1), kill)
	}
	for _, r := range rules {
		program = append(program, jumpIf(unix.BPF_JEQ, r.call, 0, len(r.filter)))
		program = append(program, r.filter...)
	}
	return append(program, allow)
}

// installFilter puts a filter on all threads and all that they start, after no_new_privs, which it requires.
func installFilter(rules ...rule) error {
	arch, err := architecture()
	if err != nil {
		return err
	}
	if err := NoNewPrivileges(); err != nil {
		return err
	}
	program := assemble(arch, rules)
	prog := &unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	thread, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER,
		unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(prog)))
	runtime.KeepAlive(prog)
	runtime.KeepAlive(program)
	if errno != 0 {
		return fmt.Errorf("seccomp: %w", errno)
	}
	if thread != 0 {
		return fmt.Errorf("seccomp: thread %d cannot take the filter", thread)
	}
	return nil
}
