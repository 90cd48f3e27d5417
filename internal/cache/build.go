package cache

import (
	"bufio"
	"fmt"
	"io"

	"postrider/internal/mime"
	"postrider/internal/sortkey"
)

// Builder makes records of messages. It is not for concurrent use.
type Builder struct {
	lines  *bufio.Reader
	reader *mime.Reader
	keys   *sortkey.Maker
	text   []byte
}

// NewBuilder returns a Builder that works in the buffer of lines, of mime.BufferSize or more, and in a reader of that buffer.
func NewBuilder(lines *bufio.Reader, reader *mime.Reader) *Builder {
	return &Builder{lines: lines, reader: reader, keys: sortkey.NewMaker()}
}

// Build reads the message in file, of which info says size and date, and makes its record; with whole set it reads all of it, else the
// header. It returns nil for a message that is too large in some way to have one. The record is valid until the next Build.
func (b *Builder) Build(base string, info Info, file io.ReaderAt, whole bool) (*Record, error) {
	b.lines.Reset(io.NewSectionReader(file, 0, info.Size))
	scan := mime.ScanHeader
	if whole {
		scan = mime.Scan
	}
	p, err := scan(b.lines)
	if err != nil {
		return nil, err
	}
	n := int(min(p.Header.Size(), maxHeader+1))
	if n > maxHeader || len(base) > maxBase || base == "" {
		return nil, nil
	}
	r := &Record{Base: base, Info: info}
	b.text = mime.AppendEnvelope(b.text[:0], p.Envelope)
	envelope := len(b.text)
	if whole {
		if p.Body.End.Off != info.Size {
			return nil, nil // it became shorter
		}
		r.Wire = p.Size()
		b.text = mime.AppendBodyStructure(b.text, p, true)
	}
	structure := len(b.text)
	if whole {
		b.text = mime.AppendPlaces(b.text, p)
	}
	places := len(b.text)
	if err := b.header(file, p, n); err != nil {
		return nil, err
	}
	header := len(b.text)
	b.text, r.Sent = b.keys.Append(b.text, b.text[places:])
	r.Envelope, r.Structure = b.text[:envelope:envelope], b.text[envelope:structure:structure]
	r.Places, r.Header = b.text[structure:places:places], b.text[places:header:header]
	r.Key = b.text[header:]
	if !r.fits() || whole && len(r.Places) == 0 {
		return nil, nil
	}
	return r, nil
}

// header appends the n octets that the header has for clients.
func (b *Builder) header(file io.ReaderAt, p *mime.Part, n int) error {
	c, err := b.reader.Open(file, p, mime.Section{Text: mime.Header})
	if err != nil {
		return err
	}
	b.reader.Reset(c)
	start := len(b.text)
	b.text = append(b.text, make([]byte, n)...)
	if _, err := io.ReadFull(b.reader, b.text[start:]); err != nil {
		return fmt.Errorf("read header: %w", err)
	}
	return nil
}

// HeaderBuilder makes records of headers, for those who search and sort. It is not for concurrent use.
type HeaderBuilder struct {
	keys   *sortkey.Maker
	text   []byte
	record Record
}

// NewHeaderBuilder returns a HeaderBuilder.
func NewHeaderBuilder() *HeaderBuilder { return &HeaderBuilder{keys: sortkey.NewMaker()} }

// Build makes the record of a message with a header, whose lines end in LF or CRLF. It has no ENVELOPE, may be outsized, and is valid
// until the next Build.
func (b *HeaderBuilder) Build(base string, info Info, header []byte) *Record {
	b.text = mime.AppendWire(b.text[:0], header)
	end := len(b.text)
	b.record = Record{Base: base, Info: info}
	b.text, b.record.Sent = b.keys.Append(b.text, header)
	b.record.Header, b.record.Key = b.text[:end:end], b.text[end:]
	return &b.record
}
