package imap

import (
	"bytes"
	"strconv"
	"strings"
	"time"

	"postrider/internal/mutf7"
)

// maxQuoted is the longest string that is sent quoted; clients bound their lines.
const maxQuoted = 1000

// appendString appends s as a quoted string, or as a literal where that cannot hold it: control characters, eight-bit text,
// long text (RFC 3501 §4.3). A NUL, which no string may have, becomes 0x80.
func appendString[T string | []byte](b []byte, s T) []byte {
	if !quotable(s) {
		b = append(b, '{')
		b = strconv.AppendInt(b, int64(len(s)), 10)
		b = append(b, "}\r\n"...)
		start := len(b)
		b = append(b, s...)
		replaceNULs(b[start:])
		return b
	}
	return appendQuoted(b, s)
}

func appendQuoted[T string | []byte](b []byte, s T) []byte {
	b = append(b, '"')
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			b = append(b, '\\')
		}
		b = append(b, s[i])
	}
	return append(b, '"')
}

func quotable[T string | []byte](s T) bool {
	if len(s) > maxQuoted {
		return false
	}
	for i := range len(s) {
		if s[i] < ' ' && s[i] != '\t' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

// appendAString appends s as an atom if it can be one.
func appendAString(b []byte, s string) []byte {
	if s == "" || strings.EqualFold(s, "NIL") {
		return appendString(b, s)
	}
	for i := range len(s) {
		if !isAStringChar(s[i]) {
			return appendString(b, s)
		}
	}
	return append(b, s...)
}

// appendMailbox appends a mailbox name, given in UTF-8: in modified UTF-7, or quoted as it is (RFC 6855 §3).
func (w *Writer) appendMailbox(b []byte, name string) []byte {
	switch {
	case !w.UTF8:
		return appendAString(b, mutf7.Encode(name))
	case isASCII(name), strings.ContainsFunc(name, isControl): // the latter may stand in a list that others wrote
		return appendAString(b, name)
	}
	return appendQuoted(b, name)
}

// appendFlags appends a parenthesized list. A keyword that cannot be an atom, as other programs may have left in a mailbox,
// is passed over.
func appendFlags(b []byte, flags []Flag) []byte {
	b = append(b, '(')
	start := len(b)
	for _, flag := range flags {
		if !flag.valid() {
			continue
		}
		if len(b) > start {
			b = append(b, ' ')
		}
		b = append(b, flag...)
	}
	return append(b, ')')
}

func (f Flag) valid() bool {
	if f == `\*` { // of PERMANENTFLAGS
		return true
	}
	name := strings.TrimPrefix(string(f), `\`)
	for i := range len(name) {
		if !isAtomChar(name[i]) {
			return false
		}
	}
	return name != ""
}

// appendDateTime appends a quoted date-time (RFC 3501 §9), its day with a zero as in Dovecot.
func appendDateTime(b []byte, t time.Time) []byte {
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	_, east := t.Zone()
	sign, east := byte('+'), east/60
	if east < 0 {
		sign, east = '-', -east
	}
	b = append(appendTwo(append(b, '"'), day), '-')
	b = append(append(b, month.String()[:3]...), '-')
	year = min(max(year, 0), 9999)
	b = append(appendTwo(appendTwo(b, year/100), year%100), ' ')
	b = append(appendTwo(b, hour), ':')
	b = append(appendTwo(b, minute), ':')
	b = append(appendTwo(b, second), ' ', sign)
	return append(appendTwo(appendTwo(b, east/60), east%60), '"')
}

// appendTwo appends two digits.
func appendTwo(b []byte, n int) []byte { return append(b, '0'+byte(n/10), '0'+byte(n%10)) }

func appendUint(b []byte, n uint64) []byte { return strconv.AppendUint(b, n, 10) }

// replaceNULs does what Dovecot does to a message that has some.
func replaceNULs(b []byte) {
	for {
		i := bytes.IndexByte(b, 0)
		if i < 0 {
			return
		}
		b[i] = 0x80
		b = b[i+1:]
	}
}
