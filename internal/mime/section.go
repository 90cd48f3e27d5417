package mime

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Text is what of a part a section means (RFC 3501 §6.4.5).
type Text uint8

const (
	Whole Text = iota
	Header
	HeaderFields
	HeaderFieldsNot
	BodyText
	MIME
)

// Section is what stands in the brackets of BODY[]. Fields are set by the caller, who reads the list.
type Section struct {
	Path   []int
	Text   Text
	Fields []string
}

// ErrSection says that a section specifier is malformed.
var ErrSection = errors.New("invalid section")

var texts = map[string]Text{
	"HEADER": Header, "HEADER.FIELDS": HeaderFields, "HEADER.FIELDS.NOT": HeaderFieldsNot, "TEXT": BodyText, "MIME": MIME,
}

// ParseSection reads a section specifier without its list of fields: `1.2`, `TEXT`, `1.HEADER.FIELDS`.
func ParseSection(spec string) (Section, error) {
	var s Section
	rest := spec
	for rest != "" {
		if t, ok := texts[strings.ToUpper(rest)]; ok && (t != MIME || len(s.Path) > 0) {
			s.Text = t
			return s, nil
		}
		number, tail, dot := strings.Cut(rest, ".")
		n, err := strconv.ParseUint(number, 10, 31)
		if err != nil || n == 0 || number[0] == '+' || dot && tail == "" || len(s.Path) > 2*MaxDepth {
			return Section{}, fmt.Errorf("%w: %.80q", ErrSection, spec)
		}
		s.Path = append(s.Path, int(n))
		rest = tail
	}
	return s, nil
}

// Find gives the place of a section; that of HeaderFields and HeaderFieldsNot is the whole header. It is false where
// the message has no such part; the answer is then an empty string.
func (p *Part) Find(s Section) (Range, bool) {
	whole := Range{p.Header.Start, p.Body.End}
	for i, n := range s.Path {
		if p = p.descend(n, i == len(s.Path)-1); p == nil {
			return Range{}, false
		}
	}
	if s.Text == MIME {
		return p.Header, true
	}
	if len(s.Path) > 0 {
		if s.Text == Whole {
			return p.Body, true
		}
		if p.Kind != Message || len(p.Parts) == 0 {
			return Range{}, false
		}
		p = p.Parts[0]
	}
	switch s.Text {
	case Whole:
		return whole, true
	case BodyText:
		return p.Body, true
	}
	return p.Header, true
}

// descend takes a step of a path. What is not a multipart has one part, itself; a step below a message is one into its
// content.
func (p *Part) descend(n int, last bool) *Part {
	switch {
	case p.Kind == Multipart && n <= len(p.Parts):
		p = p.Parts[n-1]
	case p.Kind == Multipart || n != 1 || !last && p.Kind != Message:
		return nil
	}
	if !last && p.Kind == Message && len(p.Parts) == 1 {
		return p.Parts[0]
	}
	return p
}

// Content is the text of a section, ready to be sent: lines end in CRLF, NUL is the octet 0x80 as in Dovecot, since a
// literal may not hold it.
type Content struct {
	Size int64 // in octets

	file   io.ReaderAt
	place  Range
	filter *Section
	offset int64
}

// Open prepares a section of the message in file that root is the tree of. To know its size, the header is read for
// HeaderFields and HeaderFieldsNot. A part that is not there has no text.
func Open(file io.ReaderAt, root *Part, s Section) (*Content, error) {
	place, ok := root.Find(s)
	c := &Content{Size: place.Size(), file: file, place: place}
	if !ok || s.Text != HeaderFields && s.Text != HeaderFieldsNot {
		return c, nil
	}
	c.filter = &s
	var count counter
	if err := c.copy(&count); err != nil {
		return nil, fmt.Errorf("open section: %w", err)
	}
	c.Size = int64(count)
	return c, nil
}

type counter int64

func (c *counter) Write(b []byte) (int, error) {
	*c += counter(len(b))
	return len(b), nil
}

// Slice gives at most count octets from offset on: BODY[]<offset.count>. Negative arguments are zero.
func (c *Content) Slice(offset, count int64) *Content {
	part := *c
	offset = min(max(offset, 0), c.Size)
	part.offset += offset
	part.Size = min(max(count, 0), c.Size-offset)
	return &part
}

// WriteTo sends exactly Size octets or fails; a file that has become shorter is io.ErrUnexpectedEOF.
func (c *Content) WriteTo(w io.Writer) (int64, error) {
	win := &window{w: w, skip: c.offset, left: c.Size}
	err := error(nil)
	if c.Size > 0 {
		err = c.copy(win)
	}
	switch n := c.Size - win.left; {
	case win.left == 0:
		return n, nil
	case err != nil:
		return n, fmt.Errorf("write section: %w", err)
	default:
		return n, fmt.Errorf("write section: %w", io.ErrUnexpectedEOF)
	}
}

// copy writes the text before it is cut.
func (c *Content) copy(w io.Writer) error {
	start := c.place.Start.Off
	out := &crlfWriter{w: w}
	if win, ok := w.(*window); ok && c.filter == nil && c.place.Size() == c.place.End.Off-start {
		start, win.skip, out.asIs = start+win.skip, 0, true // every line ends in CRLF: go there
	}
	in := io.NewSectionReader(c.file, start, c.place.End.Off-start)
	if c.filter != nil {
		return c.filter.copyFields(out, in)
	}
	_, err := io.CopyBuffer(struct{ io.Writer }{out}, struct{ io.Reader }{in}, make([]byte, BufferSize))
	return err
}

// errCut ends a copy whose rest is not wanted.
var errCut = errors.New("cut")

// window passes on a part of what is written.
type window struct {
	w          io.Writer
	skip, left int64
}

func (w *window) Write(b []byte) (int, error) {
	n := len(b)
	pass := int64(n)
	if w.skip >= pass {
		w.skip -= pass
		return n, nil
	}
	b = b[w.skip:]
	w.skip = 0
	if int64(len(b)) > w.left {
		b = b[:w.left]
	}
	m, err := w.w.Write(b)
	w.left -= int64(m)
	if err == nil && w.left == 0 {
		err = errCut
	}
	return n, err
}

// crlfWriter ends every line in CRLF. A bare CR stays.
type crlfWriter struct {
	w    io.Writer
	asIs bool // every line ends in CRLF already
	cr   bool // the last octet is CR
	buf  []byte
}

func (c *crlfWriter) Write(b []byte) (int, error) {
	c.buf = c.buf[:0]
	if c.asIs {
		c.buf = append(c.buf, b...)
		hide(c.buf)
	}
	for rest := b; len(rest) > 0 && !c.asIs; {
		line, tail, found := bytes.Cut(rest, []byte{'\n'})
		rest = tail
		start := len(c.buf)
		c.buf = append(c.buf, line...)
		hide(c.buf[start:])
		if len(line) > 0 {
			c.cr = line[len(line)-1] == '\r'
		}
		if found {
			if !c.cr {
				c.buf = append(c.buf, '\r')
			}
			c.buf, c.cr = append(c.buf, '\n'), false
		}
	}
	_, err := c.w.Write(c.buf)
	return len(b), err
}

// hide replaces NUL.
func hide(b []byte) {
	for i := bytes.IndexByte(b, 0); i >= 0; i = bytes.IndexByte(b, 0) {
		b[i] = 0x80
		b = b[i+1:]
	}
}

// copyFields writes the fields of a header that are asked for, and a blank line (RFC 3501 §6.4.5).
func (s *Section) copyFields(w io.Writer, r io.Reader) error {
	in := bufio.NewReaderSize(r, BufferSize)
	start, wanted := true, s.Text == HeaderFieldsNot
	for {
		line, err := in.ReadSlice('\n')
		if start && len(line) > 0 {
			if line[0] == '\n' || string(line) == "\r\n" {
				break
			}
			if line[0] != ' ' && line[0] != '\t' {
				wanted = s.wants(line)
			}
		}
		if wanted {
			if _, err := w.Write(line); err != nil {
				return err
			}
		}
		full := errors.Is(err, bufio.ErrBufferFull)
		if err != nil && !full {
			if !errors.Is(err, io.EOF) {
				return err
			}
			if wanted && len(line) > 0 {
				if _, err := io.WriteString(w, "\n"); err != nil {
					return err
				}
			}
			break
		}
		start = !full
	}
	_, err := io.WriteString(w, "\n")
	return err
}

func (s *Section) wants(line []byte) bool {
	name, _, ok := fieldName(line)
	if !ok {
		return s.Text == HeaderFieldsNot
	}
	for _, f := range s.Fields {
		if equalFold(f, string(name)) {
			return s.Text == HeaderFields
		}
	}
	return s.Text == HeaderFieldsNot
}
