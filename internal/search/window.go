package search

import (
	"bufio"
	"context"
	"errors"
	"io"
	"math"

	"postrider/internal/casemap"
	"postrider/internal/mime"
)

const (
	windowSize = 64 << 10 // octets of the file that are kept
	firstRead  = 8 << 10  // enough for most headers
	endless    = math.MaxInt64
)

// reader reads one message after the other, always with the same buffers.
type reader struct {
	window   window
	in       *bufio.Reader
	header   header
	text     text
	decoded  []byte // a piece without its transfer encoding
	unfolded []byte // a field on one line
	form     []byte // a list of addresses as a client shows it
	recoded  []byte // a piece in UTF-8
}

func newReader() *reader {
	return &reader{
		window:   window{buf: make([]byte, 0, windowSize)},
		in:       bufio.NewReaderSize(nil, mime.BufferSize),
		decoded:  make([]byte, 0, windowSize),
		unfolded: make([]byte, 0, firstRead),
		recoded:  make([]byte, 16<<10),
		text:     text{maps: &casemap.Cache{}},
	}
}

func (r *reader) open(ctx context.Context, file io.ReaderAt) {
	r.window = window{ctx: ctx, file: file, buf: r.window.buf[:0]}
}

// close lets go of the file.
func (r *reader) close() { r.window = window{buf: r.window.buf[:0]} }

// window is the piece of a file that was read last: a message that fits is read once, however often it is looked at.
type window struct {
	ctx   context.Context
	file  io.ReaderAt
	buf   []byte
	start int64 // of buf in the file
	eof   bool  // the file ends with buf
}

// at gives octets from off on, at least one. It is io.EOF at the end of the file.
func (w *window) at(off int64) ([]byte, error) {
	end := w.start + int64(len(w.buf))
	if off < w.start || off >= end {
		if off != end || len(w.buf) == cap(w.buf) {
			w.start, w.buf, w.eof = off, w.buf[:0], false
		}
		if err := w.fill(); err != nil {
			return nil, err
		}
	}
	return w.buf[off-w.start:], nil
}

// fill adds what there is room for.
func (w *window) fill() error {
	if w.eof {
		return io.EOF
	}
	if err := w.ctx.Err(); err != nil {
		return err
	}
	n := len(w.buf)
	room := w.buf[n:cap(w.buf)]
	if w.start == 0 && n == 0 {
		room = room[:firstRead]
	}
	read, err := w.file.ReadAt(room, w.start+int64(n))
	w.buf = w.buf[:n+read]
	if w.eof = errors.Is(err, io.EOF); w.eof {
		err = nil
	}
	if err == nil && read == 0 {
		return io.EOF
	}
	return err
}

// section reads the window from one offset to another.
type section struct {
	window   *window
	off, end int64
}

func (s *section) Read(p []byte) (int, error) {
	if s.off >= s.end {
		return 0, io.EOF
	}
	b, err := s.window.at(s.off)
	if err != nil {
		return 0, err
	}
	n := copy(p, b[:min(int64(len(b)), s.end-s.off)])
	s.off += int64(n)
	return n, nil
}
