package mailstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// maxTries bounds how often a file is looked for that others keep renaming.
const maxTries = 5

// current is the message as the folder has it now, or as the view has it.
func (b *Mailbox) current(m *Message) *Message {
	if s := b.folder.published.Load(); s != nil && s.UIDValidity == b.state.UIDValidity {
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
// as a rule.
func (b *Mailbox) OpenMessage(ctx context.Context, m *Message) (*os.File, error) {
	f := b.folder
	path := f.filePath(b.current(m))
	for range maxTries {
		file, _, err := openRegular(path, os.O_RDONLY)
		if err == nil {
			return file, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("open message: %w", err)
		}
		if path, err = f.findName(m.Base()); err != nil {
			return nil, fmt.Errorf("open message: %w", err)
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("open message: %w: others rename it", ErrLocked)
}

// Info returns a message's sizes and date. Sizes that neither its name nor the uidlist has cost reading it once.
func (b *Mailbox) Info(ctx context.Context, m *Message) (Info, error) {
	if i := m.info.Load(); i != nil {
		return *i, nil
	}
	file, err := b.OpenMessage(ctx, m)
	if err != nil {
		return Info{}, err
	}
	defer file.Close()
	st, err := file.Stat()
	if err != nil {
		return Info{}, fmt.Errorf("stat message: %w", err)
	}
	size, wire := m.sizes()
	if size != st.Size() { // a name that lies would make a client wait for octets
		wire = -1
	}
	if wire < 0 {
		if wire, err = wireSize(file, st.Size()); err != nil {
			return Info{}, fmt.Errorf("read message: %w", err)
		}
	}
	info := &Info{Size: st.Size(), Wire: wire, Date: st.ModTime()}
	m.info.Store(info)
	return *info, nil
}

// Sizes returns what the message's name says, without looking at the file; ok is false when it does not say both.
func (m *Message) Sizes() (size, wire int64, ok bool) {
	size, wire = m.sizes()
	return size, wire, size >= 0 && wire >= 0
}

// wireSize counts octets with CRLF for every line end; size is about how many there are.
func wireSize(r io.Reader, size int64) (n int64, err error) {
	buf := make([]byte, min(size+1, 64<<10))
	last := byte(0)
	for {
		k, err := r.Read(buf)
		for _, c := range buf[:k] {
			if c == '\n' && last != '\r' {
				n++
			}
			last = c
		}
		n += int64(k)
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return 0, err
		}
	}
}
