package mailstore

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"sort"
	"strings"

	"postrider/internal/fault"
)

// refresh brings the state up to date. With move set, files in new go to cur; their UIDs are returned. Whatever has to be
// written is written under the lock, after looking again. With an error the state is still as good as it could be made.
func (f *folder) refresh(ctx context.Context, move bool) (moved []uint32, err error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	f.restore()
	if err := f.read(move); err != nil {
		return nil, err
	}
	if f.clean(move) {
		f.agree()
		return nil, nil
	}
	if f.list != nil && !f.toMove(move) {
		if d := f.compare(); f.settled(&d) {
			f.publish(d)
			return nil, nil
		}
	}
	lock, err := f.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer lock.release()
	return f.settle(lock, move)
}

// restore takes the state from the index. What has changed since it was written is then found as in one that was kept.
func (f *folder) restore() {
	if f.state != nil || f.list != nil {
		return
	}
	s, list := f.index.load()
	if s == nil {
		return
	}
	h := &f.index.saved
	f.doubt = f.store.opts.Remote && !h.current(f.dir) // other hosts wrote, into indexes of their own
	f.state, f.list, f.keywordsID = s, list, fileID{}
	f.new.stamp, f.cur.stamp = h.New, h.Cur
	if n, _ := position(s.messages, s.uidNext); n < len(s.messages) {
		f.unseen = make(map[uint32]entry)
		for _, m := range s.messages[n:] {
			f.unseen[m.UID] = entry{modSeq: m.ModSeq, message: m}
		}
		s.messages = s.messages[:n:n]
		s.counts = countMessages(s.messages)
	}
}

// read reads what has changed on disk, and new if mail is to be moved from there.
func (f *folder) read(move bool) error {
	if err := f.readKeywords(); err != nil {
		return err
	}
	if err := f.readList(); err != nil {
		return err
	}
	return f.scan(f.toMove(move) && !f.new.whole, false)
}

// toMove says that there is mail in new, and that it is to be moved.
func (f *folder) toMove(move bool) bool {
	return move && (len(f.new.names) > 0 || f.state != nil && f.state.counts.New > 0)
}

// clean says that nothing has changed since the state was published, and that nothing waits.
func (f *folder) clean(move bool) bool {
	return f.state != nil && f.list != nil && !f.dirty && !f.toMove(move)
}

// agree takes what others told of an unchanged folder.
func (f *folder) agree() {
	letters := f.keywords.sums()
	if f.state.keywords != f.keywords && f.state.letters == letters {
		s := *f.state
		s.keywords = f.keywords // the index has sums only
		f.state = &s
	}
	if f.state.letters != letters || f.index.grown() {
		f.publish(difference{})
	}
}

// readList reads the uidlist if it has changed. After another UIDVALIDITY nothing of the state counts.
func (f *folder) readList() error {
	path := f.path(uidlistFile)
	id, err := statID(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err == nil && f.list != nil && id == f.list.id {
		return nil
	}
	list, records, err := readUidfile(path, f.list)
	if err != nil {
		return err
	}
	if list != nil && f.state != nil && list.validity != f.state.uidValidity {
		f.forgetState()
	}
	f.dirty, f.foreign = true, true
	if list == nil || list != f.list {
		f.whole, f.fresh = records, nil
	}
	if list != nil && f.state != nil && list.next < f.state.uidNext { // it is an older one: no UID is given twice
		list.next, list.damaged, f.whole = f.state.uidNext, true, nil
	}
	if f.list = list; f.state != nil { // a line that the state has passed by is that of a message that went
		n := sort.Search(len(records), func(i int) bool { return records[i].uid >= f.state.uidNext })
		records = records[n:]
	}
	f.fresh = append(f.fresh, records...)
	return nil
}

// forgetState drops what was known under another UIDVALIDITY.
func (f *folder) forgetState() {
	f.state, f.list, f.fresh, f.whole, f.unseen, f.sums = nil, nil, nil, nil, nil, nil
	f.index.instance = 0
}

// settled says that the uidlist and the directories agree.
func (f *folder) settled(d *difference) bool {
	return f.list.version == 3 && !f.twice(d) && len(d.loose) == 0 && d.missing == 0 && !d.relist
}

// twice says that two files have one base name.
func (f *folder) twice(d *difference) bool { return d.both || len(f.new.twice)+len(f.cur.twice) > 0 }

// settle makes uidlist and directories agree, under the lock.
func (f *folder) settle(lock *folderLock, move bool) (moved []uint32, err error) {
	if err := f.read(move); err != nil {
		return nil, err
	}
	if f.clean(move) {
		f.agree()
		return nil, nil
	}
	if f.list == nil {
		if err := f.newList(lock); err != nil {
			return nil, err
		}
	}
	d, err := f.look(lock)
	if err != nil {
		return nil, err
	}
	if f.twice(&d) {
		if err := f.separate(lock); err != nil {
			f.publish(f.compare())
			f.dirty = true
			return nil, diskError(err)
		}
		d = f.compare()
	}
	var bases map[string]bool
	if move && len(f.new.names) > 0 {
		bases, err = f.moveNew(lock)
		d = f.compare()
	}
	if taken, errTake := f.fromCourier(); errTake != nil {
		err = errTake
	} else if taken {
		d = f.compare()
	}
	if errAssign := f.assign(lock, &d); errAssign != nil {
		err = errAssign
	} else if len(d.loose) > 0 {
		d = f.compare()
	}
	f.publish(d)
	f.dirty = f.dirty || err != nil // then all of this is tried again
	for _, list := range [][]*Message{d.put, d.added} {
		for _, m := range list {
			if bases[m.Base()] {
				moved = append(moved, m.UID)
			}
		}
	}
	return moved, err
}

// look compares; what seems to be missing is looked for again.
func (f *folder) look(lock *folderLock) (difference, error) {
	d := f.compare()
	if d.relist {
		if err := f.scan(true, true); err != nil {
			return d, err
		}
		d = f.compare()
	}
	if d.missing == 0 {
		return d, nil
	}
	if err := f.scanAgain(lock); err != nil {
		return d, err
	}
	return f.compare(), nil
}

// separate ends that two files have one base name; for that both directories are listed.
func (f *folder) separate(lock *folderLock) error {
	lock.touch()
	if !f.new.whole || !f.cur.whole {
		if err := f.scan(true, true); err != nil {
			return err
		}
	}
	return f.resolveTwice()
}

// newList begins a uidlist with a UIDVALIDITY that no folder had, or takes over that of Courier.
func (f *folder) newList(lock *folderLock) error {
	if err := lock.mayWrite(); err != nil {
		return err
	}
	above := uint32(0)
	if f.state != nil {
		above = f.state.uidValidity
	} else if err := f.takeCourierList(); err != nil || f.list != nil {
		return err
	}
	validity, err := f.store.nextValidity(above)
	if err != nil {
		return err
	}
	fault.Point("mailstore.validity-taken")
	f.forgetState()
	f.list = &uidfile{uidlist: newUidlist(validity)}
	f.list.damaged = true // not written yet
	if f.new.whole && f.cur.whole {
		return nil
	}
	return f.scan(true, true)
}

// moveNew moves the files in new to cur, under the lock, so that a program that lists does not lose them. It returns their base names.
func (f *folder) moveNew(lock *folderLock) (bases map[string]bool, err error) {
	before, errStat := statID(f.path("cur"))
	beforeNew, errNew := statID(f.path("new"))
	bases = make(map[string]bool, len(f.new.names))
	for base, name := range f.new.names {
		lock.touch()
		to := name
		if !strings.Contains(name, ":") {
			to += ":2,"
		}
		err := os.Rename(f.path("new/"+name), f.path("cur/"+to))
		if errors.Is(err, fs.ErrNotExist) {
			delete(f.new.names, base) // another took it
			continue
		}
		if err != nil {
			return bases, diskError(err) // the rest stays where it is
		}
		delete(f.new.names, base)
		f.cur.put(base, to)
		bases[base] = true
	}
	fault.Point("mailstore.moved")
	f.note("new", &f.new, beforeNew, errNew)
	f.new.again = true // it is small now, and mail may have come meanwhile
	f.noteCur(before, errStat)
	return bases, nil
}

// noteCur takes the time of cur, which we changed, for known.
func (f *folder) noteCur(before fileID, err error) { f.note("cur", &f.cur, before, err) }

// note takes the time of a directory that we changed for known. What another changed together with us shows in one more listing, when
// the directory has been at rest.
func (f *folder) note(sub string, d *directory, before fileID, err error) {
	if err != nil || d.stamp.ID != before {
		return // it had changed before us
	}
	if id, err := statID(f.path(sub)); err == nil {
		d.stamp = stamp{ID: id, Young: true}
	}
}
