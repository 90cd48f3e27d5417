package maildir

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// dir is an open Maildir. It is opened anew for each batch: the owner may have moved it since.
type dir struct {
	fd             int
	tmp, new, cur  int
	synced         bool                // the way from Place.Root to here is durable
	left           map[string][]string // what earlier writers left in tmp/, by unique part; nil = not looked for
	curFound       bool                // an earlier delivery was found in cur/
	newErr, curErr error               // of the directory's fsync
}

// open returns the Maildir of p, made if it is missing.
func (b *Batch) open(p Place, again bool) (*dir, error) {
	p.Path = filepath.Clean(p.Path)
	d := b.dirs[p.Path]
	if d == nil {
		d = &dir{fd: -1, tmp: -1, new: -1, cur: -1}
		made, err := d.open(p)
		if err == nil && (made || d.unused()) { // unused: who made it may have died before its fsync
			err = d.syncWay(b.disk, p)
		}
		if err != nil {
			d.close()
			return nil, fmt.Errorf("open Maildir %s: %w", p.Path, err)
		}
		b.dirs[p.Path] = d
	}
	if again && !d.synced {
		if err := d.syncWay(b.disk, p); err != nil {
			return nil, fmt.Errorf("open Maildir %s: %w", p.Path, err)
		}
	}
	return d, nil
}

// open opens the directories, and makes those that are missing.
func (d *dir) open(p Place) (made bool, err error) {
	d.fd, err = openDirAt(unix.AT_FDCWD, p.Path)
	if errors.Is(err, fs.ErrNotExist) {
		made = true
		d.fd, err = makeWay(p)
	}
	if err != nil {
		return made, err
	}
	for _, sub := range []struct {
		fd   *int
		name string
	}{{&d.tmp, "tmp"}, {&d.new, "new"}, {&d.cur, "cur"}} {
		*sub.fd, err = openDirAt(d.fd, sub.name)
		if errors.Is(err, fs.ErrNotExist) {
			made = true
			*sub.fd, err = makeDirAt(d.fd, sub.name)
		}
		if err != nil {
			return made, fmt.Errorf("%s: %w", sub.name, err)
		}
	}
	return made, nil
}

// unused says that no mail is in here.
func (d *dir) unused() bool {
	for _, fd := range []int{d.new, d.cur} {
		list, err := openFileAt(fd, ".", unix.O_RDONLY|unix.O_DIRECTORY)
		if err != nil {
			return false
		}
		names, err := list.Readdirnames(1)
		list.Close()
		if len(names) > 0 || err != io.EOF {
			return false
		}
	}
	return true
}

// removeLeft removes what earlier writers of a message left in tmp/. One that still hangs on its file cannot publish it then.
func (d *dir) removeLeft(disk disk, unique string) {
	if d.left == nil {
		d.left = make(map[string][]string)
		list, err := openFileAt(d.tmp, ".", unix.O_RDONLY|unix.O_DIRECTORY)
		if err != nil {
			return // cleaning takes them
		}
		names, _ := list.Readdirnames(maxClean)
		list.Close()
		for _, name := range names {
			if dot := strings.LastIndexByte(name, '.'); dot > 0 {
				d.left[name[:dot]] = append(d.left[name[:dot]], name)
			}
		}
	}
	for _, name := range d.left[unique] {
		disk.unlink(d.tmp, name)
	}
}

func (d *dir) close() {
	for _, fd := range []int{d.fd, d.tmp, d.new, d.cur} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}

// parts are the directories from p.Root, which must exist, to p.Path.
func (p Place) parts() (root string, names []string) {
	rel, err := filepath.Rel(p.Root, p.Path)
	if err != nil || rel == "." || rel == ".." || strings.HasPrefix(rel, "../") {
		return filepath.Dir(p.Path), []string{filepath.Base(p.Path)}
	}
	return filepath.Clean(p.Root), strings.Split(rel, "/")
}

// makeWay makes what is missing of p.Path and opens it.
func makeWay(p Place) (int, error) {
	root, names := p.parts()
	var fd int
	err := retry(func() (err error) { // the root itself may be a symlink: the administrator's
		fd, err = unix.Open(root, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return -1, fmt.Errorf("%s: %w", root, err)
	}
	for _, name := range names {
		next, err := openDirAt(fd, name)
		if errors.Is(err, fs.ErrNotExist) {
			next, err = makeDirAt(fd, name)
		}
		unix.Close(fd)
		if err != nil {
			return -1, fmt.Errorf("%s: %w", name, err)
		}
		fd = next
	}
	return fd, nil
}

func makeDirAt(dir int, name string) (int, error) {
	err := retry(func() error { return unix.Mkdirat(dir, name, 0o700) })
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return -1, err
	}
	return openDirAt(dir, name)
}

// syncWay makes the Maildir's own directories durable: itself, which holds the names of the three, and each above it up to
// the root.
func (d *dir) syncWay(disk disk, p Place) error {
	if err := disk.syncDir(d.fd); err != nil {
		return err
	}
	root, names := p.parts()
	for i := range names {
		above := filepath.Join(append([]string{root}, names[:i]...)...)
		fd, err := unix.Open(above, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if errors.Is(err, fs.ErrPermission) && i == 0 {
			continue // a root that its user may pass but not read: nothing of ours was made in it
		}
		if err != nil {
			return err
		}
		err = disk.syncDir(fd)
		unix.Close(fd)
		if err != nil {
			return fmt.Errorf("%s: %w", above, err)
		}
	}
	d.synced = true
	return nil
}
