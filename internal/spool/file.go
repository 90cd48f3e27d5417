package spool

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"postrider/internal/envelope"
)

// errContent is wrapped by everything that says that a file is not what its line 1 promises.
var errContent = errors.New("damaged queue file")

// contents is a queue file that was read and found good.
type contents struct {
	line1 envelope.Line1
	env   *envelope.Envelope
}

// readBuffers hold the start of a queue file: all of most.
var readBuffers = sync.Pool{New: func() any { b := make([]byte, 32<<10); return &b }}

// Bounds of a queue file. One that is larger than a message can be, or large and with holes, was not written by smtpd as it
// should be: it costs its maker nothing and its reader an hour.
const (
	maxFile   = 4 << 30 // more than the largest message_size and an envelope
	mayBeHole = 64 << 20
)

// verify reads a queue file and checks its size, its CRC and its envelope. Errors of reading are returned as they are; what
// is wrong with the file wraps errContent or is envelope.ErrBlank.
func verify(f *os.File) (contents, error) {
	buf := readBuffers.Get().(*[]byte)
	defer readBuffers.Put(buf)
	c, head, err := readHead(f, *buf)
	if err != nil {
		return c, err
	}
	if total := c.line1.Env + c.line1.Size; total > maxFile || total > mayBeHole && hasHole(f, total) {
		return c, fmt.Errorf("%w: %d octets, more than any message has, or with holes", errContent, total)
	}
	sum := crcOf(head)
	n := int64(len(head))
	for want := c.line1.Env + c.line1.Size; n < want; {
		k, err := f.ReadAt((*buf)[:min(int64(len(*buf)), want-n)], n)
		if k == 0 {
			if err == io.EOF {
				return c, fmt.Errorf("%w: ends after %d octets", errContent, n)
			}
			return c, fmt.Errorf("read: %w", err)
		}
		sum = crc32.Update(sum, castagnoli, (*buf)[:k])
		n += int64(k)
	}
	if sum != c.line1.CRC {
		return c, fmt.Errorf("%w: crc32c is %08x, line 1 says %08x", errContent, sum, c.line1.CRC)
	}
	return c, nil
}

// readHead reads line 1 and the envelope. It returns the start of the file, at least up to the message and at most what buf
// holds beyond it.
func readHead(f *os.File, buf []byte) (c contents, head []byte, err error) {
	n, err := f.ReadAt(buf, 0)
	if err != nil && err != io.EOF {
		return c, nil, fmt.Errorf("read: %w", err)
	}
	head = buf[:n]
	if c.line1, err = envelope.ParseLine1(head); err != nil {
		if errors.Is(err, envelope.ErrBlank) {
			return c, nil, err
		}
		return c, nil, fmt.Errorf("%w: %w", errContent, err)
	}
	st, err := f.Stat()
	if err != nil {
		return c, nil, err
	}
	if want := c.line1.Env + c.line1.Size; st.Size() != want || want < c.line1.Env {
		return c, nil, fmt.Errorf("%w: %d octets, line 1 says %d", errContent, st.Size(), want)
	}
	if c.line1.Env > int64(n) {
		head = make([]byte, c.line1.Env)
		if _, err := f.ReadAt(head, 0); err != nil {
			return c, nil, fmt.Errorf("read envelope: %w", err)
		}
	}
	if c.env, err = envelope.Parse(c.line1.ID, head[envelope.Line1Size:c.line1.Env]); err != nil {
		return c, nil, fmt.Errorf("%w: %w", errContent, err)
	}
	return c, head, nil
}

func hasHole(f *os.File, size int64) bool {
	hole, err := f.Seek(0, unix.SEEK_HOLE)
	return err == nil && hole < size
}

// crcOf is the CRC that line 1 of a whole queue file carries.
func crcOf(b []byte) uint32 { return crc32.Checksum(b[envelope.Line1Size:], castagnoli) }
