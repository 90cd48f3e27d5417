package sandbox

import (
	"errors"
	"fmt"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Capabilities is a set of capabilities(7), one bit for each number.
type Capabilities uint64

// The capabilities that daemons of the suite may hold.
const (
	SetGID         Capabilities = 1 << unix.CAP_SETGID
	SetUID         Capabilities = 1 << unix.CAP_SETUID
	NetBindService Capabilities = 1 << unix.CAP_NET_BIND_SERVICE
)

const setPCap Capabilities = 1 << unix.CAP_SETPCAP

// ClearAmbient empties the ambient set of all threads. Without this, a program that is started under another uid keeps
// the ambient capabilities of its launcher: changing from one uid to another takes them away only if one of them is 0.
func ClearAmbient() error {
	if err := allThreadsPrctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0); err != nil {
		return fmt.Errorf("clear ambient capabilities: %w", err)
	}
	return nil
}

// DropCapabilities gives all capabilities up for good: every set of every thread. The bounding set needs CAP_SETPCAP to
// be emptied and stays as it is without; NoNewPrivileges makes it meaningless.
func DropCapabilities() error {
	_, effective, err := held()
	if err != nil {
		return err
	}
	if effective&setPCap != 0 {
		if err := LimitBounding(0); err != nil {
			return err
		}
	}
	return keepCapabilities(0)
}

// HoldCapabilities makes caps, and no others, permitted, effective, inheritable and ambient on all threads, so that a
// program executed next holds exactly these.
func HoldCapabilities(caps Capabilities) error {
	if err := ClearAmbient(); err != nil {
		return err
	}
	if err := setCapabilities(caps, caps); err != nil {
		return err
	}
	for n := range uintptr(unix.CAP_LAST_CAP + 1) {
		if caps&(1<<n) == 0 {
			continue
		}
		if err := allThreadsPrctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, n); err != nil {
			return fmt.Errorf("raise ambient capability %d: %w", n, err)
		}
	}
	return nil
}

// LimitBounding removes all capabilities but keep from the bounding set of all threads. It needs CAP_SETPCAP unless
// nothing is to be removed.
func LimitBounding(keep Capabilities) error {
	for n := range uintptr(64) {
		set, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, n, 0, 0, 0)
		if errors.Is(err, unix.EINVAL) {
			return nil // past the last capability that this kernel knows
		}
		if err != nil {
			return fmt.Errorf("read bounding set: %w", err)
		}
		if set == 0 || keep&(1<<n) != 0 {
			continue
		}
		if err := allThreadsPrctl(unix.PR_CAPBSET_DROP, n, 0); err != nil {
			return fmt.Errorf("drop capability %d from bounding set: %w", n, err)
		}
	}
	return nil
}

// Become makes uid, gid and groups the identity of all threads, keeping the permitted capabilities for
// HoldCapabilities or DropCapabilities, one of which must follow. It needs CAP_SETUID and CAP_SETGID.
func Become(uid, gid uint32, groups []int) error {
	if err := allThreadsPrctl(unix.PR_SET_KEEPCAPS, 1, 0); err != nil {
		return fmt.Errorf("keep capabilities: %w", err)
	}
	if err := syscall.Setgroups(groups); err != nil {
		return fmt.Errorf("setgroups: %w", err)
	}
	if err := syscall.Setresgid(int(gid), int(gid), int(gid)); err != nil {
		return fmt.Errorf("setresgid %d: %w", gid, err)
	}
	if err := syscall.Setresuid(int(uid), int(uid), int(uid)); err != nil {
		return fmt.Errorf("setresuid %d: %w", uid, err)
	}
	return nil
}

// keepCapabilities leaves caps permitted and effective and empties the inheritable and the ambient set.
func keepCapabilities(caps Capabilities) error {
	if err := ClearAmbient(); err != nil {
		return err
	}
	return setCapabilities(caps, 0)
}

// held returns the permitted and the effective set of the calling thread; those of the others never differ.
func held() (permitted, effective Capabilities, err error) {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return 0, 0, fmt.Errorf("capget: %w", err)
	}
	permitted = Capabilities(data[1].Permitted)<<32 | Capabilities(data[0].Permitted)
	effective = Capabilities(data[1].Effective)<<32 | Capabilities(data[0].Effective)
	return permitted, effective, nil
}

func setCapabilities(permitted, inheritable Capabilities) error {
	header := &unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	data := new([2]unix.CapUserData)
	for i := range data {
		data[i].Permitted = uint32(permitted >> (32 * i))
		data[i].Effective = data[i].Permitted
		data[i].Inheritable = uint32(inheritable >> (32 * i))
	}
	_, _, errno := syscall.AllThreadsSyscall(unix.SYS_CAPSET,
		uintptr(unsafe.Pointer(header)), uintptr(unsafe.Pointer(data)), 0)
	runtime.KeepAlive(header)
	runtime.KeepAlive(data)
	if errno != 0 {
		return fmt.Errorf("capset: %w", errno)
	}
	return nil
}
