package mailstore

import (
	"bufio"
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"postrider/internal/fault"
	"postrider/internal/maildir"
)

const (
	uidlistFile = "dovecot-uidlist"
	uidlistTmp  = "dovecot-uidlist.tmp"
	uidlistLock = "dovecot-uidlist.lock"
)

// uidfile is a uidlist as it was last read.
type uidfile struct {
	*uidlist
	id     fileID
	offset int64 // end of the last complete line
}

// readUidfile reads the list at path and its lines; of one that only grew, what is new: then it returns old. nil = there is none, or none
// that can be used.
func readUidfile(path string, old *uidfile) (*uidfile, []record, error) {
	f, _, err := maildir.Open(path, os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	id, err := openID(f)
	if err != nil {
		return nil, nil, err
	}
	if id.Size > maxUidlist {
		return nil, nil, &fs.PathError{Op: "read", Path: path, Err: unix.EFBIG}
	}
	if old != nil && sameInode(old.id, id) && id.Size > old.id.Size && endsLine(f, old.offset) {
		lines := newLineReader(io.NewSectionReader(f, old.offset, id.Size-old.offset))
		records, err := old.parseRecords(lines, old.next-1)
		if err != nil {
			return nil, nil, err
		}
		old.offset += lines.read
		old.id = id
		return old, records, nil
	}
	list, records, n, err := parseUidlist(io.NewSectionReader(f, 0, id.Size))
	if errors.Is(err, errUidlist) || err == errLongLine {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	return &uidfile{uidlist: list, id: id, offset: n}, records, nil
}

// endsLine says whether a line ends at offset.
func endsLine(f *os.File, offset int64) bool {
	var b [1]byte
	_, err := f.ReadAt(b[:], offset-1)
	return err == nil && b[0] == '\n'
}

// append adds records to the file under its lock. When that fails the file is as before, or what is there is read next time.
func (u *uidfile) append(path string, records []record) error {
	f, _, err := maildir.Open(path, os.O_WRONLY)
	if err != nil {
		return err
	}
	defer f.Close()
	var b strings.Builder
	for _, r := range records {
		b.WriteString(r.line())
	}
	fault.Point("mailstore.uidlist-append")
	if _, err := f.WriteAt([]byte(b.String()), u.offset); err != nil {
		f.Truncate(u.offset) // else the next holder of the lock writes the file anew
		return err
	}
	if err := fdatasync(f); err != nil {
		return err
	}
	u.uidlist = u.with(records)
	u.lines += len(records)
	u.offset += int64(b.Len())
	u.id, err = openID(f)
	return err
}

// appendable says whether the file of the list is such that lines can follow.
func (u *uidfile) appendable() bool {
	return u.version == 3 && !u.damaged && u.offset == u.id.Size && u.id.Ino != 0
}

// rewrite replaces the file under its lock by one with these lines. It is durable when the directory has been synced.
func (u *uidfile) rewrite(dir string, lines []record, lock *dotlock) error {
	id, err := lock.replace(dir+"/"+uidlistTmp, dir+"/"+uidlistFile, "mailstore.uidlist-written", func(f *os.File) error {
		return u.write(bufio.NewWriterSize(f, maxLine), lines)
	})
	if err != nil {
		return err
	}
	u.id, u.version, u.damaged, u.offset, u.lines = id, 3, false, id.Size, len(lines)
	return nil
}
