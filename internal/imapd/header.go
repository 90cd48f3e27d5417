package imapd

import (
	"context"
	"fmt"
	"io"

	"postrider/internal/mime"
)

// firstHeader is enough for nearly all headers.
const firstHeader = 8 << 10

// header reads the header of a message's file, with its blank line, or as much of it as package mime would keep. What it
// returns is valid until the next call; buf is its buffer.
func (s *source) header(ctx context.Context, buf *[]byte) ([]byte, error) {
	file, err := s.Open(ctx)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if *buf == nil {
		*buf = make([]byte, firstHeader)
	}
	for n := 0; ; {
		k, err := file.ReadAt((*buf)[n:], int64(n))
		n += k
		if err != nil && err != io.EOF {
			return nil, fmt.Errorf("read header: %w", err)
		}
		if end := mime.HeaderLen((*buf)[:n]); end >= 0 {
			n = end
		} else if err == nil && len(*buf) < mime.MaxHeaders {
			larger := make([]byte, min(4*len(*buf), mime.MaxHeaders))
			copy(larger, *buf)
			*buf = larger
			continue
		}
		return (*buf)[:n], nil
	}
}
