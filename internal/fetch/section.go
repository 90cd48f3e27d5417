package fetch

import (
	"context"
	"errors"
	"io"

	"postrider/internal/imap"
	"postrider/internal/mime"
)

// Errors of Copy.
var (
	ErrNoSection = errors.New("the message has no such section")
	ErrTooLarge  = errors.New("section too large")
)

// Copy writes one item, a section of a message, as a client gets it, to to, and says how many octets it has: at most the given
// number, or nothing is written. The error is ErrNoSection, ErrTooLarge, one of to, or as that of Answer.
func (f *Fetcher) Copy(ctx context.Context, to io.Writer, m *Message, item imap.FetchItem, most int64) (int64, error) {
	items := []imap.FetchItem{item}
	a := answer{message: m, source: m.Source, need: needOf(items)} // the file itself is read, not the cache
	defer a.close()
	if err := a.prepare(ctx, f, items); err != nil {
		return 0, err
	}
	if _, found := a.known.part.Find(mime.Section{Path: item.Section.Part, Text: specifiers[item.Section.Specifier]}); !found {
		return 0, ErrNoSection
	}
	c := a.contents[0]
	if c.Size > most {
		return 0, ErrTooLarge
	}
	a.reader.Reset(c)
	return io.Copy(to, a.reader)
}
