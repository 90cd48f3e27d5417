// Package indexdir says where those files of a folder lie that can be made again at any time, its index and its cache: with the
// mail, or, where that is on a filesystem of several hosts, in a directory of this one.
//
// That directory may be one into which everybody writes, as /tmp is: each user has a directory in it that only the user enters.
// What stands in its place and is somebody else's is not used.
package indexdir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// Dir is the directory of one user; "" = each folder's own.
type Dir string

// None is where nothing can be. Who was to have a directory and has none does without: an index here and another there would number
// changes twice.
const None Dir = "/dev/null"

// Own returns the directory of the user who runs this process, which is made in base if it is missing.
func Own(base string) (Dir, error) {
	path := filepath.Join(base, strconv.Itoa(os.Geteuid()))
	if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("make directory for indexes: %w", err)
	}
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return "", fmt.Errorf("directory for indexes: %w", &os.PathError{Op: "stat", Path: path, Err: err})
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR || int(st.Uid) != os.Geteuid() || st.Mode&0o077 != 0 {
		return "", fmt.Errorf("directory for indexes: %s is not a directory of uid %d alone", path, os.Geteuid())
	}
	return Dir(path), nil
}

// Path is where a folder of mail has a file. Elsewhere than in the folder it goes by the directory's device and inode, so that it stays
// when that is renamed.
func (d Dir) Path(folder, name string, dev, ino uint64) string {
	if d == "" {
		return folder + "/" + name
	}
	return fmt.Sprintf("%s/%x-%x-%s", d, dev, ino, name)
}

// Find is Path for who has not looked at the folder.
func (d Dir) Find(folder, name string) (string, error) {
	var st unix.Stat_t
	if err := unix.Stat(folder, &st); err != nil {
		return "", &os.PathError{Op: "stat", Path: folder, Err: err}
	}
	return d.Path(folder, name, uint64(st.Dev), st.Ino), nil
}
