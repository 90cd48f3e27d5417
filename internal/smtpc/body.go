package smtpc

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
)

// blockSize is how much of a message is read and written at a time.
const blockSize = 64 << 10

// headSize is the room for the BDAT command before a block.
const headSize = 32

// buffer is the connection's block of the message, with room for a command before it.
func (c *Client) buffer() (room, block []byte) {
	if c.block == nil {
		c.block = make([]byte, headSize+blockSize)
	}
	return c.block, c.block[headSize:]
}

// message sends the message after a 354 (RFC 5321 §4.1.1.4).
func (t *transaction) message(body io.Reader) error {
	_, block := t.buffer()
	dots := newStuffing()
	for {
		t.step = StepMessage
		n, end, err := fill(body, block)
		if err != nil {
			return t.fail(fmt.Errorf("%w: %w", ErrMessage, err))
		}
		t.out = dots.append(t.out[:0], block[:n])
		if end {
			t.out = dots.finish(t.out)
		}
		if err := t.quiet(); err != nil {
			return err
		}
		if err := t.write(t.out, t.options.Timeouts.Block); err != nil {
			return err
		}
		if t.ended = end; end {
			return t.verdict()
		}
	}
}

// maxChunks is how many chunks are sent ahead of the reply to an earlier one.
const maxChunks = 16

// chunks sends the message with BDAT (RFC 3030 §2).
func (t *transaction) chunks(body io.Reader) error {
	ahead := 0
	if t.has("PIPELINING") {
		ahead = maxChunks
	}
	room, block := t.buffer()
	t.step = StepMessage
	for waiting := 1; ; waiting++ {
		n, end, err := fill(body, block)
		if err != nil {
			return t.fail(fmt.Errorf("%w: %w", ErrMessage, err))
		}
		if waiting == 1 {
			if err := t.quiet(); err != nil {
				return err
			}
		}
		if err := t.write(chunk(room, n, end), t.options.Timeouts.Block); err != nil {
			return err
		}
		t.ended = end
		for ; waiting > ahead || end; waiting-- {
			if end && waiting == 1 {
				return t.verdict()
			}
			if err := t.chunkTaken(waiting - 1); err != nil {
				return err
			}
		}
	}
}

// chunk puts the command before the n octets of a block.
func chunk(room []byte, n int, last bool) []byte {
	var head [headSize]byte
	b := append(head[:0], "BDAT "...)
	b = strconv.AppendInt(b, int64(n), 10)
	if last {
		b = append(b, " LAST"...)
	}
	b = append(b, "\r\n"...)
	from := headSize - len(b)
	copy(room[from:], b)
	return room[from : headSize+n]
}

// chunkTaken reads the reply to a chunk that is not the last. After a refusal it reads those that are still to come, too.
func (t *transaction) chunkTaken(others int) error {
	r, err := t.read(t.options.Timeouts.Command)
	if err != nil || took(r) {
		return err
	}
	if t.options.LMTP && refused(r) {
		return t.part(r) // how many replies follow is not to be known
	}
	refused := t.Client.refusal(r)
	for ; others > 0 && t.broken == nil; others-- {
		if _, err := t.read(t.options.Timeouts.Command); err != nil {
			break // no more can be said on the connection; the refusal stands
		}
	}
	return refused
}

// verdict reads the reply to the message; over LMTP, the reply for each recipient that was accepted (RFC 2033 §4.2).
func (t *transaction) verdict() error {
	t.step = StepEnd
	if t.options.LMTP {
		return t.verdicts()
	}
	r, err := t.read(t.options.Timeouts.Final)
	if err != nil {
		return err
	}
	t.result.Message = r
	if !took(r) {
		return t.Client.refusal(r) // and the transaction is reset, though it should have ended
	}
	t.open = false
	return nil
}

func (t *transaction) verdicts() error {
	list := t.result.Recipients
	t.result.late = make([]bool, len(list))
	var waiting []int
	for i, r := range list {
		if r != nil && took(r) {
			waiting = append(waiting, i)
			list[i] = nil
		}
	}
	for _, i := range waiting {
		r, err := t.read(t.options.Timeouts.Final)
		if err != nil {
			return err
		}
		if !took(r) && !refused(r) {
			return t.nonsense(r)
		}
		list[i], t.result.late[i] = r, true
	}
	t.open = false
	return nil
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
	tail [2]byte // the last octets; at first as if a line had ended
}

func newStuffing() stuffing { return stuffing{[2]byte{'\r', '\n'}} }

// start says that what follows begins a line.
func (s *stuffing) start() bool { return s.tail == [2]byte{'\r', '\n'} }

var lineDot = []byte("\r\n.")

func (s *stuffing) append(b, data []byte) []byte {
	if len(data) == 0 {
		return b
	}
	if s.start() && data[0] == '.' || s.tail[1] == '\r' && bytes.HasPrefix(data, lineDot[1:]) {
		i := bytes.IndexByte(data, '.')
		b = append(append(b, data[:i]...), '.')
		s.seen(data[:i])
		data = data[i:]
	}
	s.seen(data)
	for {
		i := bytes.Index(data, lineDot)
		if i < 0 {
			return append(b, data...)
		}
		b = append(append(b, data[:i+2]...), '.')
		data = data[i+2:]
	}
}

// seen notes how data ends.
func (s *stuffing) seen(data []byte) {
	switch n := len(data); n {
	case 0:
	case 1:
		s.tail = [2]byte{s.tail[1], data[0]}
	default:
		s.tail = [2]byte{data[n-2], data[n-1]}
	}
}

// finish ends the last line if the message does not, and then the message.
func (s *stuffing) finish(b []byte) []byte {
	if !s.start() {
		b = append(b, "\r\n"...)
	}
	return append(b, ".\r\n"...)
}
