package mailstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"postrider/internal/fault"
	"postrider/internal/maildir"
	"postrider/internal/quota"
)

// uniqueName is a base name as maildir(5) wants it, without the sizes.
func uniqueName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	now := time.Now()
	return fmt.Sprintf("%d.M%dP%dQ%dR%s.%s", now.Unix(), now.Nanosecond()/1000, os.Getpid(), uniqueCount.Add(1),
		rand.Text()[:8], maildir.EscapeHost(host))
}

var uniqueCount atomic.Uint64

// Append collects messages for one folder, that get their UIDs together. It is not safe for concurrent use.
type Append struct {
	folder *folder
	drafts []*NewMessage
}

// NewMessage is a message on its way into a folder, in tmp until Commit.
type NewMessage struct {
	file     *os.File // nil once it is put aside, and when it is durable
	tmp      string
	flags    Flags
	keywords []string
	date     time.Time
	base     string // of its name; with the sizes once it is finished
	line     maildir.Converter
	err      error
}

// Append begins to append to a folder.
func (s *Store) Append(name string) (*Append, error) {
	f, err := s.openFolder(name)
	if err != nil {
		return nil, err
	}
	return &Append{folder: f}, nil
}

// Create begins the next message; a zero date is now.
func (a *Append) Create(flags Flags, keywords []string, date time.Time) (*NewMessage, error) {
	for _, k := range keywords {
		if !ValidKeyword(k) {
			return nil, fmt.Errorf("append: %w: %.60q", ErrKeyword, k)
		}
	}
	if date.IsZero() {
		date = time.Now()
	}
	if n := len(a.drafts); n > 0 {
		if err := a.drafts[n-1].putAside(); err != nil {
			return nil, fmt.Errorf("append: %w", diskError(err))
		}
	}
	m := &NewMessage{flags: flags, keywords: keywords, date: date, base: uniqueName()}
	m.tmp = a.folder.path("tmp/" + m.base)
	f, err := os.OpenFile(m.tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("append: %w", ErrNoFolder)
	}
	if err != nil {
		return nil, fmt.Errorf("append: %w", diskError(err))
	}
	m.file = f
	a.drafts = append(a.drafts, m)
	return m, nil
}

// Name is what the message's Base will begin with, up to its sizes. Who notes it before Commit can tell after a crash whether the
// message came into the folder.
func (m *NewMessage) Name() string { return strings.TrimSuffix(m.base, sizeSuffix(m.base)) }

// Name is the message's Base without sizes: what NewMessage.Name said.
func (m *Message) Name() string { return strings.TrimSuffix(m.Base(), sizeSuffix(m.Base())) }

// Write takes the next octets as the client sent them; CRLF is stored as LF. Writes should be large.
func (m *NewMessage) Write(p []byte) (int, error) {
	if m.err != nil {
		return 0, m.err
	}
	m.store(m.line.Convert(make([]byte, 0, len(p)+1), p))
	if m.err != nil {
		return 0, m.err
	}
	return len(p), nil
}

func (m *NewMessage) store(b []byte) {
	if _, err := m.file.Write(b); err != nil {
		m.err = fmt.Errorf("append: %w", diskError(err))
	}
}

// seal writes what was kept back of the octets.
func (m *NewMessage) seal() error {
	if rest := m.line.End(nil); len(rest) > 0 && m.err == nil {
		m.store(rest)
	}
	if m.err != nil {
		return m.err
	}
	t := unix.NsecToTimeval(m.date.UnixNano())
	return os.NewSyscallError("utimes", unix.Futimes(int(m.file.Fd()), []unix.Timeval{t, t}))
}

// putAside closes the file until finish: a thousand messages are not to need as many open files.
func (m *NewMessage) putAside() error {
	err := m.seal()
	if errClose := m.file.Close(); err == nil {
		err = errClose
	}
	m.file = nil
	return err
}

// finish makes the file durable under its name in tmp.
func (m *NewMessage) finish() (err error) {
	if m.file == nil {
		m.file, err = os.Open(m.tmp)
	} else {
		err = m.seal()
	}
	if err == nil {
		err = m.file.Sync()
	}
	if err == nil {
		m.base += m.line.Sizes()
	}
	m.file.Close()
	m.file = nil
	return err
}

// Commit puts all messages into the folder, or none, and returns their UIDs. When it returns without an error they survive
// a power cut.
func (a *Append) Commit(ctx context.Context) (validity uint32, uids []uint32, err error) {
	for _, m := range a.drafts {
		if err := m.finish(); err != nil {
			return 0, nil, fmt.Errorf("append: %w", diskError(err))
		}
	}
	fault.Point("mailstore.append-written")
	err = a.folder.store.bring(ctx, a.amount(), func() (came quota.Amount, err error) {
		if validity, uids, err = a.folder.insert(ctx, func(lock *folderLock) ([]string, error) { return a.place(ctx, lock) }); err == nil {
			came = a.amount()
		}
		return came, err
	})
	return validity, uids, storeError("append", err)
}

// place renames the messages' files into cur, under the folder's lock.
func (a *Append) place(ctx context.Context, lock *folderLock) (names []string, err error) {
	var taken Keywords
	for _, m := range a.drafts {
		lock.touch()
		set, err := a.folder.letters(ctx, m.keywords, true, taken)
		if err != nil {
			return names, err
		}
		taken |= set
		name := withInfo(m.base, m.flags, set)
		if err := os.Rename(m.tmp, a.folder.path("cur/"+name)); err != nil {
			return names, err
		}
		names = append(names, name)
		m.tmp = ""
	}
	return names, nil
}

// Close gives up what was not committed.
func (a *Append) Close() {
	for _, m := range a.drafts {
		if m.file != nil {
			m.file.Close()
		}
		if m.tmp != "" {
			os.Remove(m.tmp) // if it stays, cleaning tmp takes it
		}
	}
	a.drafts = nil
	a.folder.store.closeFolder(a.folder)
}

// insert puts files into cur under the lock, makes their names durable and gives them UIDs. If that fails they are removed
// again. place returns the names that it made, also beside an error.
func (f *folder) insert(ctx context.Context, place func(*folderLock) ([]string, error)) (validity uint32, uids []uint32, err error) {
	if err := f.begin(ctx); err != nil {
		return 0, nil, err
	}
	defer f.end()
	if err := f.check(); err != nil {
		return 0, nil, err
	}
	lock, err := f.lock(ctx)
	if err != nil {
		return 0, nil, err
	}
	defer lock.release()
	if err := lock.mayWrite(); err != nil {
		return 0, nil, err
	}
	f.restore()
	if _, err := f.settle(lock, false); err != nil {
		return 0, nil, err
	}
	before, errStat := statID(f.path("cur"))
	names, err := place(lock)
	if err == nil {
		fault.Point("mailstore.append-renamed")
	}
	bases := make([]string, len(names))
	for i, name := range names {
		bases[i] = baseOf(name)
	}
	var records []record
	if err == nil {
		records, err = f.record(lock, bases, func() []record { return recordsOf(f.state.messages) })
	}
	if err == nil { // where the list's sync has committed the journal, the renames are in it
		err = f.syncDirs(records)
	}
	if err != nil {
		f.takeBack(names)
		return 0, nil, err
	}
	var d difference
	for i, r := range records {
		d.added = append(d.added, newMessage(r.uid, names[i], r.keys, false))
		uids = append(uids, r.uid)
	}
	f.noteCur(before, errStat)
	f.publish(d)
	if f.arrived == 0 && len(uids) > 0 {
		f.arrived = uids[0]
	}
	return f.list.validity, uids, nil
}

// syncDirs makes names in cur durable, and with the first message the folder.
func (f *folder) syncDirs(records []record) error {
	err := syncDir(f.path("cur"))
	if len(records) == 0 || records[0].uid > 1 {
		return err
	}
	for _, dir := range []string{f.dir, f.store.root} {
		if err == nil {
			err = syncDir(dir)
		}
	}
	return err
}

// takeBack removes what was put into cur and got no UID.
func (f *folder) takeBack(names []string) {
	for _, name := range names {
		delete(f.newKeys, baseOf(name))
		os.Remove(f.path("cur/" + name)) // if it stays it is a message too many, not one too few
	}
	f.cur.stamp = stamp{}
}
