package mailstore

import (
	"errors"
	"io"
	"maps"
	"os"
	"time"
)

// eachName calls do with the names in a directory.
func eachName(dir string, do func(name string)) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	for {
		names, err := d.Readdirnames(4096)
		for _, name := range names {
			do(name)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// listing is what was found in new or cur.
type listing struct {
	names map[string]string // by base name
	twice []string          // names whose base name has another file
	stamp Stamp
	quiet bool // nothing changed while it was listed
}

// list reads a directory. A file that is renamed meanwhile may show under either name, both, or none.
func list(dir string, now time.Time) (*listing, error) {
	id, err := statID(dir)
	if err != nil {
		return nil, err
	}
	l := &listing{names: make(map[string]string), stamp: stampOf(id, now)}
	err = eachName(dir, func(name string) {
		base := baseOf(name)
		if !validBase(base) {
			return // no mail, or no name for a uidlist
		}
		if other, ok := l.names[base]; ok && other != name {
			l.twice = append(l.twice, name)
			return
		}
		l.names[base] = name
	})
	if err != nil {
		return nil, err
	}
	after, err := statID(dir)
	l.quiet = err == nil && after == id
	return l, err
}

// scan lists new and cur, those that may have changed or, with all set, both. New is first: a file that is moved on
// meanwhile is then seen twice rather than never.
func (f *folder) scan(all bool) error {
	for _, d := range []struct {
		sub   string
		names *map[string]string
		stamp *Stamp
		twice *[]string
	}{{"new", &f.new, &f.newStamp, &f.newTwice}, {"cur", &f.cur, &f.curStamp, &f.curTwice}} {
		dir, now := f.path(d.sub), time.Now()
		id, err := statID(dir)
		if err != nil {
			return err
		}
		if !all && !f.store.opts.Remote && *d.names != nil && !d.stamp.stale(id, now) {
			continue
		}
		l, err := list(dir, now)
		if err != nil {
			return err
		}
		f.dirty = f.dirty || *d.names == nil || len(l.twice) > 0 || !maps.Equal(l.names, *d.names)
		*d.names, *d.stamp, *d.twice = l.names, l.stamp, l.twice
		f.quiet = l.quiet && (f.quiet || d.sub == "new")
	}
	return nil
}

// maxScans bounds the listings that look for a message before it counts as gone.
const maxScans = 3

// scanAgain lists both directories until nothing changed meanwhile, or often enough. A message that was in one of the last
// two listings is not taken for gone.
func (f *folder) scanAgain(lock *folderLock) error {
	for range maxScans {
		lock.touch()
		cur := f.cur
		if err := f.scan(true); err != nil {
			return err
		}
		if f.quiet {
			return nil
		}
		f.merge(cur)
	}
	return nil
}

// merge keeps names of the listing before that the last one did not have, if their files are still there.
func (f *folder) merge(before map[string]string) {
	for base, name := range before {
		_, inCur := f.cur[base]
		_, inNew := f.new[base]
		if !inCur && !inNew {
			if _, err := os.Lstat(f.path("cur/" + name)); err == nil {
				f.cur[base] = name
			}
		}
	}
}

// findName looks for a file by its base name.
func (f *folder) findName(base string) (path string, err error) {
	for _, sub := range []string{"new", "cur"} {
		found := ""
		err := eachName(f.path(sub), func(name string) {
			if baseOf(name) == base {
				found = name
			}
		})
		if err != nil {
			return "", err
		}
		if found != "" {
			return f.path(sub + "/" + found), nil
		}
	}
	return "", ErrExpunged
}

// resolveTwice settles base names that two files have, under the lock: of two names of one file one goes, another file gets
// a base name of its own.
func (f *folder) resolveTwice() error {
	for _, d := range []struct {
		sub   string
		twice []string
	}{{"new", f.newTwice}, {"cur", f.curTwice}} {
		for _, name := range d.twice {
			if err := f.resolve(d.sub, name); err != nil {
				return err
			}
		}
	}
	for base, name := range maps.Clone(f.new) {
		if _, both := f.cur[base]; both {
			delete(f.new, base)
			if err := f.resolve("new", name); err != nil {
				return err
			}
		}
	}
	f.newTwice, f.curTwice = nil, nil
	return nil
}

func (f *folder) resolve(sub, name string) error {
	base := baseOf(name)
	path, names := f.path(sub+"/"+name), f.cur
	other, inCur := f.cur[base]
	otherPath := f.path("cur/" + other)
	if !inCur {
		otherPath, names = f.path("new/"+f.new[base]), f.new
	}
	a, errA := os.Lstat(path)
	if errors.Is(errA, os.ErrNotExist) {
		return nil // it was renamed while we listed
	}
	b, errB := os.Lstat(otherPath)
	switch {
	case errA != nil:
		return errA
	case errors.Is(errB, os.ErrNotExist):
		if inCur && sub == "new" {
			delete(f.cur, base)
			f.new[base] = name
		} else {
			names[base] = name
		}
		return nil
	case errB != nil:
		return errB
	case os.SameFile(a, b):
		return os.Remove(path)
	}
	own := uniqueName() + sizeSuffix(base)
	renamed := own
	if i := len(base); i < len(name) {
		renamed += name[i:]
	}
	if err := os.Rename(path, f.path(sub+"/"+renamed)); err != nil {
		return err
	}
	if sub == "new" {
		f.new[own] = renamed
	} else {
		f.cur[own] = renamed
	}
	return nil
}
