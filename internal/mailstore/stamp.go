package mailstore

import (
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// fileID tells one state of a file or directory from another.
type fileID struct {
	Dev, Ino     uint64
	Size         int64
	Mtime, Ctime int64 // ns
}

func idOf(st *unix.Stat_t) fileID {
	return fileID{Dev: uint64(st.Dev), Ino: st.Ino, Size: st.Size, Mtime: st.Mtim.Nano(), Ctime: st.Ctim.Nano()}
}

// statID does not follow a symlink at the end of path.
func statID(path string) (fileID, error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return fileID{}, &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	return idOf(&st), nil
}

// openID is that of an open file.
func openID(f *os.File) (fileID, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return fileID{}, &fs.PathError{Op: "stat", Path: f.Name(), Err: err}
	}
	return idOf(&st), nil
}

// stamp is when a directory was last listed. Its time has a clock's tick: what happens in the same tick after the listing
// does not show.
type stamp struct {
	ID    fileID
	Young bool // changed less than youngAge before it was listed: list once more later
}

// youngAge is Dovecot's rule, with a second to spare.
const youngAge = 2 * time.Second

func stampOf(id fileID, now time.Time) stamp {
	return stamp{ID: id, Young: now.UnixNano()-id.Mtime < int64(youngAge)}
}

// stale says whether a directory that is now id has to be listed again.
func (s stamp) stale(id fileID, now time.Time) bool {
	age := now.UnixNano() - id.Mtime
	return s.ID != id || s.Young && (age >= int64(youngAge) || age < -int64(youngAge)) // or the clock was set back
}
