package mailstore

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"postrider/internal/fault"
	"postrider/internal/filelock"
	"postrider/internal/maildir"
)

const (
	indexFile = "postrider.index"
	indexTmp  = ".tmp" // after the name of the file that it will replace

	// indexWait is how long the lock of an index is waited for, which is held for the time of a write.
	indexWait = 5 * time.Second

	// indexSlack is how much an index may grow beyond twice its first batch before it is written anew.
	indexSlack = 64 << 10
)

// index is a folder's postrider.index as this process knows it. It is disposable: it saves reading what has not changed, and keeps the
// mod-sequences. Who holds a lock (fcntl, of the open file) on the file itself may read or append; so a file that is removed
// takes its lock along, and counts as lost.
type index struct {
	path string
	boot string // the running system; "" = it is not known: no index

	instance uint64
	id       fileID // inode and size of the file as it was last read or written
	length   int64  // octets of it that are known
	snapshot int64
	saved    indexHeader // the last that was read or written
	failed   time.Time   // when it could not be written
}

// bootFile has the identity of the running system. What was not synced before is not believed in another.
const bootFile = "/proc/sys/kernel/random/boot_id"

// Boot returns the identity of the running system, "" if it cannot be had.
func Boot() string {
	b, err := os.ReadFile(bootFile)
	if err != nil || len(b) < len(indexHeader{}.Boot) {
		return ""
	}
	return string(b[:len(indexHeader{}.Boot)])
}

// index is that of a folder. Where other hosts write beside us, and the index lies with the mail, there is none: it would be theirs, too.
func (s *Store) index(dir string, id fileID) index {
	x := index{path: s.opts.IndexDir.Path(dir, indexFile, id.Dev, id.Ino), boot: s.opts.Boot}
	if s.opts.Remote && s.opts.IndexDir == "" {
		x.boot = ""
	}
	return x
}

// openIndex is an index under its lock.
type openIndex struct {
	*index
	file *os.File
	h    *indexHeader // nil = the file has nothing
}

var errIndexMoved = errors.New("index was replaced")

// open opens and locks the index, shared or exclusively; if exclusively, the file is made. One that cannot be written is not believed: what
// was told since is not in it.
func (x *index) open(exclusive bool) (*openIndex, error) {
	if x.boot == "" {
		return nil, fs.ErrNotExist
	}
	flags := os.O_RDWR
	if exclusive {
		flags |= os.O_CREATE
	}
	for range maxTries {
		o, err := x.tryOpen(flags, exclusive)
		if err != errIndexMoved {
			return o, err
		}
	}
	return nil, errIndexMoved
}

func (x *index) tryOpen(flags int, exclusive bool) (*openIndex, error) {
	f, err := os.OpenFile(x.path, flags|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, err
	}
	o := &openIndex{index: x, file: f}
	if err := o.begin(exclusive); err != nil {
		f.Close()
		return nil, err
	}
	return o, nil
}

// begin locks the file, checks that it still stands at its path, and reads the header.
func (o *openIndex) begin(exclusive bool) error {
	if err := filelock.Lock(context.Background(), o.file, exclusive, indexWait); err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(o.file.Fd()), &st); err != nil {
		return err
	}
	if st.Nlink > 0 && !ownFile(&st) {
		return maildir.ErrNotRegular
	}
	at, err := statID(o.path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !sameInode(at, idOf(&st)) {
		return errIndexMoved
	}
	if err != nil {
		return err
	}
	o.id = at
	if st.Size == 0 {
		return nil
	}
	o.h, _ = o.header(int(o.file.Fd()), at)
	return nil
}

// header reads that of an open file; nil = it has none that can be believed.
func (x *index) header(fd int, id fileID) (*indexHeader, string) {
	var b [headerSize]byte
	if n, err := unix.Pread(fd, b[:], 0); err != nil || n < len(b) {
		return nil, ""
	}
	h, guid, _, err := decodeHeader(b[:])
	if err != nil || string(h.Boot[:]) != x.boot || h.Dev != id.Dev || h.Ino != id.Ino || int64(h.Length) > id.Size {
		return nil, ""
	}
	return h, guid
}

// peek reads the header without the lock: as it is, or as it was a moment ago. Its checksum tells one that is being written.
func (x *index) peek() (*indexHeader, string) {
	if x.boot == "" {
		return nil, ""
	}
	fd, err := unix.Open(x.path, unix.O_RDWR|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, ""
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || !ownFile(&st) {
		return nil, ""
	}
	return x.header(fd, idOf(&st))
}

// ownFile says that a file is the process's alone.
func ownFile(st *unix.Stat_t) bool {
	return st.Mode&unix.S_IFMT == unix.S_IFREG && int(st.Uid) == os.Geteuid() && st.Nlink == 1
}

func (o *openIndex) close() { o.file.Close() }

// grown says that others wrote to the index since it was last read or written here, or that it is lost.
func (x *index) grown() bool {
	if x.instance == 0 {
		return false
	}
	id, err := statID(x.path)
	return err != nil || id != x.id
}

// spoil makes sure that nobody believes a file that lacks what is going to be told.
func (x *index) spoil() {
	if x.boot == "" || os.Remove(x.path) == nil {
		return
	}
	if f, _, err := maildir.Open(x.path, os.O_WRONLY); err == nil {
		f.WriteAt(make([]byte, len(indexMagic)), 0) // where it fails the file is not writable: nobody loads it
		f.Close()
	}
}

// load reads all of the index; a nil state says that there is nothing to be believed.
func (x *index) load() (*state, *uidfile) {
	o, err := x.open(false)
	if err != nil {
		return nil, nil
	}
	defer o.close()
	if o.h == nil {
		return nil, nil
	}
	data := make([]byte, o.h.Length)
	if _, err := o.file.ReadAt(data, 0); err != nil {
		return nil, nil
	}
	h, s, list, err := decodeIndex(data)
	if err != nil {
		return nil, nil
	}
	o.know(h)
	return s, list
}

// know notes that all of the file that counts is known.
func (o *openIndex) know(h *indexHeader) {
	o.saved, o.instance, o.length, o.snapshot = *h, h.Instance, int64(h.Length), int64(h.Snapshot)
}

// news reads what others wrote. all is set when that is the whole index. errIndex says that it is lost.
func (o *openIndex) news() (list []*batch, all bool, err error) {
	h := o.h
	if h == nil {
		return nil, false, errIndex
	}
	from := o.length
	if all = h.Instance != o.instance || h.Rewritten != o.saved.Rewritten || int64(h.Length) < from; all {
		from = headerSize
	}
	if int64(h.Length) == from {
		return nil, all, nil
	}
	data := make([]byte, int64(h.Length)-from)
	if _, err := o.file.ReadAt(data, from); err != nil {
		return nil, all, errIndex
	}
	for len(data) > 0 {
		payload, rest, err := nextBatch(data)
		if err != nil {
			return nil, all, err
		}
		b, err := decodeBatch(payload)
		if err != nil {
			return nil, all, err
		}
		list, data = append(list, b), rest
	}
	return list, all, nil
}

// append writes a batch, which then counts with the header.
func (o *openIndex) append(b *batch, h indexHeader, guid, fields string) error {
	at := o.h.Length
	h.Boot, h.Dev, h.Ino, h.Instance, h.Rewritten = o.h.Boot, o.h.Dev, o.h.Ino, o.h.Instance, o.h.Rewritten
	h.Length, h.Snapshot = at, o.h.Snapshot
	if !b.empty() {
		data, ok := b.encode(nil)
		if !ok || at+uint64(len(data)) > maxIndexSize {
			return errIndex
		}
		if _, err := o.file.WriteAt(data, int64(at)); err != nil {
			return err
		}
		h.Length += uint64(len(data))
		fault.Point("mailstore.index-appended")
	}
	return o.commit(o.file, &h, guid, fields)
}

// commit writes the header, and checks that the file was not removed meanwhile.
func (o *openIndex) commit(f *os.File, h *indexHeader, guid, fields string) error {
	head := h.encode(guid, fields)
	if head == nil {
		return errIndex
	}
	if _, err := f.WriteAt(head, 0); err != nil {
		return err
	}
	id, err := openID(f)
	if err != nil {
		return err
	}
	at, err := statID(o.path)
	if err != nil || !sameInode(at, id) {
		return errIndexMoved
	}
	o.know(h)
	o.id = id
	fault.Point("mailstore.index-written")
	return nil
}

// rewrite replaces the index by one with a single batch. begun says that it is not the old one's continuation.
func (o *openIndex) rewrite(b *batch, h indexHeader, guid, fields string, begun bool) error {
	tmp := o.path + indexTmp
	os.Remove(tmp) // of one who died
	f, err := os.OpenFile(tmp, os.O_RDWR|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := o.fill(f, b, &h, guid, fields, begun); err != nil {
		os.Remove(tmp)
		return err
	}
	if err := filelock.Lock(context.Background(), f, true, 0); err != nil { // until the header is checked once more
		os.Remove(tmp)
		return err
	}
	fault.Point("mailstore.index-rewritten")
	if at, err := statID(o.path); err != nil || !sameInode(at, o.id) {
		os.Remove(tmp)
		return errIndexMoved
	}
	if err := os.Rename(tmp, o.path); err != nil {
		os.Remove(tmp)
		return err
	}
	return o.commit(f, &h, guid, fields)
}

func (o *openIndex) fill(f *os.File, b *batch, h *indexHeader, guid, fields string, begun bool) error {
	id, err := openID(f)
	if err != nil {
		return err
	}
	copy(h.Boot[:], o.boot)
	h.Dev, h.Ino = id.Dev, id.Ino
	if h.Instance = newInstance(); !begun {
		h.Instance, h.Rewritten = o.h.Instance, o.saved.Rewritten+1
	}
	data, ok := b.encode(make([]byte, headerSize))
	if !ok || len(data) > maxIndexSize {
		return errIndex
	}
	h.Length, h.Snapshot = uint64(len(data)), uint64(len(data))
	head := h.encode(guid, fields)
	if head == nil {
		return errIndex
	}
	copy(data, head)
	_, err = f.WriteAt(data, 0)
	return err
}

func newInstance() uint64 {
	var b [8]byte
	rand.Read(b[:])
	return binary.LittleEndian.Uint64(b[:]) | 1
}

// ripe says that the index has grown so much that it is better written anew.
func (x *index) ripe() bool { return x.length-x.snapshot > x.snapshot+indexSlack }
