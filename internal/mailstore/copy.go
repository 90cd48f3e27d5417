package mailstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"postrider/internal/maildir"
	"postrider/internal/quota"
)

// Copied says which UIDs a COPY or MOVE made, in the order of the source.
type Copied struct {
	UIDValidity uint32 // of the destination
	From, To    []uint32
}

// Copy puts messages of the view into a folder, all or none; they share the file's blocks where the filesystem can link.
func (b *Mailbox) Copy(ctx context.Context, msgs []*Message, to string) (Copied, error) {
	var c Copied
	err := b.folder.store.bring(ctx, b.amount(msgs), func() (quota.Amount, error) {
		var copied []*Message
		var err error
		c, copied, err = b.copy(ctx, msgs, to)
		return b.amount(copied), err
	})
	return c, storeError("copy", err)
}

// Move copies messages and then removes them. If it fails in between they are in both folders.
func (b *Mailbox) Move(ctx context.Context, msgs []*Message, to string) (Copied, error) {
	if b.readOnly {
		return Copied{}, ErrReadOnly
	}
	var c Copied
	err := b.folder.store.within(ctx, func() (came quota.Amount, err error) {
		var copied []*Message
		if c, copied, err = b.copy(ctx, msgs, to); err != nil {
			return came, storeError("move", err)
		}
		came = b.amount(copied)
		gone, err := b.remove(ctx, copied, 0)
		return came.Minus(gone), err
	})
	return c, err
}

func (b *Mailbox) copy(ctx context.Context, msgs []*Message, to string) (c Copied, copied []*Message, err error) {
	dst, err := b.folder.store.openFolder(to)
	if err != nil {
		return Copied{}, nil, err
	}
	defer b.folder.store.closeFolder(dst)
	c.UIDValidity, c.To, err = dst.insert(ctx, func(lock *folderLock) (names []string, err error) {
		var taken Keywords
		for _, m := range msgs {
			lock.touch()
			m := b.current(m)
			name, err := b.link(ctx, m, dst, taken)
			if errors.Is(err, ErrExpunged) {
				continue // RFC 3501 lets another session expunge it before us
			}
			if err != nil {
				return names, err
			}
			_, letters := parseInfo(name)
			taken |= letters
			dst.keepGUID(baseOf(name), m.guid())
			names = append(names, name)
			copied = append(copied, m)
		}
		return names, nil
	})
	if err != nil {
		return Copied{}, nil, err
	}
	for _, m := range copied {
		c.From = append(c.From, m.UID)
	}
	return c, copied, nil
}

// link gives a message's file a second name, with the flags that it has by now, or makes a durable copy where the filesystem
// cannot. Letters that are taken have been given to files before it.
func (b *Mailbox) link(ctx context.Context, m *Message, dst *folder, taken Keywords) (name string, err error) {
	path, keywords := b.folder.filePath(m), &b.state.keywords
	if s := b.folder.published.Load(); s != nil {
		keywords = &s.keywords
	}
	for range maxTries {
		if name, err = dst.nameOfCopy(ctx, filepath.Base(path), keywords, taken); err != nil {
			return "", err
		}
		err := os.Link(path, dst.path("cur/"+name))
		switch {
		case err == nil:
			return name, nil
		case errors.Is(err, unix.EXDEV), errors.Is(err, unix.EPERM), errors.Is(err, unix.EMLINK), errors.Is(err, unix.ENOTSUP):
			return name, dst.copyBytes(path, name)
		case !errors.Is(err, fs.ErrNotExist):
			return "", err
		}
		if path, err = b.folder.findName(m.Base()); err != nil {
			return "", err
		}
		now, err := readKeywordNames(b.folder.path(keywordsFile))
		if err != nil {
			return "", err
		}
		keywords = &now
	}
	return "", fmt.Errorf("%w: others rename a message", ErrLocked)
}

// nameOfCopy is a new name, in cur, with the flags of another folder's file; the folder's lock is held.
func (f *folder) nameOfCopy(ctx context.Context, of string, keywords *KeywordNames, taken Keywords) (string, error) {
	flags, letters := parseInfo(of)
	set, err := f.letters(ctx, keywords.names(letters), true, taken)
	if err != nil {
		return "", err
	}
	return withInfo(uniqueName()+sizeSuffix(baseOf(of)), flags, set), nil
}

// copyBytes makes a durable copy of a file in cur.
func (f *folder) copyBytes(path, name string) (err error) {
	in, info, err := maildir.Open(path, maildir.Quiet)
	if err != nil {
		return err
	}
	defer in.Close()
	tmp := f.path("tmp/" + baseOf(name))
	out, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if errClose := out.Close(); err == nil {
			err = errClose
		}
		if err == nil {
			err = os.Rename(tmp, f.path("cur/"+name))
		}
		if err != nil {
			os.Remove(tmp)
		}
	}()
	if _, err := io.Copy(out, in); err != nil {
		return err
	}
	t := unix.NsecToTimeval(info.ModTime().UnixNano())
	if err := unix.Futimes(int(out.Fd()), []unix.Timeval{t, t}); err != nil {
		return os.NewSyscallError("utimes", err)
	}
	return out.Sync()
}
