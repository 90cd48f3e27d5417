// Package line reads what SMTP-like protocols send: lines that end in CRLF and nothing else, message data up to
// CRLF.CRLF and nothing else, and counted chunks. The peer is hostile: every line and every body is bounded, and a bare CR or
// LF, on which implementations disagree and messages are smuggled, is an error that the caller gets to know.
package line

import (
	"bytes"
	"errors"
	"io"
	"time"
)

// Errors that leave the stream in step: the offending line or body has been read to its end.
var (
	ErrTooLong = errors.New("line too long")
	ErrTooBig  = errors.New("message too big")
)

// ErrBareEOL is a CR or LF that does not stand in a CRLF. In a body the stream stays in step; after one in a command the
// caller ends the connection.
var ErrBareEOL = errors.New("bare CR or LF")

// ErrEndless is the cause in a *ReadError when a line goes on for so long that the peer is given up.
var ErrEndless = errors.New("endless line")

// ReadError wraps what the connection returned: end of file, a timeout, a reset. Nothing more can be read.
type ReadError struct{ Err error }

func (e *ReadError) Error() string { return "read: " + e.Err.Error() }
func (e *ReadError) Unwrap() error { return e.Err }

// Conn is what a Reader needs of a net.Conn.
type Conn interface {
	Read([]byte) (int, error)
	SetReadDeadline(time.Time) error
}

// bufferSize bounds a line, and is the unit in which bodies are read.
const bufferSize = 8 << 10

// Reader reads lines, dot-terminated bodies and chunks from one connection. A peer that sends nothing, or just enough not to
// seem idle, is given up: a line must be complete within Timeout, and a body must come at minRate on average.
type Reader struct {
	Timeout  time.Duration // of a whole line, and of each read of a body; 0 = none
	Deadline time.Time     // the end of all waiting, whatever Timeout allows; zero = none
	BareLF   bool          // ReadLine takes LF for CRLF and lets CRs pass: what servers answer can smuggle nothing

	conn  Conn
	buf   []byte
	r, w  int
	until time.Time // the end of all patience with what is being read; zero = none
}

// minRate is the least speed of a body, octets a second, after the first Timeout.
const minRate = 500

// NewReader returns a Reader with an empty buffer.
func NewReader(conn Conn, timeout time.Duration) *Reader {
	return &Reader{conn: conn, Timeout: timeout, buf: make([]byte, bufferSize)}
}

// Buffered is the number of bytes that the peer has sent ahead.
func (r *Reader) Buffered() int { return r.w - r.r }

// fill reads once more behind what is buffered.
func (r *Reader) fill() error {
	if r.r > 0 {
		copy(r.buf, r.buf[r.r:r.w])
		r.w -= r.r
		r.r = 0
	}
	if r.Timeout > 0 {
		deadline := time.Now().Add(r.Timeout)
		if !r.until.IsZero() && r.until.Before(deadline) {
			deadline = r.until
		}
		if !r.Deadline.IsZero() && r.Deadline.Before(deadline) {
			deadline = r.Deadline
		}
		if err := r.conn.SetReadDeadline(deadline); err != nil {
			return &ReadError{err}
		}
	}
	n, err := r.conn.Read(r.buf[r.w:])
	r.w += n
	if n > 0 {
		return nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return &ReadError{err}
}

// patience says how long what is being read may take from now on; n octets of it are there.
func (r *Reader) patience(start time.Time, n int64) {
	r.until = start.Add(r.Timeout + time.Duration(n)*(time.Second/minRate))
}

// ReadLine returns the next line without its CRLF, valid until the next call. A line of more than max octets (CRLF
// included; at most 8 KiB) is read to its end and answered with ErrTooLong.
func (r *Reader) ReadLine(max int) ([]byte, error) {
	max = min(max, len(r.buf))
	from := 0
	for {
		if i := bytes.IndexByte(r.buf[r.r+from:r.w], '\n'); i >= 0 {
			line := r.buf[r.r : r.r+from+i+1]
			r.r += len(line)
			if r.BareLF && len(line) <= max {
				return bytes.TrimRight(line, "\r\n"), nil
			}
			return checkLine(line, max)
		}
		if from == 0 {
			r.patience(time.Now(), 0)
		}
		if from = r.Buffered(); from >= max {
			return nil, r.skipLine()
		}
		if err := r.fill(); err != nil {
			return nil, err
		}
	}
}

func checkLine(line []byte, max int) ([]byte, error) {
	if len(line) > max {
		return nil, ErrTooLong
	}
	text, ok := bytes.CutSuffix(line, []byte("\r\n"))
	if !ok || bytes.IndexByte(text, '\r') >= 0 {
		return nil, ErrBareEOL
	}
	return text, nil
}

// skipLimit is how much of an overlong line is read before the peer is given up.
const skipLimit = 1 << 20

// skipLine reads an overlong line to its end, which must be a CRLF like any other.
func (r *Reader) skipLine() error {
	var c Chunks
	for skipped := 0; skipped < skipLimit; {
		data := r.buf[r.r:r.w]
		i := bytes.IndexByte(data, '\n')
		if i >= 0 {
			data = data[:i+1]
		}
		r.r += len(data)
		if skipped += len(data); len(data) > 0 && !c.check(data) {
			return ErrBareEOL
		}
		if i >= 0 {
			return ErrTooLong
		}
		if err := r.fill(); err != nil {
			return err
		}
	}
	return &ReadError{ErrEndless}
}

// body passes what was read on to dst and remembers the first thing that is wrong with it, so that the rest can still be
// read to its end.
type body struct {
	dst   io.Writer
	n     int64 // octets passed on or refused
	limit int64
	err   error
}

func (b *body) write(p []byte) {
	b.n += int64(len(p))
	if b.err == nil && b.n > b.limit {
		b.err = ErrTooBig
	}
	if b.err == nil {
		_, b.err = b.dst.Write(p)
	}
}

func (b *body) refuse(err error) {
	if b.err == nil {
		b.err = err
	}
}

// excess is how many times its limit a refused body may be long before the peer is given up.
const excess = 8

func (b *body) tooMuch() bool { return (b.n-skipLimit)/excess > b.limit }

// CopyDot reads a message up to CRLF.CRLF, takes off the stuffed dots and writes it to dst in wire form (RFC 5321 §4.5.2). It
// returns the octets of the message. ErrTooBig (more than limit), ErrBareEOL and errors of dst come after the message has
// been read to its end; a *ReadError comes at once, and then nothing that follows may be taken for a command.
func (r *Reader) CopyDot(dst io.Writer, limit int64) (int64, error) {
	b := body{dst: dst, limit: limit}
	began := time.Now()
	start := true // at the start of a line
	for {
		data := r.buf[r.r:r.w]
		i := bytes.IndexByte(data, '\n')
		if i < 0 {
			if done := r.partialLine(&b, data, &start); !done {
				r.patience(began, b.n)
				if err := r.fill(); err != nil {
					return b.n, err
				}
			}
		} else {
			r.r += i + 1
			if last := dotLine(&b, data[:i+1], &start); last {
				return b.n, b.err
			}
		}
		if b.tooMuch() {
			return b.n, &ReadError{ErrTooBig}
		}
	}
}

// dotLine takes one line that ends in LF and says whether it was the last.
func dotLine(b *body, line []byte, start *bool) (last bool) {
	atStart := *start
	end := len(line) - 2
	if end < 0 || line[end] != '\r' {
		b.refuse(ErrBareEOL)
		*start = false // a dot after a bare LF ends nothing
		b.write(line)
		return false
	}
	*start = true
	if atStart && line[0] == '.' {
		if len(line) == 3 {
			return true
		}
		line, end = line[1:], end-1
	}
	if bytes.IndexByte(line[:end], '\r') >= 0 {
		b.refuse(ErrBareEOL)
	}
	b.write(line)
	return false
}

// partialLine takes what there is of a line whose end has not come, when the buffer is full; it says whether it took
// anything. A CR at the end, and a dot at the start of a line, wait for what follows them.
func (r *Reader) partialLine(b *body, data []byte, start *bool) bool {
	if len(data) < len(r.buf) {
		return false
	}
	n := len(data)
	if data[n-1] == '\r' {
		n--
	}
	chunk := data[:n]
	if *start && chunk[0] == '.' {
		chunk = chunk[1:]
	}
	*start = false
	if bytes.IndexByte(chunk, '\r') >= 0 {
		b.refuse(ErrBareEOL)
	}
	b.write(chunk)
	r.r += n
	return true
}

// Chunks checks the line ends of a message that comes in counted chunks (BDAT, RFC 3030), whose boundaries may lie
// anywhere. The zero value is a message of which nothing has come.
type Chunks struct {
	cr    bool // the last octet was CR
	ended bool // the last two octets were CRLF
	any   bool
}

// Copy reads a chunk of exactly size octets and writes it to dst. ErrBareEOL, ErrTooBig (more than limit is left of the
// message) and errors of dst come after the chunk has been read to its end; a *ReadError at once.
func (c *Chunks) Copy(r *Reader, dst io.Writer, size, limit int64) error {
	b := body{dst: dst, limit: limit}
	if size > limit {
		b.err = ErrTooBig
	}
	began := time.Now()
	for size > 0 {
		if r.Buffered() == 0 {
			r.patience(began, b.n)
			if err := r.fill(); err != nil {
				return err
			}
		}
		n := min(int64(r.Buffered()), size)
		data := r.buf[r.r : r.r+int(n)]
		r.r += int(n)
		size -= n
		if !c.check(data) {
			b.refuse(ErrBareEOL)
		}
		b.write(data)
		if b.tooMuch() {
			return &ReadError{ErrTooBig}
		}
	}
	return b.err
}

// End says what is wrong with the message now that it is complete, and whether its last line lacks its CRLF.
func (c *Chunks) End() (unterminated bool, err error) {
	if c.cr {
		return false, ErrBareEOL
	}
	return c.any && !c.ended, nil
}

// check says whether every CR and LF of data, which is not empty, stands in a CRLF; a CR at its end is judged with what follows.
func (c *Chunks) check(data []byte) bool {
	ok, rest := true, data
	if c.cr {
		ok = data[0] == '\n'
		rest = data[1:]
	}
	for ok && len(rest) > 0 {
		i := bytes.IndexByte(rest, '\n')
		if i < 0 {
			cr := bytes.IndexByte(rest, '\r')
			ok = cr < 0 || cr == len(rest)-1
			break
		}
		ok = i > 0 && bytes.IndexByte(rest[:i], '\r') == i-1
		rest = rest[i+1:]
	}
	n := len(data)
	c.ended = data[n-1] == '\n' && (n > 1 && data[n-2] == '\r' || n == 1 && c.cr)
	c.cr = data[n-1] == '\r'
	c.any = true
	return ok
}
