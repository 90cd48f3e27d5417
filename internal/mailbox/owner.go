package mailbox

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"postrider/internal/sandbox"
)

// becomeOwner gives up all rights that the owner of the Maildir does not have. Whatever stands at the path later is then touched with
// the rights of that user. Files made from now on are readable by the owner alone. The path is absolute.
func becomeOwner(maildir string) error {
	info, err := os.Stat(maildir)
	if err != nil {
		return err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.IsDir() {
		return fmt.Errorf("%s is not a directory", maildir)
	}
	syscall.Umask(0o077)
	uid := os.Geteuid()
	switch {
	case st.Uid == 0:
		return fmt.Errorf("%s belongs to root, as whom no mail is touched", maildir)
	case uid == int(st.Uid):
		return nil
	case uid != 0:
		return fmt.Errorf("%s belongs to uid %d: run this as that user, or as root", maildir, st.Uid)
	}
	if err := leadsOnlyTo(maildir, st.Uid); err != nil {
		return err
	}
	gid, err := groupOf(st)
	if err != nil {
		return fmt.Errorf("become the owner of %s: %w", maildir, err)
	}
	if err := sandbox.BecomeUser(st.Uid, gid); err != nil {
		return fmt.Errorf("become the owner of %s: %w", maildir, err)
	}
	return nil
}

// groupOf is the group of an owner: that of the directory, or if root made it, the one that the system knows of the user.
func groupOf(st *syscall.Stat_t) (uint32, error) {
	if st.Gid != 0 {
		return st.Gid, nil
	}
	u, err := user.LookupId(strconv.Itoa(int(st.Uid)))
	if err != nil {
		return 0, fmt.Errorf("its group is root's, and the owner's is not known: %w", err)
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil || gid == 0 {
		return 0, fmt.Errorf("the group of uid %d is %s", st.Uid, u.Gid)
	}
	return uint32(gid), nil
}

// leadsOnlyTo says whether a path, as it is written, has nothing in it that belongs to others than root and a user: who has a directory or a
// link in it can make it lead to the mail of anybody.
func leadsOnlyTo(path string, uid uint32) error {
	for ; ; path = filepath.Dir(path) {
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return &os.PathError{Op: "stat", Path: path, Err: err}
		}
		if st.Uid != 0 && st.Uid != uid {
			return fmt.Errorf("%s belongs to uid %d, and leads to mail of uid %d", path, st.Uid, uid)
		}
		if path == filepath.Dir(path) {
			return nil
		}
	}
}

// openFirst opens a file that a command line names before the rights are gone, as it need not be the user's. It is nil if that is to be
// done with the rights of the user: he may have made the link on the way to it, or the second name that it has.
func openFirst(path string) (*os.File, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	how := unix.OpenHow{Flags: unix.O_RDONLY | unix.O_NONBLOCK | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_SYMLINKS}
	fd, err := unix.Openat2(unix.AT_FDCWD, path, &how)
	if errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENOSYS) {
		return nil, nil
	}
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	file := os.NewFile(uintptr(fd), path)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Nlink > 1 && st.Mode&unix.S_IFMT == unix.S_IFREG {
		file.Close()
		return nil, err
	}
	return file, nil
}
