package mailstore

import (
	"context"
	"os"
	"path/filepath"

	"postrider/internal/maildir"
	"postrider/internal/quota"
)

// ErrOverQuota says that there is no room for the mail that was to come.
var ErrOverQuota = quota.ErrExceeded

// Quota is what the mail is counted by; nil = it is not.
func (s *Store) Quota() *quota.Root { return s.opts.Quota }

// counts says whether mail is counted now.
func (s *Store) counts() bool { return s.opts.Quota != nil && s.opts.Quota.Active() }

// Room says whether a message of so many octets would find room now; else it is ErrOverQuota.
func (s *Store) Room(ctx context.Context, octets int64) error {
	if s.opts.Quota == nil {
		return nil
	}
	return s.opts.Quota.Room(ctx, quota.Amount{Octets: octets, Messages: 1})
}

// bring does what brings mail in, if there is room for it; do says how much has come.
func (s *Store) bring(ctx context.Context, more quota.Amount, do func() (quota.Amount, error)) error {
	if !s.counts() {
		_, err := do()
		return err
	}
	change, err := s.opts.Quota.Reserve(ctx, more)
	if err != nil {
		return err
	}
	came, err := do()
	change.Done(context.WithoutCancel(ctx), came)
	return err
}

// within does what changes mail without need of room; do says how much has come, or gone.
func (s *Store) within(ctx context.Context, do func() (quota.Amount, error)) error {
	if !s.counts() {
		_, err := do()
		return err
	}
	change := s.opts.Quota.Begin()
	came, err := do()
	change.Done(context.WithoutCancel(ctx), came)
	return err
}

// amount is that of messages of the view, 0 if nobody counts.
func (b *Mailbox) amount(msgs []*Message) (a quota.Amount) {
	if !b.folder.store.counts() {
		return a
	}
	for _, m := range msgs {
		m = b.current(m)
		a = a.Plus(amountOf(b.folder.filePath(m)))
	}
	return a
}

// amountOf is that of a message's file, of which a name without a size is looked up; if it is gone it counts nothing.
func amountOf(path string) quota.Amount {
	if size, ok := maildir.NameSize(filepath.Base(path), maildir.SizeField); ok {
		return quota.Amount{Octets: size, Messages: 1}
	}
	info, err := os.Lstat(path)
	if err != nil || !info.Mode().IsRegular() {
		return quota.Amount{}
	}
	return quota.Amount{Octets: info.Size(), Messages: 1}
}

// amount is that of the messages that are to be committed.
func (a *Append) amount() (sum quota.Amount) {
	for _, m := range a.drafts {
		size, _ := maildir.NameSize(m.base, maildir.SizeField)
		sum = sum.Plus(quota.Amount{Octets: size, Messages: 1})
	}
	return sum
}

// discard removes a folder that is out of the way, and counts what was in it.
func (s *Store) discard(trash string) error {
	return s.within(context.Background(), func() (quota.Amount, error) {
		gone, _ := quota.Count(context.Background(), trash) // what cannot be read is counted some day
		return quota.Amount{}.Minus(gone), os.RemoveAll(trash)
	})
}
