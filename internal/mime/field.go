package mime

import (
	"bytes"
	"strings"
)

// field is a header field that is kept.
type field struct {
	name       string // in lower case
	start, end int    // where its body is: lines joined by LF, without the white space it begins with
}

// What nearly all headers need.
const (
	usualFields = 24
	usualText   = 1 << 10
)

// fieldCost is what an empty field counts against the limits.
const fieldCost = 64

// fields gathers the fields of one header that anything is made of.
type fields struct {
	message bool // those of an envelope too
	list    []field
	text    strings.Builder // the bodies
	used    int
	in      bool // the line belongs to the last of list
	full    bool
}

// line takes a header line or a fragment of it and tells how many octets were kept, never more than budget.
func (f *fields) line(line []byte, start bool, budget int) int {
	before := f.used
	fold := start && (line[0] == ' ' || line[0] == '\t')
	body := line
	if start && !fold {
		var name string
		name, body = f.name(line)
		if f.in = name != ""; f.in {
			body = bytes.TrimLeft(body, " \t")
			f.begin(name, budget)
		}
	}
	if f.in && !f.full {
		f.add(bytes.TrimSuffix(bytes.TrimSuffix(body, []byte("\n")), []byte("\r")), fold, budget-(f.used-before))
	}
	return f.used - before
}

func (f *fields) begin(name string, budget int) {
	if f.full = f.full || f.used+fieldCost > MaxPartHeader || fieldCost > budget; f.full {
		f.in = false
		return
	}
	f.used += fieldCost
	f.list = append(f.list, field{name: name, start: f.text.Len(), end: f.text.Len()})
}

func (f *fields) add(body []byte, fold bool, budget int) {
	n := len(body)
	if fold {
		n++
	}
	if f.full = n > budget || f.used+n > MaxPartHeader; f.full {
		return
	}
	f.used += n
	if fold {
		f.text.WriteByte('\n')
	}
	f.text.Write(body)
	f.list[len(f.list)-1].end = f.text.Len()
}

// reset begins with another header.
func (f *fields) reset(message bool) {
	*f = fields{message: message, list: f.list[:0]}
}

// Names of the fields that are kept: of each part, and those of a message besides.
var (
	contentNames = [...]string{"mime-version", "content-type", "content-id", "content-description", "content-transfer-encoding",
		"content-md5", "content-disposition", "content-language", "content-location"}
	envelopeNames = [...]string{"date", "subject", "from", "sender", "reply-to", "to", "cc", "bcc", "in-reply-to", "message-id"}
)

// name gives the name of a field that is wanted, else an empty one, and what follows the colon.
func (f *fields) name(line []byte) (string, []byte) {
	name, body, ok := fieldName(line)
	if !ok || len(name) > len("content-transfer-encoding") {
		return "", nil
	}
	known := among(contentNames[:], name)
	if known == "" && f.message {
		known = among(envelopeNames[:], name)
	}
	return known, body
}

// among gives a name as it stands in names, an empty one if it does not.
func among(names []string, name []byte) string {
	for _, n := range names {
		if len(n) == len(name) && equalFold(n, string(name)) {
			return n
		}
	}
	return ""
}

// fieldName divides a header line at its colon. White space before the colon is not part of the name (RFC 5322 §4.5).
func fieldName(line []byte) (name, body []byte, ok bool) {
	name, body, ok = bytes.Cut(line, []byte(":"))
	return bytes.TrimRight(name, " \t"), body, ok
}

// take understands the fields of a header and gives the boundary of a multipart. Of content fields the first one
// counts, of those of an envelope the last one, and addresses are gathered from all.
func (p *Part) take(kept *fields, addresses *int) (boundary string) {
	var content Part
	isMIME := p.mime
	text := kept.text.String()
	for _, f := range kept.list {
		body := text[f.start:f.end]
		switch f.name {
		case "mime-version":
			isMIME = true
		case "content-type":
			isMIME = true
			if content.Type == nil {
				boundary = content.setType(body)
			}
		default:
			content.content(f.name, body)
		}
		if p.Envelope != nil {
			p.Envelope.field(f.name, body, addresses)
		}
	}
	if isMIME {
		p.setContent(&content)
	}
	if p.Type == nil && p.parent != nil && p.parent.digest {
		p.Kind = Message
	}
	return boundary
}

// setContent takes over what the content fields say: they count in a MIME part only.
func (p *Part) setContent(c *Part) {
	p.Kind, p.digest, p.mime = c.Kind, c.digest, true
	p.Type, p.Subtype, p.Params = c.Type, c.Subtype, c.Params
	p.ID, p.Description, p.MD5, p.Location, p.Encoding = c.ID, c.Description, c.MD5, c.Location, c.Encoding
	p.Disposition, p.DispositionParams, p.Language = c.Disposition, c.DispositionParams, c.Language
}

func (p *Part) content(name, body string) {
	switch name {
	case "content-id":
		first(&p.ID, body)
	case "content-description":
		first(&p.Description, body)
	case "content-md5":
		first(&p.MD5, body)
	case "content-location":
		first(&p.Location, body)
	case "content-transfer-encoding":
		if p.Encoding == nil {
			p.setEncoding(body)
		}
	case "content-disposition":
		if p.Disposition == nil {
			p.setDisposition(body)
		}
	case "content-language":
		if p.Language == nil {
			p.setLanguage(body)
		}
	}
}

func first(v *Value, body string) {
	if *v == nil {
		*v = text(body)
	}
}

func (e *Envelope) field(name, body string, addresses *int) {
	switch name {
	case "date":
		e.Date = text(body)
	case "subject":
		e.Subject = text(body)
	case "in-reply-to":
		e.InReplyTo = text(body)
	case "message-id":
		e.MessageID = text(body)
	default:
		if list := e.addresses(name); list != nil {
			before := len(*list)
			*list = addAddresses(*list, body, *addresses)
			*addresses -= len(*list) - before
		}
	}
}

func (e *Envelope) addresses(name string) *[]Address {
	switch name {
	case "from":
		return &e.From
	case "sender":
		return &e.Sender
	case "reply-to":
		return &e.ReplyTo
	case "to":
		return &e.To
	case "cc":
		return &e.Cc
	case "bcc":
		return &e.Bcc
	}
	return nil
}
