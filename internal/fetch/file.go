package fetch

import (
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"postrider/internal/mime"
)

// identity is by what a file is known again.
type identity struct {
	dev, ino    uint64
	size, mtime int64 // of a file that was changed in place, which no Maildir program does, at least one differs
}

// file is a message's file while it is answered for. What it begins with is in memory: most messages are read once, all of
// a header nearly always.
type file struct {
	identity
	rest *os.File // nil if all of an open file is in head
	head []byte
}

func (i *identity) modified() time.Time { return time.Unix(0, i.mtime) }

// take takes over an open file.
func (f *file) take(opened *os.File) error {
	*f = file{rest: opened}
	info, err := opened.Stat()
	if err != nil {
		return fmt.Errorf("read message: %w", err)
	}
	st := info.Sys().(*syscall.Stat_t)
	f.identity = identity{dev: st.Dev, ino: st.Ino, size: st.Size, mtime: info.ModTime().UnixNano()}
	return nil
}

// load reads the first octets into buf, which is not larger than the file.
func (f *file) load(buf []byte) error {
	n, err := f.rest.ReadAt(buf, 0)
	if err == io.EOF {
		f.size, err = int64(n), nil // it was cut short this moment
	}
	if err != nil {
		return fmt.Errorf("read message: %w", err)
	}
	if f.head = buf[:n]; int64(n) == f.size {
		f.close()
	}
	return nil
}

// ReadAt is io.ReaderAt; the file ends where it ended when it was opened.
func (f *file) ReadAt(b []byte, off int64) (n int, err error) {
	if off >= f.size {
		return 0, io.EOF
	}
	short := int64(len(b)) > f.size-off
	if short {
		b = b[:f.size-off]
	}
	if off < int64(len(f.head)) {
		n = copy(b, f.head[off:])
	}
	if n < len(b) {
		var k int
		k, err = f.rest.ReadAt(b[n:], off+int64(n))
		n += k
	}
	if short && err == nil {
		err = io.EOF
	}
	return n, err
}

// Held is mime.Held.
func (f *file) Held(off, n int64) []byte {
	if off < 0 || n <= 0 || off > int64(len(f.head)) || n > int64(len(f.head))-off {
		return nil
	}
	return f.head[off:][:n]
}

func (f *file) close() {
	if f.rest != nil {
		f.rest.Close()
		f.rest = nil
	}
}

// headSize is enough for the whole of most messages without attachments, and for nearly all headers.
const headSize = mime.BufferSize
