package mime

import "strings"

// gathered is text that is taken from a field. As long as it is all in one place there it is no copy.
type gathered struct {
	in         string // the field
	start, end int    // the place
	own        []byte // the text, if it is a copy, else nil
}

const replacement = "\uFFFD" // for NUL, which no IMAP string may hold

// add adds what lies from start to end in the field.
func (g *gathered) add(start, end int) {
	switch {
	case start == end:
	case g.own == nil && g.start == g.end:
		g.start, g.end = start, end
	case g.own == nil && g.end == start:
		g.end = end
	default:
		g.detach()
		g.own = append(g.own, g.in[start:end]...)
	}
}

// addText adds the octet at a place in the field, or what stands for it.
func (g *gathered) addText(at int) {
	if g.in[at] != 0 {
		g.add(at, at+1)
		return
	}
	g.detach()
	g.own = append(g.own, replacement...)
}

// addOctet adds an octet, wherever it is from.
func (g *gathered) addOctet(c byte) {
	if g.own == nil && g.start < g.end && g.end < len(g.in) && g.in[g.end] == c {
		g.end++
		return
	}
	g.detach()
	g.own = append(g.own, c)
}

func (g *gathered) detach() {
	if g.own == nil {
		g.own = append(make([]byte, 0, g.len()+32), g.in[g.start:g.end]...)
	}
}

func (g *gathered) truncate(n int) {
	if g.own != nil {
		g.own = g.own[:n]
		return
	}
	g.end = g.start + n
}

func (g *gathered) len() int {
	if g.own != nil {
		return len(g.own)
	}
	return g.end - g.start
}

func (g *gathered) string() string {
	if g.own != nil {
		return string(g.own)
	}
	return g.in[g.start:g.end]
}

// text makes a Value of a field body as it stands.
func text(s string) Value {
	if strings.IndexByte(s, 0) >= 0 {
		s = strings.ReplaceAll(s, "\x00", replacement)
	}
	return &s
}
