package mailstore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"slices"

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
	var set Keywords
	err = b.change(ctx, func(lock *folderLock) (err error) {
		if set, err = b.folder.letters(ctx, keywords, op != RemoveFlags); err != nil {
			return err
		}
		named := b.folder.keywords.named()
		msgs, modified = b.folder.unchangedSince(msgs, since)
		return b.folder.eachFile(lock, msgs, func(path, name string) (string, error) {
			f, k := parseInfo(name)
			switch op {
			case AddFlags:
				f, k = f|flags, k|set
			case RemoveFlags:
				f, k = f&^flags, k&^set
			case ReplaceFlags:
				f, k = flags, k&^named|set
			}
			to := withInfo(name, f, k)
			if path == b.folder.path("cur/"+to) {
				return to, nil
			}
			return to, os.Rename(path, b.folder.path("cur/"+to))
		})
	})
	return b.update(msgs), b.update(modified), storeError("store flags", err)
}

// unchangedSince divides messages by their mod-sequence.
func (f *folder) unchangedSince(msgs []*Message, since uint64) (unchanged, modified []*Message) {
	if f.modSeq <= since {
		return msgs, nil
	}
	for _, m := range msgs {
		if now := f.state.find(m.UID); now != nil && now.ModSeq > since {
			modified = append(modified, m)
		} else {
			unchanged = append(unchanged, m)
		}
	}
	return unchanged, modified
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
	counts := b.folder.store.counts()
	err = b.change(ctx, func(lock *folderLock) error {
		marked := slices.DeleteFunc(slices.Clone(msgs), func(m *Message) bool {
			now := b.folder.state.find(m.UID)
			return now == nil || now.Flags&flags != flags
		})
		return b.folder.eachFile(lock, marked, func(path, _ string) (string, error) {
			var removed quota.Amount
			if counts {
				removed = amountOf(path)
			}
			err := os.Remove(path)
			if err == nil {
				gone = gone.Plus(removed)
			}
			return "", err
		})
	})
	return gone, storeError("expunge", err)
}

func storeError(op string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", op, diskError(err))
}

// change does something to the files of the folder, under its lock and from its present state.
func (b *Mailbox) change(ctx context.Context, do func(*folderLock) error) error {
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
	if _, err := f.settle(lock, false); err != nil && !errors.Is(err, ErrUnwritable) {
		return err
	}
	if f.state == nil || f.state.UIDValidity != b.state.UIDValidity {
		return ErrReset
	}
	before, errStat := statID(f.path("cur"))
	err = do(lock)
	f.noteCur(before, errStat)
	waits := f.dirty
	f.publish()
	f.dirty = waits // mail that has no UID yet
	return err
}

// eachFile lets do rename or remove the files of messages; it returns the new name in cur, "" = removed. A message that is
// gone is passed over; one that another program renames is looked for again.
func (f *folder) eachFile(lock *folderLock, msgs []*Message, do func(path, name string) (string, error)) error {
	for tries := 0; len(msgs) > 0; tries++ {
		var lost []*Message
		for _, m := range msgs {
			lock.touch()
			now := f.state.find(m.UID)
			base := m.Base()
			if now == nil || now.Base() != base {
				continue
			}
			name, inNew := f.new[base]
			path := f.path("new/" + name)
			if n, inCur := f.cur[base]; inCur {
				name, inNew, path = n, false, f.path("cur/"+n)
			} else if !inNew {
				continue
			}
			to, err := do(path, name)
			if errors.Is(err, fs.ErrNotExist) {
				lost = append(lost, m)
				continue
			}
			if err != nil {
				return err
			}
			delete(f.new, base)
			delete(f.cur, base)
			if to != "" {
				f.cur[base] = to
			} else {
				f.gone[m.UID] = true
			}
		}
		if len(lost) == 0 {
			return nil
		}
		if tries == maxTries {
			return fmt.Errorf("%w: others rename %d messages", ErrLocked, len(lost))
		}
		if err := f.scan(true); err != nil {
			return err
		}
		for _, m := range lost {
			if !f.present(m.Base()) {
				f.gone[m.UID] = true
			}
		}
		msgs = lost
	}
	return nil
}

// update puts the present form of messages into the view and returns it.
func (b *Mailbox) update(msgs []*Message) (now []*Message) {
	state := b.folder.published.Load()
	if state == nil || state.UIDValidity != b.state.UIDValidity {
		return nil
	}
	view := append([]*Message(nil), b.view...)
	at := State{Messages: view}
	for _, m := range msgs {
		if n := state.find(m.UID); n != nil {
			if i, ok := at.position(m.UID); ok {
				view[i] = n
			}
			now = append(now, n)
		}
	}
	b.view, b.state = view, state
	return now
}
