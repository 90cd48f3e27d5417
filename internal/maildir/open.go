package maildir

import (
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// ErrNotRegular is what stands where a file should be.
var ErrNotRegular = errors.New("not a regular file")

// Quiet is for reading messages: who may, as the owner, leaves no time of access behind, which would cost a write for each message.
const Quiet = os.O_RDONLY | unix.O_NOATIME

// Open opens a regular file, which another program may have replaced by anything; a missing one is made as flags say, for its owner alone.
func Open(path string, flags int) (*os.File, fs.FileInfo, error) {
	flags |= unix.O_NOFOLLOW | unix.O_NONBLOCK
	f, err := os.OpenFile(path, flags, 0o600)
	if flags&unix.O_NOATIME != 0 && errors.Is(err, unix.EPERM) {
		f, err = os.OpenFile(path, flags&^unix.O_NOATIME, 0o600)
	}
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: path, Err: ErrNotRegular}
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, info, nil
}
