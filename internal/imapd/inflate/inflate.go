// Package inflate reads a raw DEFLATE stream (RFC 1951) as it comes over a connection, for COMPRESS=DEFLATE (RFC 4978).
//
// The reader of the standard library hands out what it decoded when a block is full or a sync flush follows. Clients flush
// with zlib's Z_PARTIAL_FLUSH, which leaves neither: their command would stay in the decoder. This one hands out
// everything that can be decoded of the octets that have come, before it waits for more.
//
// The stream is hostile. Memory is the window of 32 KiB, which grows as it is used, tables of fixed size and one input
// buffer; a Read decodes no more than the window holds, so a small input that expands a thousandfold costs time only as its
// output is asked for.
package inflate

import (
	"errors"
	"io"
)

// ErrCorrupt is a stream that is not DEFLATE.
var ErrCorrupt = errors.New("corrupt compressed data")

const (
	windowSize = 32 << 10
	inputSize  = 2 << 10
	ready      = 16 << 10 // output that is enough for one Read; with a stored block or a match it stays below windowSize
	maxMatch   = 258
)

// Reader decodes a stream.
type Reader struct {
	src io.Reader
	in  []byte // read, not yet in bits
	buf []byte // what in is a part of
	err error

	bits  uint64 // the next ones, the first lowest
	nbits uint

	window []byte // a ring once it is windowSize long
	at     int    // where the next octet goes in the ring
	out    int    // octets before at that were not yet handed out

	step   func(*Reader) status
	last   bool // the block is the last one
	stored int  // octets left of a stored block
	header header
	lit    *huffman
	dist   *huffman
	own    [2]*huffman // tables of dynamic blocks
}

// status is what a step came to.
type status uint8

const (
	goesOn status = iota
	starved
	failed
)

// NewReader returns a Reader for the stream that src gives. Its Read returns io.EOF behind the last block; an error of src,
// its end included, comes behind all that could be decoded.
func NewReader(src io.Reader) *Reader {
	return &Reader{src: src, step: (*Reader).blockHeader}
}

// Read returns what can be decoded; it reads from the source only when that is nothing.
func (z *Reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for z.out == 0 {
		if z.err != nil {
			return 0, z.err
		}
		if z.decode() == starved {
			z.more()
		}
	}
	return z.take(p), nil
}

// decode goes on until there is enough output, or the input ends.
func (z *Reader) decode() status {
	for z.err == nil {
		if z.out >= ready {
			return goesOn
		}
		switch st := z.step(z); st {
		case starved:
			if z.out > 0 {
				return goesOn
			}
			return starved
		case failed:
			z.err = ErrCorrupt
		}
	}
	return goesOn
}

// more reads once from the source.
func (z *Reader) more() {
	if z.buf == nil {
		z.buf = make([]byte, inputSize)
	}
	n, err := z.src.Read(z.buf)
	z.in = z.buf[:n]
	if n == 0 {
		if z.err = err; err == nil {
			z.err = io.ErrNoProgress
		}
	}
}

// need says whether there are n bits, at most 56.
func (z *Reader) need(n uint) bool {
	for z.nbits < n {
		if len(z.in) == 0 {
			return false
		}
		z.bits |= uint64(z.in[0]) << z.nbits
		z.nbits += 8
		z.in = z.in[1:]
	}
	return true
}

// fill takes as many bits as there are and fit: more than a match with its distance can have.
func (z *Reader) fill() { z.need(56) }

func (z *Reader) drop(n uint) {
	z.bits >>= n
	z.nbits -= n
}

// pull takes n bits, which are there.
func (z *Reader) pull(n uint) int {
	v := int(z.bits & (1<<n - 1))
	z.drop(n)
	return v
}

func (z *Reader) blockHeader() status {
	if z.last {
		z.err = io.EOF
		return goesOn
	}
	if !z.need(3) {
		return starved
	}
	z.last = z.pull(1) == 1
	switch z.pull(2) {
	case 0:
		z.step = (*Reader).storedHeader
	case 1:
		z.lit, z.dist = fixedTables()
		z.step = (*Reader).symbols
	case 2:
		z.step = (*Reader).tableHeader
	default:
		return failed
	}
	return goesOn
}

func (z *Reader) endBlock() status {
	z.lit, z.dist = nil, nil
	z.step = (*Reader).blockHeader
	return goesOn
}

func (z *Reader) storedHeader() status {
	partial := z.nbits % 8
	if !z.need(partial + 32) {
		return starved
	}
	z.drop(partial)
	n, not := z.pull(16), z.pull(16)
	if n != not^0xffff {
		return failed
	}
	z.stored = n
	z.step = (*Reader).storedData
	return goesOn
}

// storedData copies octets, the first of which may be in bits.
func (z *Reader) storedData() status {
	if z.stored == 0 {
		return z.endBlock()
	}
	if z.nbits >= 8 {
		z.put(byte(z.pull(8)))
		z.stored--
		return goesOn
	}
	if len(z.in) == 0 {
		return starved
	}
	n := min(z.stored, len(z.in), ready)
	for _, c := range z.in[:n] {
		z.put(c)
	}
	z.in = z.in[n:]
	z.stored -= n
	return goesOn
}

// put appends an octet to the output.
func (z *Reader) put(c byte) {
	if len(z.window) < windowSize {
		z.window = append(z.window, c)
	} else {
		z.window[z.at] = c
	}
	z.at = (z.at + 1) % windowSize
	z.out++
}

// match repeats what stood distance octets before.
func (z *Reader) match(length, distance int) bool {
	if distance > len(z.window) {
		return false
	}
	from := (z.at - distance + windowSize) % windowSize
	for range length {
		z.put(z.window[from])
		from = (from + 1) % windowSize
	}
	return true
}

func (z *Reader) take(p []byte) (n int) {
	for n < len(p) && z.out > 0 {
		from := (z.at - z.out + windowSize) % windowSize
		k := copy(p[n:], z.window[from:min(from+z.out, len(z.window))])
		n += k
		z.out -= k
	}
	return n
}
