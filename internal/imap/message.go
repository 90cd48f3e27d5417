package imap

import "io"

// Message is the literal of an APPEND, still on the connection. The session looks at Size, then either calls Accept, reads
// it, and calls End before it trusts what it got; or answers NO, and the Reader skips it.
type Message struct {
	Size int64

	r        *Reader
	sync     bool
	left     int64 // octets not yet read
	accepted bool
	err      error // how it ended
	over     bool
}

// Accept asks for the message; it can then be read.
func (m *Message) Accept() error {
	m.accepted = true
	if m.sync {
		return m.r.out.Continue("OK")
	}
	return nil
}

// Read reads of an accepted message; io.EOF comes after Size octets, io.ErrUnexpectedEOF or another error before means that
// the connection has ended.
func (m *Message) Read(b []byte) (int, error) {
	if m.left == 0 || !m.accepted || m.over {
		return 0, io.EOF
	}
	b = b[:min(int64(len(b)), m.left)]
	if len(b) == 0 {
		return 0, nil
	}
	n, err := m.r.readRaw(b)
	m.left -= int64(n)
	return n, err
}

// End reads what is left of the message and of the command. A *CommandError means that the command was not well-formed
// after all, and that the message must not be kept. A message that was not accepted is refused by it.
func (m *Message) End() error {
	if m.over {
		return m.err
	}
	m.err = m.finish()
	m.over = true
	m.r.pending = nil
	return m.err
}

func (m *Message) finish() error {
	r := m.r
	if !m.accepted && m.sync {
		return r.refuseSync()
	}
	budget := m.left // what was accepted is read, whatever its size
	if !m.accepted {
		budget = r.Limits.Discard
	}
	if err := r.discard(m.left, &budget); err != nil {
		return err
	}
	m.left = 0
	if !m.accepted {
		return r.skip()
	}
	p := parser{r: r, left: lookBack}
	if p.end(); p.err != nil {
		return r.resync(p.err)
	}
	return nil
}

// readRaw reads octets that are not part of a line.
func (r *Reader) readRaw(b []byte) (int, error) {
	if r.Buffered() > 0 {
		n := copy(b, r.buf[r.r:r.w])
		r.r += n
		r.mark = r.r
		return n, nil
	}
	if !r.quiet {
		if err := r.out.Flush(); err != nil {
			return 0, err
		}
	}
	n, err := r.src.Read(b)
	if n > 0 {
		return n, nil
	}
	return 0, r.readError(err)
}
