package smtpd

import (
	"bytes"
	"strings"

	"postrider/internal/address"
	"postrider/internal/envelope"
)

// completion is what a header that a user's program wrote may lack (RFC 6409 §8).
type completion struct {
	origin    string                 // domain of unqualified addresses
	author    func() address.Address // of a message without From
	date      string
	messageID string
}

// completion is that of the present message; nil if the service completes nothing.
func (s *session) completion(id string, e *envelope.Envelope) *completion {
	if !s.svc.Submission {
		return nil
	}
	return &completion{
		origin: s.conf.Origin, author: s.author, date: e.Time.Format(dateFormat),
		messageID: "<" + id + "@" + s.conf.Hostname + ">",
	}
}

// author is whom a message without From is from: who has logged in, or whose process it is, or who the envelope says.
func (s *session) author() address.Address {
	name := s.state.login.user.Name
	if uid := s.uid(); name == "" && uid != envelope.NoUID && s.server.deps.Login != nil {
		name, _ = s.server.deps.Login(uint32(uid))
	}
	if a, err := address.Parse(name); err == nil && !a.IsNull() {
		return s.qualify(a)
	}
	if !s.tx.from.Addr.IsNull() {
		return s.tx.from.Addr
	}
	return s.qualify(address.Address{Local: "postmaster"})
}

// maxCompleted bounds the addresses of a header that are completed.
const maxCompleted = 5000

// apply returns the header with what it lacked. Each line stays as it is, but for the domain that is put behind unqualified
// addresses.
func (c *completion) apply(block []byte) []byte {
	out := make([]byte, 0, len(block)+256)
	var hasFrom, hasDate, hasID bool
	left := maxCompleted
	for len(block) > 0 {
		n := fieldEnd(block)
		field := block[:n]
		block = block[n:]
		name, value := cutField(field)
		switch strings.ToLower(name) {
		case "date":
			hasDate = true
		case "message-id":
			hasID = true
		case "from":
			hasFrom = true
			fallthrough
		case "sender", "reply-to", "to", "cc", "bcc":
			out = append(out, field[:len(field)-len(value)]...)
			out = c.qualify(out, value, &left)
			continue
		}
		out = append(out, field...)
	}
	if !hasFrom {
		out = appendField(out, "From", c.author().String())
	}
	if !hasDate {
		out = appendField(out, "Date", c.date)
	}
	if !hasID {
		out = appendField(out, "Message-ID", c.messageID)
	}
	return out
}

func appendField(b []byte, name, value string) []byte {
	b = append(append(b, name...), ": "...)
	return append(append(b, value...), "\r\n"...)
}

// fieldEnd is the length of the first field with its folded lines.
func fieldEnd(b []byte) int {
	for n := 0; ; {
		i := bytes.IndexByte(b[n:], '\n')
		if i < 0 {
			return len(b)
		}
		if n += i + 1; n == len(b) || !isFold(b[n:]) {
			return n
		}
	}
}

// qualify appends an address list to out, with the domain behind those addresses that have none.
func (c *completion) qualify(out, list []byte, left *int) []byte {
	ends, ok := unqualified(list)
	if !ok || len(ends) > *left {
		return append(out, list...)
	}
	*left -= len(ends)
	from := 0
	for _, end := range ends {
		out = append(append(out, list[from:end]...), '@')
		out = append(out, c.origin...)
		from = end
	}
	return append(out, list[from:]...)
}

// mailbox is one address of a list while it is read: outside of brackets, or inside.
type mailbox struct {
	words int
	other bool // something that no bare name has: @, a quoted string, a domain literal
	end   int  // of the last word
	name  string
}

// bare says that this is a name without a domain, and no path of another kind, no encoded word, nothing doubtful.
func (m *mailbox) bare() bool {
	if m.words != 1 || m.other || strings.ContainsAny(m.name, "!%") || strings.HasPrefix(m.name, "=?") {
		return false
	}
	a, err := address.Parse(m.name)
	return err == nil && a.Domain == ""
}

// unqualified finds the ends of the addresses without a domain in an address list (RFC 5322 §3.4), comments, groups and
// folding included. What it does not understand is not ok, and stays as it is.
func unqualified(list []byte) (ends []int, ok bool) {
	var p listParser
	for i := 0; i < len(list); {
		n := p.token(list, i)
		if n == 0 {
			return nil, false
		}
		i += n
	}
	if p.angle || p.group {
		return nil, false
	}
	p.finish()
	return p.ends, true
}

// listParser is where in an address list the parser is.
type listParser struct {
	m     mailbox
	angle bool // inside <>
	after bool // behind it
	group bool // inside a group
	ends  []int
}

// finish is the end of a mailbox.
func (p *listParser) finish() {
	if !p.after && p.m.bare() {
		p.ends = append(p.ends, p.m.end)
	}
	p.m, p.after = mailbox{}, false
}

// token takes the token at i and returns its length, or 0 for what it does not understand.
func (p *listParser) token(list []byte, i int) int {
	rest := list[i:]
	switch rest[0] {
	case ' ', '\t', '\r', '\n':
		return 1
	case '(':
		return commentEnd(rest)
	case '"':
		p.m.words, p.m.other = p.m.words+1, true
		return quotedEnd(rest)
	case '[':
		p.m.other = true
		return bytes.IndexByte(rest, ']') + 1
	case '@':
		p.m.other = true
		return 1
	case '<', '>', ',', ':', ';':
		return p.special(rest[0])
	}
	n := wordEnd(rest)
	p.m.words, p.m.end, p.m.name = p.m.words+1, i+n, string(rest[:n])
	return n
}

// special takes a character that structures the list.
func (p *listParser) special(c byte) int {
	switch {
	case c == '<' && !p.angle && !p.after:
		p.angle, p.m = true, mailbox{}
	case c == '>' && p.angle:
		p.finish()
		p.angle, p.after = false, true
	case c == ',' && p.angle, c == ':' && p.angle: // a source route
	case c == ',':
		p.finish()
	case c == ':' && !p.group && !p.after && !p.m.other:
		p.group, p.m = true, mailbox{}
	case c == ';' && p.group && !p.angle:
		p.finish()
		p.group = false
	default:
		return 0
	}
	return 1
}

// wordEnd is the length of the word of atoms and dots at the start of b.
func wordEnd(b []byte) int {
	for i, c := range b {
		if c <= ' ' || c == 0x7f || strings.IndexByte(`()<>[]:;@\,"`, c) >= 0 {
			return i
		}
	}
	return len(b)
}

// quotedEnd is the length of the quoted string at the start of b, 0 if it does not end.
func quotedEnd(b []byte) int {
	for i := 1; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return 0
}

// commentEnd is the length of the comment at the start of b, nested ones included, 0 if it does not end.
func commentEnd(b []byte) int {
	depth := 0
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return 0
}
