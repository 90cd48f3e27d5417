package fetch

import (
	"bufio"
	"context"
	"io"
	"sync"
	"time"

	"postrider/internal/imap"
	"postrider/internal/mime"
)

// buffer is the memory that an answer works in.
type buffer struct {
	file     file
	head     [headSize]byte
	lines    *bufio.Reader // for all reading, one after the other
	reader   *mime.Reader
	contents []mime.Content
	decoder  *mime.Decoder // nil until it is used
	decoded  []mime.Decoded
	wire     []byte
}

const maxWire = 64 << 10 // octets of buffer.wire that are kept for the next answer

var buffers = sync.Pool{New: func() any {
	lines := bufio.NewReaderSize(nil, mime.BufferSize)
	return &buffer{lines: lines, reader: mime.NewReader(lines)}
}}

// answer is the response for one message in the making.
type answer struct {
	message *Message
	need    need
	size    int64 // RFC822.SIZE
	date    time.Time

	// Of a message whose file is needed:
	*buffer
	known *known
}

func (a *answer) open() { a.buffer = buffers.Get().(*buffer) }

func (a *answer) close() {
	a.file.close()
	a.reader.Reset(mime.Content{})
	clear(a.contents)
	clear(a.decoded)
	a.decoded = a.decoded[:0]
	if a.contents = a.contents[:0]; cap(a.wire) > maxWire {
		a.wire = nil
	}
	buffers.Put(a.buffer)
}

// prepare does all that can fail before the response begins.
func (a *answer) prepare(ctx context.Context, f *Fetcher, items []imap.FetchItem) (err error) {
	if a.need.info() {
		if a.size, a.date, err = a.message.Source.Info(ctx); err != nil {
			return err
		}
	}
	if !a.need.file {
		return nil
	}
	opened, err := a.message.Source.Open(ctx)
	if err != nil {
		return err
	}
	if err := a.file.load(opened, a.head[:]); err != nil {
		return err
	}
	if err := a.learn(f); err != nil {
		return err
	}
	if a.need.whole() {
		a.size = a.known.part.Size()
	}
	return a.openSections(items)
}

// learn finds out what is needed of the message's structure.
func (a *answer) learn(f *Fetcher) (err error) {
	if old := f.find(a.message.UID, &a.file.identity); old != nil && old.serves(&a.need) {
		a.known = old
		return nil
	}
	a.known = &known{uid: a.message.UID, file: a.file.identity, scanned: a.need.structure}
	if a.known.part, err = a.read(); err != nil {
		return err
	}
	if a.need.structure || a.need.body && a.need.partial {
		f.keep(a.known)
	}
	return nil
}

// read reads the message as far as is needed.
func (a *answer) read() (*mime.Part, error) {
	switch {
	case a.need.structure:
		return mime.Scan(a.fromStart())
	case !a.need.body && a.need.envelope:
		return mime.ScanHeader(a.fromStart())
	case !a.need.body:
		return mime.MeasureHeader(a.fromStart())
	}
	p, err := mime.Measure(a.fromStart())
	if err == nil && a.need.envelope {
		var header *mime.Part
		header, err = mime.ScanHeader(a.fromStart())
		p.Envelope = header.Envelope
	}
	return p, err
}

func (a *answer) fromStart() io.Reader {
	a.lines.Reset(io.NewSectionReader(&a.file, 0, a.file.size))
	return a.lines
}

var specifiers = [...]mime.Text{
	imap.SectionAll:             mime.Whole,
	imap.SectionHeader:          mime.Header,
	imap.SectionHeaderFields:    mime.HeaderFields,
	imap.SectionHeaderFieldsNot: mime.HeaderFieldsNot,
	imap.SectionText:            mime.BodyText,
	imap.SectionMIME:            mime.MIME,
}

// openSections prepares the text of every section, in the order of the items.
func (a *answer) openSections(items []imap.FetchItem) error {
	for i := range items {
		item := &items[i]
		switch {
		case item.Attr == imap.FetchBinary || item.Attr == imap.FetchBinarySize:
			if err := a.openBinary(item); err != nil {
				return err
			}
			continue
		case !item.HasSection():
			continue
		}
		s := mime.Section{Path: item.Section.Part, Text: specifiers[item.Section.Specifier], Fields: item.Section.Fields}
		c, err := a.reader.Open(&a.file, a.known.part, s)
		if err != nil {
			return err
		}
		if p := item.Partial; p != nil {
			c = c.Slice(p.Offset, p.Count)
		}
		a.contents = append(a.contents, c)
	}
	return nil
}

// attrs is a set of items.
type attrs uint32

// add says whether the item was not in the set.
func (s *attrs) add(attr imap.FetchAttr) bool {
	before := *s
	*s |= 1 << attr
	return *s != before
}

func (a *answer) write(w *imap.Writer, items []imap.FetchItem) {
	var written attrs
	w.BeginFetch(a.message.Seq)
	for i := range items {
		if attr := items[i].Attr; isShort(attr) && written.add(attr) {
			a.writeShort(w, attr)
		}
	}
	sections, decoded := 0, 0
	for i := range items {
		switch item := &items[i]; {
		case item.Attr == imap.FetchBinarySize:
			w.FetchBinarySize(item, a.decoded[decoded].Size)
			decoded++
		case item.Attr == imap.FetchBinary:
			a.writeBinary(w, item, a.decoded[decoded])
			decoded++
		case item.HasSection():
			a.writeSection(w, item, a.contents[sections])
			sections++
		case written.add(item.Attr):
			a.writeStructure(w, item.Attr)
		}
	}
	w.EndFetch()
}

func isShort(attr imap.FetchAttr) bool { return attr <= imap.FetchSize || attr == imap.FetchModSeq }

func (a *answer) writeShort(w *imap.Writer, attr imap.FetchAttr) {
	switch attr {
	case imap.FetchUID:
		w.FetchUID(a.message.UID)
	case imap.FetchFlags:
		w.FetchFlags(a.message.Flags)
	case imap.FetchInternalDate:
		w.FetchInternalDate(a.date)
	case imap.FetchSize:
		w.FetchSize(a.size)
	case imap.FetchModSeq:
		w.FetchModSeq(a.message.ModSeq)
	}
}

func (a *answer) writeStructure(w *imap.Writer, attr imap.FetchAttr) {
	part := a.known.part
	if attr == imap.FetchEnvelope {
		a.wire = mime.AppendEnvelope(a.wire[:0], part.Envelope)
	} else {
		a.wire = mime.AppendBodyStructure(a.wire[:0], part, attr == imap.FetchBodyStructure)
	}
	w.FetchWire(attr, a.wire)
}

// writeSection copies a text through the buffers. One whose lines end in CRLF in the file could go by sendfile from here.
func (a *answer) writeSection(w *imap.Writer, item *imap.FetchItem, c mime.Content) {
	if item.Partial != nil {
		c = c.Near(a.known.mark)
	}
	a.reader.Reset(c)
	w.FetchLiteral(item, c.Size, a.reader)
	if mark := a.reader.Mark(); item.Partial != nil && mark.Off > 0 {
		a.known.mark = mark
	}
}
