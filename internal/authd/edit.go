package authd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"postrider/internal/filelock"
)

// maxTable bounds a table that is edited, in octets.
const maxTable = 64 << 20

// lockTimeout is how long to wait for another editor.
const lockTimeout = 10 * time.Second

// attributes are what a file keeps when its contents are replaced. An id of -1 is that of the process.
type attributes struct {
	mode     fs.FileMode
	uid, gid int
}

// textFile is a table being edited: whole lines, whatever is in them.
type textFile struct {
	path  string      // without symbolic links
	info  fs.FileInfo // as it was read; nil if there was no file
	attr  attributes
	lines []string
}

// openText reads a table. One that does not exist is empty and gets the attributes of a new one.
func openText(path string, fresh attributes) (*textFile, error) {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return &textFile{path: path, attr: fresh}, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxTable {
		return nil, fmt.Errorf("%s: not a regular file of at most %d MiB", path, maxTable>>20)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxTable))
	if err != nil {
		return nil, err
	}
	t := &textFile{path: path, info: info, attr: attributes{mode: info.Mode().Perm(), uid: -1, gid: -1}}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		t.attr.uid, t.attr.gid = int(st.Uid), int(st.Gid)
	}
	if text := strings.TrimSuffix(string(b), "\n"); text != "" {
		t.lines = strings.Split(text, "\n")
	}
	return t, nil
}

// text is the contents.
func (t *textFile) text() string {
	if len(t.lines) == 0 {
		return ""
	}
	return strings.Join(t.lines, "\n") + "\n"
}

// find returns the numbers of the lines whose first fields are these, names compared without case.
func (t *textFile) find(name string, more ...string) []int {
	var found []int
	for i, line := range t.lines {
		f := strings.Split(strings.TrimSpace(line), ":")
		if len(f) <= len(more) || !strings.EqualFold(strings.TrimSpace(f[0]), name) {
			continue
		}
		same := true
		for j, want := range more {
			same = same && f[j+1] == want
		}
		if same {
			found = append(found, i)
		}
	}
	return found
}

// remove takes lines out.
func (t *textFile) remove(numbers []int) {
	for i := len(numbers) - 1; i >= 0; i-- {
		n := numbers[i]
		t.lines = append(t.lines[:n:n], t.lines[n+1:]...)
	}
}

// set replaces the line with this number, or appends one if there is none.
func (t *textFile) set(numbers []int, line string) {
	if len(numbers) == 0 {
		t.lines = append(t.lines, line)
		return
	}
	t.lines[numbers[0]] = line
}

// save replaces the file by a whole new one.
func (t *textFile) save() error {
	err := replaceFile(t.path, []byte(t.text()), t.attr, t.unchanged)
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w: run this as the owner of %s", err, filepath.Dir(t.path))
	}
	return err
}

// unchanged fails if somebody who does not know the lock, an administrator with an editor, has written the file meanwhile.
func (t *textFile) unchanged() error {
	now, err := os.Lstat(t.path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && t.info == nil:
		return nil
	case err != nil:
		return err
	case t.info == nil || !os.SameFile(now, t.info) || !now.ModTime().Equal(t.info.ModTime()) || now.Size() != t.info.Size():
		return fmt.Errorf("%s has been changed by somebody else meanwhile: try again", t.path)
	}
	return nil
}

// replaceFile writes a file so that a crash at any moment leaves the old or the new contents under the name: a synced
// temporary file in the same directory takes its place, if may, asked at the last moment, does not fail.
func replaceFile(path string, content []byte, a attributes, may func() error) (err error) {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	if _, err = f.Write(content); err != nil {
		return err
	}
	if err = a.apply(f); err != nil {
		return err
	}
	if err = f.Sync(); err != nil {
		return err
	}
	if err = f.Close(); err != nil {
		return err
	}
	if err = may(); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDirectory(dir)
}

// apply gives a new file its owner, if that is not the process already, and then its mode.
func (a attributes) apply(f *os.File) error {
	uid, gid := -1, -1
	if a.uid >= 0 && a.uid != os.Geteuid() {
		uid = a.uid
	}
	if a.gid >= 0 && a.gid != os.Getegid() {
		gid = a.gid
	}
	if uid >= 0 || gid >= 0 {
		if err := f.Chown(uid, gid); err != nil {
			return err
		}
	}
	return f.Chmod(a.mode)
}

func syncDirectory(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// lockFile keeps other editors out until the returned function is called. The lock file stays: removing it would let two
// editors lock different files of the same name.
func lockFile(ctx context.Context, path string) (unlock func(), err error) {
	f, err := filelock.Take(ctx, path, lockTimeout)
	if errors.Is(err, filelock.ErrLocked) || ctx.Err() != nil {
		return nil, fmt.Errorf("lock %s: another editor has it", path)
	}
	if err != nil {
		return nil, err
	}
	return func() { f.Close() }, nil
}
