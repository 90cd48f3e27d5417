package cache

import (
	"encoding/binary"
	"hash/crc32"
	"io"
	"os"
	"time"
)

// The file is a line that tells what it is, and blocks. A block is what was appended at once:
//
//	head   mark, number of records, octets of the block, CRC-32C of the head without itself and of the records' heads
//	heads  of the records, headSize octets each
//	bodies of the records
//	end    octets of the block, and the same inverted
//
// All numbers are little-endian. Places in a block are counted from its start.
const magic = "postrider cache 1\n"

const (
	blockMark = 0x31425250 // "PRB1"
	blockHead = 16
	blockEnd  = 8
	headSize  = 64

	maxRecords = 8192     // of a block
	maxBlock   = 16 << 20 // octets
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// hashName is FNV-1a; check is independent of it.
func hashName(base string) (hash uint64, check uint32) {
	hash = 14695981039346656037
	for i := range len(base) {
		hash = (hash ^ uint64(base[i])) * 1099511628211
		check = check*31 + uint32(base[i])
	}
	return hash, check
}

// Flags of a record's head.
const headWhole = 1

// appendHead appends the head of a record whose body lies at off of the block.
func appendHead(b []byte, r *Record, off, n int, crc uint32) []byte {
	hash, check := hashName(r.Base)
	flags := uint32(0)
	if r.Whole() {
		flags = headWhole
	}
	le := binary.LittleEndian
	b = le.AppendUint64(b, hash)
	b = le.AppendUint32(b, check)
	b = le.AppendUint32(b, uint32(off))
	b = le.AppendUint32(b, uint32(n))
	b = le.AppendUint32(b, crc)
	b = le.AppendUint64(b, uint64(r.Size))
	b = le.AppendUint64(b, uint64(r.Wire))
	b = le.AppendUint64(b, uint64(r.Date.UnixNano()))
	b = le.AppendUint32(b, flags)
	return append(b, make([]byte, headSize-52)...)
}

// parseHead takes the first of heads, of the block of size octets at start. One that makes no sense has no body.
func parseHead(heads []byte, start, size int64) (e entry, rest []byte) {
	h, rest := heads[:headSize], heads[headSize:]
	le := binary.LittleEndian
	off, n := int64(le.Uint32(h[12:])), le.Uint32(h[16:])
	wire := int64(le.Uint64(h[32:]))
	e = entry{hash: le.Uint64(h), check: le.Uint32(h[8:]), crc: le.Uint32(h[20:]), off: start + off, n: n,
		whole: le.Uint32(h[48:])&headWhole != 0}
	e.Size, e.Wire, e.Date = int64(le.Uint64(h[24:])), wire, time.Unix(0, int64(le.Uint64(h[40:])))
	if n > maxBody || off+int64(n) > size || e.Size < 0 || e.whole && (wire < e.Size || wire > 2*e.Size) {
		e.n = 0
	}
	return e, rest
}

// Batch gathers records that are appended at once. The zero value is empty.
type Batch struct {
	heads, bodies []byte
}

// Add takes a record, unless it is outsized or the batch is full.
func (b *Batch) Add(r *Record) {
	if !r.fits() || b.Full() {
		return
	}
	start := len(b.bodies)
	b.bodies = r.appendBody(b.bodies)
	body := b.bodies[start:]
	b.heads = appendHead(b.heads, r, start, len(body), crc32.Checksum(body, castagnoli))
}

// batchSize is how much is written at once.
const batchSize = 1 << 20

// Full says that it is time to append the batch.
func (b *Batch) Full() bool { return len(b.bodies) >= batchSize || len(b.heads) >= maxRecords*headSize }

// Empty says that there is nothing in it.
func (b *Batch) Empty() bool { return len(b.heads) == 0 }

func (b *Batch) reset() { b.heads, b.bodies = b.heads[:0], b.bodies[:0] }

// appendTo appends the batch as a block.
func (b *Batch) appendTo(out []byte) []byte {
	start, le := len(out), binary.LittleEndian
	size := blockHead + len(b.heads) + len(b.bodies) + blockEnd
	out = le.AppendUint32(out, blockMark)
	out = le.AppendUint32(out, uint32(len(b.heads)/headSize))
	out = le.AppendUint32(out, uint32(size))
	out = append(out, 0, 0, 0, 0)
	first := len(out)
	out = append(out, b.heads...)
	for h := out[first:]; len(h) > 0; h = h[headSize:] {
		le.PutUint32(h[12:], le.Uint32(h[12:])+uint32(blockHead+len(b.heads)))
	}
	le.PutUint32(out[first-4:], blockCRC(out[start:first-4], out[first:]))
	out = append(out, b.bodies...)
	out = le.AppendUint32(out, uint32(size))
	return le.AppendUint32(out, ^uint32(size))
}

func blockCRC(head, heads []byte) uint32 {
	return crc32.Update(crc32.Checksum(head, castagnoli), castagnoli, heads)
}

// blockReader reads the heads of blocks.
type blockReader struct {
	first [4 << 10]byte // enough for the heads of what delivery appends
	large []byte
}

// next returns the heads of the records of the block at off, which are valid until the next call, and the octets of the block. The
// file has size octets; ok is false where no whole block is.
func (b *blockReader) next(f io.ReaderAt, off, size int64) (heads []byte, n int64, ok bool) {
	got, err := f.ReadAt(b.first[:min(int64(len(b.first)), size-off)], off)
	if got < blockHead+blockEnd || err != nil && err != io.EOF {
		return nil, 0, false
	}
	head, le := b.first[:blockHead], binary.LittleEndian
	count, n := le.Uint32(head[4:]), int64(le.Uint32(head[8:]))
	end := blockHead + int(min(count, maxRecords))*headSize
	if le.Uint32(head) != blockMark || count == 0 || count > maxRecords || n > maxBlock || n > size-off || int64(end)+blockEnd > n {
		return nil, 0, false
	}
	text := b.first[:min(got, end)]
	if got < end {
		if cap(b.large) < end {
			b.large = make([]byte, end)
		}
		text = b.large[:end]
		if _, err := f.ReadAt(text, off); err != nil {
			return nil, 0, false
		}
	}
	heads = text[blockHead:]
	return heads, n, le.Uint32(text[12:]) == blockCRC(text[:12], heads)
}

func hasMagic(f *os.File) bool {
	var text [len(magic)]byte
	_, err := f.ReadAt(text[:], 0)
	return err == nil && string(text[:]) == magic
}
