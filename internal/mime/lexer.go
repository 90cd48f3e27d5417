package mime

import (
	"bytes"
	"strings"
)

// result tells how a step of the lexer ended.
type result int8

const (
	failed result = iota - 1
	ended         // well, and nothing is left
	more          // well, and something is left
)

// lexer reads the tokens of a structured field body (RFC 5322 §3.2, RFC 2045 §5.1), obsolete forms included. Line ends
// inside quoted strings and comments vanish. Every step moves forward only, so that a field is read in linear time.
type lexer struct {
	in      []byte
	pos     int
	comment strings.Builder // text of the last comment
}

const replacement = "\uFFFD" // for NUL, which no IMAP string may hold

func (l *lexer) state() result {
	if l.pos < len(l.in) {
		return more
	}
	return ended
}

// next is the octet ahead, or NUL at the end; no grammar has a use for NUL.
func (l *lexer) next() byte {
	if l.pos < len(l.in) {
		return l.in[l.pos]
	}
	return 0
}

func (l *lexer) skipSpace() result {
	for l.pos < len(l.in) {
		switch l.in[l.pos] {
		case ' ', '\t', '\r', '\n':
			l.pos++
		case '(':
			if !l.skipComment() {
				return failed
			}
		default:
			return more
		}
	}
	return ended
}

func (l *lexer) skipComment() bool {
	l.comment.Reset()
	var t delimited
	level := 1
	for l.pos++; l.pos < len(l.in); l.pos++ {
		switch l.in[l.pos] {
		case '(':
			level++
		case ')':
			level--
		}
		if level == 0 {
			l.pos++
			l.comment.Write(t.text)
			return true
		}
		l.char(&t)
	}
	l.comment.Write(t.text[:t.sure])
	return false
}

func (l *lexer) quoted(b *strings.Builder) result {
	var t delimited
	for l.pos++; l.pos < len(l.in); l.pos++ {
		if l.in[l.pos] == '"' {
			l.pos++
			b.Write(t.text)
			return l.skipSpace()
		}
		l.char(&t)
	}
	b.Write(t.text[:t.sure])
	return failed
}

// delimited gathers the text of a quoted string or comment. Where the delimiter is missing, only what stands before the
// last line end or backslash is kept, as in Dovecot.
type delimited struct {
	text []byte
	sure int
}

// char adds the octet at pos, or the one that it quotes, and leaves pos at the last octet used.
func (l *lexer) char(t *delimited) {
	switch c := l.in[l.pos]; {
	case c == 0:
		t.text = append(t.text, replacement...)
	case c == '\n':
		t.sure = len(t.text)
	case c == '\r' && l.pos+1 < len(l.in) && l.in[l.pos+1] == '\n':
	case c == '\\' && l.pos+1 < len(l.in) && l.in[l.pos+1] != '\r' && l.in[l.pos+1] != '\n':
		t.sure = len(t.text)
		l.pos++
		if c = l.in[l.pos]; c == 0 {
			t.text = append(t.text, replacement...)
		} else {
			t.text = append(t.text, c)
		}
	default:
		t.text = append(t.text, c)
	}
}

// span adds the longest run of octets that ok accepts.
func (l *lexer) span(b *strings.Builder, ok func(byte) bool) int {
	start := l.pos
	for l.pos < len(l.in) && ok(l.in[l.pos]) {
		l.pos++
	}
	b.Write(l.in[start:l.pos])
	return l.pos - start
}

func (l *lexer) atom(b *strings.Builder) result {
	if l.span(b, isAtext) == 0 {
		return failed
	}
	return l.skipSpace()
}

func (l *lexer) token(b *strings.Builder) result {
	l.span(b, isToken)
	return l.skipSpace()
}

// phrase reads words; dots stand for themselves, white space between words is one space.
func (l *lexer) phrase(b *strings.Builder) result {
	if l.next() == '.' {
		return failed
	}
	for {
		var r result
		if l.next() == '"' {
			r = l.quoted(b)
		} else {
			l.span(b, func(c byte) bool { return isAtext(c) || c == '.' })
			r = l.skipSpace()
		}
		if r != more {
			return r
		}
		if c := l.next(); !isAtext(c) && c != '"' && c != '.' {
			return more
		}
		b.WriteByte(' ')
	}
}

// dotAtom allows white space around the dots (RFC 5322 §4.4), which it leaves out.
func (l *lexer) dotAtom(b *strings.Builder) result {
	for {
		if r := l.atom(b); r != more {
			return r
		}
		if l.next() != '.' {
			return more
		}
		l.pos++
		b.WriteByte('.')
		if l.skipSpace() != more {
			return failed
		}
	}
}

// domain reads what follows an `@`, which is at pos.
func (l *lexer) domain(b *strings.Builder) result {
	l.pos++
	if l.skipSpace() != more {
		return failed
	}
	if l.next() != '[' {
		return l.dotAtom(b)
	}
	start := l.pos
	for l.pos++; l.pos < len(l.in); l.pos++ {
		switch l.in[l.pos] {
		case '\\':
			l.pos++
		case '[', 0, '\n':
			return failed
		case ']':
			l.pos++
			b.Write(l.in[start:l.pos])
			return l.skipSpace()
		}
	}
	l.pos = len(l.in)
	return failed
}

// isAtext accepts every octet outside ASCII: raw 8-bit names are common.
func isAtext(c byte) bool {
	return c > ' ' && c != 0x7f && strings.IndexByte(`()<>[]:;@\,."`, c) < 0
}

func isToken(c byte) bool {
	return c == '.' || isAtext(c) && c != '/' && c != '?' && c != '='
}

// text makes a Value of a field body as it stands.
func text(b []byte) Value {
	s := string(bytes.ReplaceAll(b, []byte{0}, []byte(replacement)))
	return &s
}
