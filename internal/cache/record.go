package cache

import (
	"encoding/binary"
	"time"

	"postrider/internal/mime"
	"postrider/internal/sortkey"
)

// Info is what is known of a message beside its text.
type Info struct {
	Size int64     // octets of the file
	Wire int64     // octets with CRLF, RFC822.SIZE; negative if they were not counted
	Date time.Time // of arrival
}

// Record is what is kept of a message.
type Record struct {
	Base string
	Info
	Envelope  []byte // ENVELOPE, as in an answer; empty if nobody has asked for it
	Structure []byte // BODYSTRUCTURE; empty in a record that is not whole, as its message was read to the end of its header only
	Places    []byte // of its parts in the file, for mime.ParsePlaces; empty likewise
	Header    []byte // with CRLF and the blank line
	Sent      sortkey.Sent
	Key       []byte // for sorting; only Cache.Key reads it
}

// Whole says that the message was read to its end.
func (r *Record) Whole() bool { return len(r.Structure) > 0 }

// Part is the message's tree with the places alone; nil if there is none.
func (r *Record) Part() *mime.Part { return mime.ParsePlaces(r.Places, r.Size) }

// Clone returns a record that stays valid.
func (r *Record) Clone() *Record {
	text := make([]byte, 0, len(r.Envelope)+len(r.Structure)+len(r.Places)+len(r.Header)+len(r.Key))
	take := func(part []byte) []byte {
		start := len(text)
		text = append(text, part...)
		return text[start:len(text):len(text)]
	}
	return &Record{Base: r.Base, Info: r.Info, Envelope: take(r.Envelope), Structure: take(r.Structure), Places: take(r.Places),
		Header: take(r.Header), Sent: r.Sent, Key: take(r.Key)}
}

// Bounds on one record. A message that needs more has none.
const (
	maxBase   = 255
	maxHeader = 64 << 10
	maxText   = 64 << 10 // ENVELOPE, BODYSTRUCTURE and Places, each
	maxBody   = lengths + maxBase + maxHeader + 3*maxText

	lengths = 4 * 5 // octets before the texts of a body
)

func (r *Record) fits() bool {
	return len(r.Base) <= maxBase && len(r.Header) <= maxHeader && len(r.Envelope) <= maxText &&
		len(r.Structure) <= maxText && len(r.Places) <= maxText && len(r.Key) <= sortkey.MaxSize
}

// appendBody appends the texts of a record, each length first.
func (r *Record) appendBody(b []byte) []byte {
	for _, n := range [...]int{len(r.Base), len(r.Envelope), len(r.Structure), len(r.Places), len(r.Header)} {
		b = binary.LittleEndian.AppendUint32(b, uint32(n))
	}
	b = append(b, r.Base...)
	b = append(b, r.Envelope...)
	b = append(b, r.Structure...)
	b = append(b, r.Places...)
	return append(b, r.Header...)
}

// parse takes a body apart; the texts stay where they are. The name is apart, as who has asked for it has it already.
func (r *Record) parse(b []byte) (base []byte, ok bool) {
	if len(b) < lengths || len(b) > maxBody {
		return nil, false
	}
	rest := b[lengths:]
	var texts [5][]byte
	for i := range texts {
		n := binary.LittleEndian.Uint32(b[4*i:])
		if uint64(n) > uint64(len(rest)) {
			return nil, false
		}
		texts[i], rest = rest[:n:n], rest[n:]
	}
	*r = Record{Envelope: texts[1], Structure: texts[2], Places: texts[3], Header: texts[4]}
	return texts[0], len(rest) == 0 && len(texts[0]) <= maxBase && r.fits()
}
