package cache

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"postrider/internal/filelock"
	"postrider/internal/maildir"
)

// maxFile is how large the file may become before nothing more is appended.
const maxFile = 4 << 30

// Append appends the batch to the cache at path, and empties it, whatever the result: a cache need not have everything.
// It is not synced. Who finds another writing waits for a few milliseconds, then the error is filelock.ErrLocked.
func Append(path string, b *Batch) error { return appendTo(path, b, false) }

// Append is Append for one who has read the file: if he could not read all of it, what follows is given up.
func (c *Cache) Append(b *Batch) error {
	c.mu.RLock()
	stuck := c.stuck
	c.mu.RUnlock()
	return appendTo(c.path, b, stuck)
}

func appendTo(path string, b *Batch, stuck bool) error {
	defer b.reset()
	if b.Empty() {
		return nil
	}
	f, size, err := openLocked(path)
	if err != nil {
		return fmt.Errorf("append to cache: %w", err)
	}
	defer f.Close() // and unlock
	end, err := goodEnd(f, size, stuck)
	if err != nil {
		return fmt.Errorf("append to cache: %w", err)
	}
	if end >= maxFile {
		return nil
	}
	var block []byte
	if end == 0 {
		block = append(block, magic...)
	}
	if _, err := f.WriteAt(b.appendTo(block), end); err != nil {
		f.Truncate(end) // if this fails, too, the next one who appends does it
		return fmt.Errorf("append to cache: %w", err)
	}
	return nil
}

const (
	lockWait  = 3 * time.Millisecond
	maxReopen = 5 // how often the file may be replaced while it is being opened
)

// openLocked opens the file, made if it is missing, and locks it.
func openLocked(path string) (f *os.File, size int64, err error) {
	for range maxReopen {
		f, _, err := maildir.Open(path, os.O_RDWR|os.O_CREATE)
		if err != nil {
			return nil, 0, err
		}
		if err := filelock.Lock(context.Background(), f, true, lockWait); err != nil {
			f.Close()
			return nil, 0, err
		}
		var opened, named unix.Stat_t
		err = unix.Fstat(int(f.Fd()), &opened)
		if err == nil && unix.Lstat(path, &named) == nil && opened.Dev == named.Dev && opened.Ino == named.Ino {
			return f, opened.Size, nil
		}
		f.Close()
		if err != nil {
			return nil, 0, err
		}
	}
	return nil, 0, filelock.ErrLocked
}

// goodEnd is where the whole blocks of a locked file end. What follows is cut off: a writer died there. Unless all is to be looked
// at, a file that ends in a whole block is good.
func goodEnd(f *os.File, size int64, all bool) (int64, error) {
	if !all && endsWell(f, size) {
		return size, nil
	}
	end := int64(0)
	if hasMagic(f) {
		var w Window
		for end = int64(len(magic)); end < size; {
			_, n, ok := w.heads(f, end, size)
			if !ok {
				break
			}
			end += n
		}
	}
	if end == size {
		return end, nil
	}
	return end, f.Truncate(end)
}

// endsWell says that the last thing in the file is a whole block.
func endsWell(f *os.File, size int64) bool {
	var end [blockEnd]byte
	if size < int64(len(magic))+blockHead+blockEnd {
		return false
	}
	if _, err := f.ReadAt(end[:], size-blockEnd); err != nil {
		return false
	}
	n := binary.LittleEndian.Uint32(end[:])
	if n != ^binary.LittleEndian.Uint32(end[4:]) || int64(n) > size-int64(len(magic)) {
		return false
	}
	_, got, ok := new(Window).heads(f, size-int64(n), size)
	return ok && got == int64(n) && hasMagic(f)
}
