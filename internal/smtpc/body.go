package smtpc

import (
	"bytes"
	"fmt"
	"io"
	"strconv"

	"postrider/internal/reply"
)

// blockSize is how much of a message is read and written at a time.
const blockSize = 64 << 10

// data sends the message after a 354 (RFC 5321 §4.1.1.4).
func (c *Client) data(body io.Reader) (*reply.Reply, error) {
	block := make([]byte, blockSize)
	dots := newStuffing()
	for {
		n, end, err := fill(body, block)
		if err != nil {
			return nil, c.giveUp(err)
		}
		out := dots.append(nil, block[:n])
		if end {
			out = dots.finish(out)
		}
		if err := c.write(out, c.timeouts.Block); err != nil {
			return nil, c.explain(err)
		}
		if end {
			return c.verdict()
		}
	}
}

// chunks sends the message with BDAT (RFC 3030 §2).
func (c *Client) chunks(body io.Reader) (*reply.Reply, error) {
	ahead := 0
	if c.has("PIPELINING") {
		ahead = maxChunks
	}
	block := make([]byte, blockSize)
	for waiting := 1; ; waiting++ {
		n, end, err := fill(body, block)
		if err != nil {
			return nil, c.giveUp(err)
		}
		if err := c.write(chunk(block[:n], end), c.timeouts.Block); err != nil {
			return nil, c.explain(err)
		}
		for ; waiting > ahead || end; waiting-- {
			if end && waiting == 1 {
				return c.verdict()
			}
			if err := c.chunkTaken(waiting - 1); err != nil {
				return nil, err
			}
		}
	}
}

// maxChunks is how many chunks are sent ahead of the reply to an earlier one.
const maxChunks = 4

func chunk(data []byte, last bool) []byte {
	b := append(make([]byte, 0, len(data)+32), "BDAT "...)
	b = strconv.AppendInt(b, int64(len(data)), 10)
	if last {
		b = append(b, " LAST"...)
	}
	return append(append(b, "\r\n"...), data...)
}

// chunkTaken reads the reply to a chunk that is not the last. After a refusal it reads those that are still to come, too.
func (c *Client) chunkTaken(others int) error {
	r, err := c.read(c.timeouts.Command)
	if err != nil || r.Code == 250 {
		return err
	}
	for range others {
		if _, err := c.read(c.timeouts.Command); err != nil {
			return err
		}
	}
	return refusal(r)
}

// verdict reads the reply to the message.
func (c *Client) verdict() (*reply.Reply, error) {
	r, err := c.read(c.timeouts.Final)
	if err != nil {
		return nil, err
	}
	if r.Code != 250 {
		return r, refusal(r)
	}
	return r, nil
}

// giveUp closes the connection in the middle of a message, so that the server never takes the part for the whole.
func (c *Client) giveUp(err error) error {
	c.conn.Close()
	c.broken = fmt.Errorf("smtp: read message: %w", err)
	return c.broken
}

// fill reads until block is full or the message ends. Only io.EOF is its end: io.ErrUnexpectedEOF, which io.ReadFull would
// return for both, is how sources report that they were cut short.
func fill(r io.Reader, block []byte) (n int, end bool, err error) {
	for empty := 0; n < len(block); {
		m, err := r.Read(block[n:])
		n += m
		if err == io.EOF {
			return n, true, nil
		}
		if err == nil && m == 0 {
			if empty++; empty == 100 {
				err = io.ErrNoProgress
			}
		}
		if err != nil {
			return n, false, err
		}
	}
	return n, false, nil
}

// stuffing doubles the dots at the start of lines (RFC 5321 §4.5.2).
type stuffing struct {
	start bool // at the start of a line
	cr    bool // the last octet was CR
}

func newStuffing() stuffing { return stuffing{start: true} }

func (s *stuffing) append(b, data []byte) []byte {
	for len(data) > 0 {
		if s.start && data[0] == '.' {
			b = append(b, '.')
		}
		i := bytes.IndexByte(data, '\n')
		if i < 0 {
			s.start, s.cr = false, data[len(data)-1] == '\r'
			return append(b, data...)
		}
		s.start = i > 0 && data[i-1] == '\r' || i == 0 && s.cr
		s.cr = false
		b = append(b, data[:i+1]...)
		data = data[i+1:]
	}
	return b
}

// finish ends the last line if the message does not, and then the message.
func (s *stuffing) finish(b []byte) []byte {
	if !s.start {
		b = append(b, "\r\n"...)
	}
	return append(b, ".\r\n"...)
}
