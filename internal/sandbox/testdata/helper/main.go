// Helper is the program that the tests of package sandbox confine and start workers of. It must be built without cgo.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"postrider/internal/sandbox"
)

var kinds = map[byte][]string{
	'p': {"probe", "an argument"},
	'h': {"hang"},
}

func main() {
	if status, ours := sandbox.SpawnerMain(os.Args, kinds); ours {
		os.Exit(status)
	}
	for range 8 { // what is done to one thread only shall be seen
		go func() { runtime.LockOSThread(); select {} }()
	}
	switch os.Args[1] {
	case "probe":
		os.Exit(probe())
	case "hang":
		os.Exit(hang())
	case "flood":
		os.Exit(flood())
	case "stop-all":
		for {
			syscall.Kill(-1, syscall.SIGSTOP)
		}
	case "steps":
		for _, step := range os.Args[2:] {
			fmt.Printf("%s: %s\n", step, outcome(step))
		}
	}
}

// Probe is what a worker sees of itself.
type Probe struct {
	Args, Env, FDs []string
	Dir            string
	Umask          int
	Status         map[string]string
	SetUID         []string
}

// probe sends what the worker is over its socket, echoes until its end, and exits with 7.
func probe() int {
	p := Probe{Args: os.Args[1:], Env: os.Environ(), FDs: descriptors(), Status: status()}
	conn, err := sandbox.WorkerConn()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	p.Dir, _ = os.Getwd()
	p.Umask = syscall.Umask(0)
	for _, uid := range []uintptr{0, 33, 4243} {
		_, _, errno := unix.RawSyscall(unix.SYS_SETUID, uid, 0, 0)
		p.SetUID = append(p.SetUID, result(errno))
	}
	if err := json.NewEncoder(conn).Encode(p); err != nil {
		return 1
	}
	io.Copy(conn, conn)
	return 7
}

// hang says that it is there, and then does not hear that it shall end.
func hang() int {
	signal.Ignore(syscall.SIGTERM)
	conn, err := sandbox.WorkerConn()
	if err != nil {
		return 1
	}
	conn.Write([]byte("here"))
	for {
		time.Sleep(time.Hour)
	}
}

// flood sends descriptors that nobody receives until the kernel takes no more, says so, and waits for its end.
func flood() int {
	rights := unix.UnixRights(slices.Repeat([]int{0}, 253)...)
	for err := error(nil); !errors.Is(err, unix.ETOOMANYREFS); {
		pair, failure := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK, 0)
		if failure != nil {
			fmt.Println(failure)
			return 1
		}
		for err = nil; err == nil; {
			err = unix.Sendmsg(pair[0], []byte("x"), rights, nil, 0)
		}
	}
	fmt.Println("sent")
	io.Copy(io.Discard, os.Stdin)
	return 0
}

func descriptors() []string {
	var fds []string
	for fd := range 64 {
		target, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
		if err != nil || strings.HasPrefix(target, "anon_inode:") || strings.HasPrefix(target, "/sys/fs/cgroup/") {
			continue // none, or the runtime's own
		}
		kind, _, _ := strings.Cut(target, ":")
		fds = append(fds, fmt.Sprintf("%d %s", fd, kind))
	}
	return fds
}

// status joins the identities of all threads: a value that differs between them is shown as such.
func status() map[string]string {
	fields := []string{"Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp"}
	all := map[string]string{}
	tasks, _ := filepath.Glob("/proc/self/task/*/status")
	for _, task := range tasks {
		b, _ := os.ReadFile(task)
		for line := range strings.Lines(string(b)) {
			name, value, _ := strings.Cut(line, ":")
			value = strings.Join(strings.Fields(value), " ")
			if !slices.Contains(fields, name) {
				continue
			}
			if old, ok := all[name]; ok && old != value {
				value = "threads differ: " + old + " / " + value
			}
			all[name] = value
		}
	}
	return all
}

func result(err error) string {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		if errno == 0 {
			return "ok"
		}
		return unix.ErrnoName(errno)
	}
	if err != nil {
		return err.Error()
	}
	return "ok"
}

// outcome does one step, VERB or VERB=ARGUMENT.
func outcome(step string) string {
	verb, argument, _ := strings.Cut(step, "=")
	switch verb {
	case "status":
		b, _ := json.Marshal(status())
		return string(b)
	case "restrict":
		return restrict(argument)
	case "limits":
		var core syscall.Rlimit
		syscall.Getrlimit(syscall.RLIMIT_CORE, &core)
		dumpable, _ := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
		return fmt.Sprintf("core %d dumpable %d", core.Max, dumpable)
	case "spawner":
		limits := sandbox.Limits{FirstUID: 1000, Workers: 4, PerUID: 2}
		if _, err := sandbox.StartSpawner(context.Background(), limits); err != nil {
			return err.Error()
		}
		return "ok"
	}
	if do, ok := confinements[verb]; ok {
		return result(do())
	}
	if do, ok := attempts[verb]; ok {
		return result(do(strings.Split(argument, ",")))
	}
	return "unknown step"
}

var confinements = map[string]func() error{
	"clearambient": sandbox.ClearAmbient,
	"dropcaps":     sandbox.DropCapabilities,
	"nnp":          sandbox.NoNewPrivileges,
	"nocore":       sandbox.NoCoreDumps,
	"noexec":       sandbox.NoExec,
	"nonetwork":    sandbox.NoNetwork,
	"nosockets":    sandbox.NoSockets,
	"identities": func() error {
		return sandbox.LimitIdentities(sandbox.Limits{FirstUID: 1000, MailboxUID: 900, MailboxGID: 901})
	},
	"become": func() error { return sandbox.Become(4242, 4242, nil) },
}

// restrict takes rights and paths: ro:/a,rw:/b,x:/c.
func restrict(argument string) string {
	var rules sandbox.Rules
	for _, grant := range strings.Split(argument, ",") {
		right, path, _ := strings.Cut(grant, ":")
		switch right {
		case "ro":
			rules.ReadOnly = append(rules.ReadOnly, path)
		case "rw":
			rules.ReadWrite = append(rules.ReadWrite, path)
		case "x":
			rules.Exec = append(rules.Exec, path)
		}
	}
	notes, err := sandbox.Restrict(rules)
	if err != nil {
		return err.Error()
	}
	return "ok " + strings.Join(notes, "; ")
}

var attempts = map[string]func([]string) error{
	"read":   func(a []string) error { _, err := os.ReadFile(a[0]); return err },
	"write":  func(a []string) error { return os.WriteFile(a[0], []byte("x"), 0o600) },
	"rename": func(a []string) error { return os.Rename(a[0], a[1]) },
	"link":   func(a []string) error { return os.Link(a[0], a[1]) },
	"exec":   func(a []string) error { return exec.Command(a[0]).Run() },
	"dial": func(a []string) error {
		c, err := net.Dial(a[0], a[1])
		if err == nil {
			c.Close()
		}
		return err
	},
	"listen": func(a []string) error {
		l, err := net.Listen(a[0], a[1])
		if err == nil {
			l.Close()
		}
		return err
	},
	"raw": raw,
}

// calls are system calls by name, for raw.
var calls = map[string]uintptr{
	"setuid": unix.SYS_SETUID, "setgid": unix.SYS_SETGID,
	"setreuid": unix.SYS_SETREUID, "setregid": unix.SYS_SETREGID,
	"setresuid": unix.SYS_SETRESUID, "setresgid": unix.SYS_SETRESGID,
	"setfsuid": unix.SYS_SETFSUID, "setfsgid": unix.SYS_SETFSGID,
	"setgroups": unix.SYS_SETGROUPS, "unshare": unix.SYS_UNSHARE, "setns": unix.SYS_SETNS,
	"socketpair": unix.SYS_SOCKETPAIR, "connect": unix.SYS_CONNECT,
	"clone3": unix.SYS_CLONE3, "clone": unix.SYS_CLONE,
	"x32getuid": 0x40000000 + unix.SYS_GETUID,
}

// raw makes a system call on this thread alone, behind the back of all checks in Go.
func raw(a []string) error {
	var n [3]uintptr
	for i, text := range a[1:] {
		value, err := strconv.ParseInt(text, 0, 64)
		if err != nil {
			return err
		}
		n[i] = uintptr(value)
	}
	list := make([]uint32, 8) // what setgroups would take
	if a[0] == "setgroups" {
		_, _, errno := unix.RawSyscall(calls[a[0]], n[0], uintptr(unsafe.Pointer(&list[0])), 0)
		return errno
	}
	_, _, errno := unix.RawSyscall(calls[a[0]], n[0], n[1], n[2])
	return errno
}
