package listen

import (
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// maxSocketPath is the longest path that fits a Unix address with its final zero.
const maxSocketPath = 107

// socketPath is a way to a socket that fits a Unix address: its path, or its name below an open directory.
type socketPath struct {
	path string
	dir  int // -1 if none
}

// shorten finds that way. It holds until Close.
func shorten(path string) (socketPath, error) {
	if len(path) <= maxSocketPath {
		return socketPath{path: path, dir: -1}, nil
	}
	dir, err := unix.Open(filepath.Dir(path), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return socketPath{}, &os.PathError{Op: "open", Path: filepath.Dir(path), Err: err}
	}
	s := socketPath{path: "/proc/self/fd/" + strconv.Itoa(dir) + "/" + filepath.Base(path), dir: dir}
	if len(s.path) > maxSocketPath {
		s.Close()
		return socketPath{}, &os.PathError{Op: "socket name", Path: path, Err: unix.ENAMETOOLONG}
	}
	return s, nil
}

func (s socketPath) Close() {
	if s.dir >= 0 {
		unix.Close(s.dir)
	}
}
