package listen

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// backlog is how many connections wait in the kernel while a daemon starts or is replaced; net.core.somaxconn may say
// less.
const backlog = 4096

// bind makes a listening socket and returns its descriptor, closed on exec.
func (s socketSpec) bind(ctx context.Context) (int, error) {
	if s.path != "" {
		return s.bindUnix()
	}
	return s.bindTCP(ctx)
}

// bindTCP listens on one address: the first one of a name (IPv4 if there is one), and without a host on all addresses of
// both families. 0.0.0.0 is IPv4 alone, [::] is IPv6 alone.
func (s socketSpec) bindTCP(ctx context.Context) (int, error) {
	host, _, err := net.SplitHostPort(s.addr)
	if err != nil {
		return -1, fmt.Errorf("socket %s: %w", s.name, err)
	}
	network := "tcp"
	if addr, err := netip.ParseAddr(host); err == nil {
		network = "tcp6"
		if addr.Is4() {
			network = "tcp4"
		}
	}
	var config net.ListenConfig
	config.SetMultipathTCP(false)
	l, err := config.Listen(ctx, network, s.addr)
	if err != nil {
		return -1, fmt.Errorf("socket %s: %w", s.name, err)
	}
	defer l.Close()
	return descriptor(l.(*net.TCPListener))
}

// descriptor is a copy of a listener's, in the state that a plain program expects: blocking.
func descriptor(l syscall.Conn) (int, error) {
	raw, err := l.SyscallConn()
	if err != nil {
		return -1, err
	}
	fd, failure := -1, error(nil)
	err = raw.Control(func(own uintptr) {
		if fd, failure = unix.FcntlInt(own, unix.F_DUPFD_CLOEXEC, 0); failure == nil {
			failure = unix.Listen(fd, backlog)
		}
	})
	return fd, errors.Join(err, failure)
}

// bindUnix makes the socket where nobody can use it before it has its owner and mode: it is born with mode 0, and
// listens last.
func (s socketSpec) bindUnix() (int, error) {
	short, err := shorten(s.path)
	if err != nil {
		return -1, fmt.Errorf("socket %s: %w", s.name, err)
	}
	defer short.Close()
	if err := removeStale(short.path, s.path); err != nil {
		return -1, fmt.Errorf("socket %s: %w", s.name, err)
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("socket %s: %w", s.name, err)
	}
	before := syscall.Umask(0o777)
	err = unix.Bind(fd, &unix.SockaddrUnix{Name: short.path})
	syscall.Umask(before)
	if err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("socket %s: bind %s: %w", s.name, s.path, err)
	}
	if err := s.open(fd, short.path); err != nil {
		unix.Close(fd)
		os.Remove(short.path)
		return -1, fmt.Errorf("socket %s: %s: %w", s.name, s.path, err)
	}
	return fd, nil
}

// open gives a bound socket its owner and mode and lets it listen. It works on the very inode, so that nobody can put
// another in its place.
func (s socketSpec) open(fd int, path string) error {
	inode, err := unix.Open(path, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(inode)
	var stat unix.Stat_t
	if err := unix.Fstat(inode, &stat); err != nil {
		return fmt.Errorf("stat: %w", err)
	}
	if stat.Mode&unix.S_IFMT != unix.S_IFSOCK {
		return errors.New("is no longer the socket that was made")
	}
	if s.uid >= 0 || s.gid >= 0 {
		if err := unix.Fchownat(inode, "", s.uid, s.gid, unix.AT_EMPTY_PATH); err != nil {
			return fmt.Errorf("chown: %w", err)
		}
	}
	if err := unix.Chmod(fmt.Sprintf("/proc/self/fd/%d", inode), uint32(s.mode)); err != nil {
		return fmt.Errorf("chmod: %w", err)
	}
	return unix.Listen(fd, backlog)
}

// removeStale makes way for a socket: it removes one on which nobody answers, and nothing else.
func removeStale(path, name string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil // or the directory is missing: bind will say so
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != os.ModeSocket {
		return fmt.Errorf("%s exists and is not a socket", name)
	}
	probe, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer unix.Close(probe)
	err = unix.Connect(probe, &unix.SockaddrUnix{Name: path})
	switch {
	case errors.Is(err, unix.ECONNREFUSED):
		return os.Remove(path)
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err == nil, errors.Is(err, unix.EAGAIN):
		return fmt.Errorf("%s is in use: another program answers there", name)
	}
	return fmt.Errorf("%s: cannot tell whether it is in use: %w", name, err)
}
