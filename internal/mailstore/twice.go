package mailstore

import (
	"errors"
	"io/fs"
	"maps"
	"os"
)

// twins settles base names that two files have.
type twins struct {
	folder *folder
	owners owners // the state's messages
}

// resolveTwice does that under the lock: of two names of one file one goes, another file gets a base name of its own. Both directories
// have just been listed.
func (f *folder) resolveTwice() error {
	t := twins{folder: f}
	if f.state != nil {
		t.owners.messages, t.owners.sums = f.state.messages, sumBases(f.state.messages)
	}
	for _, d := range []struct {
		sub   string
		twice []string
	}{{"new", f.new.twice}, {"cur", f.cur.twice}} {
		for _, name := range d.twice {
			if err := t.resolve(d.sub, name); err != nil {
				return err
			}
		}
	}
	for base, name := range maps.Clone(f.new.names) {
		if _, both := f.cur.names[base]; both {
			delete(f.new.names, base)
			if err := t.resolve("new", name); err != nil {
				return err
			}
		}
	}
	f.new.twice, f.cur.twice = nil, nil
	return nil
}

// resolve settles a name that is not among those of its directory, because another file has its base.
func (t *twins) resolve(sub, name string) error {
	f, base, otherSub := t.folder, baseOf(name), "cur"
	other, inCur := f.cur.names[base]
	if !inCur {
		other, otherSub = f.new.names[base], "new"
	}
	a, errA := os.Lstat(f.path(sub + "/" + name))
	b, errB := os.Lstat(f.path(otherSub + "/" + other))
	switch {
	case errors.Is(errA, fs.ErrNotExist):
		return nil // it was renamed while we listed
	case errA != nil:
		return errA
	case errors.Is(errB, fs.ErrNotExist):
		delete(f.directory(otherSub).names, base)
		f.directory(sub).put(base, name)
		return nil
	case errB != nil:
		return errB
	case os.SameFile(a, b):
		return os.Remove(f.path(sub + "/" + name))
	case t.has(sub, name):
		delete(f.directory(otherSub).names, base)
		f.directory(sub).put(base, name)
		return f.rebase(otherSub, other)
	}
	return f.rebase(sub, name)
}

// has says that this file is the state's message.
func (t *twins) has(sub, name string) bool {
	i := t.owners.find(baseOf(name))
	if i < 0 {
		return false
	}
	m := t.owners.messages[i]
	return m.name == name && m.inNew == (sub == "new")
}

func (f *folder) directory(sub string) *directory {
	if sub == "new" {
		return &f.new
	}
	return &f.cur
}

// rebase gives a file a base name of its own.
func (f *folder) rebase(sub, name string) error {
	base := baseOf(name)
	own := uniqueName() + sizeSuffix(base)
	renamed := own + name[len(base):]
	if err := os.Rename(f.path(sub+"/"+name), f.path(sub+"/"+renamed)); err != nil {
		return err
	}
	f.directory(sub).put(own, renamed)
	return nil
}
