package smtpd

import (
	"bytes"
	"io"
	"strings"
)

// Bounds in octets.
const (
	maxHeldLine  = 4 << 10   // of a header line that comes in pieces; what it is must show by then
	maxMessageID = 512       // kept for the log
	maxBlock     = 256 << 10 // of a header that is completed; a larger one passes as it is
)

// header passes a message on and looks at its header as it goes by: it counts hops, notes the Message-ID, and ends the header
// where a line that can be no header field begins the text. On submission the header is held back to be completed.
// Its errors are replies, or those of the writer.
type header struct {
	dst      io.Writer
	maxHops  int
	complete *completion // nil: pass everything on at once

	messageID string
	hops      int
	done      bool   // the text has begun
	fields    int    // seen so far
	idFolds   bool   // Message-ID: its value is in the next line
	tail      bool   // the rest of a long line is coming
	held      []byte // a line that has not ended
	block     []byte // the header so far, if it is to be completed
}

func newHeader(dst io.Writer, maxHops int, c *completion) *header {
	return &header{dst: dst, maxHops: maxHops, complete: c}
}

// Write takes any part of the message; after an error it may not be called again.
func (h *header) Write(p []byte) (int, error) {
	n := len(p)
	for !h.done && len(p) > 0 {
		part := p
		if i := bytes.IndexByte(p, '\n'); i >= 0 {
			part = p[:i+1]
		}
		p = p[len(part):]
		if err := h.part(part); err != nil {
			return n - len(p), err
		}
	}
	if len(p) > 0 {
		if _, err := h.dst.Write(p); err != nil {
			return n - len(p), err
		}
	}
	return n, nil
}

// Close says that the message has ended.
func (h *header) Close() error {
	if l := h.held; len(l) > 0 {
		h.held = nil
		if err := h.line(l); err != nil {
			return err
		}
	}
	if h.done {
		return nil
	}
	return h.end()
}

// part puts lines together.
func (h *header) part(b []byte) error {
	ended := b[len(b)-1] == '\n'
	switch {
	case h.tail:
		h.tail = !ended
		return h.pass(b)
	case ended && len(h.held) == 0:
		return h.line(b)
	}
	h.held = append(h.held, b...)
	if !ended && len(h.held) < maxHeldLine {
		return nil
	}
	h.tail = !ended
	b, h.held = h.held, nil
	return h.line(b)
}

// line takes a header line, or the first maxHeldLine octets of a long one.
func (h *header) line(l []byte) error {
	folds := h.idFolds
	h.idFolds = false
	name, value := cutField(l)
	switch {
	case string(l) == "\r\n":
		if err := h.end(); err != nil {
			return err
		}
	case isFold(l) && h.fields > 0:
		if folds {
			h.noteID(l)
		}
	case name != "":
		h.fields++
		if err := h.field(name, value); err != nil {
			return err
		}
	case h.fields == 0 && isMbox(l):
		if h.complete != nil {
			return nil
		}
	default: // text without an empty line before it
		if err := h.end(); err != nil {
			return err
		}
		if err := h.pass([]byte("\r\n")); err != nil {
			return err
		}
	}
	return h.pass(l)
}

func (h *header) field(name string, value []byte) error {
	switch {
	case strings.EqualFold(name, "Received"):
		if h.hops++; h.hops > h.maxHops {
			return errHops
		}
	case strings.EqualFold(name, "Message-ID"):
		h.noteID(value)
	}
	return nil
}

// noteID keeps the first Message-ID; its value may stand in the second line.
func (h *header) noteID(value []byte) {
	if h.messageID != "" {
		return
	}
	value = bytes.TrimSpace(value)
	h.messageID = string(value[:min(len(value), maxMessageID)])
	h.idFolds = h.messageID == ""
}

// pass sends on what has been looked at, or holds it back.
func (h *header) pass(b []byte) error {
	if h.complete == nil || h.done {
		_, err := h.dst.Write(b)
		return err
	}
	h.block = append(h.block, b...)
	if len(h.block) <= maxBlock {
		return nil
	}
	b, h.block, h.complete = h.block, nil, nil
	_, err := h.dst.Write(b)
	return err
}

// end is the end of the header, before the empty line.
func (h *header) end() error {
	h.done = true
	if h.complete == nil {
		return nil
	}
	b := h.complete.apply(h.block)
	if h.messageID == "" {
		h.messageID = h.complete.messageID
	}
	h.block = nil
	_, err := h.dst.Write(b)
	return err
}

// cutField takes `Name: value` apart (RFC 5322 §2.2, with the blank before the colon of §4.5); the name is empty if l is no
// field.
func cutField(l []byte) (name string, value []byte) {
	i := bytes.IndexByte(l, ':')
	if i <= 0 {
		return "", nil
	}
	n := bytes.TrimRight(l[:i], " \t")
	if len(n) == 0 {
		return "", nil
	}
	for _, c := range n {
		if c <= ' ' || c >= 0x7f {
			return "", nil
		}
	}
	return string(n), l[i+1:]
}

func isFold(l []byte) bool { return l[0] == ' ' || l[0] == '\t' }

// isMbox recognizes the line that separates messages of a mailbox file; some clients leave it before the header.
func isMbox(l []byte) bool {
	return bytes.HasPrefix(l, []byte("From ")) || bytes.HasPrefix(l, []byte(">From "))
}
