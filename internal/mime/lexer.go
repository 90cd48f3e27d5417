package mime

import "strings"

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
	in      string
	pos     int
	comment gathered // text of the last comment
}

// gather begins a text.
func (l *lexer) gather() gathered { return gathered{in: l.in} }

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
	l.comment = l.gather()
	level, sure := 1, 0
	for l.pos++; l.pos < len(l.in); l.pos++ {
		switch l.in[l.pos] {
		case '(':
			level++
		case ')':
			level--
		}
		if level == 0 {
			l.pos++
			return true
		}
		l.char(&l.comment, &sure)
	}
	l.comment.truncate(sure)
	return false
}

func (l *lexer) quoted(g *gathered) result {
	sure := g.len()
	for l.pos++; l.pos < len(l.in); l.pos++ {
		if l.in[l.pos] == '"' {
			l.pos++
			return l.skipSpace()
		}
		l.char(g, &sure)
	}
	g.truncate(sure)
	return failed
}

// char adds the octet at pos of a quoted string or comment, or the one that it quotes, and leaves pos at the last octet used. Where the
// delimiter is missing, only what stands before the last line end or backslash is kept, as in Dovecot: that is sure.
func (l *lexer) char(g *gathered, sure *int) {
	switch c := l.in[l.pos]; {
	case c == '\n':
		*sure = g.len()
	case c == '\r' && l.pos+1 < len(l.in) && l.in[l.pos+1] == '\n':
	case c == '\\' && l.pos+1 < len(l.in) && l.in[l.pos+1] != '\r' && l.in[l.pos+1] != '\n':
		*sure = g.len()
		l.pos++
		g.addText(l.pos)
	default:
		g.addText(l.pos)
	}
}

// span adds the longest run of octets of a class.
func (l *lexer) span(g *gathered, of *class) int {
	start := l.pos
	for l.pos < len(l.in) && of[l.in[l.pos]] {
		l.pos++
	}
	g.add(start, l.pos)
	return l.pos - start
}

func (l *lexer) atom(g *gathered) result {
	if l.span(g, &atext) == 0 {
		return failed
	}
	return l.skipSpace()
}

func (l *lexer) token(g *gathered) result {
	l.span(g, &token)
	return l.skipSpace()
}

// phrase reads words; dots stand for themselves, white space between words is one space.
func (l *lexer) phrase(g *gathered) result {
	if l.next() == '.' {
		return failed
	}
	for {
		var r result
		if l.next() == '"' {
			r = l.quoted(g)
		} else {
			l.span(g, &dotted)
			r = l.skipSpace()
		}
		if r != more {
			return r
		}
		if c := l.next(); !dotted[c] && c != '"' {
			return more
		}
		g.addOctet(' ')
	}
}

// dotAtom allows white space around the dots (RFC 5322 §4.4), which it leaves out.
func (l *lexer) dotAtom(g *gathered) result {
	for {
		if r := l.atom(g); r != more {
			return r
		}
		if l.next() != '.' {
			return more
		}
		l.pos++
		g.addOctet('.')
		if l.skipSpace() != more {
			return failed
		}
	}
}

// domain reads what follows an `@`, which is at pos.
func (l *lexer) domain(g *gathered) result {
	l.pos++
	if l.skipSpace() != more {
		return failed
	}
	if l.next() != '[' {
		return l.dotAtom(g)
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
			g.add(start, l.pos)
			return l.skipSpace()
		}
	}
	l.pos = len(l.in)
	return failed
}

// class is a set of octets.
type class [256]bool

// Classes of the lexer. Every octet outside ASCII is atext: raw 8-bit names are common.
var (
	atext  = classOf(func(c byte) bool { return c > ' ' && c != 0x7f && strings.IndexByte(`()<>[]:;@\,."`, c) < 0 })
	dotted = classOf(func(c byte) bool { return c == '.' || atext[c] })
	token  = classOf(func(c byte) bool { return c == '.' || atext[c] && c != '/' && c != '?' && c != '=' })
	// encoded is for a value that is an encoded word, which has no quotes: name==?utf-8?b?...?=
	encoded = classOf(func(c byte) bool { return c != 0 && strings.IndexByte("; \t\r\n", c) < 0 })
)

func classOf(has func(byte) bool) (c class) {
	for i := range c {
		c[i] = has(byte(i))
	}
	return c
}
