package pop3d

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// lockFile is empty and stays; other programs take no notice of it.
const lockFile = "postrider.pop3"

// takeLock takes an fcntl lock that belongs to the open file: it holds between the sessions of one process as between
// processes, and is gone with its holder.
func takeLock(maildir string) (*os.File, error) {
	path := filepath.Join(maildir, lockFile)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock mailbox: %w", err)
	}
	lock := unix.Flock_t{Type: unix.F_WRLCK}
	for {
		err = unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &lock)
		if err != unix.EINTR {
			break
		}
	}
	switch err {
	case nil:
		return f, nil
	case unix.EAGAIN, unix.EACCES:
		err = ErrInUse
	default:
		err = fmt.Errorf("lock mailbox: %w", &fs.PathError{Op: "lock", Path: path, Err: err})
	}
	f.Close()
	return nil, err
}

// cannotWrite says that a file could not be made, now or ever.
func cannotWrite(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) || errors.Is(err, unix.EROFS) || errors.Is(err, fs.ErrPermission)
}
