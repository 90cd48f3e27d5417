package mailbox

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"postrider/internal/filelock"
	"postrider/internal/mailstore"
)

// ledgerDir is a directory in the Maildir with one ledger for each folder that mail was imported from.
const ledgerDir = "postrider.import"

// ledger is what was imported from one place into one folder, so that nothing comes twice. It is a text file: a line that says from
// where and to where, "<key> <name>" for each message before it comes into the folder, and "ok <position>" behind those that have
// come. The key is what the message is known by where it came from. Of the lines behind the last "ok" nothing is believed: whether
// those messages came is seen by their names, and "lost" takes the lines back.
type ledger struct {
	file     *os.File
	out      *bufio.Writer
	done     map[uint64]struct{} // keys of what has come
	position uint64              // how far the source was read
	doubtful map[string]uint64   // keys by name, behind the last "ok"
}

// errOtherSource says that a ledger is that of a source that is no more.
var errOtherSource = errors.New("is not what was imported from the last time")

// origin is where mail is imported from.
type origin struct {
	place    string // a path, or an account and the folder there
	identity string // by which it is told from another one that was at the same place
}

// openLedger opens or makes the ledger of an origin and a folder.
func openLedger(maildir string, from origin, folder string) (*ledger, error) {
	dir := filepath.Join(maildir, ledgerDir)
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	sum := sha256.Sum256([]byte(from.place + "\x00" + folder))
	path := filepath.Join(dir, fmt.Sprintf("%x", sum[:8]))
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, err
	}
	l := &ledger{file: f, out: bufio.NewWriter(f), done: make(map[uint64]struct{}), doubtful: make(map[string]uint64)}
	if err := l.read(fmt.Sprintf("from %q %q to %q\n", from.place, from.identity, folder)); err != nil {
		f.Close()
		if errors.Is(err, errOtherSource) {
			err = fmt.Errorf("%s %w: remove %s to import all of it once more", from.place, err, path)
		}
		return nil, err
	}
	return l, nil
}

// read reads the file, and cuts off what was not written to its end.
func (l *ledger) read(header string) error {
	lines, size := bufio.NewReader(l.file), int64(0)
	for {
		line, err := lines.ReadSlice('\n')
		if err != nil {
			break // its end, or a line that cannot be ours: what follows counts for nothing
		}
		if size == 0 && string(line) != header {
			return errOtherSource
		}
		if size > 0 {
			l.take(strings.TrimSuffix(string(line), "\n"))
		}
		size += int64(len(line))
	}
	if err := l.file.Truncate(size); err != nil {
		return err
	}
	if _, err := l.file.Seek(size, 0); err != nil {
		return err
	}
	if size == 0 {
		l.out.WriteString(header)
	}
	return nil
}

func (l *ledger) take(line string) {
	first, second, _ := strings.Cut(line, " ")
	switch first {
	case "lost":
		clear(l.doubtful)
		return
	case "ok":
		if n, err := strconv.ParseUint(second, 10, 64); err == nil {
			l.position = n
		}
		for _, key := range l.doubtful {
			l.done[key] = struct{}{}
		}
		clear(l.doubtful)
		return
	}
	if key, err := strconv.ParseUint(first, 10, 64); err == nil && second != "" {
		l.doubtful[second] = key
	}
}

// settle finds out which of the messages that were on their way have come.
func (l *ledger) settle(messages []*mailstore.Message) error {
	if len(l.doubtful) == 0 {
		return nil
	}
	var keys []uint64
	fmt.Fprintln(l.out, "lost")
	for _, m := range messages {
		if key, ok := l.doubtful[m.Name()]; ok {
			keys = append(keys, key)
			fmt.Fprintf(l.out, "%d %s\n", key, m.Name())
		}
	}
	clear(l.doubtful)
	return l.confirm(keys, l.position)
}

// has says whether a message has come.
func (l *ledger) has(key uint64) bool {
	_, ok := l.done[key]
	return ok
}

// expect notes messages that are about to come, durable.
func (l *ledger) expect(keys []uint64, names []string) error {
	for i, key := range keys {
		fmt.Fprintf(l.out, "%d %s\n", key, names[i])
	}
	if err := l.out.Flush(); err != nil {
		return fmt.Errorf("write ledger: %w", err)
	}
	if err := unix.Fdatasync(int(l.file.Fd())); err != nil {
		return fmt.Errorf("sync ledger: %w", err)
	}
	return nil
}

// confirm notes that they have come. If that is lost, their names tell.
func (l *ledger) confirm(keys []uint64, position uint64) error {
	for _, key := range keys {
		l.done[key] = struct{}{}
	}
	fmt.Fprintf(l.out, "ok %d\n", position)
	if err := l.out.Flush(); err != nil {
		return fmt.Errorf("write ledger: %w", err)
	}
	l.position = position
	return nil
}

func (l *ledger) close() { l.file.Close() }

// onlyOne keeps two imports into one Maildir apart.
func onlyOne(ctx context.Context, maildir string) (*os.File, error) {
	lock, err := filelock.Take(ctx, filepath.Join(maildir, "postrider.import.lock"), 0)
	if errors.Is(err, filelock.ErrLocked) {
		return nil, errors.New("another import into this Maildir is running")
	}
	return lock, err
}
