package mime

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// BufferSize is what Scan reads at once.
const BufferSize = 32 << 10

// Scan reads a message to its end and gives its tree, whose root is never nil. Memory is bounded by the package's
// limits, whatever is read. The error is of r alone; the tree is then that of the octets before it. A *bufio.Reader of
// BufferSize or more is used as it is, so that one serves many messages.
func Scan(r io.Reader) (*Part, error) {
	s := newScanner()
	root := s.part
	err := s.run(r, false)
	s.finish()
	return root, err
}

// ScanHeader is Scan that stops after the header of the message: all that the header says is known, the body is empty and
// has no parts.
func ScanHeader(r io.Reader) (*Part, error) {
	s := newScanner()
	root := s.part
	err := s.run(r, true)
	s.finish()
	root.Body.End, root.Parts = root.Body.Start, nil
	return root, err
}

// boundary is one that may still come.
type boundary struct {
	text string
	part *Part
}

// scanner is the state between two reads. A line longer than the buffer comes in fragments.
type scanner struct {
	at      Mark // what was read
	lineEnd Mark // before the last line end
	block   Mark // where the text began that lineEnd may be taken from: a boundary's line end is not the text's
	inLine  bool // at is not at the start of a line
	cr      bool // the octet before at is CR

	part      *Part
	inHeader  bool
	fields    fields
	opening   bool // the line is a boundary line after which a part begins
	skipping  bool // the line is a boundary line
	bounds    []boundary
	parts     int
	budget    int
	addresses int
}

func newScanner() *scanner {
	s := &scanner{addresses: MaxAddresses, budget: MaxHeaders}
	s.fields.list = make([]field, 0, usualFields)
	s.open(nil)
	s.fields.text.Grow(usualText)
	return s
}

// run reads to the end of the message, or of its header only.
func (s *scanner) run(r io.Reader, header bool) error {
	root := s.part
	in := bufio.NewReaderSize(r, BufferSize)
	for !header || s.inHeader && s.part == root {
		if !s.inHeader && !s.skipping {
			s.skip(in)
		}
		line, err := in.ReadSlice('\n')
		if len(line) > 0 {
			s.read(line)
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return readError(err)
		}
	}
	return nil
}

// lineKind is what a line belongs to.
type lineKind uint8

const (
	bodyText     lineKind = iota // or text around the parts of a multipart
	headerText                   // the blank line too
	boundaryText                 // a boundary line
)

// read takes a line or a fragment of one.
func (s *scanner) read(line []byte) lineKind {
	start := !s.inLine
	if start && len(s.bounds) > 0 && len(line) > 2 && line[0] == '-' && line[1] == '-' {
		s.boundaryLine(line)
	}
	kind := bodyText
	switch {
	case s.skipping:
		kind = boundaryText
	case s.inHeader:
		kind = headerText
	}
	blank := kind == headerText && start && isBlank(line)
	if kind == headerText && !blank {
		s.budget -= s.fields.line(line, start, s.budget)
	}
	s.advance(line)
	switch {
	case blank:
		s.endHeader()
	case s.skipping && !s.inLine:
		s.endBoundaryLine()
	}
	return kind
}

func (s *scanner) advance(line []byte) {
	n := int64(len(line))
	if line[n-1] != '\n' {
		s.at.Off += n
		s.at.CRLF += n
		s.inLine, s.cr = true, line[n-1] == '\r'
		return
	}
	crlf := s.cr
	if n > 1 {
		crlf = line[n-2] == '\r'
	}
	s.lineEnd = Mark{s.at.Off + n - 1, s.at.CRLF + n - 1, s.at.Lines}
	if crlf {
		s.lineEnd.Off--
		s.lineEnd.CRLF--
	}
	s.at = Mark{s.at.Off + n, s.lineEnd.CRLF + 2, s.at.Lines + 1}
	s.inLine, s.cr = false, false
}

// boundaryLine looks whether a line is a boundary; if so, it ends all parts inside the boundary's.
func (s *scanner) boundaryLine(line []byte) {
	line = bytes.TrimSuffix(bytes.TrimSuffix(line[2:], []byte("\n")), []byte("\r"))
	i := s.match(line)
	if i < 0 {
		return
	}
	b := s.bounds[i]
	last := bytes.HasPrefix(line[len(b.text):], []byte("--"))
	s.interrupt(b.part) // may add boundaries of headers that end here
	s.bounds = s.bounds[:i+1]
	if last {
		s.bounds = s.bounds[:i]
	}
	s.skipping, s.opening = true, !last && s.parts < MaxParts
}

// match finds the boundary that a line begins with (RFC 2046 §5.1.1): the longest one, of equals the innermost, but
// the whole line at once.
func (s *scanner) match(line []byte) int {
	best := -1
	for i := len(s.bounds) - 1; i >= 0; i-- {
		text := s.bounds[i].text
		if len(text) > len(line) || best >= 0 && len(text) <= len(s.bounds[best].text) || string(line[:len(text)]) != text {
			continue
		}
		best = i
		if rest := line[len(text):]; len(rest) == 0 || string(rest) == "--" {
			break
		}
	}
	return best
}

// interrupt ends the parts inside outer at a boundary line. The line end before it is the boundary's (RFC 2046 §5.1.1),
// even where it is the last of a header without a body; the message around such a header still counts it.
func (s *scanner) interrupt(outer *Part) {
	p, end := s.part, s.lineEnd
	if s.inHeader || end.Off < s.block.Off {
		end = s.at
	}
	s.closeUntil(outer, end)
	if p != outer && p.Header.Start == s.at && p.parent.Kind == Message {
		p = p.parent
	}
	if p != outer && p.Body.End == s.at && s.lineEnd.Off >= p.Header.Start.Off && s.block == p.Body.Start {
		p.Header.End = s.lineEnd
	}
}

func (s *scanner) endBoundaryLine() {
	s.block, s.skipping = s.at, false
	if s.opening {
		s.opening = false
		s.open(s.part)
	}
}

// open begins a part at the place reached.
func (s *scanner) open(parent *Part) {
	p := &Part{parent: parent, level: 1, Header: Range{s.at, s.at}}
	if parent != nil {
		p.level = parent.level + 1
		p.mime = parent.Kind == Multipart
		parent.Parts = append(parent.Parts, p)
	}
	if parent == nil || parent.Kind == Message {
		p.Envelope = &Envelope{}
	}
	s.parts++
	s.part, s.inHeader, s.block = p, true, s.at
	s.fields.reset(p.Envelope != nil)
}

// endHeader understands the header of the part once its end is reached.
func (s *scanner) endHeader() {
	p := s.part
	p.Header.End = s.at
	p.Body = Range{s.at, s.at}
	s.inHeader, s.block = false, s.at
	delimiter := p.take(&s.fields, &s.addresses)
	if p.Kind != Leaf && (p.level >= MaxDepth || s.parts >= MaxParts && p.Kind == Message) {
		p.Kind, p.Type, p.Subtype = Leaf, value("application"), value("octet-stream")
		return
	}
	switch {
	case p.Kind == Multipart && delimiter != "":
		s.bounds = append(s.bounds, boundary{delimiter, p})
	case p.Kind == Message:
		s.open(p)
	}
}

// closeUntil ends the part and those around it, up to but without outer.
func (s *scanner) closeUntil(outer *Part, end Mark) {
	for s.inHeader {
		s.endHeader()
	}
	if end.Off < s.part.Body.Start.Off {
		end = s.part.Body.Start
	}
	for ; s.part != outer; s.part = s.part.parent {
		s.part.Body.End = end
	}
}

func (s *scanner) finish() { s.closeUntil(nil, s.at) }
