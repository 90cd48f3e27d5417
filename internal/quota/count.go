package quota

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"postrider/internal/maildir"
)

// maxCounts bounds how often a Maildir is counted that others change meanwhile.
const maxCounts = 3

// recount counts the Maildir and writes the file anew; the lock is held.
func (r *Root) recount(ctx context.Context) (*sizes, error) {
	s := &sizes{limit: r.limit}
	if !s.limit.Limited() {
		old, err := r.read()
		if err != nil && !errors.Is(err, errUntrue) {
			return nil, err
		}
		s.limit = old.limit
	}
	for range maxCounts {
		c := counter{ctx: ctx}
		if err := c.maildir(r.dir); err != nil {
			return nil, err
		}
		if s.used = c.total; c.still() {
			break
		}
	}
	return s, r.write(s)
}

// Count is what is in new and cur of one folder's directory. What is no regular file does not count; a directory that is not there is
// empty.
func Count(ctx context.Context, dir string) (Amount, error) {
	c := counter{ctx: ctx}
	err := c.folder(dir)
	return c.total, err
}

// counter adds up directories.
type counter struct {
	ctx   context.Context
	total Amount
	seen  []state
}

// state is a directory as it was before it was counted.
type state struct {
	path     string
	dev, ino uint64
	time     unix.Timespec
}

func look(path string) (state, error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return state{}, &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return state{}, &fs.PathError{Op: "stat", Path: path, Err: unix.ENOENT}
	}
	return state{path, uint64(st.Dev), st.Ino, st.Mtim}, nil
}

// still says whether no directory has changed since it was counted.
func (c *counter) still() bool {
	for _, s := range c.seen {
		if now, err := look(s.path); err != nil || now != s {
			return false
		}
	}
	return true
}

// maildir adds the Maildir's own directories and those of its folders.
func (c *counter) maildir(root string) error {
	if err := c.folder(root); err != nil {
		return err
	}
	return eachName(root, func(name string) error {
		if len(name) < 2 || name[0] != '.' || name[1] == '.' {
			return nil
		}
		path := filepath.Join(root, name)
		if _, err := look(path); err != nil {
			return gone(err)
		}
		return c.folder(path)
	})
}

func (c *counter) folder(dir string) error {
	for _, sub := range [...]string{"new", "cur"} {
		if err := c.ctx.Err(); err != nil {
			return err
		}
		path := filepath.Join(dir, sub)
		s, err := look(path)
		if err == nil {
			c.seen = append(c.seen, s)
			err = eachName(path, func(name string) error { return c.file(path, name) })
		}
		if gone(err) != nil {
			return err
		}
	}
	return nil
}

// file adds a message, by its name if that tells its size.
func (c *counter) file(dir, name string) error {
	if name[0] == '.' {
		return nil
	}
	size, ok := maildir.NameSize(name, maildir.SizeField)
	if !ok {
		var st unix.Stat_t
		if err := unix.Lstat(filepath.Join(dir, name), &st); err != nil {
			return gone(&fs.PathError{Op: "stat", Path: dir + "/" + name, Err: err})
		}
		if st.Mode&unix.S_IFMT != unix.S_IFREG {
			return nil
		}
		size = st.Size
	}
	c.total = Amount{min(c.total.Octets+size, maxSum), c.total.Messages + 1}
	return nil
}

// gone passes over what was removed meanwhile.
func gone(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return nil
	}
	return err
}

// eachName calls do with the names in a directory.
func eachName(dir string, do func(name string) error) error {
	d, err := os.OpenFile(dir, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer d.Close()
	for {
		names, err := d.Readdirnames(4096)
		for _, name := range names {
			if err := do(name); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
