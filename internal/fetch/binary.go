package fetch

import (
	"slices"

	"postrider/internal/imap"
	"postrider/internal/mime"
	"postrider/internal/preview"
)

// binary is what is kept of a part that was decoded.
type binary struct {
	path  []uint32
	size  int64
	nul   bool
	place mime.Place // where reading a slice ended
}

// of says whether it is of the part.
func (b *binary) of(path []uint32) bool { return b != nil && slices.Equal(b.path, path) }

// openBinary prepares a part without its transfer encoding. To know the size it is read, but not a second time for the part
// that was asked for last.
func (a *answer) openBinary(item *imap.FetchItem) error {
	a.needDecoder()
	path := item.Section.Part
	c, err := a.decoder.Open(&a.file, a.known.part, path)
	if err != nil {
		return err
	}
	if b := a.known.binary; b.of(path) {
		c.Size, c.NUL = b.size, b.nul
	} else {
		if err := a.decoder.Measure(&c); err != nil {
			return err
		}
		a.known.binary = &binary{path: path, size: c.Size, nul: c.NUL}
	}
	if p := item.Partial; p != nil {
		c = c.Slice(p.Offset, p.Count)
	}
	a.decoded = append(a.decoded, c)
	return nil
}

func (a *answer) needDecoder() {
	if a.decoder == nil {
		a.decoder = mime.NewDecoder(a.reader)
	}
}

// findPreview reads the beginning of the message's text. It is as fast as anything that the structure is needed for, so that a
// client which is content with less (LAZY) gets it, too.
func (a *answer) findPreview() (err error) {
	if a.need.preview {
		a.needDecoder()
		a.preview, err = preview.Of(a.decoder, &a.file, a.known.part)
	}
	return err
}

// writeBinary copies a part. Without a NUL it is a string as any other (RFC 3516 §4.3); a slice is as the whole.
func (a *answer) writeBinary(w *imap.Writer, item *imap.FetchItem, c mime.Decoded) {
	b := a.known.binary
	if item.Partial == nil || !b.of(item.Section.Part) {
		b = new(binary)
	}
	a.decoder.Reset(c.From(b.place))
	if c.NUL {
		w.FetchBinary(item, c.Size, a.decoder)
	} else {
		w.FetchLiteral(item, c.Size, a.decoder)
	}
	b.place = a.decoder.Place()
}
