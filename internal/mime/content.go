package mime

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// setType understands a Content-Type field (RFC 2045 §5.1). What is not one gives an empty type, which is not text.
func (p *Part) setType(in string) (boundary string) {
	l := lexer{in: in}
	l.skipSpace()
	kind, sub, ok := l.contentType()
	p.Type, p.Subtype = &kind, &sub
	if ok {
		p.Params = l.params()
	}
	switch {
	case equalFold(kind, "message") && equalFold(sub, "rfc822"):
		p.Kind = Message
	case equalFold(kind, "multipart"):
		p.Kind, p.digest = Multipart, equalFold(sub, "digest")
	}
	for _, v := range p.Params {
		if p.Kind == Multipart && equalFold(v.Name, "boundary") {
			return v.Value[:min(len(v.Value), maxBoundary)]
		}
	}
	return ""
}

func (l *lexer) contentType() (kind, sub string, ok bool) {
	b := l.gather()
	if l.span(&b, &token) == 0 {
		return "", "", false
	}
	kind = b.string()
	if l.skipSpace() != more {
		return kind, "", false
	}
	if l.next() != '/' {
		return "", "", false
	}
	l.pos++
	b = l.gather()
	if l.skipSpace() != more || l.span(&b, &token) == 0 {
		return "", "", false
	}
	if r := l.skipSpace(); r == failed || r == more && l.next() != ';' {
		return "", "", false
	}
	return kind, b.string(), true
}

func (p *Part) setDisposition(in string) {
	l := lexer{in: in}
	l.skipSpace()
	b := l.gather()
	if l.token(&b) == failed {
		return
	}
	s := b.string()
	p.Disposition, p.DispositionParams = &s, l.params()
}

// setEncoding takes a lone token and nothing else.
func (p *Part) setEncoding(in string) {
	l := lexer{in: in}
	l.skipSpace()
	b := l.gather()
	if l.token(&b) == ended && b.len() > 0 {
		s := b.string()
		p.Encoding = &s
	}
}

func (p *Part) setLanguage(in string) {
	l := lexer{in: in}
	l.skipSpace()
	for len(p.Language) < MaxParams {
		b := l.gather()
		if l.atom(&b) == failed {
			return
		}
		p.Language = append(p.Language, b.string())
		if l.next() != ',' {
			return
		}
		l.pos++
		l.skipSpace()
	}
}

// piece is a parameter whose name says that it is a part of one (RFC 2231 §3) or encoded (§4).
type piece struct {
	name, value string
	index       int
	encoded     bool
}

// params reads the parameters from here to the end, passing over what it cannot understand. Those in RFC 2231's form
// come last, sorted.
func (l *lexer) params() []Param {
	var plain []Param
	var pieces []piece
	for l.pos < len(l.in) && len(plain)+len(pieces) < MaxParams {
		name, value, ok := l.param()
		if !ok {
			l.pos++
			continue
		}
		if p, ok := parsePiece(name, value); ok {
			pieces = append(pieces, p)
		} else {
			plain = append(plain, Param{name, value})
		}
	}
	return append(plain, join(pieces)...)
}

// param reads `;name=value`.
func (l *lexer) param() (name, value string, ok bool) {
	if l.next() != ';' {
		return "", "", false
	}
	l.pos++
	n, v := l.gather(), l.gather()
	if l.skipSpace() != more || l.token(&n) != more || l.next() != '=' {
		return "", "", false
	}
	l.pos++
	r := l.skipSpace()
	if r == more {
		switch l.next() {
		case '"':
			r = l.quoted(&v)
		case '=':
			l.span(&v, &encoded)
		default:
			r = l.token(&v)
		}
	}
	return n.string(), v.string(), r != failed
}

func parsePiece(name, value string) (piece, bool) {
	base, rest, ok := strings.Cut(name, "*")
	if !ok {
		return piece{}, false
	}
	p := piece{name: base, value: value, encoded: rest == ""}
	if digits, found := strings.CutSuffix(rest, "*"); found {
		p.encoded, rest = true, digits
	}
	if rest == "" {
		return p, true
	}
	n, err := strconv.ParseUint(rest, 10, 31)
	p.index = int(n)
	return p, err == nil
}

// join puts the pieces of each parameter together; where one is missing they all stay as they are.
func join(pieces []piece) []Param {
	slices.SortStableFunc(pieces, func(a, b piece) int {
		return cmp.Or(compareFold(a.name, b.name), cmp.Compare(a.index, b.index))
	})
	var out []Param
	for len(pieces) > 0 {
		n, whole, encoded := 0, true, false
		for ; n < len(pieces) && equalFold(pieces[n].name, pieces[0].name); n++ {
			whole = whole && pieces[n].index == n
			encoded = encoded || pieces[n].encoded
		}
		if whole {
			out = append(out, joined(pieces[:n], encoded))
		} else {
			out = append(out, apart(pieces[:n])...)
		}
		pieces = pieces[n:]
	}
	return out
}

func joined(pieces []piece, encoded bool) Param {
	var b strings.Builder
	for _, p := range pieces {
		if encoded && !p.encoded {
			p.value = strings.ReplaceAll(p.value, "%", "%25")
		}
		b.WriteString(p.value)
	}
	name := pieces[0].name
	if encoded {
		name += "*"
	}
	return Param{name, b.String()}
}

func apart(pieces []piece) []Param {
	out := make([]Param, 0, len(pieces))
	for _, p := range pieces {
		name := p.name + "*" + strconv.Itoa(p.index)
		if p.encoded {
			name += "*"
		}
		out = append(out, Param{name, p.value})
	}
	return out
}

// equalFold ignores the case of ASCII letters only.
func equalFold(a, b string) bool { return len(a) == len(b) && compareFold(a, b) == 0 }

func compareFold(a, b string) int {
	for i := 0; i < len(a) && i < len(b); i++ {
		if c := cmp.Compare(lower(a[i]), lower(b[i])); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(a), len(b))
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c
}
