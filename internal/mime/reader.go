package mime

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
)

// Content is the text of a section as a client gets it: every line ends in CRLF. NULs stay, as no literal may have them;
// who sends it replaces them.
type Content struct {
	Size int64 // in octets

	file    io.ReaderAt
	place   Range
	section Section
	offset  int64
	near    Mark
}

// Slice gives at most count octets from offset on: BODY[]<offset.count>. Negative arguments are zero.
func (c Content) Slice(offset, count int64) Content {
	offset = min(max(offset, 0), c.Size)
	c.offset += offset
	c.Size = min(max(count, 0), c.Size-offset)
	return c
}

// Near spares reading from the start of a section up to its slice: m is the Mark of a Reader that has read an earlier
// slice of the same file.
func (c Content) Near(m Mark) Content {
	if m.Off > c.place.Start.Off && m.CRLF <= c.place.Start.CRLF+c.offset && !c.filtered() {
		c.near = m
	}
	return c
}

func (c *Content) filtered() bool {
	return c.section.Text == HeaderFields || c.section.Text == HeaderFieldsNot
}

// asIs says that the lines of the file end in CRLF already.
func (c *Content) asIs() bool {
	return !c.filtered() && c.place.Size() == c.place.End.Off-c.place.Start.Off
}

// Reader reads one Content after the other, each after a Reset to it.
type Reader struct {
	lines   *bufio.Reader
	file    io.SectionReader
	content Content
	skip    int64  // octets of the content before those that are wanted
	left    int64  // octets of it that are still wanted
	rest    []byte // of the file, to be converted
	text    []byte // what follows, if all is in memory
	memory  bool
	meter        // before rest, the CR that may have been added to it included
	mark    Mark // a start of a line before that; of an unfiltered content

	start  bool // what lines gives next starts a line of the header
	wanted bool // the line before it is wanted
	torn   bool // and has no end
	over   bool // the blank line came
	tail   [2]byte
}

// NewReader returns a Reader that uses the buffer of lines, of BufferSize or more, which is free for other uses between
// two Contents.
func NewReader(lines *bufio.Reader) *Reader { return &Reader{lines: lines, tail: [2]byte{'\n', '\n'}} }

// Open prepares a section of the message in file that root is the tree of. To know its size, the header is read for
// HeaderFields and HeaderFieldsNot. A part that is not there has no text.
func (r *Reader) Open(file io.ReaderAt, root *Part, s Section) (Content, error) {
	place, ok := root.Find(s)
	c := Content{Size: place.Size(), file: file, place: place, section: s}
	if !ok || !c.filtered() {
		return c, nil
	}
	c.Size = math.MaxInt64
	r.Reset(c)
	var size meter
	for {
		err := r.fill()
		if err == io.EOF {
			c.Size = size.at.CRLF
			return c, nil
		}
		if err != nil {
			return Content{}, fmt.Errorf("read header: %w", err)
		}
		size.add(r.rest)
	}
}

// Held is a file of which a part is in memory: that is read without being copied first.
type Held interface {
	// Held gives n octets at off, nil if they are not in memory.
	Held(off, n int64) []byte
}

// Reset makes c what is read next.
func (r *Reader) Reset(c Content) {
	start := c.place.Start
	if c.near.Off > start.Off {
		start = c.near
	}
	skip := c.place.Start.CRLF + c.offset - start.CRLF
	if c.asIs() {
		start.Off, start.CRLF, skip = start.Off+skip, start.CRLF+skip, 0
	}
	*r = Reader{lines: r.lines, tail: r.tail, content: c, skip: skip, left: c.Size, meter: meter{at: start}, mark: start,
		start: true, wanted: c.section.Text == HeaderFieldsNot}
	length := c.place.End.Off - start.Off
	if held, ok := c.file.(Held); ok && !c.filtered() && !c.asIs() {
		if r.text = held.Held(start.Off, length); r.text != nil {
			r.memory = true
			return
		}
	}
	r.file = *io.NewSectionReader(c.file, start.Off, length)
	r.lines.Reset(&r.file)
}

// Mark is a place in the file, not after what was read, from which a later slice may be read; the start of the file where
// that would spare nothing.
func (r *Reader) Mark() Mark {
	if r.content.filtered() || r.content.asIs() {
		return Mark{}
	}
	return r.mark
}

// Read gives exactly the announced size or fails; a file that has become shorter is io.ErrUnexpectedEOF.
func (r *Reader) Read(b []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	b = b[:min(int64(len(b)), r.left)]
	n, err := 0, r.pass()
	if err == nil && r.content.asIs() {
		n, err = r.lines.Read(b)
	} else if err == nil {
		n, err = r.next(b)
	}
	r.left -= int64(n)
	switch {
	case err == io.EOF:
		err = io.ErrUnexpectedEOF
	case err != nil:
		err = fmt.Errorf("read section: %w", err)
	}
	return n, err
}

// pass goes to where the wanted octets begin.
func (r *Reader) pass() error {
	var scratch [512]byte
	for r.skip > 0 {
		if len(r.rest) == 0 {
			if err := r.fill(); err != nil {
				return err
			}
		}
		all := r.meter
		all.add(r.rest)
		if n := all.at.CRLF - r.at.CRLF; n <= r.skip {
			r.meter, r.rest, r.skip = all, nil, r.skip-n
			continue
		}
		for r.skip > 0 {
			r.skip -= int64(r.convert(scratch[:min(len(scratch), int(r.skip))]))
		}
	}
	return nil
}

// next fills b with text unless the file ends before.
func (r *Reader) next(b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		if len(r.rest) > 0 {
			n += r.convert(b[n:])
		} else {
			err = r.fill()
		}
	}
	return n, err
}

// convert moves what it can of rest to b, every line end becoming CRLF. A bare CR stays.
func (r *Reader) convert(b []byte) (n int) {
	n, used := r.lineByLine(b)
	for n < len(b) && used < len(r.rest) {
		text := r.rest[used:min(len(r.rest), used+len(b)-n)]
		switch end := bytes.IndexByte(text, '\n'); {
		case end == 0 && r.cr:
			b[n] = '\n'
			n, used, r.cr = n+1, used+1, false
			r.mark = Mark{Off: r.at.Off + int64(used), CRLF: r.at.CRLF + int64(n)}
			continue
		case end == 0:
			b[n] = '\r'
			n, r.cr = n+1, true
			continue
		case end > 0:
			text = text[:end]
		}
		k := copy(b[n:], text)
		n, used, r.cr = n+k, used+k, text[k-1] == '\r'
	}
	r.rest = r.rest[used:]
	r.at.Off += int64(used)
	r.at.CRLF += int64(n)
	return n
}

// lineByLine is convert as long as whole lines fit into b: nearly all of a text.
func (r *Reader) lineByLine(b []byte) (n, used int) {
	cr := r.cr
	for {
		text := r.rest[used:]
		end := bytes.IndexByte(text, '\n')
		if end < 0 || end+2 > len(b)-n {
			break
		}
		if end > 0 {
			cr = text[end-1] == '\r'
		}
		n += copy(b[n:], text[:end])
		if !cr {
			b[n] = '\r'
			n++
		}
		b[n] = '\n'
		n, used, cr = n+1, used+end+1, false
	}
	if r.cr = cr; used > 0 {
		r.mark = Mark{Off: r.at.Off + int64(used), CRLF: r.at.CRLF + int64(n)}
	}
	return n, used
}

// fill takes more of the file into rest; io.EOF is the end of the content.
func (r *Reader) fill() error {
	if r.content.filtered() {
		return r.fillFields()
	}
	if r.memory {
		if r.rest, r.text = r.text, nil; len(r.rest) == 0 {
			return io.EOF
		}
		return nil
	}
	if _, err := r.lines.Peek(1); err != nil {
		return err
	}
	r.rest, _ = r.lines.Peek(r.lines.Buffered())
	r.lines.Discard(len(r.rest)) // the octets stay until more is read
	return nil
}

// fillFields takes the next line, or a fragment of one, of the fields that are asked for. A blank line ends them, even
// where the header has none (RFC 3501 §6.4.5).
func (r *Reader) fillFields() error {
	for !r.over {
		line, err := r.lines.ReadSlice('\n')
		full := errors.Is(err, bufio.ErrBufferFull)
		if err != nil && err != io.EOF && !full {
			return err
		}
		if len(line) == 0 || r.start && isBlank(line) {
			r.over = true
			r.rest = r.tail[:1]
			if r.torn {
				r.rest = r.tail[:]
			}
			return nil
		}
		if r.start && line[0] != ' ' && line[0] != '\t' {
			r.wanted = r.content.section.wants(line)
		}
		r.start = !full
		if r.wanted {
			r.rest, r.torn = line, line[len(line)-1] != '\n'
			return nil
		}
		r.torn = false
	}
	return io.EOF
}

func isBlank(line []byte) bool { return line[0] == '\n' || string(line) == "\r\n" }

// wants looks at the first line of a field.
func (s *Section) wants(line []byte) bool {
	name, _, ok := fieldName(line)
	if !ok {
		return s.Text == HeaderFieldsNot
	}
	for _, f := range s.Fields {
		if len(f) == len(name) && equalFold(f, string(name)) {
			return s.Text == HeaderFields
		}
	}
	return s.Text == HeaderFieldsNot
}
