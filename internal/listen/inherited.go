package listen

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// firstFD is where inherited sockets begin (sd_listen_fds(3)).
const firstFD = 3

// maxInherited bounds LISTEN_FDS.
const maxInherited = 256

// Inherited returns the listening stream sockets that systemd or `postrider listen` handed to this process, by the names
// of LISTEN_FDNAMES. Several may have one name. None at all is no error; anything but named, listening stream sockets
// is. The variables are removed from the environment and the descriptors are closed on exec.
func Inherited() (map[string][]net.Listener, error) {
	names, err := inheritedNames(os.Getenv, os.Getpid())
	for _, name := range []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID"} {
		os.Unsetenv(name)
	}
	if err != nil {
		return nil, fmt.Errorf("inherited sockets: %w", err)
	}
	for i := range names {
		unix.CloseOnExec(firstFD + i)
	}
	listeners := make(map[string][]net.Listener)
	for i, name := range names {
		l, err := inheritedListener(firstFD+i, name)
		if err != nil {
			closeAll(listeners)
			return nil, fmt.Errorf("inherited socket %s (descriptor %d): %w", name, firstFD+i, err)
		}
		listeners[name] = append(listeners[name], l)
	}
	return listeners, nil
}

// inheritedNames returns the name of each inherited descriptor. None are if they are meant for another process.
func inheritedNames(getenv func(string) string, pid int) ([]string, error) {
	pidText, count := getenv("LISTEN_PID"), getenv("LISTEN_FDS")
	if pidText == "" || count == "" {
		return nil, nil
	}
	if n, err := strconv.Atoi(pidText); err != nil {
		return nil, fmt.Errorf("LISTEN_PID %q is not a number", pidText)
	} else if n != pid {
		return nil, nil
	}
	n, err := strconv.Atoi(count)
	if err != nil || n < 0 || n > maxInherited {
		return nil, fmt.Errorf("LISTEN_FDS %q is not a number from 0 to %d", count, maxInherited)
	}
	if n == 0 {
		return nil, nil
	}
	text := getenv("LISTEN_FDNAMES")
	if text == "" {
		return nil, errors.New("LISTEN_FDNAMES is missing (FileDescriptorName= in the socket unit)")
	}
	names := strings.Split(text, ":")
	if len(names) != n {
		return nil, fmt.Errorf("LISTEN_FDNAMES has %d names for %d sockets", len(names), n)
	}
	for _, name := range names {
		if name == "" {
			return nil, errors.New("LISTEN_FDNAMES has an empty name")
		}
	}
	return names, nil
}

func inheritedListener(fd int, name string) (net.Listener, error) {
	kind, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
	switch {
	case errors.Is(err, unix.ENOTSOCK):
		return nil, errors.New("not a socket")
	case errors.Is(err, unix.EBADF):
		return nil, errors.New("not open")
	case err != nil:
		return nil, err
	case kind != unix.SOCK_STREAM:
		return nil, errors.New("not a stream socket")
	}
	listening, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	if err != nil {
		return nil, err
	}
	if listening == 0 {
		return nil, errors.New("not listening")
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close() // FileListener works on a copy
	l, err := net.FileListener(f)
	if err != nil {
		return nil, err
	}
	if u, ok := l.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false) // the path belongs to who made the socket
	}
	return l, nil
}

func closeAll(listeners map[string][]net.Listener) {
	for _, named := range listeners {
		for _, l := range named {
			l.Close()
		}
	}
}
