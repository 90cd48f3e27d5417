package mailstore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"postrider/internal/maildir"
)

// maxTries bounds how often a file is looked for that others keep renaming.
const maxTries = 5

// current is the message as the folder has it now, or as the view has it.
func (b *Mailbox) current(m *Message) *Message {
	if s := b.folder.published.Load(); s != nil && s.uidValidity == b.state.uidValidity {
		if now := s.find(m.UID); now != nil {
			return now
		}
	}
	return m
}

func (f *folder) filePath(m *Message) string {
	if m.inNew {
		return f.path("new/" + m.name)
	}
	return f.path("cur/" + m.name)
}

// OpenMessage opens a message's file, whatever its name is by now; ErrExpunged when it is gone. Lines in it end with LF,
// as a rule. OpenMessage, Info and Date may be called for several messages at the same time.
func (b *Mailbox) OpenMessage(ctx context.Context, m *Message) (file *os.File, err error) {
	err = b.reach(ctx, m, func(path string) error {
		file, _, err = maildir.Open(path, maildir.Quiet)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("open message: %w", err)
	}
	return file, nil
}

// reach calls use with the path of a message's file, again as long as that is not there any more and the message is.
func (b *Mailbox) reach(ctx context.Context, m *Message, use func(path string) error) error {
	f := b.folder
	path := f.filePath(b.current(m))
	for range maxTries {
		err := use(path)
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if path, err = f.findName(m.Base()); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return fmt.Errorf("%w: others rename it", ErrLocked)
}

// Info returns a message's sizes and date. Sizes that neither its name nor the uidlist nor the cache has cost reading it once.
func (b *Mailbox) Info(ctx context.Context, m *Message) (Info, error) {
	if i, ok := b.Known(m); ok {
		return i, nil
	}
	if _, _, ok := m.Sizes(); ok {
		if _, err := b.stat(ctx, m); err != nil {
			return Info{}, err
		}
		if i, ok := m.Known(); ok {
			return i, nil
		}
	}
	var info Info
	err := b.reach(ctx, m, func(path string) (err error) {
		info, err = measure(path)
		return err
	})
	if err != nil {
		return Info{}, fmt.Errorf("measure message: %w", err)
	}
	b.learn(m, info)
	return info, nil
}

// learn takes what was found out from a message's file. The index learns it when the mailbox is closed.
func (b *Mailbox) learn(m *Message, i Info) {
	m.know(i.Size, i.Wire, i.Date.UnixNano(), infoKnown)
	b.folder.learned.Store(true)
}

// Date is when a message arrived, as in Info, without reading it, and without a look at the file if that was done before.
func (b *Mailbox) Date(ctx context.Context, m *Message) (time.Time, error) {
	if i, ok := m.Known(); ok {
		return i.Date, nil
	}
	if ns := m.arrived.Load(); ns != 0 {
		return time.Unix(0, ns), nil
	}
	if kept, _, ok := b.folder.cache.Find(m.Base(), m.Size()); ok {
		m.arrived.Store(kept.Date.UnixNano())
		return kept.Date, nil
	}
	return b.stat(ctx, m)
}

// stat gives a message's date. Its sizes are known then, too, if its name and the uidlist have both and they are right: a
// name that lies would make a client wait for octets.
func (b *Mailbox) stat(ctx context.Context, m *Message) (date time.Time, err error) {
	var st fs.FileInfo
	err = b.reach(ctx, m, func(path string) error {
		st, err = os.Lstat(path)
		return err
	})
	if err != nil {
		return time.Time{}, fmt.Errorf("stat message: %w", err)
	}
	if size, wire, ok := m.Sizes(); ok && size == st.Size() && st.Mode().IsRegular() {
		b.learn(m, Info{Size: size, Wire: wire, Date: st.ModTime()})
	}
	m.arrived.Store(st.ModTime().UnixNano())
	return st.ModTime(), nil
}

// Sizes returns what the message's name says, without looking at the file; ok is false when it does not say both.
func (m *Message) Sizes() (size, wire int64, ok bool) {
	size, wire = m.sizes()
	return size, wire, size >= 0 && wire >= 0
}
