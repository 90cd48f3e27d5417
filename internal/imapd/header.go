package imapd

import (
	"context"
	"fmt"
	"io"
	"os"

	"postrider/internal/cache"
	"postrider/internal/mailstore"
	"postrider/internal/mime"
	"postrider/internal/sortkey"
)

// firstHeader is enough for nearly all headers.
const firstHeader = 8 << 10

// headers reads the headers of messages, and what is kept of them, always with the same buffers. The zero value is ready.
type headers struct {
	window  cache.Window // of records
	keys    cache.Window // of sort keys
	buf     []byte
	builder *cache.HeaderBuilder
	batch   cache.Batch // what is to be written to the cache
}

// of gives the header of a message with its blank line, or as much of it as package mime would keep: from the cache, or from the
// message's file, and then for the cache. It is valid until the next call.
func (h *headers) of(ctx context.Context, s *source) ([]byte, error) {
	base, size := s.Name()
	r := s.box.Cache().Get(&h.window, base, size)
	if r == nil {
		var err error
		if r, err = h.learn(ctx, s); err != nil {
			return nil, err
		}
	}
	return r.Header[:min(len(r.Header), mime.MaxHeaders)], nil
}

// sent says when a message was sent.
func (h *headers) sent(ctx context.Context, s *source) (sortkey.Sent, error) {
	base, size := s.Name()
	if sent, ok := s.box.Cache().Sent(base, size); ok {
		return sent, nil
	}
	r, err := h.learn(ctx, s)
	if err != nil {
		return sortkey.Sent{}, err
	}
	return r.Sent, nil
}

// key gives the sort key of a message, and says when that was sent.
func (h *headers) key(ctx context.Context, s *source) (sortkey.Key, sortkey.Sent, error) {
	base, size := s.Name()
	if b, sent, ok := s.box.Cache().Key(&h.keys, base, size); ok {
		if key, err := sortkey.Parse(string(b)); err == nil {
			return key, sent, nil
		}
	}
	r, err := h.learn(ctx, s)
	if err != nil {
		return "", sortkey.Sent{}, err
	}
	return sortkey.Key(r.Key), r.Sent, nil
}

// learn reads the header of a message from its file. What is too large for the cache, or has another size than its name tells, is
// read again the next time.
func (h *headers) learn(ctx context.Context, s *source) (*cache.Record, error) {
	file, err := s.Open(ctx)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	header, err := h.read(file)
	if err != nil {
		return nil, err
	}
	st, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("stat message: %w", err)
	}
	if h.builder == nil {
		h.builder = cache.NewHeaderBuilder()
	}
	base, size := s.Name()
	r := h.builder.Build(base, cache.Info{Size: st.Size(), Wire: -1, Date: st.ModTime()}, header)
	if size < 0 || size == st.Size() {
		h.remember(r, s.box)
	}
	return r, nil
}

// remember takes a record for the cache.
func (h *headers) remember(r *cache.Record, box *mailstore.Mailbox) {
	if h.batch.Full() {
		h.done(box)
	}
	h.batch.Add(r)
}

// done writes what was read to the cache. If that fails it is read again the next time.
func (h *headers) done(box *mailstore.Mailbox) {
	if !h.batch.Empty() {
		box.Cache().Append(&h.batch)
	}
}

// read reads the header that a file begins with, or as much of it as is kept.
func (h *headers) read(file *os.File) ([]byte, error) {
	if h.buf == nil {
		h.buf = make([]byte, firstHeader)
	}
	for n := 0; ; {
		k, err := file.Read(h.buf[n:])
		n += k
		if err != nil && err != io.EOF {
			return nil, fmt.Errorf("read header: %w", err)
		}
		if end := mime.HeaderLen(h.buf[:n]); end >= 0 {
			return h.buf[:end], nil
		}
		if err == io.EOF || n == mime.MaxHeaders {
			return h.buf[:n], nil
		}
		if n == len(h.buf) {
			h.buf = append(h.buf, make([]byte, min(3*n, mime.MaxHeaders-n))...)
		}
	}
}
