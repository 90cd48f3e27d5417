package mime

import (
	"strconv"
	"strings"
)

// emptyMultipart stands for the parts of a multipart that has none: the grammar wants one.
const emptyMultipart = `("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 0 0`

// AppendEnvelope adds the parenthesised list of ENVELOPE (RFC 3501 §7.4.2). Strings are quoted or, with 8-bit octets,
// literals. A nil e gives ten NILs.
func AppendEnvelope(b []byte, e *Envelope) []byte {
	if e == nil {
		e = &Envelope{}
	}
	sender, replyTo := e.Sender, e.ReplyTo
	if sender == nil {
		sender = e.From
	}
	if replyTo == nil {
		replyTo = e.From
	}
	b = appendValue(append(b, '('), e.Date)
	b = appendWords(append(b, ' '), e.Subject)
	for _, list := range [...][]Address{e.From, sender, replyTo, e.To, e.Cc, e.Bcc} {
		b = appendAddresses(append(b, ' '), list)
	}
	b = appendValue(append(b, ' '), e.InReplyTo)
	b = appendValue(append(b, ' '), e.MessageID)
	return append(b, ')')
}

func appendAddresses(b []byte, list []Address) []byte {
	if len(list) == 0 {
		return append(b, "NIL"...)
	}
	b = append(b, '(')
	for _, a := range list {
		b = appendWords(append(b, '('), a.Name)
		b = appendValue(append(b, ' '), a.Route)
		b = appendValue(append(b, ' '), a.Mailbox)
		b = appendValue(append(b, ' '), a.Domain)
		b = append(b, ')')
	}
	return append(b, ')')
}

// AppendBodyStructure adds the parenthesised list of BODYSTRUCTURE or, not extended, of BODY (RFC 3501 §7.4.2).
func AppendBodyStructure(b []byte, p *Part, extended bool) []byte {
	b = append(b, '(')
	if p.Kind == Multipart {
		b = p.appendMultipart(b, extended)
	} else {
		b = p.appendSingle(b, extended)
	}
	return append(b, ')')
}

func (p *Part) appendMultipart(b []byte, extended bool) []byte {
	for _, c := range p.Parts {
		b = AppendBodyStructure(b, c, extended)
	}
	if len(p.Parts) == 0 {
		b = append(b, emptyMultipart...)
		if extended {
			b = append(b, " NIL NIL NIL NIL"...)
		}
		b = append(b, ')')
	}
	b = appendString(append(b, ' '), deref(p.Subtype))
	if !extended {
		return b
	}
	b = appendParams(append(b, ' '), p.Params, false)
	return p.appendExtension(b)
}

func (p *Part) appendSingle(b []byte, extended bool) []byte {
	isText := false
	switch {
	case p.Kind == Message:
		b = append(b, `"message" "rfc822"`...)
	case p.Type == nil:
		isText = true
		b = append(b, `"text" "plain"`...)
	default:
		isText = equalFold(*p.Type, "text")
		b = appendString(b, *p.Type)
		b = appendString(append(b, ' '), deref(p.Subtype))
	}
	b = appendParams(append(b, ' '), p.Params, isText)
	b = appendValue(append(b, ' '), p.ID)
	b = appendValue(append(b, ' '), p.Description)
	b = append(b, ' ')
	if p.Encoding == nil {
		b = append(b, `"7bit"`...)
	} else {
		b = appendString(b, *p.Encoding)
	}
	b = strconv.AppendInt(append(b, ' '), p.Body.Size(), 10)
	if p.Kind == Message && len(p.Parts) == 1 {
		b = AppendEnvelope(append(b, ' '), p.Parts[0].Envelope)
		b = AppendBodyStructure(append(b, ' '), p.Parts[0], extended)
	}
	if isText || p.Kind == Message {
		b = strconv.AppendInt(append(b, ' '), p.Body.Lines(), 10)
	}
	if !extended {
		return b
	}
	b = appendValue(append(b, ' '), p.MD5)
	return p.appendExtension(b)
}

// appendExtension adds disposition, language and location.
func (p *Part) appendExtension(b []byte) []byte {
	if p.Disposition == nil {
		b = append(b, " NIL"...)
	} else {
		b = appendString(append(b, " ("...), *p.Disposition)
		b = appendParams(append(b, ' '), p.DispositionParams, false)
		b = append(b, ')')
	}
	if len(p.Language) == 0 {
		b = append(b, " NIL"...)
	} else {
		for i, l := range p.Language {
			b = append(b, " ("[:1+max(0, 1-i)]...)
			b = appendString(b, l)
		}
		b = append(b, ')')
	}
	return appendValue(append(b, ' '), p.Location)
}

// appendParams adds the charset that text has without one (RFC 2045 §5.2).
func appendParams(b []byte, params []Param, isText bool) []byte {
	if len(params) == 0 && !isText {
		return append(b, "NIL"...)
	}
	open, charset := byte('('), false
	for _, p := range params {
		b = appendString(append(b, open), p.Name)
		b = appendString(append(b, ' '), p.Value)
		open, charset = ' ', charset || equalFold(p.Name, "charset")
	}
	if isText && !charset {
		b = append(append(b, open), `"charset" "us-ascii"`...)
	}
	return append(b, ')')
}

func deref(v Value) string {
	if v == nil {
		return ""
	}
	return *v
}

// maxEscapes is how many escapes a string may need and still be quoted.
const maxEscapes = 4

// appendString adds a string, quoted if it can be.
func appendString(b []byte, s string) []byte {
	escapes := 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			escapes++
		case c == '\r' || c == '\n' || c == 0 || c >= 0x80:
			return appendLiteral(b, s)
		}
	}
	if escapes > maxEscapes {
		return appendLiteral(b, s)
	}
	b = append(b, '"')
	for ; escapes > 0; escapes-- {
		i := strings.IndexAny(s, `"\`)
		b = append(append(b, s[:i]...), '\\', s[i])
		s = s[i+1:]
	}
	return append(append(b, s...), '"')
}

func appendLiteral(b []byte, s string) []byte {
	b = append(b, '{')
	b = strconv.AppendInt(b, int64(len(s)), 10)
	b = append(b, "}\r\n"...)
	return append(b, s...)
}

// appendValue adds a field body without its line ends; a bare CR is a space.
func appendValue(b []byte, v Value) []byte {
	if v == nil {
		return append(b, "NIL"...)
	}
	return appendString(b, lineEnds.Replace(*v))
}

var lineEnds = strings.NewReplacer("\r", " ", "\n", "")

// appendWords adds a text meant for people: each run of white space is one space, none at the ends.
func appendWords(b []byte, v Value) []byte {
	if v == nil {
		return append(b, "NIL"...)
	}
	s, changed := *v, !isWords(*v)
	if changed {
		s = strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r == ' ' || r == '\t' || r == '\r' || r == '\n' }), " ")
	}
	if s != "" && (changed || strings.ContainsAny(s, `"\`)) {
		return appendLiteral(b, s)
	}
	return appendString(b, s)
}

// isWords says that all white space of a text is single spaces between words.
func isWords(s string) bool {
	space := true
	for i := range len(s) {
		switch s[i] {
		case '\t', '\r', '\n':
			return false
		case ' ':
			if space {
				return false
			}
			space = true
		default:
			space = false
		}
	}
	return !space
}
