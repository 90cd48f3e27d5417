package sortkey

import (
	"bytes"
	"encoding/binary"
	"slices"
	"unicode/utf8"

	"postrider/internal/casemap"
	"postrider/internal/mime"
)

// maxBody is how many octets of a field are looked at.
const maxBody = 64 << 10

// Maker makes keys, always with the same buffers. It is not for concurrent use.
type Maker struct {
	fields  [fieldCount][]byte // bodies, as they stand; nil = not there
	line    []byte             // a body on one line
	decoded []byte
	packed  []byte
	ids     []uint64
}

// NewMaker returns a Maker.
func NewMaker() *Maker {
	return &Maker{line: make([]byte, 0, maxBody), decoded: make([]byte, 0, 1<<10), packed: make([]byte, 0, 1<<10)}
}

// The fields of which keys are made.
const (
	fieldDate = iota
	fieldSubject
	fieldFrom
	fieldTo
	fieldCc
	fieldMessageID
	fieldReferences
	fieldInReplyTo
	fieldCount
)

var fieldNames = [fieldCount]string{"date", "subject", "from", "to", "cc", "message-id", "references", "in-reply-to"}

// Append adds the key of the message with a header to b, and says when it was sent. Lines end in LF or CRLF; of a field that is
// there twice the first one counts.
func (m *Maker) Append(b, header []byte) ([]byte, Sent) {
	start := len(b)
	m.find(header)
	b = append(b, make([]byte, headSize)...)
	b[start] = version
	b = m.appendHashes(b, start)
	m.packed = packSpace(m.packed[:0], mime.DecodeWords(m.decoded[:0], m.unfolded(fieldSubject)))
	base, reply := baseSubject(m.packed)
	if reply {
		b[start+1] |= flagReply
	}
	b = appendText(b, start, subject, base)
	fromMailbox, fromName := m.address(fieldFrom)
	toMailbox, toName := m.address(fieldTo)
	ccMailbox, _ := m.address(fieldCc)
	b = appendText(b, start, from, fromMailbox)
	b = appendText(b, start, to, toMailbox)
	b = appendText(b, start, cc, ccMailbox)
	b = appendText(b, start, displayFrom, fromName)
	return appendText(b, start, displayTo, toName), parseSent(m.unfolded(fieldDate))
}

// find notes where the fields are.
func (m *Maker) find(header []byte) {
	clear(m.fields[:])
	for name, body := range mime.Fields(header) {
		if i := fieldNamed(name); i < fieldCount && m.fields[i] == nil {
			m.fields[i] = body[:min(len(body), maxBody):len(body)]
		}
	}
}

func fieldNamed(name []byte) int {
	i := 0
	for i < fieldCount && (len(fieldNames[i]) != len(name) || !bytes.EqualFold([]byte(fieldNames[i]), name)) {
		i++
	}
	return i
}

// unfolded gives the body of a field on one line. It is valid until the next call.
func (m *Maker) unfolded(field int) []byte { return mime.Unfold(m.line[:0], m.fields[field]) }

func (m *Maker) appendHashes(b []byte, start int) []byte {
	if m.ids = appendIDs(m.ids[:0], m.fields[fieldMessageID], 1); len(m.ids) > 0 {
		b[start+1] |= flagID
		b = binary.LittleEndian.AppendUint64(b, m.ids[0])
	}
	m.ids = appendIDs(m.ids[:0], m.fields[fieldReferences], maxBody)
	if len(m.ids) == 0 {
		m.ids = appendIDs(m.ids, m.fields[fieldInReplyTo], 1)
	}
	ids := m.ids
	if over := len(ids) - MaxReferences; over > 0 {
		ids = slices.Delete(ids, 1, 1+over)
	}
	b[start+2] = byte(len(ids))
	for _, id := range ids {
		b = binary.LittleEndian.AppendUint64(b, id)
	}
	return b
}

// appendText adds a text, casemapped and cut to its limit, and notes its length.
func appendText(b []byte, start int, t text, octets []byte) []byte {
	most := limit(t)
	at := len(b)
	b = casemap.Append(b, octets[:min(len(octets), most)])
	if n := len(b) - at; n > most {
		for n = most; n > 0 && !utf8.RuneStart(b[at+n]); n-- {
		}
		b = b[:at+n]
	}
	binary.LittleEndian.PutUint16(b[start+textsAt+2*int(t):], uint16(len(b)-at))
	return b
}
