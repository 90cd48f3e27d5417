package search

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// maxPiece is how many octets of a field's value are taken together. A longer one comes in pieces: an encoded word that is
// cut there stays undecoded, and only the first piece is looked at as a list of addresses.
const maxPiece = 64 << 10

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
