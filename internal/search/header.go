package search

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"postrider/internal/mime"
)

// maxPiece is how many octets of a field's value are taken together. A longer one comes in pieces: an encoded word that is
// cut there stays undecoded, and only the first piece is looked at as a list of addresses.
const maxPiece = 64 << 10

// maxHeader is how many octets of a message's header are looked at for a field: a search may have thousands of them.
const maxHeader = mime.MaxHeaders

// header reads the fields of a header.
type header struct {
	in     *bufio.Reader
	intro  []byte // the name, the colon and a space, as they stand there; empty in a line that is no field
	value  []byte // unfolded
	begins bool   // this is the first piece of the value
	more   bool   // another one follows
	inLine bool   // in the middle of a line
	err    error
}

// begin starts anew.
func (h *header) begin(in *bufio.Reader) { *h = header{in: in, intro: h.intro[:0], value: h.value[:0]} }

// name is that of the field (RFC 5322 §4.5).
func (h *header) name() []byte {
	name, _, _ := bytes.Cut(h.intro, []byte{':'})
	return bytes.TrimRight(name, " \t")
}

// next reads the next field, or the next piece of one, and gives false at the end of the header and after an error.
func (h *header) next() bool {
	h.begins, h.more, h.value = !h.more, false, h.value[:0]
	if h.begins {
		h.intro = h.intro[:0]
	}
	for first := h.begins; ; first = false {
		line, err := h.in.ReadSlice('\n')
		cut := errors.Is(err, bufio.ErrBufferFull)
		if err != nil && !cut && !errors.Is(err, io.EOF) {
			h.err = fmt.Errorf("read header: %w", err)
			return false
		}
		if first && (len(line) == 0 || line[0] == '\n' || string(line) == "\r\n") {
			return false
		}
		h.add(line, first)
		h.inLine = cut
		if !cut && !h.folded() {
			return true
		}
		if len(h.value) >= maxPiece {
			h.more = true
			return true
		}
	}
}

// folded says whether the next line goes on with the field.
func (h *header) folded() bool {
	next, _ := h.in.Peek(1)
	return len(next) > 0 && (next[0] == ' ' || next[0] == '\t')
}

// add takes a line or a fragment of one without its line end. The white space of a fold becomes a space.
func (h *header) add(line []byte, first bool) {
	line = bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
	switch colon := bytes.IndexByte(line, ':'); {
	case first && colon >= 0:
		colon++
		if colon < len(line) && (line[colon] == ' ' || line[colon] == '\t') {
			colon++
		}
		h.intro = append(h.intro, line[:colon]...)
		line = line[colon:]
	case !first && !h.inLine && len(line) > 0:
		h.value = append(h.value, ' ')
		line = line[1:]
	}
	h.value = append(h.value, line...)
}

// matchField says whether a field of the message has the text, or is there at all if n is nil.
func (r *reader) matchField(name string, n *needle) (bool, error) {
	h := r.fields(0, maxHeader)
	for h.next() {
		if !bytes.EqualFold(h.name(), []byte(name)) {
			continue
		}
		if n == nil {
			return true, nil
		}
		if h.begins {
			r.text.begin(n)
		}
		if r.text.read(mime.DecodeWords(r.decoded[:0], h.value)) || h.begins && r.matchForm(name, n) {
			return true, nil
		}
	}
	return false, h.err
}

// matchForm looks for the text in the other form that the value of some fields is searched in.
func (r *reader) matchForm(name string, n *needle) bool {
	var form []byte
	switch {
	case isAddressField(name):
		form = addressForm(r.header.value)
	case strings.EqualFold(name, "Subject"):
		form = compressSpace(r.header.value)
	}
	if len(form) == 0 {
		return false
	}
	r.text.begin(n)
	return r.text.read(mime.DecodeWords(r.decoded[:0], form))
}

// compressSpace gives a value with each run of white space as one space, or nothing where that changes nothing.
func compressSpace(value []byte) []byte {
	if !bytes.Contains(value, []byte("  ")) && bytes.IndexByte(value, '\t') < 0 {
		return nil
	}
	return bytes.Join(bytes.FieldsFunc(value, func(r rune) bool { return r == ' ' || r == '\t' }), []byte{' '})
}

// sentDay is the day of the first Date field.
func (r *reader) sentDay() (int64, error) {
	h := r.fields(0, maxHeader)
	for h.next() {
		if bytes.EqualFold(h.name(), []byte("Date")) {
			day, _ := parseDay(h.value)
			return day, nil
		}
	}
	return 0, h.err
}
