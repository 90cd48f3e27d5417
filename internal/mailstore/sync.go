package mailstore

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"

	"postrider/internal/fault"
)

// refresh brings the state up to date. With move set, files in new go to cur; their UIDs are returned. Whatever has to be
// written is written under the lock, after looking again. With an error the state is still as good as it could be made.
func (f *folder) refresh(ctx context.Context, move bool) (moved []uint32, err error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	if f.state == nil {
		f.state = f.restore()
	}
	if err := f.readKeywords(); err != nil {
		return nil, err
	}
	if f.unchanged(move) {
		return nil, nil
	}
	if err := f.read(); err != nil {
		return nil, err
	}
	if f.clean(move) {
		f.restamp()
		return nil, nil
	}
	if f.settled() && !(move && len(f.new) > 0) {
		f.publish()
		return nil, nil
	}
	lock, err := f.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer lock.release()
	return f.settle(lock, move)
}

// read reads what has changed on disk.
func (f *folder) read() error {
	if err := f.readList(); err != nil {
		return err
	}
	return f.scan(false)
}

// clean says that nothing has changed since the state was published, and that nothing waits.
func (f *folder) clean(move bool) bool {
	return f.state != nil && f.list != nil && !f.dirty && !(move && len(f.new) > 0)
}

// unchanged says that a state from the index, of which nothing else was read yet, is still true and enough.
func (f *folder) unchanged(move bool) bool {
	if f.state == nil || f.list != nil || f.store.opts.Remote || !f.sameFiles(f.state) {
		return false
	}
	return !move || !slices.ContainsFunc(f.state.Messages, func(m *Message) bool { return m.inNew })
}

// sameFiles says that uidlist and directories are as the state says.
func (f *folder) sameFiles(s *State) bool {
	for path, want := range map[string]fileID{uidlistFile: s.List, "new": s.New.ID, "cur": s.Cur.ID} {
		if id, err := statID(f.path(path)); err != nil || id != want {
			return false
		}
	}
	return true
}

// readList reads the uidlist if it has changed. One with another UIDVALIDITY is not ours to go on with.
func (f *folder) readList() error {
	path := f.path(uidlistFile)
	id, err := statID(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err == nil && f.list != nil && id == f.list.id {
		return nil
	}
	list, err := readUidfile(path, f.list)
	if err != nil {
		return err
	}
	f.dirty = true
	if list != nil && f.state != nil && list.validity != f.state.UIDValidity {
		f.forget()
		f.list = list
		return ErrReset
	}
	f.list = list
	return nil
}

// forget drops what was known under another UIDVALIDITY.
func (f *folder) forget() {
	f.state, f.list, f.gone = nil, nil, make(map[uint32]bool)
}

// uid returns the UID of a base name, 0 = none.
func (f *folder) uid(base string) uint32 {
	if uid := f.list.uids[base]; !f.gone[uid] {
		return uid
	}
	return 0
}

// settled says that the uidlist and the directories agree.
func (f *folder) settled() bool {
	if f.list == nil || f.list.version != 3 || len(f.newTwice)+len(f.curTwice) > 0 {
		return false
	}
	for _, names := range []map[string]string{f.new, f.cur} {
		for base := range names {
			if f.uid(base) == 0 {
				return false
			}
		}
	}
	for base := range f.new {
		if _, both := f.cur[base]; both {
			return false
		}
	}
	return !f.missing()
}

// missing says that a message of the uidlist has no file, and that this is news.
func (f *folder) missing() bool {
	return slices.ContainsFunc(f.list.records, func(r record) bool { return f.counts(r) && !f.present(r.base) })
}

// counts says whether a record is that of a message.
func (f *folder) counts(r record) bool { return f.list.uids[r.base] == r.uid && !f.gone[r.uid] }

func (f *folder) present(base string) bool {
	_, ok := f.cur[base]
	if !ok {
		_, ok = f.new[base]
	}
	return ok
}

// settle makes uidlist and directories agree, under the lock.
func (f *folder) settle(lock *folderLock, move bool) (moved []uint32, err error) {
	if err := f.read(); err != nil {
		return nil, err
	}
	if f.clean(move) {
		return nil, nil
	}
	if f.list == nil {
		if err := f.newList(lock); err != nil {
			return nil, err
		}
	}
	if f.missing() {
		if err := f.scanAgain(lock); err != nil {
			return nil, err
		}
	}
	for _, r := range f.list.records {
		if f.counts(r) && !f.present(r.base) {
			f.gone[r.uid] = true
		}
	}
	if err := f.resolveTwice(); err != nil {
		f.publish()
		f.dirty = true
		return nil, diskError(err)
	}
	var bases []string
	if move {
		bases, err = f.moveNew(lock)
	}
	if errAssign := f.assign(lock); errAssign != nil {
		err = errAssign
	}
	f.publish()
	f.dirty = err != nil // then all of this is tried again
	for _, base := range bases {
		if uid := f.uid(base); uid != 0 {
			moved = append(moved, uid)
		}
	}
	return moved, err
}

// newList begins a uidlist with a UIDVALIDITY that no folder had, or takes over that of Courier.
func (f *folder) newList(lock *folderLock) error {
	if err := lock.mayWrite(); err != nil {
		return err
	}
	above := uint32(0)
	if f.state != nil {
		above = f.state.UIDValidity
	} else if err := f.takeCourierList(); err != nil || f.list != nil {
		return err
	}
	validity, err := f.store.nextValidity(above)
	if err != nil {
		return err
	}
	fault.Point("mailstore.validity-taken")
	reset := f.state != nil
	f.forget()
	f.list = &uidfile{uidlist: newUidlist(validity)}
	f.list.damaged = true // not written yet
	if reset {
		if err := f.assign(lock); err != nil {
			return err
		}
		return ErrReset
	}
	return nil
}

// moveNew moves the files in new to cur, under the lock, so that a program that lists does not lose them.
func (f *folder) moveNew(lock *folderLock) (bases []string, err error) {
	before, errStat := statID(f.path("cur"))
	for base, name := range f.new {
		lock.touch()
		to := name
		if !strings.Contains(name, ":") {
			to += ":2,"
		}
		err := os.Rename(f.path("new/"+name), f.path("cur/"+to))
		if errors.Is(err, fs.ErrNotExist) {
			delete(f.new, base) // another took it
			continue
		}
		if err != nil {
			return bases, diskError(err) // the rest stays where it is
		}
		delete(f.new, base)
		f.cur[base] = to
		bases = append(bases, base)
	}
	fault.Point("mailstore.moved")
	f.newStamp = Stamp{} // list it again: it is small now, and mail may have come meanwhile
	f.noteCur(before, errStat)
	return bases, nil
}

// noteCur takes the time of cur, which we changed, for known. What another changed together with us shows in one more
// listing, when the directory has been at rest.
func (f *folder) noteCur(before fileID, err error) {
	if err != nil || f.curStamp.ID != before {
		return // it had changed before us
	}
	if id, err := statID(f.path("cur")); err == nil {
		f.curStamp = Stamp{ID: id, Young: true}
	}
}
