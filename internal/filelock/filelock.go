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

// maxWait is the longest rest between two attempts.
const maxWait = 25 * time.Millisecond

// Take makes the file at path if it is missing and locks it until it is closed. It waits until timeout, or not at all if that is 0.
func Take(ctx context.Context, path string, timeout time.Duration) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, err
	}
	if err := wait(ctx, f, timeout); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return f, nil
}

func wait(ctx context.Context, f *os.File, timeout time.Duration) error {
	deadline := time.Now().Add(timeout)
	for rest := time.Millisecond; ; rest = min(2*rest, maxWait) {
		err := try(f)
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

func try(f *os.File) error {
	lock := unix.Flock_t{Type: unix.F_WRLCK}
	for {
		if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &lock); err != unix.EINTR {
			return err
		}
	}
}
