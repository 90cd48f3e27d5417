package imap

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"strings"
	"sync"
)

// Limits bound what one command may be, in octets.
type Limits struct {
	Line     int   // all of the command but its literals
	Literals int   // all literals together, the message of an APPEND not counted
	Discard  int64 // what is read and thrown away of a refused command before the peer is given up
}

// LimitsBeforeLogin and LimitsAfterLogin are for anybody and for users. An ID may have 30 fields of 30 and 1,024 octets (RFC 2971 §3.3).
var (
	LimitsBeforeLogin = Limits{Line: 40 << 10, Literals: 4 << 10, Discard: 64 << 10}
	LimitsAfterLogin  = Limits{Line: 64 << 10, Literals: 1 << 20, Discard: 256 << 20}
)

// Output is what a Reader needs of the other direction; a *Writer has it.
type Output interface {
	// Continue sends "+ text" and all that was written before it.
	Continue(text string) error
	// Flush sends what was written. It is called whenever the Reader is about to wait, so that no answer lies in a
	// buffer while a peer thinks.
	Flush() error
}

// What a connection holds of its input: while a command comes that is not short, and else, as most connections only wait. Literals
// and long tokens have their own space while they are needed.
const (
	bufferSize = 4 << 10
	restSize   = 256
)

var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}

// lookBack is how much of a line stays in the buffer behind the place of reading, to see how it ended: the longest literal
// header and a CRLF.
const lookBack = 32

// Reader reads commands from one connection. Timeouts are the connection's: src.Read returns an error when it is time.
type Reader struct {
	State  State  // set by the session when it changes
	Limits Limits // may be changed between commands
	UTF8   bool   // the client enabled UTF8=ACCEPT or IMAP4rev2: mailbox names are UTF-8, none is modified UTF-7

	src io.Reader
	out Output

	buf   []byte // small, or all of large
	r, w  int
	small [restSize]byte
	large *[bufferSize]byte // nil as long as small will do
	mark  int               // where in buf the line began, or went on after a literal
	tok   []byte            // the token being read

	tag     string // of the command being read
	name    string // its name, once that is known
	inside  bool   // something of a command was read
	ended   bool   // the command was read to its end
	pending *Incoming
}

// NewReader returns a Reader for a connection on which nobody has logged in.
func NewReader(src io.Reader, out Output) *Reader {
	r := &Reader{State: NotAuthenticated, Limits: LimitsBeforeLogin, src: src, out: out}
	r.buf = r.small[:]
	return r
}

// Buffered is the number of octets that the peer has sent ahead. After STARTTLS they were not protected and must be 0.
func (r *Reader) Buffered() int { return r.w - r.r }

// Take returns the octets sent ahead and forgets them: they belong to what comes next on the connection, the other process
// or, after COMPRESS, the decompressor.
func (r *Reader) Take() []byte {
	ahead := bytes.Clone(r.buf[r.r:r.w])
	r.r, r.w, r.mark = 0, 0, 0
	return ahead
}

// Wait returns when there is something of the next command, so that the time a client may think and the time it may take
// to send a command can differ.
func (r *Reader) Wait() error {
	if err := r.settle(); err != nil {
		return err
	}
	r.begin()
	if r.Buffered() > 0 {
		return nil
	}
	return r.fill()
}

// Next reads a command. A *CommandError is to be answered, after which Next may be called again; any other error (io.EOF
// between commands) ends the connection. What the last command left of its messages is refused or skipped.
func (r *Reader) Next() (*Request, error) {
	if err := r.settle(); err != nil {
		return nil, err
	}
	r.begin()
	p := parser{r: r, left: r.Limits.Line, literals: r.Limits.Literals}
	req := p.request()
	if p.err != nil {
		return nil, r.resync(p.err)
	}
	return req, nil
}

// ReadDone reads the line that ends IDLE (RFC 2177), and nothing behind it. A *CommandError says that it was another line.
func (r *Reader) ReadDone() error {
	line, err := r.readLine(64)
	if err != nil {
		return err
	}
	if !strings.EqualFold(strings.TrimRight(string(line), " "), "DONE") {
		return &CommandError{Tag: r.tag, Status: BAD, Text: "expected DONE"}
	}
	return nil
}

// ReadSASL reads a line of an authentication exchange (RFC 3501 §6.2.2), decoded. ErrCancelled and *CommandError leave the
// stream at the next command.
func (r *Reader) ReadSASL() ([]byte, error) {
	line, err := r.readLine(r.Limits.Line)
	if err != nil {
		return nil, err
	}
	if string(line) == "*" {
		return nil, ErrCancelled
	}
	data := make([]byte, base64.StdEncoding.DecodedLen(len(line)))
	n, err := base64.StdEncoding.Decode(data, line)
	if err != nil {
		return nil, &CommandError{Tag: r.tag, Status: BAD, Text: "invalid base64"}
	}
	return data[:n], nil
}

// readLine reads a line that is not a command; the line is valid until the next read.
func (r *Reader) readLine(limit int) ([]byte, error) {
	r.rest()
	r.ended, r.inside, r.tok = false, true, r.tok[:0]
	p := parser{r: r, left: limit}
	for c := p.peek(); p.err == nil && c != '\r' && c != '\n'; c = p.peek() {
		r.tok = append(r.tok, c)
		p.advance()
	}
	p.end()
	if p.err != nil {
		return nil, r.resync(p.err)
	}
	return r.tok, nil
}

func (r *Reader) begin() {
	r.rest()
	r.tag, r.name, r.inside, r.ended = "*", "", false, false
}

// rest is the place between two lines: large space is given back if nothing is in it.
func (r *Reader) rest() {
	r.mark = r.r
	if cap(r.tok) > restSize {
		r.tok = nil
	}
	if r.large != nil && r.Buffered() == 0 {
		buffers.Put(r.large)
		r.large, r.buf = nil, r.small[:]
		r.r, r.w, r.mark = 0, 0, 0
	}
}

// settle ends the messages of the last command.
func (r *Reader) settle() error {
	if r.pending == nil {
		return nil
	}
	return r.pending.End()
}

// resync brings the stream to the next command after a syntax error; other errors stay what they are.
func (r *Reader) resync(err error) error {
	refused, ok := err.(*CommandError)
	if !ok {
		return err
	}
	refused.Tag, refused.Name = r.tag, r.name
	if !r.ended {
		if err := r.skip(); err != nil {
			return err
		}
	}
	return refused
}

// fill reads once more into an empty buffer, and keeps the end of the line in sight.
func (r *Reader) fill() error {
	if err := r.out.Flush(); err != nil {
		return err
	}
	keep := min(r.r-r.mark, lookBack)
	end := r.buf[r.r-keep : r.r]
	if r.w == len(r.buf) && r.large == nil { // more is likely to be there
		r.large = buffers.Get().(*[bufferSize]byte)
		r.buf = r.large[:]
	}
	copy(r.buf, end)
	r.mark, r.r, r.w = 0, keep, keep
	n, err := r.src.Read(r.buf[r.w:])
	r.w += n
	if n > 0 {
		return nil
	}
	return r.readError(err)
}

func (r *Reader) readError(err error) error {
	switch {
	case err == nil:
		err = io.ErrNoProgress
	case err == io.EOF && r.inside:
		err = io.ErrUnexpectedEOF
	case err == io.EOF:
		return io.EOF
	}
	return fmt.Errorf("read command: %w", err)
}

// skip reads what is left of a command: the line and, where it ends in a non-synchronizing literal, that and the line
// behind it. What looks like a literal at the end of a line is one.
func (r *Reader) skip() error {
	budget := r.Limits.Discard
	for {
		if err := r.skipToLF(&budget); err != nil {
			return err
		}
		size, sync, ok := literalAtEnd(r.buf[r.mark:r.r])
		switch {
		case !ok:
			return nil
		case sync:
			return r.refuseSync()
		}
		if err := r.discard(size, &budget); err != nil {
			return err
		}
	}
}

func (r *Reader) skipToLF(budget *int64) error {
	for {
		i := bytes.IndexByte(r.buf[r.r:r.w], '\n')
		skipped := i + 1
		if i < 0 {
			skipped = r.Buffered()
		}
		r.r += skipped
		if *budget -= int64(skipped); *budget < 0 {
			return ErrEndless
		}
		if i >= 0 {
			return nil
		}
		if err := r.fill(); err != nil {
			return err
		}
	}
}
