package sortkey

import "bytes"

// appendIDs adds the hashes of the message identifiers in the body of a field (RFC 5322 §3.6.4), at most most. What stands
// between them is passed over, and so is what is no identifier. `<"a"@b>`, `<a@b>` and `< a@ b >` are one. An identifier with a
// comment inside, which no program writes, is none.
func appendIDs(ids []uint64, body []byte, most int) []uint64 {
	p := idParser{in: body}
	for len(ids) < most {
		id, ok := p.next()
		if !ok {
			break
		}
		ids = append(ids, id)
	}
	return ids
}

// idParser looks at each octet once or twice, whatever they are: a delimiter that is not closed is looked for but once.
type idParser struct {
	in  []byte
	pos int

	open [256]bool // delimiters that are not closed from here on: characters as others

	hash       uint64
	at, broken bool // the "@" was seen; something has no end
}

// FNV-1a. Whoever makes two identifiers of one hash has joined two threads, as anyone can who writes the fields.
const (
	fnvBasis = 0xcbf29ce484222325
	fnvPrime = 0x100000001b3
)

func (p *idParser) begin() { p.hash, p.at, p.broken = fnvBasis, false, false }

func (p *idParser) add(c byte) { p.hash = (p.hash ^ uint64(c)) * fnvPrime }

func (p *idParser) next() (id uint64, ok bool) {
	for inside := false; p.pos < len(p.in); {
		c := p.in[p.pos]
		p.pos++
		switch {
		case c == '<':
			inside = true
			p.begin()
		case !inside:
			start := bytes.IndexByte(p.in[p.pos:], '<')
			if start < 0 {
				start = len(p.in) - p.pos
			}
			p.pos += start
		case c == '>' && p.at && !p.broken:
			return p.hash, true
		case c == '>':
			inside = false
		case c == ' ' || c == '\t' || c == '\r' || c == '\n':
		case c == '(':
			p.broken = true
		case c == '"' || c == '[':
			p.delimited(c)
		default:
			p.at = p.at || c == '@'
			p.add(c)
		}
	}
	return 0, false
}

// delimited takes a quoted string or a domain literal, whose first character was read. One without an end makes the identifier
// invalid.
func (p *idParser) delimited(first byte) {
	end := p.end(first)
	if end < 0 {
		p.open[first], p.broken = true, true
		return
	}
	for i := p.pos; i < end; i++ {
		if p.in[i] == '\\' && i+1 < end {
			i++
		}
		p.add(p.in[i])
	}
	if first == '[' { // it is part of the domain
		p.add(first)
	}
	p.pos = end + 1
}

// end is where what a delimiter began ends, or -1.
func (p *idParser) end(first byte) int {
	if p.open[first] {
		return -1
	}
	last := first
	if first == '[' {
		last = ']'
	}
	for i := p.pos; i < len(p.in); i++ {
		switch p.in[i] {
		case '\\':
			i++
		case last:
			return i
		}
	}
	return -1
}
