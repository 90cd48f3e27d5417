package cache

import (
	"encoding/binary"
	"hash/crc32"
	"os"
	"slices"

	"postrider/internal/sortkey"
)

// The file is a line that tells what it is, and blocks. A block is what was appended at once:
//
//	head   mark, number of records, octets of the block, CRC-32C of the head without itself and of the records' heads
//	heads  of the records, headSize octets each
//	keys   for sorting, of the records
//	bodies of the records
//	end    octets of the block, and the same inverted
//
// All numbers are little-endian. Places in a block are counted from its start. Keys are apart so that who sorts reads little else.
const magic = "postrider cache 3\n"

const (
	blockMark = 0x31425250 // "PRB1"
	blockHead = 16
	blockEnd  = 8
	headSize  = 72

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
const (
	headWhole = 1
	headSent  = 2
)

// appendHead appends the head of a record whose body lies at off of the block's bodies.
func appendHead(b []byte, r *Record, off int, body []byte) []byte {
	hash, check := hashName(r.Base)
	flags := uint16(0)
	if r.Whole() {
		flags |= headWhole
	}
	if r.Sent.Known {
		flags |= headSent
	}
	le := binary.LittleEndian
	b = le.AppendUint64(b, hash)
	b = le.AppendUint32(b, check)
	b = le.AppendUint32(b, uint32(off))
	b = le.AppendUint32(b, uint32(len(body)))
	b = le.AppendUint32(b, crc32.Checksum(body, castagnoli))
	b = le.AppendUint64(b, uint64(r.Size))
	b = le.AppendUint64(b, uint64(r.Wire))
	b = le.AppendUint64(b, uint64(r.Date.UnixNano()))
	b = le.AppendUint64(b, uint64(r.Sent.Written))
	b = le.AppendUint32(b, uint32(r.Sent.Zone))
	b = le.AppendUint16(b, flags)
	b = le.AppendUint16(b, uint16(len(r.Key)))
	b = le.AppendUint32(b, crc32.Checksum(r.Key, castagnoli))
	return append(b, make([]byte, headSize-68)...)
}

// parseHead takes the head h of a record whose key lies at key, of the block of size octets at start. One that makes no sense has no
// body.
func parseHead(h []byte, start, size, key int64) entry {
	le := binary.LittleEndian
	off, flags := int64(le.Uint32(h[12:])), le.Uint16(h[60:])
	e := entry{
		hash: le.Uint64(h), check: le.Uint32(h[8:]),
		body: place{start + off, le.Uint32(h[16:]), le.Uint32(h[20:])},
		key:  place{key, uint32(le.Uint16(h[62:])), le.Uint32(h[64:])},
		size: int64(le.Uint64(h[24:])), wire: int64(le.Uint64(h[32:])), date: int64(le.Uint64(h[40:])),
		sent:  sortkey.Sent{Written: int64(le.Uint64(h[48:])), Zone: int32(le.Uint32(h[56:])), Known: flags&headSent != 0},
		whole: flags&headWhole != 0,
	}
	if e.body.n > maxBody || off+int64(e.body.n) > size || e.key.n > sortkey.MaxSize || key+int64(e.key.n) > start+size ||
		e.size < 0 || e.whole && (e.wire < e.size || e.wire > 2*e.size) {
		e.body.n = 0
	}
	return e
}

// Batch gathers records that are appended at once. The zero value is empty.
type Batch struct {
	heads, keys, bodies []byte
}

// Add takes a record, unless it is outsized or the batch is full.
func (b *Batch) Add(r *Record) {
	if !r.fits() || b.Full() {
		return
	}
	start := len(b.bodies)
	b.bodies = r.appendBody(b.bodies)
	b.keys = append(b.keys, r.Key...)
	b.heads = appendHead(b.heads, r, start, b.bodies[start:])
}

// batchSize is how much is written at once.
const batchSize = 1 << 20

// Full says that it is time to append the batch.
func (b *Batch) Full() bool { return len(b.bodies) >= batchSize || len(b.heads) >= maxRecords*headSize }

// Empty says that there is nothing in it.
func (b *Batch) Empty() bool { return len(b.heads) == 0 }

func (b *Batch) reset() { b.heads, b.keys, b.bodies = b.heads[:0], b.keys[:0], b.bodies[:0] }

// appendTo appends the batch as a block.
func (b *Batch) appendTo(out []byte) []byte {
	start, le := len(out), binary.LittleEndian
	bodies := blockHead + len(b.heads) + len(b.keys)
	size := bodies + len(b.bodies) + blockEnd
	out = le.AppendUint32(slices.Grow(out, size), blockMark)
	out = le.AppendUint32(out, uint32(len(b.heads)/headSize))
	out = le.AppendUint32(out, uint32(size))
	out = append(out, 0, 0, 0, 0)
	first := len(out)
	out = append(out, b.heads...)
	for h := out[first:]; len(h) > 0; h = h[headSize:] {
		le.PutUint32(h[12:], le.Uint32(h[12:])+uint32(bodies))
	}
	le.PutUint32(out[first-4:], blockCRC(out[start:first-4], out[first:]))
	out = append(append(out, b.keys...), b.bodies...)
	out = le.AppendUint32(out, uint32(size))
	return le.AppendUint32(out, ^uint32(size))
}

func blockCRC(head, heads []byte) uint32 {
	return crc32.Update(crc32.Checksum(head, castagnoli), castagnoli, heads)
}

// heads returns the heads of the records of the block at off, which are valid until the next call, and the octets of the block. The
// file has size octets; ok is false where no whole block is.
func (w *Window) heads(f *os.File, off, size int64) (heads []byte, n int64, ok bool) {
	head, le := w.read(f, off, blockHead), binary.LittleEndian
	if head == nil {
		return nil, 0, false
	}
	count, n := le.Uint32(head[4:]), int64(le.Uint32(head[8:]))
	end := blockHead + int(min(count, maxRecords))*headSize
	if le.Uint32(head) != blockMark || count == 0 || count > maxRecords || n > maxBlock || n > size-off || int64(end)+blockEnd > n {
		return nil, 0, false
	}
	if head = w.read(f, off, end); head == nil {
		return nil, 0, false
	}
	heads = head[blockHead:]
	return heads, n, le.Uint32(head[12:]) == blockCRC(head[:12], heads)
}

func hasMagic(f *os.File) bool {
	var text [len(magic)]byte
	_, err := f.ReadAt(text[:], 0)
	return err == nil && string(text[:]) == magic
}
