package mailstore

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"
	"slices"
	"strings"
)

// The index file: a header that says how far the file counts and under which conditions, and batches of changes. All numbers are
// little endian. docs/mailstore.md has the format.
const (
	indexMagic   = "PRINDEX1"
	headerSize   = 1024
	batchHead    = 8 // length and CRC32C of what follows
	batchCounts  = 16
	maxIndexSize = 512 << 20
)

var errIndex = errors.New("index cannot be used")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// indexHeader is what the header has, as it stands there.
type indexHeader struct {
	Boot        [36]byte // the system that wrote it
	Dev, Ino    uint64   // of the index itself: a copy is none
	Instance    uint64   // made at random when an index is begun
	Rewritten   uint64   // how often it was written anew since
	Length      uint64   // octets that count; what follows was not finished
	Snapshot    uint64   // octets to the end of the first batch
	ModSeq      uint64   // the largest that was given
	VanishedAll uint64
	UIDValidity uint32
	UIDNext     uint32
	List        listMark
	New, Cur    stamp
	Keywords    fileID
	Letters     letterSums
	Counts      diskCounts
	Strings     [2]uint16 // lengths of the GUID and of the uidlist's unknown fields, which follow
}

// listMark is what appending to the uidlist needs.
type listMark struct {
	ID      fileID
	Offset  int64
	Lines   uint32
	Version uint8
	Damaged bool
}

// diskCounts are Counts with the sizes.
type diskCounts struct {
	Messages, Unseen, FirstUnseen, Deleted, New uint32
	Size                                        sizes
}

// letterSums tell whether the keyword of a letter has another name.
type letterSums [MaxKeywords]uint32

func (k *KeywordNames) sums() (s letterSums) {
	for i, name := range k {
		if name != "" {
			s[i] = max(crc32.Checksum([]byte(name), castagnoli), 1)
		}
	}
	return s
}

// encode returns the header's octets, or nil if the strings do not fit.
func (h *indexHeader) encode(guid, fields string) []byte {
	b := make([]byte, 12, headerSize)
	copy(b, indexMagic)
	h.Strings = [2]uint16{uint16(min(len(guid), headerSize)), uint16(min(len(fields), headerSize))}
	b, err := binary.Append(b, binary.LittleEndian, h)
	if err != nil || len(b)+len(guid)+len(fields) > headerSize {
		return nil
	}
	b = append(append(b, guid...), fields...)
	b = b[:headerSize]
	binary.LittleEndian.PutUint32(b[8:], crc32.Checksum(b[12:], castagnoli))
	return b
}

func decodeHeader(b []byte) (h *indexHeader, guid, fields string, err error) {
	if len(b) < headerSize || string(b[:8]) != indexMagic ||
		binary.LittleEndian.Uint32(b[8:]) != crc32.Checksum(b[12:headerSize], castagnoli) {
		return nil, "", "", errIndex
	}
	h = new(indexHeader)
	n, err := binary.Decode(b[12:headerSize], binary.LittleEndian, h)
	if err != nil {
		return nil, "", "", errIndex
	}
	rest := string(b[12+n : headerSize])
	g, f := int(h.Strings[0]), int(h.Strings[1])
	if g+f > len(rest) || h.Length > maxIndexSize || h.Snapshot > h.Length || h.Length < headerSize || h.ModSeq > maxModSeq ||
		strings.ContainsFunc(rest[:g+f], isControl) || strings.Contains(rest[:g], " ") {
		return nil, "", "", errIndex
	}
	return h, rest[:g], rest[g : g+f], nil
}

// batch is a set of changes that was written at once.
type batch struct {
	full   []*Message // all of a message
	change []*Message // another name; the base is the same
	gone   []vanished
	info   []*Message // sizes and date
}

func (b *batch) empty() bool { return len(b.full)+len(b.change)+len(b.gone)+len(b.info) == 0 }

// Fixed parts of the records.
const (
	fullSize   = 4 + 1 + 1 + 2 + 8 + 3*8 // UID, bits, length of the name, of the keys, mod-sequence, size, wire, date
	changeSize = 4 + 1 + 1 + 8           // UID, bits, length of what follows the base, mod-sequence
	goneSize   = 4 + 8
	infoSize   = 4 + 3*8
)

const (
	bitNew = 1 << iota
	bitKnown
)

// encode appends the batch. A message that it cannot take (a name or keys that are too long) makes ok false.
func (b *batch) encode(to []byte) (_ []byte, ok bool) {
	le, start := binary.LittleEndian, len(to)
	heap := 0
	for _, m := range b.full {
		heap += len(m.name) + len(m.keys)
		if len(m.name) > maxName || len(m.keys) > math.MaxUint16 {
			return to, false
		}
	}
	to = slices.Grow(to, batchHead+batchCounts+fullSize*len(b.full)+heap+(changeSize+16)*len(b.change)+goneSize*len(b.gone)+infoSize*len(b.info))
	to = append(to, make([]byte, batchHead)...)
	for _, n := range []int{len(b.full), len(b.change), len(b.gone), len(b.info)} {
		to = le.AppendUint32(to, uint32(n))
	}
	for _, m := range b.full {
		bits, info := m.bits()
		to = append(le.AppendUint32(to, m.UID), bits, byte(len(m.name)))
		to = le.AppendUint64(le.AppendUint16(to, uint16(len(m.keys))), m.ModSeq)
		to = le.AppendUint64(le.AppendUint64(le.AppendUint64(to, uint64(info[0])), uint64(info[1])), uint64(info[2]))
	}
	for _, m := range b.change {
		bits, _ := m.bits()
		to = le.AppendUint64(append(le.AppendUint32(to, m.UID), bits, byte(len(m.suffix()))), m.ModSeq)
	}
	for _, v := range b.gone {
		to = le.AppendUint64(le.AppendUint32(to, v.uid), v.modSeq)
	}
	for _, m := range b.info {
		to = le.AppendUint64(le.AppendUint64(le.AppendUint64(le.AppendUint32(to, m.UID), uint64(m.size)), uint64(m.wire)), uint64(m.date))
	}
	for _, m := range b.full {
		to = append(append(to, m.name...), m.keys...)
	}
	for _, m := range b.change {
		to = append(to, m.suffix()...)
	}
	payload := to[start+batchHead:]
	le.PutUint32(to[start:], uint32(len(payload)))
	le.PutUint32(to[start+4:], crc32.Checksum(payload, castagnoli))
	return to, true
}

func (m *Message) bits() (bits byte, info [3]int64) {
	if m.inNew {
		bits |= bitNew
	}
	if m.isKnown() {
		return bits | bitKnown, [3]int64{m.size, m.wire, m.date}
	}
	return bits, info
}

// suffix is what follows the base in a name.
func (m *Message) suffix() string {
	if i := strings.IndexByte(m.name, ':'); i >= 0 {
		return m.name[i:]
	}
	return ""
}

// nextBatch splits off the first of the octets of some batches.
func nextBatch(data []byte) (payload, rest []byte, err error) {
	if len(data) < batchHead {
		return nil, nil, errIndex
	}
	n := binary.LittleEndian.Uint32(data)
	if uint64(n) > uint64(len(data)-batchHead) {
		return nil, nil, errIndex
	}
	payload = data[batchHead : batchHead+int(n)]
	if binary.LittleEndian.Uint32(data[4:]) != crc32.Checksum(payload, castagnoli) {
		return nil, nil, errIndex
	}
	return payload, data[batchHead+int(n):], nil
}

// decodeBatch reads what encode wrote. The names of changed messages are without their bases.
func decodeBatch(p []byte) (*batch, error) {
	le := binary.LittleEndian
	if len(p) < batchCounts {
		return nil, errIndex
	}
	var n [4]uint64
	for i := range n {
		n[i] = uint64(le.Uint32(p[4*i:]))
	}
	p = p[batchCounts:]
	fixed := n[0]*fullSize + n[1]*changeSize + n[2]*goneSize + n[3]*infoSize
	if fixed > uint64(len(p)) {
		return nil, errIndex
	}
	heap := cutter{rest: string(p[fixed:])}
	all := make([]Message, n[0]+n[1]+n[3])
	b := &batch{gone: make([]vanished, n[2])}
	list := make([]*Message, len(all))
	for i := range all {
		list[i] = &all[i]
	}
	b.full, b.change, b.info = list[:n[0]:n[0]], list[n[0]:n[0]+n[1]:n[0]+n[1]], list[n[0]+n[1]:]
	for _, m := range b.full {
		if !m.decode(p, &heap) {
			return nil, errIndex
		}
		p = p[fullSize:]
	}
	for _, m := range b.change {
		if !m.decodeChange(p, &heap) {
			return nil, errIndex
		}
		p = p[changeSize:]
	}
	for i := range b.gone {
		b.gone[i] = vanished{le.Uint32(p), le.Uint64(p[4:])}
		p = p[goneSize:]
	}
	for _, m := range b.info {
		m.UID = le.Uint32(p)
		m.learn(p[4:])
		p = p[infoSize:]
	}
	for i := range all {
		if m := &all[i]; m.size < 0 || m.wire < m.size || m.wire/2 > m.size || m.ModSeq > maxModSeq {
			return nil, errIndex
		}
	}
	if heap.short || heap.rest != "" {
		return nil, errIndex
	}
	return b, nil
}

// decode reads a message that is whole. It may still be one that cannot be.
func (m *Message) decode(p []byte, heap *cutter) (good bool) {
	le := binary.LittleEndian
	m.UID, m.inNew, m.ModSeq = le.Uint32(p), p[4]&bitNew != 0, le.Uint64(p[8:])
	m.name = heap.cut(int(p[5]))
	m.keys = heap.cut(int(le.Uint16(p[6:])))
	m.Flags, m.Keywords = parseInfo(m.name)
	if p[4]&bitKnown != 0 {
		m.learn(p[16:])
	}
	return m.UID != 0 && m.UID <= maxUID && goodName(m.name) && validBase(m.Base()) && !strings.ContainsFunc(m.keys, isControl)
}

// decodeChange reads what is new of a message: its name is the end alone.
func (m *Message) decodeChange(p []byte, heap *cutter) (good bool) {
	le := binary.LittleEndian
	m.UID, m.inNew, m.ModSeq = le.Uint32(p), p[4]&bitNew != 0, le.Uint64(p[6:])
	m.name = heap.cut(int(p[5]))
	m.Flags, m.Keywords = parseInfo(m.name)
	return (m.name == "" || m.name[0] == ':') && goodName("x"+m.name)
}

// learn takes sizes and date from octets.
func (m *Message) learn(p []byte) {
	le := binary.LittleEndian
	m.know(int64(le.Uint64(p)), int64(le.Uint64(p[8:])), int64(le.Uint64(p[16:])), infoSaved)
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// goodName says whether a file can have the name.
func goodName(name string) bool {
	return name != "" && name[0] != '.' && name[0] != ':' && len(name) <= maxName && !strings.ContainsAny(name, "/\x00\n")
}

// cutter takes strings off the front of a heap.
type cutter struct {
	rest  string
	short bool
}

func (c *cutter) cut(n int) (s string) {
	if n > len(c.rest) {
		c.short = true
		return ""
	}
	s, c.rest = c.rest[:n], c.rest[n:]
	return s
}

// decodeIndex reads a whole index: what the header says, and the messages and what went.
func decodeIndex(data []byte) (h *indexHeader, s *state, list *uidfile, err error) {
	h, guid, fields, err := decodeHeader(data)
	if err != nil || h.Length > uint64(len(data)) {
		return nil, nil, nil, errIndex
	}
	s = &state{uidValidity: h.UIDValidity, uidNext: h.UIDNext, modSeq: h.ModSeq, guid: guid, letters: h.Letters, size: h.Counts.Size,
		vanishedAll: h.VanishedAll}
	gone := make(map[uint32]bool)
	for rest := data[headerSize:h.Length]; len(rest) > 0; {
		payload, after, err := nextBatch(rest)
		if err != nil {
			return nil, nil, nil, err
		}
		b, err := decodeBatch(payload)
		if err != nil {
			return nil, nil, nil, err
		}
		if err := s.apply(b, gone); err != nil {
			return nil, nil, nil, err
		}
		rest = after
	}
	if len(gone) > 0 {
		s.messages = slices.DeleteFunc(s.messages, func(m *Message) bool { return gone[m.UID] })
	}
	s.forgetVanished()
	s.counts = countMessages(s.messages)
	list = &uidfile{id: h.List.ID, offset: h.List.Offset, uidlist: &uidlist{validity: h.UIDValidity, next: h.UIDNext, guid: guid, fields: fields,
		lines: int(h.List.Lines), version: int(h.List.Version), damaged: h.List.Damaged}}
	return h, s, list, nil
}

// apply does to a state, which nobody has seen yet, what a batch says. Messages that go stay in it, in gone.
func (s *state) apply(b *batch, gone map[uint32]bool) error {
	if len(s.messages) == 0 {
		s.messages = make([]*Message, 0, len(b.full))
	}
	for _, m := range b.full {
		last := uint32(0)
		if n := len(s.messages); n > 0 {
			last = s.messages[n-1].UID
		}
		if m.UID > last {
			s.messages = append(s.messages, m)
		} else if i, ok := position(s.messages, m.UID); ok {
			s.messages[i] = m
		} else {
			s.messages = slices.Insert(s.messages, i, m)
		}
		delete(gone, m.UID)
	}
	at := cursor{list: s.messages}
	for _, c := range b.change {
		i, ok := at.find(c.UID)
		if !ok {
			return errIndex
		}
		m := s.messages[i]
		m.name, m.inNew, m.ModSeq, m.Flags, m.Keywords = m.Base()+c.name, c.inNew, c.ModSeq, c.Flags, c.Keywords
	}
	for _, v := range b.gone {
		gone[v.uid] = true
		s.vanished = append(s.vanished, v)
	}
	for _, k := range b.info {
		if i, ok := at.find(k.UID); ok {
			s.messages[i].know(k.size, k.wire, k.date, infoSaved)
		}
	}
	return nil
}
