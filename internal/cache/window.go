package cache

import (
	"hash/crc32"
	"io"
	"os"
)

// Window is the memory of one who reads records or keys, most often in the order of the file. The zero value is ready.
type Window struct {
	file *os.File
	off  int64
	text []byte
	last Record
}

// What is read at once: the more the longer one has read what follows.
const (
	minWindow  = 4 << 10
	maxWindow  = 256 << 10
	windowNear = 64 << 10 // how far apart two things that follow each other may be
)

// record reads the record of an entry and gives the name in it, nil if it is not what was written.
func (w *Window) record(f *os.File, e *entry) (base []byte) {
	base, ok := w.last.parse(w.load(f, &e.body))
	if !ok || w.last.Whole() != e.whole {
		return nil
	}
	w.last.Info, w.last.Sent = e.info(), e.sent
	return base
}

// load reads what is at a place, nil if it is not what was written.
func (w *Window) load(f *os.File, p *place) []byte {
	b := w.read(f, p.off, int(p.n))
	if b == nil || crc32.Checksum(b, castagnoli) != p.crc {
		return nil
	}
	return b
}

// read returns n octets at off, nil if they are not there.
func (w *Window) read(f *os.File, off int64, n int) []byte {
	end := w.off + int64(len(w.text))
	if w.file == f && off >= w.off && off+int64(n) <= end {
		return w.text[off-w.off:][:n:n]
	}
	want := minWindow
	if w.file == f && off >= w.off && off < end+windowNear {
		want = min(2*len(w.text), maxWindow)
	}
	want = max(n, want)
	if cap(w.text) < want {
		w.text = make([]byte, want)
	}
	got, err := f.ReadAt(w.text[:want], off)
	w.file, w.off, w.text = f, off, w.text[:got]
	if got < n || err != nil && err != io.EOF {
		return nil
	}
	return w.text[:n:n]
}
