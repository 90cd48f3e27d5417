package imapd

import (
	"context"
	"fmt"
	"io"
	"os"

	"postrider/internal/cache"
	"postrider/internal/mime"
)

// firstHeader is enough for nearly all headers.
const firstHeader = 8 << 10

// headers reads the headers of messages, always with the same buffers. The zero value is ready.
type headers struct {
	window cache.Window
	buf    []byte
}

// of gives the header of a message with its blank line, or as much of it as package mime would keep: from the cache, or from the
// message's file. It is valid until the next call.
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
	return h.read(file)
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
