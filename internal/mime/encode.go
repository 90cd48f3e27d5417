package mime

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
)

// Encoder passes a message on and gives the parts in the transfer encoding binary (RFC 2045 §6.2) the encoding base64, since
// a mailbox that keeps lines could not give them back: they may have NULs, and line ends that are none (RFC 3516 §4.4 allows
// it). All else stays as it is. Close writes the rest. An error, which stays, is of the Writer, or ErrEncoding: the header of
// such a part is too long.
type Encoder struct {
	to      io.Writer
	scanner *scanner
	err     error

	begun   []byte // a line
	header  []byte // of the part that is read
	long    bool   // it was too long to be kept
	binary  bool   // the body of the part is to be encoded
	lineEnd []byte // of that body, kept back: before a boundary it is not the body's
	octets  []byte // of it, less than a line of base64
}

// NewEncoder returns an Encoder that writes to to.
func NewEncoder(to io.Writer) *Encoder { return &Encoder{to: to, scanner: newScanner()} }

// Write takes the next octets of the message.
func (e *Encoder) Write(b []byte) (int, error) {
	n := len(b)
	for len(b) > 0 && e.err == nil {
		end := bytes.IndexByte(b, '\n') + 1
		if end == 0 {
			end = len(b)
		}
		end = min(end, BufferSize-len(e.begun))
		e.begun, b = append(e.begun, b[:end]...), b[end:]
		if e.begun[len(e.begun)-1] == '\n' || len(e.begun) == BufferSize {
			e.line(e.begun)
			e.begun = e.begun[:0]
		}
	}
	if e.err != nil {
		return 0, e.err
	}
	return n, nil
}

// Close ends the message.
func (e *Encoder) Close() error {
	if len(e.begun) > 0 {
		e.line(e.begun)
	}
	part := e.scanner.part
	e.scanner.finish()
	e.endHeader(part)
	e.endBody(true)
	return e.err
}

// line takes a line as the scanner does.
func (e *Encoder) line(line []byte) {
	part := e.scanner.part
	switch e.scanner.read(line) {
	case headerText:
		e.header = append(e.header, line...)
		if e.scanner.inHeader && e.scanner.part == part {
			e.hold()
			return
		}
		e.endHeader(part)
	case bodyText:
		if e.binary {
			e.encode(line)
			return
		}
		e.write(line)
	case boundaryText:
		e.endHeader(part)
		e.endBody(false)
		e.write(line)
	}
}

// hold keeps a header until it is known whether it changes; one that is too long does not.
func (e *Encoder) hold() {
	if len(e.header) > MaxPartHeader {
		e.long = true
		e.write(e.header)
		e.header = e.header[:0]
	}
}

// endHeader writes the header of a part that is now understood, if one is kept.
func (e *Encoder) endHeader(p *Part) {
	if len(e.header) == 0 && !e.long {
		return
	}
	e.binary = p.Kind == Leaf && p.Encoding != nil && equalFold(*p.Encoding, "binary")
	if e.binary && e.long {
		e.fail(fmt.Errorf("%w: behind a header of more than %d octets", ErrEncoding, MaxPartHeader))
	}
	if e.binary {
		e.writeHeader()
	} else {
		e.write(e.header)
	}
	e.header, e.long = e.header[:0], false
}

// writeHeader writes the header with another Content-Transfer-Encoding.
func (e *Encoder) writeHeader() {
	changed, drop := false, false
	for line := range bytes.Lines(e.header) {
		if line[0] != ' ' && line[0] != '\t' {
			name, _, _ := fieldName(line)
			drop = equalFold(string(name), "content-transfer-encoding")
		}
		switch {
		case !drop:
			e.write(line)
		case !changed:
			changed = true
			e.write([]byte("Content-Transfer-Encoding: base64\r\n"))
		}
	}
}

// encodedLine is how many octets a line of base64 stands for (RFC 2045 §6.8).
const encodedLine = 57

// encode takes a line of a body.
func (e *Encoder) encode(line []byte) {
	if string(e.lineEnd) == "\r" && string(line) == "\n" { // cut in two
		e.lineEnd = append(e.lineEnd, '\n')
		return
	}
	e.octets = append(e.octets, e.lineEnd...)
	text := bytes.TrimSuffix(line, []byte("\n"))
	text = bytes.TrimSuffix(text, []byte("\r"))
	e.lineEnd = append(e.lineEnd[:0], line[len(text):]...)
	e.octets = append(e.octets, text...)
	for len(e.octets) >= encodedLine {
		n := len(e.octets) / encodedLine
		for i := range n {
			e.writeLine(e.octets[i*encodedLine : (i+1)*encodedLine])
		}
		e.octets = append(e.octets[:0], e.octets[n*encodedLine:]...)
	}
}

func (e *Encoder) writeLine(octets []byte) {
	var line [encodedLine/3*4 + len("\r\n")]byte
	e.write(append(base64.StdEncoding.AppendEncode(line[:0], octets), "\r\n"...))
}

// endBody ends the encoded body of a part, at a boundary or at the end of the message.
func (e *Encoder) endBody(end bool) {
	if !e.binary {
		return
	}
	if end {
		e.octets = append(e.octets, e.lineEnd...)
	}
	for len(e.octets) > 0 {
		n := min(len(e.octets), encodedLine)
		e.writeLine(e.octets[:n])
		e.octets = e.octets[n:]
	}
	e.binary, e.octets, e.lineEnd = false, e.octets[:0], e.lineEnd[:0]
}

func (e *Encoder) write(b []byte) {
	if e.err == nil && len(b) > 0 {
		_, e.err = e.to.Write(b)
	}
}

func (e *Encoder) fail(err error) {
	if e.err == nil {
		e.err = err
	}
}
