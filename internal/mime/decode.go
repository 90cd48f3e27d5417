package mime

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
)

// ErrEncoding is a transfer encoding that is unknown.
var ErrEncoding = errors.New("unknown transfer encoding")

// Decoded is the text of a part without its transfer encoding (RFC 3516 §4.3). Lines end in CRLF as in a Content; what was
// encoded in base64 is as it was before.
type Decoded struct {
	Size int64 // in octets
	NUL  bool  // one of them is NUL

	content Content
	from    Place
	offset  int64
}

// Place is one in a part from which decoding can go on.
type Place struct {
	encoded, decoded int64 // octets before it
	mark             Mark  // not after it
	decoder          TransferDecoder
}

// Slice gives at most count octets from offset on. Negative arguments are zero.
func (c Decoded) Slice(offset, count int64) Decoded {
	offset = min(max(offset, 0), c.Size)
	c.offset += offset
	c.Size = min(max(count, 0), c.Size-offset)
	return c
}

// From spares decoding from the start of a part up to its slice: p is the Place of a Decoder that has read an earlier slice
// of the same part.
func (c Decoded) From(p Place) Decoded {
	if p.decoded > 0 && p.decoded <= c.offset {
		c.from = p
	}
	return c
}

// decodeSize is how many encoded octets are decoded at once.
const decodeSize = 8 << 10

// Decoder reads one Decoded after the other, each after a Reset to it.
type Decoder struct {
	reader *Reader
	in     [decodeSize]byte
	out    []byte
	rest   []byte // decoded and not yet read
	next   Place  // behind rest
	place  Place  // before it
	skip   int64  // octets before those that are wanted
	left   int64  // that are still wanted
	ended  bool
}

// NewDecoder returns a Decoder that uses r.
func NewDecoder(r *Reader) *Decoder { return &Decoder{reader: r, out: make([]byte, 0, decodeSize+2)} }

// Open prepares a part of the message in file that root is the tree of. What has no transfer encoding of its own, a multipart
// or a message, is as it stands; a part that is not there has no text. Size and NUL are set by Measure, or by who knows them.
// The error is ErrEncoding, or one of reading.
func (d *Decoder) Open(file io.ReaderAt, root *Part, path []uint32) (Decoded, error) {
	var encoding Value
	if p := root.find(path); p != nil && p.Kind == Leaf && len(path) > 0 {
		encoding = p.Encoding
	}
	decoder, known := NewTransferDecoder(encoding)
	if !known {
		return Decoded{}, fmt.Errorf("%w: %.40q", ErrEncoding, *encoding)
	}
	content, err := d.reader.Open(file, root, Section{Path: path})
	return Decoded{content: content, from: Place{decoder: decoder}}, err
}

// Measure reads a part to find out its Size and whether there is a NUL in it.
func (d *Decoder) Measure(c *Decoded) error {
	c.Size, c.NUL = math.MaxInt64, false
	d.Reset(*c)
	for {
		err := d.fill()
		if err == io.EOF {
			c.Size = d.next.decoded
			return nil
		}
		if err != nil {
			return err
		}
		c.NUL = c.NUL || bytes.IndexByte(d.rest, 0) >= 0
	}
}

// Start reads c, of which nothing need be known, from its beginning to its end.
func (d *Decoder) Start(c Decoded) io.Reader {
	c.Size = math.MaxInt64
	d.Reset(c)
	return &unmeasured{d}
}

// unmeasured ends where its part ends.
type unmeasured struct{ d *Decoder }

func (u *unmeasured) Read(b []byte) (int, error) {
	for len(u.d.rest) == 0 {
		if err := u.d.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(b, u.d.rest)
	u.d.rest = u.d.rest[n:]
	return n, nil
}

// Reset makes c what is read next.
func (d *Decoder) Reset(c Decoded) {
	d.rest, d.next, d.place, d.ended = nil, c.from, c.from, false
	d.skip, d.left = c.offset-c.from.decoded, c.Size
	d.reader.Reset(c.content.Slice(c.from.encoded, math.MaxInt64).Near(c.from.mark))
}

// Place is one from which a later slice may be read.
func (d *Decoder) Place() Place { return d.place }

// Read gives exactly the announced size or fails; a file that has become shorter is io.ErrUnexpectedEOF.
func (d *Decoder) Read(b []byte) (int, error) {
	if d.left == 0 {
		return 0, io.EOF
	}
	for len(d.rest) == 0 || d.skip > 0 {
		n := min(d.skip, int64(len(d.rest)))
		d.rest, d.skip = d.rest[n:], d.skip-n
		if len(d.rest) > 0 {
			break
		}
		if err := d.fill(); err == io.EOF {
			return 0, io.ErrUnexpectedEOF
		} else if err != nil {
			return 0, err
		}
	}
	n := copy(b[:min(int64(len(b)), d.left)], d.rest)
	d.rest, d.left = d.rest[n:], d.left-int64(n)
	return n, nil
}

// fill decodes some more; io.EOF is the end of the part.
func (d *Decoder) fill() error {
	if d.ended {
		return io.EOF
	}
	d.place = d.next
	d.place.mark = d.reader.Mark()
	n, err := d.reader.Read(d.in[:])
	d.next.encoded += int64(n)
	d.rest = d.next.decoder.Decode(d.out[:0], d.in[:n])
	if err == io.EOF {
		d.ended = true
		d.rest, err = d.next.decoder.End(d.rest), nil
	}
	d.next.decoded += int64(len(d.rest))
	return err
}
