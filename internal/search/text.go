package search

import (
	"encoding/binary"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// text looks for a needle in UTF-8 that comes in pieces, cut anywhere. Octets that are not UTF-8 are U+FFFD, any number in a
// row of them one.
type text struct {
	finder
	cut    [utf8.UTFMax]byte // the beginning of a character
	n      int               // octets in cut
	bad    bool              // U+FFFD was the last character
	mapped []byte            // casemapped, not yet passed on
	maps   *casemaps
}

const (
	longRun   = 64      // octets of ASCII that are looked at where they are
	maxMapped = 4 << 10 // octets that are passed on together
)

// begin starts anew, for what may be another needle.
func (t *text) begin(n *needle) {
	*t = text{finder: finder{needle: n}, mapped: t.mapped[:0], maps: t.maps}
}

// read takes the next octets and says whether the needle is found with them.
func (t *text) read(b []byte) bool {
	for len(b) > 0 {
		n := 0
		if t.n == 0 {
			n = asciiPrefix(b)
		}
		switch {
		case n == 0:
			n = t.character(b)
		case n >= longRun:
			if t.bad = false; t.flush() || t.finder.read(b[:n]) {
				return true
			}
		default:
			t.bad, t.mapped = false, append(t.mapped, b[:n]...)
		}
		if b = b[n:]; len(t.mapped) >= maxMapped && t.flush() {
			return true
		}
	}
	return t.flush()
}

// flush passes on what was casemapped.
func (t *text) flush() bool {
	found := t.finder.read(t.mapped)
	t.mapped = t.mapped[:0]
	return found
}

// character takes the character, or the part of one, that b begins with and tells how many octets it used.
func (t *text) character(b []byte) int {
	if t.n == 0 && utf8.FullRune(b) {
		r, size := utf8.DecodeRune(b)
		t.add(r)
		return size
	}
	t.cut[t.n] = b[0]
	if t.n++; !utf8.FullRune(t.cut[:t.n]) {
		return 1
	}
	r, size := utf8.DecodeRune(t.cut[:t.n])
	used := 0 // what shows that the octets before it are not UTF-8 begins something else
	if size == t.n {
		used = 1
	}
	t.n = 0
	t.add(r)
	return used
}

func (t *text) add(r rune) {
	again := t.bad
	if t.bad = r == utf8.RuneError; !t.bad || !again {
		t.mapped = append(t.mapped, t.maps.of(r)...)
	}
}

// asciiPrefix is how many octets b begins with that are ASCII.
func asciiPrefix(b []byte) int {
	n := 0
	for ; len(b)-n >= 8; n += 8 {
		if binary.LittleEndian.Uint64(b[n:])&0x8080808080808080 != 0 {
			break
		}
	}
	for n < len(b) && b[n] < utf8.RuneSelf {
		n++
	}
	return n
}

// casemapped is a text by i;unicode-casemap (RFC 5051 §2), with what is ASCII after that in upper case.
func casemapped(s string) []byte {
	var b []byte
	bad := false
	for _, r := range s {
		again := bad
		if bad = r == utf8.RuneError; bad && again {
			continue
		}
		b = appendCasemap(b, r)
	}
	for i, c := range b {
		b[i] = upper(c)
	}
	return b
}

// casemaps remembers the casemaps of characters: a text has few different ones.
type casemaps struct {
	entries [512]struct {
		r    rune
		n    uint8
		form [11]byte
	}
	long []byte // one that has no room in an entry
}

// of gives the casemap of a character. It is valid until the next call.
func (m *casemaps) of(r rune) []byte {
	e := &m.entries[uint32(r)%uint32(len(m.entries))]
	if e.n > 0 && e.r == r {
		return e.form[:e.n]
	}
	m.long = appendCasemap(m.long[:0], r)
	if len(m.long) <= len(e.form) {
		e.r, e.n = r, uint8(copy(e.form[:], m.long))
	}
	return m.long
}

// appendCasemap adds a character taken to titlecase and decomposed.
func appendCasemap(b []byte, r rune) []byte {
	r = unicode.ToTitle(r)
	n := len(b)
	b = utf8.AppendRune(b, r)
	if r < utf8.RuneSelf {
		return b
	}
	if 0xac00 <= r && r <= 0xd7a3 { // Hangul syllables have no entry of their own in the tables
		return append(b[:n], norm.NFKD.Bytes(b[n:])...)
	}
	if form := norm.NFKD.Properties(b[n:]).Decomposition(); form != nil {
		b = append(b[:n], form...)
	}
	return b
}
