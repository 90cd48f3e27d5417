package sendmail

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// text reads a message as local programs write it and gives its lines as they go over the wire. Lines end in LF or CRLF;
// any CRs before the LF go, a CR elsewhere becomes a blank, as Postfix does it: a bare CR may not be sent (RFC 5321 §2.3.8).
// `From ` lines of mbox files at the start are dropped.
type text struct {
	in    *bufio.Reader
	dots  bool // a line with a single dot ends the message
	first bool // nothing but From lines has come
	part  bool // in the middle of a line
	cr    bool // a CR waits for what follows it
	err   error
}

const pieceSize = 64 << 10

func newText(r io.Reader, dots bool) *text {
	return &text{in: bufio.NewReaderSize(r, pieceSize), dots: dots, first: true}
}

// next returns a line, or a piece of one that is longer than 64 KiB; whole says that the line ends here. The last line of
// the message is whole, too, if it has no end of its own. It is valid until the next call; io.EOF is the end.
func (t *text) next() (piece []byte, whole bool, err error) {
	for {
		piece, whole, err = t.read()
		if err != nil {
			return nil, false, err
		}
		if t.dots && whole && !t.part && len(piece) == 1 && piece[0] == '.' {
			t.err = io.EOF
			return nil, false, t.err
		}
		if !t.first || !whole || !isFrom(piece) {
			break
		}
	}
	t.first = false
	t.part = !whole
	return piece, whole, nil
}

func isFrom(line []byte) bool {
	return bytes.HasPrefix(bytes.TrimLeft(line, ">"), []byte("From "))
}

// read returns the next line or piece with its CRs treated.
func (t *text) read() (piece []byte, whole bool, err error) {
	if t.cr {
		return t.afterCR()
	}
	if t.err != nil {
		return nil, false, t.err
	}
	piece, err = t.in.ReadSlice('\n')
	switch {
	case err == nil:
		whole = true
		piece = bytes.TrimRight(piece[:len(piece)-1], "\r")
	case errors.Is(err, bufio.ErrBufferFull):
		if t.cr = piece[len(piece)-1] == '\r'; t.cr {
			piece = piece[:len(piece)-1]
		}
	default:
		t.err = err
		if len(piece) == 0 && !(t.part && err == io.EOF) {
			return nil, false, err
		}
		if err != io.EOF {
			return nil, false, err
		}
		whole = true
		piece = bytes.TrimRight(piece, "\r")
	}
	blankCRs(piece)
	return piece, whole, nil
}

// afterCR decides what becomes of a CR at the end of a full buffer: it belongs to the end of the line if that follows.
func (t *text) afterCR() (piece []byte, whole bool, err error) {
	t.cr = false
	next, err := t.in.Peek(1)
	if err == nil && next[0] != '\n' {
		return []byte{' '}, false, nil
	}
	return t.read()
}

func blankCRs(b []byte) {
	for {
		i := bytes.IndexByte(b, '\r')
		if i < 0 {
			return
		}
		b[i] = ' '
		b = b[i+1:]
	}
}

// wire reads the rest of a text as a stream of CRLF lines.
type wire struct {
	text *text
	buf  []byte // of which
	rest []byte // is not yet read
}

func (w *wire) Read(p []byte) (int, error) {
	if len(w.rest) == 0 {
		piece, whole, err := w.text.next()
		if err != nil {
			return 0, err
		}
		w.buf = append(w.buf[:0], piece...)
		if whole {
			w.buf = append(w.buf, "\r\n"...)
		}
		w.rest = w.buf
	}
	n := copy(p, w.rest)
	w.rest = w.rest[n:]
	return n, nil
}
