package mailbox

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"postrider/internal/mailstore"
	"postrider/internal/mbox"
)

// importMbox is `postrider mailbox import mbox`.
func importMbox(ctx context.Context, c *command, args []string) error {
	plain := c.flags.Bool("mboxo", false, "")
	if err := c.parse(args, 2, 2); err != nil {
		return err
	}
	path, err := filepath.Abs(c.flags.Arg(0))
	if err != nil {
		return err
	}
	file, err := openFirst(path)
	if err != nil {
		return err
	}
	err = c.open()
	if err == nil && file == nil {
		file, err = os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	}
	defer file.Close()
	if err != nil {
		return err
	}
	lock, err := onlyOne(ctx, c.maildir)
	if err != nil {
		return err
	}
	defer lock.Close()
	identity, info, err := identify(file)
	if err != nil {
		return err
	}
	in, err := newIntake(ctx, c, origin{path, identity}, c.flags.Arg(1))
	if err != nil {
		return err
	}
	defer in.close(c)
	before := len(in.ledger.done)
	m := &mboxImport{intake: in, file: file, info: info, bar: newProgress(c.err)}
	err = m.all(ctx, *plain)
	fmt.Fprintf(c.out, "%d messages imported into %s, %d were there\n", in.came, in.folder, before)
	return err
}

// identify tells a file that only grows from another one at the same path: by its first line.
func identify(file *os.File) (identity string, info os.FileInfo, err error) {
	if info, err = file.Stat(); err != nil {
		return "", nil, err
	}
	if !info.Mode().IsRegular() {
		return "", nil, fmt.Errorf("%s is not a regular file", file.Name())
	}
	line, err := bufio.NewReader(io.NewSectionReader(file, 0, 1000)).ReadString('\n')
	if err != nil && err != io.EOF {
		return "", nil, err
	}
	return line, info, nil
}

// mboxImport is a file that is being imported.
type mboxImport struct {
	*intake
	file *os.File
	info os.FileInfo
	bar  *progress
}

// all imports from where the last import ended; plain says that the file is an mboxo.
func (in *mboxImport) all(ctx context.Context, plain bool) error {
	start := int64(in.ledger.position)
	if _, err := in.file.Seek(start, io.SeekStart); err != nil {
		return err
	}
	r := mbox.NewReader(in.file, start)
	r.Plain = plain
	in.bar.begin(filepath.Base(in.file.Name()), in.info.Size())
	defer in.bar.clear()
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		m, err := r.Next()
		if err == io.EOF {
			return in.commit(ctx, uint64(r.Offset()))
		}
		if errors.Is(err, mbox.ErrFormat) && start > 0 {
			return fmt.Errorf("%s: %w since the last import: it must only have grown", in.file.Name(), errOtherSource)
		}
		if err != nil {
			return err
		}
		in.bar.at(m.Offset)
		if in.full() {
			if err := in.commit(ctx, uint64(m.Offset)); err != nil {
				return err
			}
		}
		if m.Internal || in.ledger.has(uint64(m.Offset)) {
			continue
		}
		if err := in.add(m); err != nil {
			return err
		}
	}
}

// add takes a message; one without a date has that of the file.
func (in *mboxImport) add(m *mbox.Message) error {
	date := m.Date
	if date.IsZero() {
		date = in.info.ModTime()
	}
	draft, err := in.create(uint64(m.Offset), statusFlags(m.Status), m.Keywords, date)
	if err != nil {
		return err
	}
	n, err := io.Copy(draft, m)
	in.octets += n
	return err
}

// statusFlags are the flags that mail readers note in Status and X-Status.
func statusFlags(status string) (flags mailstore.Flags) {
	for letter, flag := range map[string]mailstore.Flags{"R": mailstore.Seen, "A": mailstore.Answered, "F": mailstore.Flagged,
		"T": mailstore.Draft, "D": mailstore.Deleted} {
		if strings.Contains(status, letter) {
			flags |= flag
		}
	}
	return flags
}
