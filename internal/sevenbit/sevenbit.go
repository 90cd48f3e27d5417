// Package sevenbit turns an 8-bit MIME message into a 7-bit one, for a server without 8BITMIME (RFC 6152 §3). It goes part by
// part: text becomes quoted-printable, other content base64, and what is 7-bit already stays as it is, octet for octet. It
// reads the message twice, to see what has to change and to change it, and never holds more than a few lines.
//
// The message is anybody's. Depth, parts and fields are bounded; where a bound or a malformed header leaves in doubt what
// an octet is, it is not converted. Signatures over the whole message (DKIM) do not survive, those over parts are not
// touched: what they cover is converted only by not sending it (ErrImpossible).
package sevenbit

import (
	"errors"
	"io"
)

// ErrImpossible is wrapped by errors that say why a message cannot be converted (5.6.3): 8-bit octets in a header field, in
// signed or encrypted content, in a part that claims another encoding, or in a type that allows none.
var ErrImpossible = errors.New("conversion to 7 bits is impossible")

// Content says where a message has octets above 127.
type Content struct {
	HeaderEightBit bool // in a header field: of the message, of a part, or of a message within it
	BodyEightBit   bool // anywhere else
}

// Scan looks through a message in wire form. Its error is that of r.
func Scan(r io.Reader) (Content, error) {
	p := &plan{}
	err := newWalker(r, p).walk()
	return p.content, err
}

// Conversion is a message that can be read in 7 bits.
type Conversion struct {
	source io.ReaderAt
	size   int64
	plan   *plan
}

// Convert finds out how the message in wire form of that size is to be converted. A message that is 7-bit is left as it is.
// Errors are ErrImpossible and those of r. The message must not change as long as the Conversion is used.
func Convert(r io.ReaderAt, size int64) (*Conversion, error) {
	p := &plan{}
	if err := newWalker(io.NewSectionReader(r, 0, size), p).walk(); err != nil {
		return nil, err
	}
	if p.fault != nil {
		return nil, p.fault
	}
	return &Conversion{source: r, size: size, plan: p}, nil
}

// Reader reads the converted message from its start. It need not be closed.
func (c *Conversion) Reader() io.Reader {
	source := io.NewSectionReader(c.source, 0, c.size)
	if c.plan.content == (Content{}) {
		return source
	}
	v := &converter{plan: c.plan}
	return &reader{walker: newWalker(source, v), converter: v}
}

// Size is the converted message's in octets, for which it is converted once more.
func (c *Conversion) Size() (int64, error) {
	if c.plan.content == (Content{}) {
		return c.size, nil
	}
	return io.Copy(io.Discard, c.Reader())
}

// reader converts as much as is asked for.
type reader struct {
	walker    *walker
	converter *converter
	err       error
	read      int // of the converter's out
}

func (r *reader) Read(b []byte) (int, error) {
	for r.read == len(r.converter.out) && r.err == nil {
		r.read, r.converter.out = 0, r.converter.out[:0]
		for len(r.converter.out) < outSize && r.err == nil {
			r.err = r.walker.step()
		}
	}
	n := copy(b, r.converter.out[r.read:])
	r.read += n
	if n == 0 && len(b) > 0 {
		return 0, r.err
	}
	return n, nil
}

// outSize is how much is converted at a time, more or less.
const outSize = 16 << 10
