package sevenbit

import (
	"bytes"
	"strings"
)

// form says how an entity is taken apart.
type form int

const (
	leaf form = iota
	multipart
	message // message/rfc822: a header and a body of its own
)

// entity is a message or a part of one, as its header describes it.
type entity struct {
	parent  *entity
	index   int  // in the order in which they begin
	message bool // the header is a message's: MIME-Version belongs into it

	typed    bool   // it has a Content-Type
	kind     string // in lower case
	subtype  string
	charset  bool
	boundary string
	encoding string // Content-Transfer-Encoding in lower case
	version  bool   // it has a MIME-Version
	nested   bool   // without a type it is message/rfc822
	digest   bool   // its parts are

	form  form
	fault string // why nothing 8-bit in it can be converted, nor is looked into; "" = it can
}

// plainText is an entity of which nothing is known yet.
func plainText(message bool) *entity {
	return &entity{message: message, kind: "text", subtype: "plain"}
}

// isField says that a line is the first of a header field (RFC 5322 §2.2).
func isField(l []byte) bool {
	name, _, ok := bytes.Cut(l, []byte(":"))
	name = bytes.TrimRight(name, " \t")
	if !ok || len(name) == 0 {
		return false
	}
	for _, c := range name {
		if c <= ' ' || c >= 0x7f {
			return false
		}
	}
	return true
}

// isFromLine says that a line is what mbox files have before a message.
func isFromLine(l []byte) bool {
	return bytes.HasPrefix(l, []byte("From ")) || bytes.HasPrefix(l, []byte(">From "))
}

// fieldName is a field's name in lower case.
func fieldName(raw []byte) string {
	name, _, _ := bytes.Cut(raw, []byte(":"))
	if len(name) > len("content-transfer-encoding")+8 {
		return ""
	}
	return strings.ToLower(string(bytes.TrimRight(name, " \t")))
}

// read learns from a field. Of fields that come twice the first counts.
func (e *entity) read(raw []byte) {
	name := fieldName(raw)
	switch name {
	case "mime-version":
		e.version = true
	case "content-transfer-encoding":
		if e.encoding == "" {
			p := newParser(raw)
			e.encoding = p.token()
		}
	case "content-type":
		if !e.typed {
			e.typed = true
			e.readType(newParser(raw))
		}
	}
}

// readType reads a Content-Type (RFC 2045 §5.1). One without a subtype counts as text, as RFC 2045 §5.2 has it.
func (e *entity) readType(p *parser) {
	kind := p.token()
	if !p.skip('/') {
		return
	}
	subtype := p.token()
	if kind == "" || subtype == "" {
		return
	}
	e.kind, e.subtype = kind, subtype
	for p.skip(';') {
		name := p.token()
		if !p.skip('=') {
			continue
		}
		value := p.value()
		switch {
		case name == "charset" && value != "":
			e.charset = true
		case name == "boundary" && e.boundary == "":
			e.boundary = value
		}
	}
}

// decide says how the entity is taken apart, now that its header is complete.
func (e *entity) decide(depth int) {
	if e.nested && !e.typed {
		e.kind, e.subtype = "message", "rfc822"
	}
	boundary := e.boundary
	e.boundary = ""
	if e.fault != "" {
		return
	}
	identity := e.encoding == "" || e.encoding == "7bit" || e.encoding == "8bit" || e.encoding == "binary"
	switch {
	case !identity:
		e.fault = "8-bit octets in a part that is encoded already"
	case e.kind == "multipart":
		e.decideMultipart(boundary, depth)
	case e.kind == "message":
		e.decideMessage(depth)
	}
}

func (e *entity) decideMultipart(boundary string, depth int) {
	switch {
	case boundary == "" || len(boundary) > maxBoundary:
		e.fault = "8-bit octets in a multipart without a boundary"
	case depth >= maxDepth:
		e.fault = "8-bit octets in parts that are nested too deeply"
	case e.subtype == "signed" || e.subtype == "encrypted":
		e.fault = "8-bit octets in signed or encrypted content"
	default:
		e.form, e.boundary, e.digest = multipart, boundary, e.subtype == "digest"
	}
}

// decideMessage tells messages, which keep their structure, from the types of RFC 6532 and RFC 6533, which may be encoded, and
// from those that allow nothing but 7 bits (RFC 2046 §5.2).
func (e *entity) decideMessage(depth int) {
	switch {
	case strings.HasPrefix(e.subtype, "global"):
	case e.subtype != "rfc822":
		e.fault = "8-bit octets in message/" + e.subtype
	case depth >= maxDepth:
		e.fault = "8-bit octets in messages that are nested too deeply"
	default:
		e.form = message
	}
}

// labelled says that the entity's Content-Transfer-Encoding promises more than 7 bits.
func (e *entity) labelled() bool { return e.encoding == "8bit" || e.encoding == "binary" }

// parser takes the value of a structured field apart.
type parser struct{ s []byte }

func newParser(raw []byte) *parser {
	_, value, _ := bytes.Cut(raw, []byte(":"))
	return &parser{value}
}

// space skips white space, line ends and comments.
func (p *parser) space() {
	depth := 0
	for len(p.s) > 0 {
		switch c := p.s[0]; {
		case c == '(':
			depth++
		case c == ')' && depth > 0:
			depth--
		case c == '\\' && depth > 0 && len(p.s) > 1:
			p.s = p.s[1:]
		case depth == 0 && c != ' ' && c != '\t' && c != '\r' && c != '\n':
			return
		}
		p.s = p.s[1:]
	}
}

// skip takes one character, if it is next.
func (p *parser) skip(c byte) bool {
	p.space()
	if len(p.s) == 0 || p.s[0] != c {
		return false
	}
	p.s = p.s[1:]
	return true
}

// token reads up to a special character (RFC 2045 §5.1), in lower case.
func (p *parser) token() string {
	return strings.ToLower(p.until("()<>@,;:\\\"/[]?= \t\r\n"))
}

func (p *parser) until(specials string) string {
	p.space()
	n := bytes.IndexAny(p.s, specials)
	if n < 0 {
		n = len(p.s)
	}
	word := p.s[:n]
	p.s = p.s[n:]
	return string(word)
}

// value reads a parameter's value. Outside of quotes anything may stand in it, as many write it.
func (p *parser) value() string {
	if !p.skip('"') {
		return p.until("; \t\r\n")
	}
	var b strings.Builder
	for len(p.s) > 0 {
		c := p.s[0]
		p.s = p.s[1:]
		switch c {
		case '"':
			return b.String()
		case '\r', '\n': // of a folded line
			continue
		case '\\':
			if len(p.s) > 0 {
				c, p.s = p.s[0], p.s[1:]
			}
		}
		b.WriteByte(c)
	}
	return b.String()
}
