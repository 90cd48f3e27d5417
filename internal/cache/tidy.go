package cache

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// tidySize is how large a file may be without anybody asking what is in it.
const tidySize = 1 << 20

// Worth says whether the cache of a folder with so many messages is worth a Tidy: it is large, and either has more than twice as many
// records as there are messages, or many of them in blocks of their own, as deliveries write them, or was not read and has much
// more octets than messages usually need.
func (c *Cache) Worth(messages int) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.file != nil {
		return c.end > tidySize && (len(c.entries) > 2*messages || c.blocks > manyBlocks+len(c.entries)/8)
	}
	var st unix.Stat_t
	return unix.Lstat(c.path, &st) == nil && st.Size > tidySize && st.Size/usualSize > int64(2*messages)
}

// manyBlocks are slow to read, even in a small folder.
const manyBlocks = 256

// usualSize is what a record has.
const usualSize = 3 << 10

// Tidy writes the file anew, with the last record of each message that is alive. Others who have the old file open go on with it
// until they look again. It does nothing while another writes.
func (c *Cache) Tidy(alive func(base string) bool) error {
	f, size, err := openLocked(c.path)
	if err != nil {
		return fmt.Errorf("tidy cache: %w", err)
	}
	defer f.Close() // and unlock
	tmp := c.path + ".tmp"
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("tidy cache: %w", err)
	}
	to, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("tidy cache: %w", err)
	}
	err = copyAlive(to, f, size, alive)
	if errClose := to.Close(); err == nil {
		err = errClose
	}
	if err == nil {
		err = os.Rename(tmp, c.path)
	}
	if err != nil {
		os.Remove(tmp)
		return fmt.Errorf("tidy cache: %w", err)
	}
	return nil
}

// copyAlive copies what is alive of a locked file, in the order in which it stands there.
func copyAlive(to, from *os.File, size int64, alive func(base string) bool) error {
	old := Cache{file: from, end: int64(len(magic)), index: make(map[uint64]int32)}
	if hasMagic(from) {
		old.read(size)
	}
	var w, keys Window
	var b Batch
	out := []byte(magic)
	for i, e := range old.entries {
		if old.index[e.hash] != int32(i) {
			continue
		}
		r := &w.last
		r.Base = string(w.record(from, &e))
		if r.Key = keys.load(from, &e.key); r.Key != nil && r.Base != "" && alive(r.Base) {
			b.Add(r)
		}
		if b.Full() {
			if _, err := to.Write(b.appendTo(out)); err != nil {
				return err
			}
			b.reset()
			out = out[:0]
		}
	}
	if !b.Empty() {
		out = b.appendTo(out)
	}
	_, err := to.Write(out)
	return err
}
