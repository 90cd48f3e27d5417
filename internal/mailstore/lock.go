package mailstore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"postrider/internal/filelock"
)

// folderLock is the right to change the uidlist and file names.
type folderLock struct {
	own *os.File
	dot *dotlock // nil = it cannot be made here: no file may be written, but mail can be deleted
	why error    // it cannot be made
}

const ownLockFile = "postrider.lock"

// lock takes our lock and then Dovecot's.
func (f *folder) lock(ctx context.Context) (*folderLock, error) {
	own, err := ownLock(ctx, f.path(ownLockFile), f.store.opts.LockTimeout)
	if noRoom(err) {
		return &folderLock{why: err}, nil
	}
	if err != nil {
		return nil, err
	}
	dot, err := takeDotlock(ctx, f.path(uidlistLock), f.store.opts.LockTimeout)
	if noRoom(err) {
		return &folderLock{own: own, why: err}, nil
	}
	if err != nil {
		own.Close()
		return nil, err
	}
	return &folderLock{own: own, dot: dot}, nil
}

func noRoom(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) || errors.Is(err, unix.EROFS) || errors.Is(err, fs.ErrPermission)
}

// mayWrite returns an error when the lock could not be written, or another broke it.
func (l *folderLock) mayWrite() error {
	if l.dot == nil {
		return fmt.Errorf("%w: %w", ErrUnwritable, diskError(l.why))
	}
	if !l.dot.ours() {
		return fmt.Errorf("%w: lock was broken", ErrLocked)
	}
	return nil
}

func (l *folderLock) touch() {
	if l.dot != nil {
		l.dot.touch()
	}
}

func (l *folderLock) release() {
	if l.dot != nil {
		l.dot.release()
	}
	if l.own != nil {
		l.own.Close()
	}
}

// ownLock is a lock that only programs of this suite take, before the dotlock: it is free at once when its holder ends.
func ownLock(ctx context.Context, path string, timeout time.Duration) (*os.File, error) {
	return filelock.Take(ctx, path, timeout)
}

// TryLock takes such a lock on a file at path, which is made and stays, until the file is closed. ErrLocked is not waited for;
// ErrUnwritable says that the file cannot be made, for want of space or rights.
func TryLock(path string) (*os.File, error) {
	f, err := ownLock(context.Background(), path, 0)
	if noRoom(err) {
		return nil, fmt.Errorf("%w: %w", ErrUnwritable, diskError(err))
	}
	return f, err
}
