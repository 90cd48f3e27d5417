// Package filelock locks files between the processes of this suite, and between the goroutines of one: an fcntl lock of the
// open file, free at once when its holder ends. The files stay, empty.
package filelock

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// ErrLocked says that another held the lock for all the time.
var ErrLocked = errors.New("locked by another")

// The shortest and the longest rest between two attempts.
const (
	minWait = 50 * time.Microsecond
	maxWait = 25 * time.Millisecond
)

// Take makes the file at path if it is missing and locks it until it is closed. It waits until timeout, or not at all if that is 0.
func Take(ctx context.Context, path string, timeout time.Duration) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, err
	}
	if err := Lock(ctx, f, true, timeout); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return f, nil
}

// Lock locks an open file until it is closed, exclusively or beside others who do not want it so. It waits as Take does.
func Lock(ctx context.Context, f *os.File, exclusive bool, timeout time.Duration) error {
	deadline := time.Now().Add(timeout)
	for rest := minWait; ; rest = min(2*rest, maxWait) {
		err := try(f, exclusive)
		if err != unix.EAGAIN && err != unix.EACCES {
			return err
		}
		if !time.Now().Before(deadline) {
			return ErrLocked
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(rest):
		}
	}
}

func try(f *os.File, exclusive bool) error {
	lock := unix.Flock_t{Type: unix.F_RDLCK}
	if exclusive {
		lock.Type = unix.F_WRLCK
	}
	for {
		if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &lock); err != unix.EINTR {
			return err
		}
	}
}
