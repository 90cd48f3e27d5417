package fetch

import (
	"bufio"
	"context"
	"io"
	"sync"
	"time"

	"postrider/internal/cache"
	"postrider/internal/imap"
	"postrider/internal/mime"
)

// buffer is the memory that an answer works in.
type buffer struct {
	head     [headSize]byte
	lines    *bufio.Reader // for all reading, one after the other
	reader   *mime.Reader
	builder  *cache.Builder
	contents []mime.Content
	decoder  *mime.Decoder // nil until it is used
	decoded  []mime.Decoded
	wire     []byte
}

const maxWire = 64 << 10 // octets of buffer.wire that are kept for the next answer

var buffers = sync.Pool{New: func() any {
	lines := bufio.NewReaderSize(nil, mime.BufferSize)
	reader := mime.NewReader(lines)
	return &buffer{lines: lines, reader: reader, builder: cache.NewBuilder(lines, reader)}
}}

// answer is the response for one message in the making.
type answer struct {
	source  Source
	need    need
	message *Message
	size    int64 // RFC822.SIZE
	date    time.Time
	record  *cache.Record // nil: there is none, or no need of it
	known   *known        // nil: the file is not needed
	preview string
	room    *room // for the file; nil = only what the buffer takes of it is in memory

	file    file
	opened  bool
	*buffer // nil until a file is opened
}

func (a *answer) close() {
	a.file.close()
	a.opened = false
	if a.buffer == nil {
		return
	}
	a.reader.Reset(mime.Content{})
	clear(a.contents)
	clear(a.decoded)
	a.decoded = a.decoded[:0]
	if a.contents = a.contents[:0]; cap(a.wire) > maxWire {
		a.wire = nil
	}
	buffers.Put(a.buffer)
	a.buffer = nil
}

// load opens the file, unless that was done.
func (a *answer) load(ctx context.Context) error {
	if a.buffer == nil {
		a.buffer = buffers.Get().(*buffer)
	}
	if a.opened {
		return nil
	}
	if err := a.open(ctx); err != nil {
		return err
	}
	text := a.room.take(a.file.size)
	if text == nil {
		text = a.head[:min(headSize, a.file.size)]
	}
	return a.file.load(text)
}

func (a *answer) open(ctx context.Context) error {
	opened, err := a.source.Open(ctx)
	if err != nil {
		return err
	}
	a.opened = true
	return a.file.take(opened)
}

// prepare does all that can fail before the response begins.
func (a *answer) prepare(ctx context.Context, f *Fetcher, items []imap.FetchItem) error {
	if a.need.record() && a.record == nil {
		if err := a.findRecord(ctx, f); err != nil {
			return err
		}
	}
	if a.needsFile() {
		if err := a.load(ctx); err != nil {
			return err
		}
		if err := a.learn(f); err != nil {
			return err
		}
		if err := a.openSections(items); err != nil {
			return err
		}
		if err := a.findPreview(); err != nil {
			return err
		}
	}
	if a.need.info() {
		return a.inform(ctx)
	}
	return nil
}

// needsFile says that a record alone is not enough.
func (a *answer) needsFile() bool { return a.need.file() || a.need.ofRecord() && a.record == nil }

// inform finds size and date: those of what was read, if that was all.
func (a *answer) inform(ctx context.Context) (err error) {
	switch {
	case a.known != nil && a.known.counted:
		a.size, a.date = a.known.part.Size(), a.file.modified()
	case a.record != nil && (a.record.Wire >= 0 || !a.need.size):
		a.size, a.date = a.record.Wire, a.record.Date
	default:
		a.size, a.date, err = a.source.Info(ctx)
	}
	return err
}

// learn finds out what is needed of the message's structure, unless it is kept from an earlier answer.
func (a *answer) learn(f *Fetcher) error {
	if a.known == nil {
		a.known = f.find(a.message.UID, &a.file.identity)
	}
	if a.known != nil && a.known.serves(a) {
		return nil
	}
	if err := a.examine(); err != nil {
		return err
	}
	if a.known.uid = a.message.UID; a.known.level > measured || a.need.body && a.need.partial {
		f.keep(a.known)
	}
	return nil
}

// examine reads the file as far as is needed.
func (a *answer) examine() (err error) {
	k := &known{file: a.file.identity, level: a.level(), counted: a.need.end()}
	a.known = k
	switch {
	case k.level == placed:
		k.part = a.record.Part()
	case k.level == scanned:
		k.counted = true
		k.part, err = mime.Scan(a.fromStart())
	case !a.need.body && a.envelopeFromFile():
		k.part, err = mime.ScanHeader(a.fromStart())
	case !a.need.body:
		k.part, err = mime.MeasureHeader(a.fromStart())
	case a.file.rest == nil:
		k.part = mime.MeasureText(a.file.head)
	default:
		k.part, err = mime.Measure(a.fromStart())
	}
	if err == nil && k.level == measured && a.need.body && a.envelopeFromFile() {
		var header *mime.Part
		header, err = mime.ScanHeader(a.fromStart())
		k.part.Envelope = header.Envelope
	}
	return err
}

// level is how much of the structure must be known.
func (a *answer) level() level {
	switch r := a.record; {
	case a.need.tree || r == nil && (a.need.structure || a.need.parts):
		return scanned
	case !a.need.parts:
		return measured
	case r.Size != a.file.size || r.Date.UnixNano() != a.file.mtime || r.Part() == nil:
		return scanned
	}
	return placed
}

func (a *answer) envelopeFromFile() bool { return a.need.envelope && a.record == nil }

// fromStart reads the file from its beginning.
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

func (a *answer) write(w *imap.Writer, items []imap.FetchItem, scratch *filter) {
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
		case item.Attr == imap.FetchPreview && written.add(item.Attr):
			w.FetchPreview(a.preview)
		case item.HasSection() && a.known == nil:
			scratch.writeHeader(w, item, a.record.Header)
		case item.HasSection():
			a.writeSection(w, item, a.contents[sections])
			sections++
		case written.add(item.Attr):
			a.writeStructure(w, item.Attr)
		}
	}
	w.EndFetch()
}

func isShort(attr imap.FetchAttr) bool {
	return attr <= imap.FetchSize || imap.FetchModSeq <= attr && attr <= imap.FetchSaveDate
}

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
	case imap.FetchEmailID:
		w.FetchObjectID(attr, a.message.EmailID)
	case imap.FetchThreadID:
		w.FetchObjectID(attr, a.message.ThreadID)
	case imap.FetchSaveDate:
		w.FetchSaveDate(a.message.Saved)
	}
}

func (a *answer) writeStructure(w *imap.Writer, attr imap.FetchAttr) {
	switch {
	case a.record != nil && attr == imap.FetchEnvelope:
		w.FetchWire(attr, a.record.Envelope)
		return
	case a.record != nil && attr == imap.FetchBodyStructure:
		w.FetchWire(attr, a.record.Structure)
		return
	}
	if part := a.known.part; attr == imap.FetchEnvelope {
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
