package maildir

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// disk is what a delivery asks of the filesystem; tests put failures in its place.
type disk interface {
	create(dir int, name string) (*os.File, error) // never follows or opens what is there
	write(f *os.File, p []byte) error
	start(f *os.File) // write back in the background
	sync(f *os.File) error
	rename(from int, old string, to int, name string) error
	syncDir(dir int) error
	unlink(dir int, name string) error
}

type osDisk struct{}

func (osDisk) create(dir int, name string) (*os.File, error) {
	return openFileAt(dir, name, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL)
}

func (osDisk) write(f *os.File, p []byte) error {
	_, err := f.Write(p)
	return err
}

func (osDisk) start(f *os.File) {
	unix.SyncFileRange(int(f.Fd()), 0, 0, unix.SYNC_FILE_RANGE_WRITE)
}

func (osDisk) sync(f *os.File) error { return f.Sync() }

func (osDisk) rename(from int, old string, to int, name string) error {
	return retry(func() error { return unix.Renameat(from, old, to, name) })
}

func (osDisk) syncDir(dir int) error {
	return retry(func() error { return unix.Fsync(dir) })
}

func (osDisk) unlink(dir int, name string) error {
	return retry(func() error { return unix.Unlinkat(dir, name, 0) })
}

// openFileAt opens a file for use beside the poller: fsync and write block a thread, as they must.
func openFileAt(dir int, name string, flags int) (*os.File, error) {
	fd, err := openAt(dir, name, flags)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

func openAt(dir int, name string, flags int) (fd int, err error) {
	err = retry(func() error {
		fd, err = unix.Openat(dir, name, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
		return err
	})
	return fd, err
}

// openDirAt opens a directory that is no symlink.
func openDirAt(dir int, name string) (int, error) {
	fd, err := openAt(dir, name, unix.O_RDONLY|unix.O_DIRECTORY)
	if errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return -1, fmt.Errorf("%w: %w", ErrNoMaildir, err)
	}
	return fd, err
}

// retry repeats a system call that a signal of the runtime interrupted, as filesystems in user space allow.
func retry(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}
