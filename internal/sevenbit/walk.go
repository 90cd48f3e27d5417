package sevenbit

import (
	"bufio"
	"bytes"
	"io"
)

// Bounds. What lies beyond them is not taken apart: it can pass, but not be converted.
const (
	maxDepth    = 100      // multiparts and messages around a part
	maxParts    = 10000    // of a message
	maxField    = 64 << 10 // octets of a header field
	maxBoundary = 256      // RFC 2046 §5.1.1 has 70
	lineSize    = 64 << 10 // octets of a line that are looked at together
)

// visitor is told what a walker comes across, in order. Slices are valid during the call.
type visitor interface {
	begin(e *entity)                        // its header begins
	field(e *entity, raw []byte)            // of its header; one longer than maxField comes in pieces
	endHeader(e *entity, blank bool)        // blank: an empty line follows
	body(e *entity, text []byte, crlf bool) // of an entity that is not taken apart: a line, or a piece of one
	end(e *entity, delimited bool)          // of that; delimited: its last CRLF belongs to the delimiter that follows
	between(e *entity, b []byte, crlf bool) // before and after the parts of e
	delimiter(e *entity, b []byte, crlf bool)
}

// walker follows the structure of a message line by line (RFC 2045, RFC 2046).
type walker struct {
	lines lines
	to    visitor

	open   []*entity // multiparts and messages, the innermost last
	now    *entity   // whose header or body is read; nil = between parts
	header bool
	begun  bool // the header's first line has been seen
	field  bool // a field is being read
	held   []byte
	parts  int
}

func newWalker(r io.Reader, to visitor) *walker {
	w := &walker{to: to, lines: lines{in: bufio.NewReaderSize(r, lineSize), start: true}}
	w.begin(plainText(true))
	return w
}

// walk goes to the end of the message.
func (w *walker) walk() error {
	for {
		if err := w.step(); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// step takes the next line, or a piece of it. io.EOF says that there was none, and that all has been told.
func (w *walker) step() error {
	l, err := w.lines.next()
	if err == io.EOF {
		w.finish(false)
		return err
	}
	if err != nil {
		return err
	}
	if l.start {
		if i, last := w.delimits(l.text); i >= 0 {
			w.part(i, last, l)
			return nil
		}
	}
	for w.header {
		if taken := w.headerLine(l); taken {
			return nil
		}
	}
	switch {
	case w.now != nil:
		w.to.body(w.now, l.text, l.crlf)
	default:
		w.to.between(w.around(), l.text, l.crlf)
	}
	return nil
}

// around is the innermost entity that is open.
func (w *walker) around() *entity { return w.open[len(w.open)-1] }

// delimits finds the multipart to which a line is a delimiter, and says whether it is its last. Any that is open ends those
// within it (RFC 2046 §5.1.2).
func (w *walker) delimits(line []byte) (i int, last bool) {
	rest, ok := bytes.CutPrefix(line, dashes)
	if !ok {
		return -1, false
	}
	rest = bytes.TrimRight(rest, " \t")
	for i := len(w.open) - 1; i >= 0; i-- {
		b := w.open[i].boundary
		if b == "" || len(rest) < len(b) || string(rest[:len(b)]) != b {
			continue
		}
		switch string(rest[len(b):]) {
		case "":
			return i, false
		case "--":
			return i, true
		}
	}
	return -1, false
}

var dashes = []byte("--")

// part goes on behind a delimiter of the ith open entity.
func (w *walker) part(i int, last bool, l line) {
	w.finish(true)
	multipart := w.open[i]
	w.open = w.open[:i+1]
	w.to.delimiter(multipart, l.text, l.crlf)
	if !last {
		e := plainText(false)
		e.nested = multipart.digest // what it is without a Content-Type (RFC 2046 §5.1.5)
		w.begin(e)
		return
	}
	// What follows lies between the parts of an outer one, but is this one's epilogue; it has no further delimiters.
	multipart.boundary = ""
}

// begin starts an entity.
func (w *walker) begin(e *entity) {
	if len(w.open) > 0 {
		e.parent = w.around()
	}
	if e.index = w.parts; w.parts >= maxParts {
		e.fault = "too many parts"
	}
	w.parts = min(w.parts+1, maxParts)
	w.now, w.header, w.begun = e, true, false
	w.to.begin(e)
}

// finish ends the entity that is being read.
func (w *walker) finish(delimited bool) {
	for w.header { // and the one within it, of a message in which there is nothing
		w.endHeader(false)
	}
	if w.now != nil {
		w.to.end(w.now, delimited)
		w.now = nil
	}
}

// headerLine takes a line of a header. It refuses one that is not of it, with which the header has ended.
func (w *walker) headerLine(l line) bool {
	if !l.start || w.field && len(l.text) > 0 && (l.text[0] == ' ' || l.text[0] == '\t') {
		w.hold(l)
		return true
	}
	first := !w.begun
	w.begun = true
	w.release()
	switch {
	case len(l.text) == 0 && l.crlf:
		w.endHeader(true)
		return true
	case isField(l.text) || first && w.now.message && isFromLine(l.text):
		w.hold(l)
		return true
	}
	w.endHeader(false)
	return false
}

// hold keeps a line of a field until the field is complete.
func (w *walker) hold(l line) {
	if len(w.held)+len(l.text) > maxField {
		w.now.fault = "header field too long"
		w.to.field(w.now, w.held)
		w.held = w.held[:0]
	}
	w.field = true
	w.held = append(w.held, l.text...)
	if l.crlf {
		w.held = append(w.held, crlf...)
	}
}

// release hands on the field that was held.
func (w *walker) release() {
	if !w.field {
		return
	}
	w.now.read(w.held)
	w.to.field(w.now, w.held)
	w.field, w.held = false, w.held[:0]
}

// endHeader goes on with the body, which may have a header of its own.
func (w *walker) endHeader(blank bool) {
	w.release()
	e := w.now
	e.decide(len(w.open))
	w.to.endHeader(e, blank)
	w.header = false
	switch e.form {
	case multipart:
		w.open = append(w.open, e)
		w.now = nil
	case message:
		w.open = append(w.open, e)
		w.begin(plainText(true))
	}
}

var crlf = []byte("\r\n")

// line is a line without its CRLF, or a piece of one.
type line struct {
	text  []byte
	start bool // nothing of the line came before
	crlf  bool // nothing of it follows but its CRLF
}

// lines splits a message at each CRLF, and at nothing else.
type lines struct {
	in    *bufio.Reader
	start bool
}

func (r *lines) next() (line, error) {
	b, err := r.in.ReadSlice('\n')
	l := line{text: b, start: r.start}
	switch {
	case err == bufio.ErrBufferFull:
		if b[len(b)-1] == '\r' { // and LF may follow
			r.in.UnreadByte()
			l.text = b[:len(b)-1]
		}
	case err == io.EOF && len(b) > 0:
	case err != nil:
		return line{}, err
	default:
		l.text, l.crlf = bytes.CutSuffix(b, crlf)
	}
	r.start = l.crlf
	return l, nil
}
