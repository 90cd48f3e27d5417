package imapd

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"

	"postrider/internal/cache"
	"postrider/internal/mailstore"
	"postrider/internal/mime"
)

// firstHeader is enough for nearly all headers.
const firstHeader = 8 << 10

// headers reads the headers of messages, always with the same buffers. The zero value is ready.
type headers struct {
	window  cache.Window
	buf     []byte
	text    bytes.Reader // of buf
	builder *cache.Builder
	batch   cache.Batch // what is to be written to the cache
}

// of gives the header of a message with its blank line, or as much of it as package mime would keep: from the cache, or from the
// message's file, and then for the cache. It is valid until the next call.
func (h *headers) of(ctx context.Context, s *source) ([]byte, error) {
	base, size := s.Name()
	if r := s.box.Cache().Get(&h.window, base, size); r != nil {
		return r.Header[:min(len(r.Header), mime.MaxHeaders)], nil
	}
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
	h.remember(s, cache.Info{Size: st.Size(), Wire: -1, Date: st.ModTime()}, header)
	return header, nil
}

// remember takes a header for the cache; what is too large for that, or has another size than its name tells, is read again the next time.
func (h *headers) remember(s *source, info cache.Info, header []byte) {
	if _, size := s.Name(); size >= 0 && size != info.Size {
		return
	}
	if h.builder == nil {
		lines := bufio.NewReaderSize(nil, mime.BufferSize)
		h.builder = cache.NewBuilder(lines, mime.NewReader(lines))
	}
	h.text.Reset(header)
	if r, err := h.builder.Build(s.Base(), info, &h.text, false); err == nil && r != nil {
		if h.batch.Full() {
			h.done(s.box)
		}
		h.batch.Add(r)
	}
}

// done writes what was read to the cache. If that fails it is read again the next time.
func (h *headers) done(box *mailstore.Mailbox) {
	if !h.batch.Empty() {
		box.Cache().Append(&h.batch)
	}
}

func (h *headers) read(file *os.File) ([]byte, error) {
	if h.buf == nil {
		h.buf = make([]byte, firstHeader)
	}
	for n := 0; ; {
		k, err := file.ReadAt(h.buf[n:], int64(n))
		n += k
		if err != nil && err != io.EOF {
			return nil, fmt.Errorf("read header: %w", err)
		}
		if end := mime.HeaderLen(h.buf[:n]); end >= 0 {
			return h.buf[:end], nil
		}
		if err == io.EOF || len(h.buf) == mime.MaxHeaders {
			return h.buf[:n], nil
		}
		larger := make([]byte, min(4*len(h.buf), mime.MaxHeaders))
		copy(larger, h.buf)
		h.buf = larger
	}
}
