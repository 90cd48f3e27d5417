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

// stamp is when a directory was last listed. Times of files stand still between the ticks of a clock: what happens in the same tick
// after the listing does not show.
type stamp struct {
	ID    fileID
	Young bool // more may have happened in the tick of the last change: list once more when that is youngAge ago
}

const (
	youngAge   = 2 * time.Second       // Dovecot's rule, with a second to spare
	coarseTime = 10 * time.Millisecond // where times are that round, the filesystem keeps no more of them
	fineTime   = time.Millisecond      // no tick is shorter; others keep at least that
)

// stampOf is the stamp of a directory that was listed after now, which is the kernel's clock: what happens after the listing has a time that
// is not before now, so another one unless the last change was in the same tick.
func stampOf(id fileID, now time.Time) stamp {
	last := max(id.Mtime, id.Ctime) // a program may have set the first back
	age, most := now.UnixNano()-last, fineTime
	if last%int64(coarseTime) == 0 {
		most = youngAge
	}
	return stamp{ID: id, Young: age < int64(most)}
}

// kernelTime is the clock from which the kernel takes the times of files; before all times if it cannot be had.
func kernelTime() time.Time {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_REALTIME_COARSE, &t) != nil {
		return time.Unix(0, 0)
	}
	return time.Unix(t.Unix())
}

// stale says whether a directory that is now id has to be listed again.
func (s stamp) stale(id fileID, now time.Time) bool {
	age := now.UnixNano() - id.Mtime
	return s.ID != id || s.Young && (age >= int64(youngAge) || age < -int64(youngAge)) // or the clock was set back
}
