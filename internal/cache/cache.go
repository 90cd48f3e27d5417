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
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"postrider/internal/maildir"
	"postrider/internal/sortkey"
)

// FileName is that of a folder's cache.
const FileName = "postrider.cache"

// maxEntries bounds what is held of a file in memory, about 120 octets each.
const maxEntries = 1 << 19

// Cache is the cache of a folder as a process knows it. It is safe for concurrent use.
type Cache struct {
	path string

	mu      sync.RWMutex
	file    *os.File // nil = there is none, or it was let go of
	id      inode
	end     int64 // of the blocks that are known
	stuck   bool  // what follows is no block, or not yet
	blocks  int
	entries []entry          // in the order of the file
	index   map[uint64]int32 // of the last entry of each name, by its hash
}

type inode struct{ dev, ino uint64 }

// entry is what is held of a record.
type entry struct {
	hash             uint64
	check            uint32 // of the name, beside its hash
	whole            bool
	size, wire, date int64 // as in Info; the date in ns
	sent             sortkey.Sent
	key, body        place
}

// place is where some octets are in the file.
type place struct {
	off int64
	n   uint32
	crc uint32
}

func (e *entry) info() Info { return Info{Size: e.size, Wire: e.wire, Date: time.Unix(0, e.date)} }

// Open names the cache that is in the file at path. Nothing is read yet.
func Open(path string) *Cache { return &Cache{path: path} }

// Close forgets what was read. The Cache can be used again.
func (c *Cache) Close() { c.Rest(0) }

// Rest lets go of the file until the next Refresh. What was read of it is remembered if that is of no more than most records.
func (c *Cache) Rest(most int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.entries) > most || cap(c.entries) > 2*most+1024 {
		c.forget()
	} else if c.file != nil {
		c.file.Close()
		c.file = nil
	}
}

func (c *Cache) forget() {
	if c.file != nil {
		c.file.Close()
	}
	c.file, c.id, c.end, c.stuck, c.blocks, c.entries, c.index = nil, inode{}, 0, false, 0, nil, nil
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
		c.open()
	}
	if c.file != nil && st.Size > c.end {
		c.read(st.Size)
	}
}

// open opens the file. What is remembered of it counts if it is the same one, of which as much is there.
func (c *Cache) open() {
	rested := c.file == nil
	f, info, err := maildir.Open(c.path, os.O_RDONLY)
	if err != nil {
		c.forget()
		return
	}
	st := info.Sys().(*syscall.Stat_t)
	id := inode{uint64(st.Dev), st.Ino}
	if rested && c.id == id && endsWell(f, c.end) {
		c.file = f
		return
	}
	c.forget()
	if !hasMagic(f) {
		f.Close()
		return
	}
	c.file, c.id, c.end = f, id, int64(len(magic))
	likely := int(min(st.Size/usualSize, maxEntries))
	c.entries, c.index = make([]entry, 0, likely), make(map[uint64]int32, likely)
}

// read takes the heads of the blocks from c.end on.
func (c *Cache) read(size int64) {
	var w Window
	for c.end < size && len(c.entries) < maxEntries {
		heads, n, ok := w.heads(c.file, c.end, size)
		if c.stuck = !ok; !ok {
			return
		}
		for key := c.end + blockHead + int64(len(heads)); len(heads) > 0 && len(c.entries) < maxEntries; heads = heads[headSize:] {
			e := parseHead(heads, c.end, n, key)
			if key += int64(e.key.n); e.body.n > 0 {
				c.index[e.hash] = int32(len(c.entries))
				c.entries = append(c.entries, e)
			}
		}
		c.blocks++
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
	return e, e.check == check && (size < 0 || size == e.size)
}

// Find returns sizes and dates of a message, and whether its record is whole; size is that of the file, negative if that is not
// known.
func (c *Cache) Find(base string, size int64) (info Info, whole, ok bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	e, ok := c.find(base, size)
	if !ok {
		return Info{}, false, false
	}
	return e.info(), e.whole, true
}

// Sent says when a message was sent; false if there is no record of it.
func (c *Cache) Sent(base string, size int64) (sent sortkey.Sent, ok bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	e, ok := c.find(base, size)
	return e.sent, ok
}

// Key reads the sort key of a message, and says when that was sent; false if there is none. It is valid until the next call with
// the same Window, which is for keys alone.
func (c *Cache) Key(w *Window, base string, size int64) (key []byte, sent sortkey.Sent, ok bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	e, ok := c.find(base, size)
	if !ok || c.file == nil {
		return nil, sortkey.Sent{}, false
	}
	key = w.load(c.file, &e.key)
	return key, e.sent, key != nil
}

// Get reads the record of a message; nil if there is none. It is valid until the next Get with the same Window.
func (c *Cache) Get(w *Window, base string, size int64) *Record {
	c.mu.RLock()
	defer c.mu.RUnlock()
	e, ok := c.find(base, size)
	if !ok || c.file == nil {
		return nil
	}
	if string(w.record(c.file, &e)) != base {
		return nil
	}
	w.last.Base = base
	return &w.last
}
