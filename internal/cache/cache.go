// Package cache keeps, for one folder of a Maildir, what answers to IMAP clients are made of: for each message its sizes,
// ENVELOPE, BODYSTRUCTURE and header in wire form, and where its parts lie in the file. It is the file postrider.cache, which
// sessions and delivery append to and which may be deleted, cut or garbled at any time: what is not there, or is not whole, is
// read from the message again.
//
// A record is found by the base name of the message's file, and believed if the size of the file agrees: messages of a Maildir
// never change. The owner of the mail owns the file, too, and may write anything into it; that misleads nobody else, so what is
// read is bounded and checked for accidents only. It is read with pread, not mapped: another program may cut it.
package cache

import (
	"hash/crc32"
	"io"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// FileName is that of the cache in a folder's directory.
const FileName = "postrider.cache"

// maxEntries bounds what is held of a file in memory, about 80 octets each.
const maxEntries = 1 << 19

// Cache is the cache of a folder as a process knows it. It is safe for concurrent use.
type Cache struct {
	path string

	mu      sync.RWMutex
	file    *os.File // nil = there is none, or it was not looked at
	id      inode
	end     int64            // of the blocks that are known
	stuck   bool             // what follows is no block, or not yet
	entries []entry          // in the order of the file
	index   map[uint64]int32 // of the last entry of each name, by its hash
}

type inode struct{ dev, ino uint64 }

// entry is what is held of a record.
type entry struct {
	hash  uint64
	check uint32 // of the name, beside its hash
	crc   uint32 // of the body
	off   int64  // of the body in the file
	n     uint32 // octets of the body
	whole bool
	Info
}

// Open names the cache of the folder in dir. Nothing is read yet.
func Open(dir string) *Cache { return &Cache{path: dir + "/" + FileName} }

// Close forgets what was read. The Cache can be used again.
func (c *Cache) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forget()
}

func (c *Cache) forget() {
	if c.file != nil {
		c.file.Close()
	}
	c.file, c.id, c.end, c.stuck, c.entries, c.index = nil, inode{}, 0, false, nil, nil
}

// Refresh looks for what was appended since it was last called. It is for the beginning of a command, not for each message. What
// cannot be read is as if it were not there.
func (c *Cache) Refresh() {
	c.mu.Lock()
	defer c.mu.Unlock()
	var st unix.Stat_t
	if unix.Lstat(c.path, &st) != nil {
		c.forget()
		return
	}
	if id := (inode{uint64(st.Dev), st.Ino}); c.file == nil || c.id != id || st.Size < c.end {
		c.forget()
		c.reopen()
	}
	if c.file != nil && st.Size > c.end {
		c.read(st.Size)
	}
}

func (c *Cache) reopen() {
	f, info, err := openFile(c.path, os.O_RDONLY)
	if err != nil {
		return
	}
	st := info.Sys().(*syscall.Stat_t)
	if !hasMagic(f) {
		f.Close()
		return
	}
	c.file, c.id, c.end = f, inode{uint64(st.Dev), st.Ino}, int64(len(magic))
	likely := int(min(st.Size/usualSize, maxEntries))
	c.entries, c.index = make([]entry, 0, likely), make(map[uint64]int32, likely)
}

// read takes the heads of the blocks from c.end on.
func (c *Cache) read(size int64) {
	var b blockReader
	for c.end < size && len(c.entries) < maxEntries {
		heads, n, ok := b.next(c.file, c.end, size)
		if c.stuck = !ok; !ok {
			return
		}
		for len(heads) > 0 && len(c.entries) < maxEntries {
			var e entry
			if e, heads = parseHead(heads, c.end, n); e.n > 0 {
				c.index[e.hash] = int32(len(c.entries))
				c.entries = append(c.entries, e)
			}
		}
		c.end += n
	}
}

// find returns the last record of a name. The size of the file is compared unless it is negative, for not known.
func (c *Cache) find(base string, size int64) (entry, bool) {
	hash, check := hashName(base)
	i, ok := c.index[hash]
	if !ok {
		return entry{}, false
	}
	e := c.entries[i]
	return e, e.check == check && (size < 0 || size == e.Size)
}

// Find returns sizes and dates of a message, and whether its record is whole; size is that of the file, negative if that is not
// known.
func (c *Cache) Find(base string, size int64) (info Info, whole, ok bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	e, ok := c.find(base, size)
	return e.Info, e.whole, ok
}

// Get reads the record of a message; nil if there is none. It is valid until the next Get with the same Window.
func (c *Cache) Get(w *Window, base string, size int64) *Record {
	c.mu.RLock()
	defer c.mu.RUnlock()
	e, ok := c.find(base, size)
	if !ok {
		return nil
	}
	name := w.load(c.file, &e)
	if string(name) != base {
		return nil
	}
	w.record.Base = base
	return &w.record
}

// Window is the memory of one who reads records, most often in the order of the file. The zero value is ready.
type Window struct {
	file   *os.File
	off    int64
	text   []byte
	record Record
}

const (
	windowSize = 256 << 10 // what is read at once of records that follow each other
	windowNear = 64 << 10  // how far apart they may be
)

// load reads the record of an entry and gives the name in it, nil if it is not what was written.
func (w *Window) load(f *os.File, e *entry) (base []byte) {
	body := w.read(f, e.off, int(e.n))
	if body == nil || crc32.Checksum(body, castagnoli) != e.crc {
		return nil
	}
	base, ok := w.record.parse(body)
	if !ok || w.record.Whole() != e.whole {
		return nil
	}
	w.record.Info = e.Info
	return base
}

// read returns n octets at off, nil if they are not there.
func (w *Window) read(f *os.File, off int64, n int) []byte {
	if end := w.off + int64(len(w.text)); w.file == f && off >= w.off && off+int64(n) <= end {
		return w.text[off-w.off:][:n]
	}
	want := n
	if last := w.off + int64(len(w.text)); w.file == f && off >= w.off && off < last+windowNear {
		want = max(n, windowSize)
	}
	if cap(w.text) < want {
		w.text = make([]byte, want)
	}
	got, err := f.ReadAt(w.text[:want], off)
	w.file, w.off, w.text = f, off, w.text[:got]
	if got < n || err != nil && err != io.EOF {
		return nil
	}
	return w.text[:n]
}

// openFile opens a regular file whatever else stands there.
func openFile(path string, flags int) (*os.File, os.FileInfo, error) {
	f, err := os.OpenFile(path, flags|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &os.PathError{Op: "open", Path: path, Err: os.ErrInvalid}
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, info, nil
}
