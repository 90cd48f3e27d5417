package search

import (
	"encoding/binary"
	"unicode/utf8"

	"postrider/internal/casemap"
)

// text looks for a needle in UTF-8 that comes in pieces, cut anywhere. Octets that are not UTF-8 are U+FFFD, any number in a
// row of them one.
type text struct {
	finder
	cut    [utf8.UTFMax]byte // the beginning of a character
	n      int               // octets in cut
	bad    bool              // U+FFFD was the last character
	mapped []byte            // casemapped, not yet passed on
	maps   *casemap.Cache
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
		t.mapped = append(t.mapped, t.maps.Of(r)...)
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

// casemapped is a text by i;unicode-casemap, with what is ASCII after that in upper case.
func casemapped(s string) []byte {
	b := casemap.Append(nil, []byte(s))
	for i, c := range b {
		b[i] = upper(c)
	}
	return b
}
