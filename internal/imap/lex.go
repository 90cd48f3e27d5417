package imap

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// Bounds of a command's arguments.
const (
	maxTag      = 128
	maxItems    = 4096 // of a list, and of the keys of a SEARCH
	maxSections = 256  // of a FETCH: for each of them a message may be read anew
	maxTexts    = 64   // that a SEARCH looks for in bodies: as above
	maxSaved    = 16   // "$" in a SEARCH
	maxDepth    = 200  // of the keys of a SEARCH
	maxParts    = 128  // numbers in a section
	maxField    = 998  // a line of RFC 5322; less than maxQuoted
	maxIDParams = 64
	maxWord     = 128 // a keyword of the protocol
)

// parser reads the arguments of one command. After an error, which stays, every method returns a zero value, and peek
// returns 0; so only loops and the end ask for it.
type parser struct {
	r        *Reader
	err      error
	left     int  // octets that the line may still have
	literals int  // octets that literals may still have
	uid      bool // the command is the UID form of one
	gap      bool // the space behind an item of a list was taken with it
}

func (p *parser) fail(text string) { p.refuse(BAD, "", text) }

func (p *parser) refuse(status Condition, code Code, text string) {
	if p.err == nil {
		p.err = &CommandError{Status: status, Code: code, Text: text}
	}
}

// peek is the next octet of the line; a NUL, which none may have, is as good as none.
func (p *parser) peek() byte {
	if p.err != nil {
		return 0
	}
	r := p.r
	if r.r == r.w {
		if p.err = r.fill(); p.err != nil {
			return 0
		}
	}
	return r.buf[r.r]
}

// advance takes the octet that peek showed. One that is too many stays, so that the end of the line is still to come.
func (p *parser) advance() {
	if p.left <= 0 {
		p.refuse(BAD, CodeLimit, "command line too long")
	}
	if p.err != nil {
		return
	}
	p.left--
	p.r.r++
	p.r.inside = true
}

// take takes c if it is next.
func (p *parser) take(c byte) bool {
	if p.peek() != c || p.err != nil {
		return false
	}
	p.advance()
	return true
}

func (p *parser) expect(c byte) {
	if !p.take(c) {
		p.fail("expected " + strconv.QuoteRune(rune(c)))
	}
}

// sp takes the space between arguments, of which some clients send two.
func (p *parser) sp() {
	if !p.take(' ') {
		p.fail("missing argument")
	}
	p.spaces()
}

func (p *parser) spaces() (any bool) {
	for p.take(' ') {
		any = true
	}
	return any
}

// more says whether another argument follows, and takes the space before it.
func (p *parser) more() bool {
	spaced := p.spaces()
	c := p.peek()
	if p.err != nil || c == '\r' || c == '\n' {
		return false
	}
	if !spaced {
		p.fail("unexpected argument")
	}
	return spaced
}

// end takes the end of the command: CRLF, or the LF of people who type.
func (p *parser) end() {
	p.spaces()
	p.eol()
	if p.err == nil {
		p.r.ended = true
	}
}

func (p *parser) eol() {
	p.take('\r')
	if p.peek() != '\n' {
		p.fail("unexpected argument")
		return
	}
	p.advance()
}

func isAtomChar(c byte) bool {
	switch c {
	case '(', ')', '{', '%', '*', '"', '\\', ']':
		return false
	}
	return ' ' < c && c < 0x7f
}

func isAStringChar(c byte) bool { return isAtomChar(c) || c == ']' }
func isTagChar(c byte) bool     { return isAStringChar(c) && c != '+' }
func isListChar(c byte) bool    { return isAStringChar(c) || c == '%' || c == '*' }
func isDigit(c byte) bool       { return '0' <= c && c <= '9' }
func isWordChar(c byte) bool    { return isAtomChar(c) && c != '[' && c != '<' }

// run reads at least one octet of a class into the scratch space, and at most limit.
func (p *parser) run(class func(byte) bool, limit int, what string) []byte {
	r := p.r
	r.tok = r.tok[:0]
	for class(p.peek()) {
		if len(r.tok) == limit {
			p.fail(what + " too long")
		}
		r.tok = append(r.tok, r.buf[r.r])
		p.advance()
	}
	if len(r.tok) == 0 {
		p.fail("expected " + what)
	}
	if p.err != nil {
		return nil
	}
	return r.tok
}

func (p *parser) atom() string { return string(p.run(isAtomChar, p.r.Limits.Line, "atom")) }

// word reads a name of the protocol, in upper case; it ends before a bracket.
func (p *parser) word() string { return strings.ToUpper(string(p.run(isWordChar, maxWord, "word"))) }

// number reads a number of at most 63 bits.
func (p *parser) number() uint64 {
	digits := p.run(isDigit, 19, "number")
	if p.err != nil {
		return 0
	}
	n, err := strconv.ParseUint(string(digits), 10, 63)
	if err != nil {
		p.fail("number too large")
		return 0
	}
	return n
}

// number32 reads an nz-number.
func (p *parser) number32() uint32 {
	n := p.number()
	if p.err == nil && (n == 0 || n > math.MaxUint32) {
		p.fail("number out of range")
		return 0
	}
	return uint32(n)
}

// astring reads an atom (with "]"), a quoted string or a literal.
func (p *parser) astring() string { return p.stringOr(isAStringChar) }

func (p *parser) stringOr(class func(byte) bool) string {
	switch p.peek() {
	case '"':
		return p.quoted()
	case '{':
		return p.literal(false)
	}
	text := string(p.run(class, p.r.Limits.Line, "string"))
	if text == "~" && p.peek() == '{' {
		return p.literal(true)
	}
	return text
}

// quoted reads a quoted string. Eight-bit text is let through, whatever its charset.
func (p *parser) quoted() string {
	r := p.r
	r.tok = r.tok[:0]
	p.expect('"')
	for p.err == nil {
		c := p.peek()
		switch c {
		case '"':
			p.advance()
			return string(r.tok)
		case '\\':
			p.advance()
			if c = p.peek(); c != '"' && c != '\\' {
				p.fail("invalid escape in string")
			}
		case 0, '\r', '\n':
			p.fail("unterminated string")
		}
		r.tok = append(r.tok, c)
		p.advance()
	}
	return ""
}

// nstring reads a string or NIL, as which an empty ID value may come.
func (p *parser) nstring() (text string, ok bool) {
	if c := p.peek(); c == '"' || c == '{' {
		return p.astring(), true
	}
	text = p.astring()
	return text, !strings.EqualFold(text, "NIL")
}

// mailbox reads a mailbox name and returns it in UTF-8.
func (p *parser) mailbox() string {
	return p.mailboxName(p.astring())
}

func (p *parser) mailboxName(wire string) string {
	if p.err != nil {
		return ""
	}
	name, err := p.r.mailboxName(wire)
	if err != nil {
		p.refuse(NO, CodeCannot, err.Error())
	}
	return name
}

// mailboxName decodes a name as the client writes it.
func (r *Reader) mailboxName(wire string) (string, error) {
	if r.UTF8 {
		return checkMailbox(wire)
	}
	return DecodeMailbox(wire)
}

// list reads a parenthesized list, possibly empty, of what item reads.
func (p *parser) list(item func()) {
	p.expect('(')
	p.spaces()
	spaced := true
	for n := 0; p.err == nil && !p.take(')'); n++ {
		if n == maxItems {
			p.fail("list too long")
		}
		if !spaced {
			p.fail("expected space or ')'")
		}
		item()
		spaced = p.spaces() || p.gap
		p.gap = false
	}
}

const (
	dateLayout     = "2-Jan-2006"
	dateTimeLayout = "_2-Jan-2006 15:04:05 -0700"
)

// dateTime reads the quoted date-time of an APPEND.
func (p *parser) dateTime() time.Time {
	text := p.quoted()
	if p.err != nil {
		return time.Time{}
	}
	t, err := time.Parse(dateTimeLayout, text)
	if err != nil {
		p.fail("invalid date-time")
	}
	return t
}

// date reads the date of a search key; it is the midnight at its start, UTC.
func (p *parser) date() time.Time {
	text := p.astring()
	if p.err != nil {
		return time.Time{}
	}
	t, err := time.Parse(dateLayout, text)
	if err != nil {
		p.fail("invalid date")
	}
	return t
}
