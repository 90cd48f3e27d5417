package search

import (
	"time"

	"postrider/internal/imap"
)

// day counts the days of a time's calendar from 1 January 1970.
func day(t time.Time) int64 {
	year, month, d := t.Date()
	return time.Date(year, month, d, 0, 0, 0, 0, time.UTC).Unix() / (24 * 60 * 60)
}

func compareDay(op imap.KeyOp, have, want int64) bool {
	switch op {
	case imap.KeyBefore, imap.KeySentBefore, imap.KeySavedBefore:
		return have < want
	case imap.KeyOn, imap.KeySentOn, imap.KeySavedOn:
		return have == want
	}
	return have >= want
}

// parseDay reads the day that a Date field names (RFC 5322 §3.3, §4.3), or gives false. What stands behind the day is of no
// consequence, nor is the day of the week.
func parseDay(value []byte) (int64, bool) {
	l := dateLexer{in: value}
	word := l.next()
	if len(word) > 2 {
		word = l.next()
	}
	d, ok := number(word)
	month := monthNamed(l.next())
	year, okYear := fullYear(l.next())
	if !ok || !okYear || month == 0 || d < 1 || d > 31 {
		return 0, false
	}
	return day(time.Date(year, month, d, 0, 0, 0, 0, time.UTC)), true
}

func monthNamed(word []byte) time.Month {
	const names = "janfebmaraprmayjunjulaugsepoctnovdec"
	if len(word) < 3 {
		return 0
	}
	for m := range time.Month(12) {
		name := names[3*m : 3*m+3]
		if word[0]|0x20 == name[0] && word[1]|0x20 == name[1] && word[2]|0x20 == name[2] {
			return m + 1
		}
	}
	return 0
}

// fullYear reads a year of four digits, or of two, which are in the hundred years from 1970.
func fullYear(word []byte) (int, bool) {
	year, ok := number(word)
	switch {
	case len(word) == 2 && year < 70:
		year += 2000
	case len(word) == 2:
		year += 1900
	}
	return year, ok && year >= 1900
}

func number(word []byte) (n int, ok bool) {
	for _, c := range word {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + int(c-'0')
	}
	return n, len(word) > 0 && len(word) <= 4
}

// dateLexer gives the words of a date, which are of letters and digits. Comments and all that is between are passed over.
type dateLexer struct {
	in  []byte
	pos int
}

func (l *dateLexer) next() []byte {
	for depth := 0; l.pos < len(l.in); l.pos++ {
		switch c := l.in[l.pos]; {
		case c == '\\' && depth > 0:
			l.pos++
		case c == '(':
			depth++
		case c == ')' && depth > 0:
			depth--
		case depth == 0 && isAlphanumeric(c):
			return l.word()
		}
	}
	return nil
}

func (l *dateLexer) word() []byte {
	start := l.pos
	for l.pos < len(l.in) && isAlphanumeric(l.in[l.pos]) {
		l.pos++
	}
	return l.in[start:l.pos]
}

func isAlphanumeric(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z'
}
