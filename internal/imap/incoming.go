package imap

import (
	"io"
	"time"
)

// maxMessages is how many messages an APPEND may bring (RFC 3502 sets no limit).
const maxMessages = 1000

// Incoming are the messages of an APPEND (RFC 3501 §6.3.11, 3502, 4469) or the one of a REPLACE (RFC 8508), still on the
// connection. The session takes one after the other with Next, and each part of it with Message.Next, until io.EOF says that
// the command was read to its end and is well-formed; then it may keep them. Or it answers NO at any time, and the Reader
// refuses or skips what is left.
//
// An error is how the command ended: a *CommandError is to be answered, another one is of the connection. It stays.
type Incoming struct {
	p        parser  // reads what stands between the parts
	most     int     // messages that may come
	count    int     // that came
	message  Message // the last one
	fresh    bool    // Next is to give it
	part     Part    // the last one of it
	unread   bool    // Message.Next is to give it
	catenate bool    // parts are in a list
	closing  bool    // the part is in parentheses
	over     bool
	err      error // how it ended
}

// Message is a message of an APPEND, and valid until the next one.
type Message struct {
	Flags     []Flag
	Date      time.Time // zero if not given
	Catenated bool      // it is given in parts (RFC 4469)

	in *Incoming
}

// Part is a part of a message: octets, still on the connection, or the address of what is to be put in its place. It is valid
// until the next one.
type Part struct {
	URL    string // of what is to be copied (RFC 4469); "" if the part is octets
	Size   int64  // of the octets
	Binary bool   // they came as a literal8 (RFC 3516 §4.4, 6855 §4): may contain NUL

	r        *Reader
	sync     bool
	left     int64 // octets not yet read
	accepted bool
}

// incoming reads up to the first part of the first message.
func (p *parser) incoming(most int) *Incoming {
	in := &Incoming{most: most}
	in.head(p)
	if in.p = *p; p.err == nil {
		p.r.pending = in
	}
	return in
}

// head reads of a message what stands before the first part's octets.
func (in *Incoming) head(p *parser) {
	in.count++
	in.message, in.fresh, in.unread = Message{in: in}, true, true
	in.catenate, in.closing = false, false
	if p.peek() == '(' {
		in.message.Flags = p.flags()
		p.sp()
	}
	if p.peek() == '"' {
		in.message.Date = p.dateTime()
		p.sp()
	}
	if c := p.peek(); c == '{' || c == '~' {
		in.octets(p)
		return
	}
	switch p.word() {
	case "CATENATE":
		p.sp()
		p.expect('(')
		in.catenate, in.message.Catenated = true, true
		in.catenated(p)
	case "UTF8":
		in.utf8(p)
	default:
		p.fail("expected a message")
	}
}

// catenated reads TEXT, URL or UTF8 and what follows it.
func (in *Incoming) catenated(p *parser) {
	switch p.word() {
	case "TEXT":
		p.sp()
		in.octets(p)
	case "URL":
		p.sp()
		if in.part = (Part{URL: p.astring()}); in.part.URL == "" {
			p.fail("no URL")
		}
	case "UTF8":
		in.utf8(p)
	default:
		p.fail("expected TEXT or URL")
	}
}

// utf8 reads the beginning of UTF8 (~{n}), which says that the header may have UTF-8 in it (RFC 6855 §4).
func (in *Incoming) utf8(p *parser) {
	p.sp()
	p.expect('(')
	in.closing = true
	in.octets(p)
}

func (in *Incoming) octets(p *parser) {
	binary := p.take('~')
	size, sync := p.literalHeader()
	in.part = Part{Size: size, Binary: binary, r: p.r, sync: sync, left: size}
}

// Next goes to the next message. What the session did not read of the one before is passed over.
func (in *Incoming) Next() (*Message, error) {
	if in.over {
		return nil, in.end()
	}
	for !in.fresh {
		if _, err := in.message.Next(); err == nil {
			continue
		} else if err != io.EOF {
			return nil, err
		}
		if err := in.nextHead(); err != nil {
			return nil, err
		}
	}
	in.fresh = false
	return &in.message, nil
}

func (in *Incoming) nextHead() error {
	p := &in.p
	if !p.more() {
		p.end()
		return in.close()
	}
	switch {
	case in.count < in.most:
		in.head(p)
	case in.most == 1:
		p.fail("unexpected argument")
	default:
		p.refuse(NO, CodeLimit, "too many messages")
	}
	if p.err != nil {
		return in.close()
	}
	return nil
}

// Next goes to the next part. What the session did not read of the one before is passed over.
func (m *Message) Next() (*Part, error) {
	in := m.in
	if in.over {
		return nil, in.end()
	}
	if in.unread {
		in.unread = false
		return &in.part, nil
	}
	p := &in.p
	p.err = in.part.pass()
	if in.closing {
		p.expect(')')
		in.closing = false
	}
	if !in.catenate {
		return nil, in.ended()
	}
	spaced := p.spaces()
	if p.take(')') {
		in.catenate = false
		return nil, in.ended()
	}
	if !spaced {
		p.fail("expected space or ')'")
	}
	if in.catenated(p); p.err != nil {
		return nil, in.close()
	}
	return &in.part, nil
}

// ended is io.EOF at the end of a message, unless something was wrong.
func (in *Incoming) ended() error {
	if in.p.err != nil {
		return in.close()
	}
	return io.EOF
}

// close ends the command, which was read to its end, or in which something was wrong.
func (in *Incoming) close() error {
	in.over, in.p.r.pending = true, nil
	if in.p.err != nil {
		in.err = in.p.r.resync(in.p.err)
	}
	return in.end()
}

func (in *Incoming) end() error {
	if in.err != nil {
		return in.err
	}
	return io.EOF
}

// End reads what is left of the command, of which nothing is to be kept. A part that was not accepted is refused by it. The
// error is of the connection.
func (in *Incoming) End() error {
	if in.over {
		return in.err
	}
	in.over, in.p.r.pending = true, nil
	in.err = in.drop()
	return in.err
}

func (in *Incoming) drop() error {
	r, part := in.p.r, &in.part
	if part.sync && !part.accepted {
		return r.refuseSync()
	}
	budget := part.left // what was accepted is read, whatever its size
	if !part.accepted {
		budget = r.Limits.Discard
	}
	if err := r.discard(part.left, &budget); err != nil {
		return err
	}
	return r.skip()
}

// Accept asks for the octets; they can then be read.
func (p *Part) Accept() error {
	p.accepted = true
	if p.sync {
		return p.r.out.Continue("OK")
	}
	return nil
}

// Read reads of accepted octets; io.EOF comes after Size of them, io.ErrUnexpectedEOF or another error before means that the
// connection has ended.
func (p *Part) Read(b []byte) (int, error) {
	if p.left == 0 || !p.accepted {
		return 0, io.EOF
	}
	b = b[:min(int64(len(b)), p.left)]
	if len(b) == 0 {
		return 0, nil
	}
	n, err := p.r.readRaw(b)
	p.left -= int64(n)
	return n, err
}

// pass reads what is left.
func (p *Part) pass() error {
	if p.r == nil { // a URL
		return nil
	}
	if !p.accepted {
		if err := p.Accept(); err != nil {
			return err
		}
	}
	left, budget := p.left, p.left
	p.left = 0
	return p.r.discard(left, &budget)
}

// readRaw reads octets that are not part of a line.
func (r *Reader) readRaw(b []byte) (int, error) {
	if r.Buffered() > 0 {
		n := copy(b, r.buf[r.r:r.w])
		r.r += n
		r.mark = r.r
		return n, nil
	}
	if err := r.out.Flush(); err != nil {
		return 0, err
	}
	n, err := r.src.Read(b)
	if n > 0 {
		return n, nil
	}
	return 0, r.readError(err)
}
