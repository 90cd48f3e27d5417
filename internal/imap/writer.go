package imap

import (
	"errors"
	"io"
	"sync"
)

// ErrShort is a literal whose source ended before its announced size. The peer takes what follows for the rest of it, so
// the connection can only be closed.
var ErrShort = errors.New("literal shorter than announced")

const (
	writeSize = 64 << 10 // what is written at once when there is much
	keepSize  = 512      // what a connection holds of its output while there is nothing to say
	extraSize = 4 << 10  // for what follows the end of a literal

	maxIdleReads = 100 // reads in a row that bring nothing
)

// large is what is written at once, and some room.
type large [writeSize + extraSize]byte

var larges = sync.Pool{New: func() any { return new(large) }}

// Writer collects responses and sends them in large writes: when there is much, and when Flush is called. An error stays;
// Flush and Err return it, and what is written after it is dropped. A Writer is for one goroutine at a time.
type Writer struct {
	UTF8    bool // the client enabled UTF8=ACCEPT or IMAP4rev2: mailbox names go out in UTF-8
	UIDOnly bool // RFC 9586: messages are told by UID alone

	w     io.Writer
	buf   []byte
	large *large // of which buf is a part; nil while there is little to say
	err   error
	first bool // of the data items of a FETCH

	octets int64 // of messages
}

// NewWriter returns a Writer that holds no buffer until it is used.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w} }

// Err is the error of an earlier write.
func (w *Writer) Err() error { return w.err }

// MessageOctets is how much of messages was written in all, for the log.
func (w *Writer) MessageOctets() int64 { return w.octets }

// Flush sends all that is still buffered.
func (w *Writer) Flush() error {
	w.send()
	if cap(w.buf) > keepSize {
		w.buf = nil
	}
	if w.large != nil {
		larges.Put(w.large)
		w.large = nil
	}
	return w.err
}

func (w *Writer) send() {
	if len(w.buf) > 0 && w.err == nil {
		_, w.err = w.w.Write(w.buf)
	}
	w.buf = w.buf[:0]
}

// add takes the buffer with something appended.
func (w *Writer) add(b []byte) {
	switch w.buf = b; {
	case len(b) >= writeSize:
		w.send()
	case len(b) > keepSize:
		w.enlarge()
	}
}

// enlarge takes a buffer for the rest of the response, and for those that follow it at once.
func (w *Writer) enlarge() {
	if w.large == nil {
		w.large = larges.Get().(*large)
		w.buf = append(w.large[:0], w.buf...)
	}
}

// Raw writes a whole response in wire form, its line end included.
func (w *Writer) Raw(text []byte) { w.add(append(w.buf, text...)) }

// Tagged ends a command: "tag OK [code] text". The code may be empty.
func (w *Writer) Tagged(tag string, cond Condition, code Code, text string) {
	b := append(w.buf, tag...)
	b = append(b, ' ')
	b = append(b, cond...)
	b = append(b, ' ')
	if code != "" {
		b = append(b, '[')
		b = appendText(b, string(code))
		b = append(b, "] "...)
	}
	w.add(append(appendText(b, text), "\r\n"...))
}

// Untagged writes a status response that ends no command.
func (w *Writer) Untagged(cond Condition, code Code, text string) { w.Tagged("*", cond, code, text) }

// Refuse answers a command that could not be read.
func (w *Writer) Refuse(e *CommandError) { w.Tagged(e.Tag, e.Status, e.Code, e.Text) }

// Continue sends "+ text" and all before it (RFC 3501 §7.5).
func (w *Writer) Continue(text string) error {
	b := append(w.buf, "+ "...)
	w.add(append(appendText(b, text), "\r\n"...))
	return w.Flush()
}

// appendText appends the human part of a response, which may quote what others wrote, as one line; without any there is at
// least a dot.
func appendText(b []byte, text string) []byte {
	if text == "" {
		return append(b, '.')
	}
	for i := range len(text) {
		if c := text[i]; c < ' ' || c >= 0x7f {
			b = append(b, '?')
		} else {
			b = append(b, c)
		}
	}
	return b
}

// copyLiteral writes {size} and as many octets of src; a binary one, ~{size}, has them as they are.
func (w *Writer) copyLiteral(size int64, src io.Reader, binary bool) {
	b := w.buf
	if binary {
		b = append(b, '~')
	}
	b = append(b, '{')
	b = appendUint(b, uint64(size))
	w.add(append(b, "}\r\n"...))
	if int64(cap(w.buf)-len(w.buf)) < size {
		w.enlarge()
	}
	for idle := 0; size > 0 && w.err == nil; idle++ {
		if len(w.buf) == cap(w.buf) {
			w.send()
		}
		room := w.buf[len(w.buf):cap(w.buf)]
		room = room[:min(int64(len(room)), size)]
		n, err := src.Read(room)
		size -= int64(n)
		if !binary {
			replaceNULs(room[:n])
		}
		w.buf = w.buf[:len(w.buf)+n]
		if n > 0 {
			idle = 0
		} else if err == nil && idle == maxIdleReads {
			err = io.ErrNoProgress
		}
		if err != nil && size > 0 {
			w.fail(err)
		}
	}
	w.add(w.buf)
}

func (w *Writer) fail(err error) {
	if err == io.EOF {
		err = ErrShort
	}
	if w.err == nil {
		w.err = err
	}
}
