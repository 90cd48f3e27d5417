// Package casemap compares texts without regard to case: i;unicode-casemap (RFC 5051), the collation that SEARCH, SORT and
// THREAD of IMAP use. Each character is taken to titlecase and decomposed; no accent is dropped.
//
// Texts are of strangers; octets that are not UTF-8 are U+FFFD, any number in a row of them one.
package casemap

import (
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Append adds a casemapped text to b; texts are equal if what is added is, and sort as it does.
func Append(b []byte, text []byte) []byte {
	bad := false
	for len(text) > 0 {
		r, size := rune(text[0]), 1
		if r >= utf8.RuneSelf {
			r, size = utf8.DecodeRune(text)
		}
		text = text[size:]
		again := bad
		if bad = r == utf8.RuneError; bad && again {
			continue
		}
		b = appendRune(b, r)
	}
	return b
}

// appendRune adds a character taken to titlecase and decomposed.
func appendRune(b []byte, r rune) []byte {
	if 'a' <= r && r <= 'z' {
		r -= 'a' - 'A'
	}
	if r < utf8.RuneSelf {
		return append(b, byte(r))
	}
	r = unicode.ToTitle(r)
	n := len(b)
	b = utf8.AppendRune(b, r)
	if 0xac00 <= r && r <= 0xd7a3 { // Hangul syllables have no entry of their own in the tables
		return append(b[:n], norm.NFKD.Bytes(b[n:])...)
	}
	if form := norm.NFKD.Properties(b[n:]).Decomposition(); form != nil {
		b = append(b[:n], form...)
	}
	return b
}

// Cache remembers the casemaps of characters: a text has few different ones. The zero value is ready.
type Cache struct {
	entries [512]struct {
		r    rune
		n    uint8
		form [11]byte
	}
	long []byte // one that has no room in an entry
}

// Of gives the casemap of a character. It is valid until the next call.
func (c *Cache) Of(r rune) []byte {
	e := &c.entries[uint32(r)%uint32(len(c.entries))]
	if e.n > 0 && e.r == r {
		return e.form[:e.n]
	}
	c.long = appendRune(c.long[:0], r)
	if len(c.long) <= len(e.form) {
		e.r, e.n = r, uint8(copy(e.form[:], c.long))
	}
	return c.long
}
