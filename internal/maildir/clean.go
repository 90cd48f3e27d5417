package maildir

import (
	"io/fs"
	"time"

	"golang.org/x/sys/unix"
)

// staleAge is how old a file in tmp/ must be that its writer can be taken for dead (maildir(5)).
const staleAge = 36 * time.Hour

// maxClean bounds the names that one cleaning looks at.
const maxClean = 10_000

// Clean removes files from tmp/ that nobody has written to for 36 hours before now. It is worth doing now and then.
func Clean(path string, now time.Time) error {
	fd, err := openDirAt(unix.AT_FDCWD, path+"/tmp")
	if err != nil {
		return &fs.PathError{Op: "clean", Path: path, Err: err}
	}
	defer unix.Close(fd)
	list, err := openFileAt(fd, ".", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return &fs.PathError{Op: "clean", Path: path, Err: err}
	}
	defer list.Close()
	names, err := list.Readdirnames(maxClean)
	if len(names) == 0 {
		return nil
	}
	limit := now.Add(-staleAge)
	for _, name := range names {
		var st unix.Stat_t
		if unix.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW) != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
			continue
		}
		if time.Unix(st.Mtim.Unix()).Before(limit) {
			unix.Unlinkat(fd, name, 0)
		}
	}
	return err
}
