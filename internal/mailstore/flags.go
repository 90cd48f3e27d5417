package mailstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"postrider/internal/quota"
)

// FlagOp is what StoreFlags does.
type FlagOp int

const (
	AddFlags FlagOp = iota
	RemoveFlags
	ReplaceFlags
)

// StoreFlags changes flags and keywords of messages of the view, and the view with them. It returns those that are still
// there, as they are now. What it did before an error stays done. Nothing is synced: flags are not promised to survive a
// power cut, as in Dovecot.
func (b *Mailbox) StoreFlags(ctx context.Context, msgs []*Message, op FlagOp, flags Flags, keywords []string) ([]*Message, error) {
	now, _, err := b.StoreUnchanged(ctx, msgs, math.MaxUint64, op, flags, keywords)
	return now, err
}

// StoreUnchanged is StoreFlags for those messages whose mod-sequence is at most since (RFC 7162 §3.1.3); modified are the others, which
// stay as they are.
func (b *Mailbox) StoreUnchanged(ctx context.Context, msgs []*Message, since uint64, op FlagOp, flags Flags, keywords []string) (now, modified []*Message, err error) {
	if b.readOnly {
		return nil, nil, ErrReadOnly
	}
	err = b.change(ctx, msgs, func(lock *folderLock, list []*Message) ([]*Message, difference, error) {
		f := b.folder
		set, err := f.letters(ctx, keywords, op != RemoveFlags, 0)
		if err != nil {
			return nil, difference{}, err
		}
		list, others := f.unchangedSince(list, since)
		modified = append(modified, others...)
		return f.rename(lock, list, flagChange{op, flags, set, f.keywords.named()})
	})
	if len(modified) > 0 {
		msgs = without(msgs, modified)
	}
	return b.update(msgs), b.update(modified), storeError("store flags", err)
}

// without is a list without some of it.
func without(list, some []*Message) []*Message {
	out := make(map[*Message]bool, len(some))
	for _, m := range some {
		out[m] = true
	}
	return slices.DeleteFunc(slices.Clone(list), func(m *Message) bool { return out[m] })
}

// unchangedSince divides messages by their mod-sequence.
func (f *folder) unchangedSince(msgs []*Message, since uint64) (unchanged, modified []*Message) {
	if since == math.MaxUint64 {
		return msgs, nil
	}
	at := cursor{list: f.state.messages}
	for _, m := range msgs {
		if i, ok := at.find(m.UID); ok && f.changed(at.list[i].ModSeq, since) {
			modified = append(modified, m)
		} else {
			unchanged = append(unchanged, m)
		}
	}
	return unchanged, modified
}

// changed says whether a message with this mod-sequence may have changed since. What another host gave is not to be compared to the last
// minute; one that nobody gave says nothing of this mailbox.
func (f *folder) changed(modSeq, since uint64) bool {
	switch {
	case f.store.opts.Remote:
		return modSeq != since && modSeq > since-min(since, remoteDoubt)
	case since > f.state.modSeq:
		return true
	}
	return modSeq > since
}

// Expunge removes messages. The view still has them until the next Sync.
func (b *Mailbox) Expunge(ctx context.Context, msgs []*Message) error {
	return b.expungeWith(ctx, msgs, 0)
}

// ExpungeDeleted removes those of messages that have \Deleted, whatever the view says: another session may have taken it off.
func (b *Mailbox) ExpungeDeleted(ctx context.Context, msgs []*Message) error {
	return b.expungeWith(ctx, msgs, Deleted)
}

// expungeWith removes messages that have all of flags.
func (b *Mailbox) expungeWith(ctx context.Context, msgs []*Message, flags Flags) error {
	return b.folder.store.within(ctx, func() (quota.Amount, error) {
		gone, err := b.remove(ctx, msgs, flags)
		return quota.Amount{}.Minus(gone), err
	})
}

// remove is expungeWith, and says how much is gone.
func (b *Mailbox) remove(ctx context.Context, msgs []*Message, flags Flags) (gone quota.Amount, err error) {
	if b.readOnly {
		return gone, ErrReadOnly
	}
	err = b.change(ctx, msgs, func(lock *folderLock, list []*Message) ([]*Message, difference, error) {
		return b.folder.unlink(lock, list, flags, &gone)
	})
	if s := b.folder.published.Load(); s != nil {
		b.folder.tidyCache(s.messages) // not only at the end: a session may bring and remove any number
	}
	return gone, storeError("expunge", err)
}

func storeError(op string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", op, diskError(err))
}

// change does something to the files of messages, under the folder's lock and from its present state. do returns what it changed, also
// beside an error, and the messages whose files it did not find, because others rename them: for these it is called again when they have
// been looked for.
func (b *Mailbox) change(ctx context.Context, msgs []*Message, do func(*folderLock, []*Message) (lost []*Message, d difference, err error)) error {
	f := b.folder
	if err := f.begin(ctx); err != nil {
		return err
	}
	defer f.end()
	if err := f.check(); err != nil {
		return err
	}
	lock, err := f.lock(ctx)
	if err != nil {
		return err
	}
	defer lock.release()
	for tries := range maxTries {
		if tries > 0 {
			err = f.scan(true, true)
		}
		if err == nil {
			_, err = f.settle(lock, false)
		}
		if err != nil && !errors.Is(err, ErrUnwritable) {
			return err
		}
		if f.state == nil || f.state.uidValidity != b.state.uidValidity {
			return ErrReset
		}
		before, errStat := statID(f.path("cur"))
		waits := f.dirty // mail that has no UID yet
		lost, d, err := do(lock, msgs)
		f.noteCur(before, errStat)
		f.publishOwn(d, waits)
		if msgs = lost; err != nil || len(lost) == 0 {
			return err
		}
	}
	return fmt.Errorf("%w: others rename messages", ErrLocked)
}

// publishOwn publishes what was done to messages, while other files may wait for a UID.
func (f *folder) publishOwn(d difference, waits bool) {
	if !waits {
		f.publish(d)
		return
	}
	for _, m := range d.put {
		delete(f.new.names, m.Base())
		f.cur.put(m.Base(), m.name)
	}
	for _, uid := range d.gone {
		if m := f.state.find(uid); m != nil {
			delete(f.new.names, m.Base())
			delete(f.cur.names, m.Base())
		}
	}
	all := f.compare()
	all.put, all.added, all.gone = d.put, d.added, d.gone
	f.publish(all)
	f.dirty = true
}

// flagChange is what a STORE does to flags.
type flagChange struct {
	op       FlagOp
	flags    Flags
	keywords Keywords
	named    Keywords // letters that have a name: the others are not the client's to take off
}

func (c *flagChange) of(m *Message) (Flags, Keywords) {
	switch c.op {
	case AddFlags:
		return m.Flags | c.flags, m.Keywords | c.keywords
	case RemoveFlags:
		return m.Flags &^ c.flags, m.Keywords &^ c.keywords
	}
	return c.flags, m.Keywords&^c.named | c.keywords
}

// rename gives files the names of other flags.
func (f *folder) rename(lock *folderLock, msgs []*Message, change flagChange) (lost []*Message, d difference, err error) {
	dirs, err := f.openDirs()
	if err != nil {
		return nil, d, err
	}
	defer dirs.close()
	slab := make([]Message, 0, len(msgs))
	err = f.eachFile(lock, msgs, func(m, now *Message) error {
		flags, keywords := change.of(now)
		to := now.name
		if flags != now.Flags || keywords != now.Keywords || now.inNew {
			to = withInfo(now.name, flags, keywords)
		}
		if to == now.name && !now.inNew {
			return nil
		}
		err := unix.Renameat(dirs.of(now), now.name, dirs.cur, to)
		switch {
		case err == unix.ENOENT:
			lost = append(lost, m)
		case err != nil:
			return &os.LinkError{Op: "rename", Old: f.filePath(now), New: f.path("cur/" + to), Err: err}
		default:
			slab = append(slab, Message{})
			d.put = append(d.put, now.as(&slab[len(slab)-1], to, false, flags, keywords))
		}
		return nil
	})
	sortMessages(d.put)
	return lost, d, err
}

// unlink removes the files of messages that have all of flags, and adds to gone what is counted of them.
func (f *folder) unlink(lock *folderLock, msgs []*Message, flags Flags, gone *quota.Amount) (lost []*Message, d difference, err error) {
	dirs, err := f.openDirs()
	if err != nil {
		return nil, d, err
	}
	defer dirs.close()
	counts := f.store.counts()
	err = f.eachFile(lock, msgs, func(m, now *Message) error {
		if now.Flags&flags != flags {
			return nil
		}
		var amount quota.Amount
		if counts {
			amount = amountOf(f.filePath(now))
		}
		err := unix.Unlinkat(dirs.of(now), now.name, 0)
		switch {
		case err == unix.ENOENT:
			lost = append(lost, m)
		case err != nil:
			return &fs.PathError{Op: "remove", Path: f.filePath(now), Err: err}
		default:
			d.gone, *gone = append(d.gone, now.UID), gone.Plus(amount)
		}
		return nil
	})
	slices.Sort(d.gone)
	return lost, d, err
}

// eachFile calls do with messages and what they are now; those that are gone, and a second mention, are passed over.
func (f *folder) eachFile(lock *folderLock, msgs []*Message, do func(m, now *Message) error) error {
	at, last := cursor{list: f.state.messages}, uint32(0)
	var done map[uint32]bool // where UIDs do not ascend
	for n, m := range msgs {
		if n%touchEvery == 0 {
			lock.touch()
		}
		if m.UID <= last && done == nil {
			done = make(map[uint32]bool, len(msgs))
			for _, earlier := range msgs[:n] {
				done[earlier.UID] = true
			}
		}
		if last = m.UID; done != nil {
			if done[m.UID] {
				continue
			}
			done[m.UID] = true
		}
		i, ok := at.find(m.UID)
		if !ok || !at.list[i].hasBase(m.Base()) {
			continue
		}
		if err := do(m, at.list[i]); err != nil {
			return err
		}
	}
	return nil
}

// touchEvery is after how many files the lock is looked at.
const touchEvery = 64

// dirs are the open directories of a folder, which spare the kernel the way to each file.
type dirs struct{ new, cur int }

func (f *folder) openDirs() (d dirs, err error) {
	const flags = unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC
	if d.cur, err = unix.Open(f.path("cur"), flags, 0); err != nil {
		return d, &fs.PathError{Op: "open", Path: f.path("cur"), Err: err}
	}
	if d.new, err = unix.Open(f.path("new"), flags, 0); err != nil {
		unix.Close(d.cur)
		return d, &fs.PathError{Op: "open", Path: f.path("new"), Err: err}
	}
	return d, nil
}

func (d *dirs) of(m *Message) int {
	if m.inNew {
		return d.new
	}
	return d.cur
}

func (d *dirs) close() {
	unix.Close(d.new)
	unix.Close(d.cur)
}

// sortMessages orders messages by UID.
func sortMessages(list []*Message) {
	byUID := func(a, b *Message) int { return cmp.Compare(a.UID, b.UID) }
	if !slices.IsSortedFunc(list, byUID) {
		slices.SortFunc(list, byUID)
	}
}

// update puts the present form of messages into the view and returns it.
func (b *Mailbox) update(msgs []*Message) (now []*Message) {
	s := b.folder.published.Load()
	if s == nil || s.uidValidity != b.state.uidValidity {
		return nil
	}
	view := slices.Clone(b.view)
	seen, there := cursor{list: view}, cursor{list: s.messages}
	now = make([]*Message, 0, len(msgs))
	for _, m := range msgs {
		if k, ok := there.find(m.UID); ok {
			if i, ok := seen.find(m.UID); ok {
				view[i] = s.messages[k]
			}
			now = append(now, s.messages[k])
		}
	}
	b.see(view, s)
	return now
}
