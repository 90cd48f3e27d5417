package spool

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"postrider/internal/envelope"
)

// Hand is an administrator's hand in a channel: it looks at queue files, moves and removes them, as he would with ls, mv and
// rm, beside the process that works on the channel, and whether there is one or not. It needs the rights of the channel's uid,
// or root's. No directory is reached through a symbolic link below the channel, so that a channel's uid cannot lead root
// elsewhere. Reading is safe for concurrent use.
type Hand struct {
	// Scheduled says that the channel's own process asks: a retry leaves files where its schedule knows them to be.
	Scheduled bool

	via  envelope.Via
	path string // of the channel
	base *os.File
	dirs map[State]*os.File // those that there are; all nil without a channel
	log  *os.File
}

// states in the order in which messages pass them, so that a reader does not miss one that moves on meanwhile.
var states = []State{Incoming, Queued, Held, Damaged}

// OpenHand opens the directories of a channel. A channel that is not there is empty. Without the rights the error is
// fs.ErrPermission.
func OpenHand(root string, via envelope.Via) (*Hand, error) {
	h := &Hand{via: via, path: filepath.Join(root, string(via)), dirs: make(map[State]*os.File, len(states))}
	if err := h.open(); err != nil {
		h.Close()
		return nil, fmt.Errorf("open %s: %w", h.path, err)
	}
	return h, nil
}

func (h *Hand) open() error {
	var err error
	if h.base, err = openDir(unix.AT_FDCWD, h.path); err != nil {
		return exceptAbsent(err)
	}
	for _, s := range states {
		if h.dirs[s], err = openDir(int(h.base.Fd()), string(s)); exceptAbsent(err) != nil {
			return fmt.Errorf("%s: %w", s, err)
		}
	}
	h.log, err = openDir(int(h.base.Fd()), "log")
	return exceptAbsent(err)
}

func exceptAbsent(err error) error {
	if err == unix.ENOENT {
		return nil
	}
	return err
}

// openDir opens a directory that is no symbolic link. Its errors are plain numbers.
func openDir(at int, name string) (*os.File, error) {
	fd, err := unix.Openat(at, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

// Close gives the directories back.
func (h *Hand) Close() {
	for _, d := range h.dirs {
		d.Close() // of nil does nothing
	}
	h.log.Close()
	h.base.Close()
}

// List calls fn with every message of the channel, or with ids only these, as the directories are read. A message that moves
// meanwhile may be missed or come twice.
func (h *Hand) List(ids map[string]bool, fn func(Entry) error) error {
	for _, s := range states {
		for _, sub := range subdirs(s, ids) {
			path := filepath.Join(h.path, string(s), sub) + "/"
			err := h.names(s, sub, func(name string) error {
				n, ok := listName(name, s)
				if !ok || ids != nil && !ids[n.ID] {
					return nil
				}
				return fn(Entry{h.via, s, n, path + name})
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// subdirs are those in which messages of that state may lie; "" = the directory itself.
func subdirs(s State, ids map[string]bool) []string {
	if s != Queued {
		return []string{""}
	}
	var subs []string
	for i := range 256 {
		subs = append(subs, fmt.Sprintf("%02x", i))
	}
	if ids == nil {
		return subs
	}
	used := make(map[string]bool)
	for id := range ids {
		used[Hash(id)] = true
	}
	return slices.DeleteFunc(subs, func(sub string) bool { return !used[sub] })
}

// names calls fn with the names in a directory; one that is not there is empty.
func (h *Hand) names(s State, sub string, fn func(string) error) error {
	if h.dirs[s] == nil {
		return nil
	}
	d, err := h.subdir(s, sub)
	if err != nil {
		return exceptAbsent(err)
	}
	defer d.Close()
	for {
		names, err := d.Readdirnames(1000)
		for _, name := range names {
			if err := fn(name); err != nil {
				return err
			}
		}
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return fmt.Errorf("list queue: %w", err)
		}
	}
}

// subdir opens a directory of messages anew, to be closed by the caller.
func (h *Hand) subdir(s State, sub string) (*os.File, error) {
	d := h.dirs[s]
	if d == nil {
		return nil, unix.ENOENT
	}
	return openDir(int(d.Fd()), filepath.Join(".", sub))
}

// sub is the subdirectory of the state's directory in which a message lies.
func (e Entry) sub() string {
	if e.State == Queued {
		return Hash(e.Name.ID)
	}
	return ""
}

// base is the file's name.
func (e Entry) base() string { return e.Path[strings.LastIndexByte(e.Path, '/')+1:] }

// lookSize is what is read of a queue file at first, octets: the envelope of most.
const lookSize = 4 << 10

// Read reads line 1, envelope and journal of a message, and no more of it; the message's CRC is not checked. It returns what it
// could read, and fs.ErrNotExist if the message is gone.
func (h *Hand) Read(e Entry) (*Info, error) {
	fd, err := h.openFile(e)
	if err != nil {
		return nil, fmt.Errorf("open: %w", err)
	}
	buf := readBuffers.Get().(*[]byte)
	defer readBuffers.Put(buf)
	q, err := look(fd, (*buf)[:lookSize])
	unix.Close(fd)
	if err != nil {
		return nil, err
	}
	i := &Info{Envelope: q.env, Size: q.line1.Size, via: h.via}
	i.journal, err = h.readJournal(e, q.line1.CRC, *buf)
	return i, err
}

// Open opens a message's queue file, from its start. The envelope is nil if it cannot be read.
func (h *Hand) Open(e Entry) (*os.File, *envelope.Envelope, error) {
	fd, err := h.openFile(e)
	if err != nil {
		return nil, nil, fmt.Errorf("open: %w", err)
	}
	f := os.NewFile(uintptr(fd), e.base())
	buf := make([]byte, lookSize)
	q, err := look(fd, buf)
	if err != nil && !errors.Is(err, errContent) && err != envelope.ErrBlank {
		f.Close()
		return nil, nil, err
	}
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		f.Close()
		return nil, nil, fmt.Errorf("%w: not a regular file", errContent)
	}
	return f, q.env, nil
}

// openFile opens a queue file, without waiting for anything.
func (h *Hand) openFile(e Entry) (fd int, err error) {
	if h.dirs[e.State] == nil {
		return -1, unix.ENOENT
	}
	name := e.base()
	if sub := e.sub(); sub != "" {
		name = sub + "/" + name
	}
	return openBelow(h.dirs[e.State], name)
}

// openBelow opens a file below a directory without following any link on the way: root must not be led into another channel.
func openBelow(dir *os.File, name string) (fd int, err error) {
	const flags = unix.O_RDONLY | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_CLOEXEC
	how := unix.OpenHow{Flags: flags, Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS}
	fd, err = unix.Openat2(int(dir.Fd()), name, &how)
	if err == unix.ENOSYS || err == unix.EPERM { // an old kernel, or a filter of system calls that does not know it
		return unix.Openat(int(dir.Fd()), name, flags, 0)
	}
	return fd, err
}

// look reads line 1 and the envelope. It spares what package os would do besides: a listing does this for every message.
func look(fd int, buf []byte) (c contents, err error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return c, fmt.Errorf("stat: %w", err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return c, fmt.Errorf("%w: not a regular file", errContent)
	}
	n, err := unix.Pread(fd, buf, 0)
	if err != nil {
		return c, fmt.Errorf("read: %w", err)
	}
	head := buf[:n]
	if c.line1, err = envelope.ParseLine1(head); err != nil {
		if err == envelope.ErrBlank {
			return c, err
		}
		return c, fmt.Errorf("%w: %w", errContent, err)
	}
	env := c.line1.Env
	if want := env + c.line1.Size; st.Size != want || want < env {
		return c, fmt.Errorf("%w: %d octets, line 1 says %d", errContent, st.Size, want)
	}
	if env > int64(n) {
		if head, err = readMore(fd, head, env); err != nil {
			return c, err
		}
	}
	if c.env, err = envelope.Parse(c.line1.ID, head[envelope.Line1Size:env]); err != nil {
		return c, fmt.Errorf("%w: %w", errContent, err)
	}
	return c, nil
}

// readMore continues behind b until there are n octets.
func readMore(fd int, b []byte, n int64) ([]byte, error) {
	b = append(make([]byte, 0, n), b...)
	for int64(len(b)) < n {
		k, err := unix.Pread(fd, b[len(b):n], int64(len(b)))
		if err != nil {
			return nil, fmt.Errorf("read: %w", err)
		}
		if k == 0 {
			return nil, fmt.Errorf("%w: ends after %d octets", errContent, len(b))
		}
		b = b[:len(b)+k]
	}
	return b, nil
}

// readJournal reads the journal of a message, if there is one.
func (h *Hand) readJournal(e Entry, crc uint32, buf []byte) (journal, error) {
	fd, err := h.openJournal(e)
	if err == unix.ENOENT {
		return journal{}, nil
	}
	if err != nil {
		return journal{}, fmt.Errorf("read journal: %w", err)
	}
	defer unix.Close(fd)
	b := buf[:0]
	for len(b) < maxJournal {
		if len(b) == cap(b) {
			b = slices.Grow(b, len(b))
		}
		n, err := unix.Pread(fd, b[len(b):cap(b)], int64(len(b)))
		if err != nil {
			return journal{}, fmt.Errorf("read journal: %w", err)
		}
		b = b[:len(b)+n]
		if len(b) < cap(b) { // a regular file ends here
			return parseJournal(b, e.Name.ID, crc)
		}
	}
	return journal{}, fmt.Errorf("read journal: more than %d octets", maxJournal)
}

// openJournal opens a message's journal: that of a damaged one may have gone along.
func (h *Hand) openJournal(e Entry) (fd int, err error) {
	if e.State == Damaged {
		if fd, err = openBelow(h.dirs[Damaged], e.Name.ID+".log"); err != unix.ENOENT {
			return fd, err
		}
	}
	if h.log == nil {
		return -1, unix.ENOENT
	}
	return openBelow(h.log, Hash(e.Name.ID)+"/"+e.Name.ID)
}

// parseJournal reads a journal's octets, as far as they are whole. One that belongs to another file is an errContent.
func parseJournal(b []byte, id string, crc uint32) (journal, error) {
	j := journal{exists: true, size: int64(len(b))}
	head, rest, ok := bytes.Cut(b, []byte("\n"))
	if !ok || !bytes.HasPrefix(head, []byte(journalMagic+" ")) {
		return j, nil // torn before its first record was synced
	}
	if want := journalHead(id, crc); string(head)+"\n" != want {
		return j, fmt.Errorf("%w: its journal is that of another file: %.80q", errContent, head)
	}
	j.good = int64(len(head)) + 1
	var last []byte // the last whole record, not yet taken apart
	for {
		l, tail, ok := bytes.Cut(rest, []byte("\n"))
		ok = ok && whole(l)
		if last != nil && !(ok && outdated(last, l)) {
			r, good := parseRecord(string(last))
			if !good {
				return j, nil
			}
			j.note(r)
		}
		if last != nil {
			j.good += int64(len(last)) + 1
		}
		if !ok {
			return j, nil
		}
		last, rest = l, tail
	}
}

// whole says that a record has the CRC that it says.
func whole(l []byte) bool {
	body, sum, ok := bytes.Cut(l, []byte(" ;"))
	var b [8]byte
	return ok && bytes.Equal(sum, hex32(&b, crc32.Checksum(body, castagnoli)))
}

// hex32 writes eight digits.
func hex32(b *[8]byte, n uint32) []byte {
	for i := range b {
		b[i] = "0123456789abcdef"[n>>(28-4*i)&15]
	}
	return b[:]
}

// outdated says that a record says nothing any more behind which next stands: that it was deferred for the same recipients, of whom
// next tells a newer result. A message that waits for days has many of these.
func outdated(old, next []byte) bool {
	lines, status := subject(old)
	newer, then := subject(next)
	return string(status) == string(Deferred) && bytes.Equal(lines, newer) && string(then) != string(Delayed) && string(then) != string(Reported)
}

// subject is of whom a record speaks, and what it says.
func subject(l []byte) (lines, status []byte) {
	_, rest, _ := bytes.Cut(l, []byte(" "))
	lines, rest, _ = bytes.Cut(rest, []byte(" "))
	status, _, _ = bytes.Cut(rest, []byte(" "))
	return lines, status
}
