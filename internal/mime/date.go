package mime

import "time"

// ParseDate reads a Date field (RFC 5322 §3.3, §4.3): the seconds from 1 January 1970 to the time as it is written there, and
// how many of them it is ahead of UTC. A time that is missing or wrong is midnight, such a zone UTC (RFC 5256 §2.2); the day
// of the week is of no consequence. It is false without a day.
func ParseDate(value []byte) (written int64, zone int, ok bool) {
	l := dateLexer{in: value}
	word := l.next()
	if len(word) > 2 {
		word = l.next()
	}
	day, ok := number(word)
	month := monthNamed(l.next())
	year, okYear := fullYear(l.next())
	if !ok || !okYear || month == 0 || day < 1 || day > 31 {
		return 0, 0, false
	}
	clock, ok := l.clock()
	if ok {
		zone = l.zone()
	}
	return time.Date(year, month, day, 0, 0, clock, 0, time.UTC).Unix(), zone, true
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
	in   []byte
	pos  int
	sign byte // what stands before the last word, after white space and comments
}

func (l *dateLexer) next() []byte {
	l.sign = 0
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
		case depth == 0 && c != ' ' && c != '\t':
			l.sign = c
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

// clock reads hh:mm[:ss], with dots too, in seconds.
func (l *dateLexer) clock() (int, bool) {
	hour, ok := number(l.next())
	minute, okMinute := number(l.next())
	if !ok || !okMinute || l.sign != ':' && l.sign != '.' || hour > 23 || minute > 59 {
		return 0, false
	}
	before := *l
	second, ok := number(l.next())
	if !ok || l.sign != ':' && l.sign != '.' {
		*l = before
		return 60 * (60*hour + minute), true
	}
	if second > 60 {
		return 0, false
	}
	return 60*(60*hour+minute) + second, true
}

// zones are those with names (RFC 5322 §4.3), in hours; others are UTC.
var zones = map[string]int{"EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8, "PDT": -7}

// zone reads a time zone in seconds.
func (l *dateLexer) zone() int {
	word := l.next()
	n, ok := number(word)
	if !ok || len(word) != 4 || n%100 > 59 {
		return zones[string(word)] * 60 * 60
	}
	n = 60 * (60*(n/100) + n%100)
	switch l.sign {
	case '+':
		return n
	case '-':
		return -n
	}
	return 0
}
