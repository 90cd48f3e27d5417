package fetch

import (
	"bytes"
	"context"

	"postrider/internal/cache"
	"postrider/internal/imap"
	"postrider/internal/mime"
)

// UsesCache says that the cache may have something of what such items need.
func (f *Fetcher) UsesCache(items []imap.FetchItem) bool {
	n := f.need(items)
	return n.record() || n.cached && n.info()
}

// findRecord takes the message's record from the cache, or makes it.
func (a *answer) findRecord(ctx context.Context, f *Fetcher) error {
	if a.record = f.cached(a.source, &a.need); a.record != nil {
		return nil
	}
	if err := a.build(ctx); err != nil {
		return err
	}
	f.remember(a.source, a.record)
	return nil
}

// cached returns what the cache has of a message, nil if that is not enough.
func (f *Fetcher) cached(s Source, n *need) *cache.Record {
	if f.Cache == nil {
		return nil
	}
	base, size := s.Name()
	r := f.Cache.Get(&f.window, base, size)
	if r == nil || n.whole(size) && !r.Whole() || n.envelope && len(r.Envelope) == 0 {
		return nil
	}
	return r
}

// remember takes a record for the cache, unless it would not be found there since the name of the file tells another size.
func (f *Fetcher) remember(s Source, r *cache.Record) {
	if f.Cache == nil || r == nil {
		return
	}
	if _, size := s.Name(); size >= 0 && size != r.Size {
		return
	}
	if f.batch.Full() {
		f.Cache.Append(&f.batch) // what is not written is learnt again
	}
	f.batch.Add(r)
}

// build makes the record of a message from its file; an outsized one has none. It is valid as long as the buffer is the answer's.
func (a *answer) build(ctx context.Context) error {
	if err := a.load(ctx); err != nil {
		return err
	}
	base, size := a.source.Name()
	info := cache.Info{Size: a.file.size, Wire: -1, Date: a.file.modified()}
	r, err := a.builder.Build(base, info, &a.file, a.need.whole(size))
	a.record = r
	return err
}

// filter writes sections of a header that is in memory.
type filter struct {
	text   []byte
	reader bytes.Reader
}

func (f *filter) writeHeader(w *imap.Writer, item *imap.FetchItem, header []byte) {
	if specifier := item.Section.Specifier; specifier != imap.SectionHeader {
		s := mime.Section{Text: specifiers[specifier], Fields: item.Section.Fields}
		f.text = mime.AppendFields(f.text[:0], header, &s)
		header = f.text
	}
	if p := item.Partial; p != nil {
		header = header[min(max(p.Offset, 0), int64(len(header))):]
		header = header[:min(max(p.Count, 0), int64(len(header)))]
	}
	f.reader.Reset(header)
	w.FetchLiteral(item, int64(len(header)), &f.reader)
}
