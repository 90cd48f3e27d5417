package mailstore

import (
	"io"
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

// directory is what is known of new or cur beyond the state.
type directory struct {
	stamp stamp             // when it was listed
	again bool              // list it again whatever its time is
	names map[string]string // by base name: files that the state may not have, or has under another name
	whole bool              // names are all that there is; else those of the state are there, too
	twice []string          // names whose base name has another file
}

// settled says that the state has it all.
func (d *directory) settled() { d.names, d.whole, d.twice = nil, false, nil }

// put notes that a file is there.
func (d *directory) put(base, name string) {
	if d.names == nil {
		d.names = make(map[string]string)
	}
	d.names[base] = name
}

// list reads a directory. A file that is renamed meanwhile may show under either name, both, or none.
func list(dir string, now time.Time) (d directory, quiet bool, err error) {
	id, err := statID(dir)
	if err != nil {
		return directory{}, false, err
	}
	d = directory{names: make(map[string]string), whole: true, stamp: stampOf(id, now)}
	err = eachName(dir, func(name string) {
		base := baseOf(name)
		if !validBase(base) {
			return // no mail, or no name for a uidlist
		}
		if other, ok := d.names[base]; ok && other != name {
			d.twice = append(d.twice, name)
			return
		}
		d.names[base] = name
	})
	if err != nil {
		return directory{}, false, err
	}
	after, err := statID(dir)
	return d, err == nil && after == id, err
}

// scan lists new and cur, those that may have changed or are asked for. New is first: a file that is moved on meanwhile is then seen
// twice rather than never.
func (f *folder) scan(newToo, curToo bool) error {
	for _, d := range []struct {
		sub string
		dir *directory
		ask bool
	}{{"new", &f.new, newToo}, {"cur", &f.cur, curToo}} {
		path, now := f.path(d.sub), kernelTime()
		id, err := statID(path)
		if err != nil {
			return err
		}
		if !d.ask && !d.dir.again && !f.store.opts.Remote && (f.state != nil || d.dir.whole) && !d.dir.stamp.stale(id, now) {
			continue
		}
		found, quiet, err := list(path, now)
		if err != nil {
			return err
		}
		f.dirty, f.foreign = true, f.foreign || d.dir.stamp.ID != id
		*d.dir = found
		f.quiet = quiet && (f.quiet || d.sub == "new")
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
		cur := f.cur.names
		if err := f.scan(true, true); err != nil {
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
		_, inCur := f.cur.names[base]
		_, inNew := f.new.names[base]
		if !inCur && !inNew {
			if _, err := os.Lstat(f.path("cur/" + name)); err == nil {
				f.cur.put(base, name)
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
