package mime

import "bytes"

// field is a header field that is kept.
type field struct {
	name string // in lower case
	body []byte // lines joined by LF, without the white space it begins with
}

// fieldCost is what an empty field counts against the limits.
const fieldCost = 64

// fields gathers the fields of one header that anything is made of.
type fields struct {
	message bool // those of an envelope too
	list    []field
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
		if fold {
			body = append([]byte{'\n'}, body...)
		}
		f.add(bytes.TrimSuffix(bytes.TrimSuffix(body, []byte("\n")), []byte("\r")), budget-(f.used-before))
	}
	return f.used - before
}

func (f *fields) begin(name string, budget int) {
	if f.full = f.full || f.used+fieldCost > MaxPartHeader || fieldCost > budget; f.full {
		f.in = false
		return
	}
	f.used += fieldCost
	f.list = append(f.list, field{name: name})
}

func (f *fields) add(body []byte, budget int) {
	if f.full = len(body) > budget || f.used+len(body) > MaxPartHeader; f.full {
		return
	}
	f.used += len(body)
	last := &f.list[len(f.list)-1]
	last.body = append(last.body, body...)
}

// name gives the name of a field that is wanted, else an empty one, and what follows the colon.
func (f *fields) name(line []byte) (string, []byte) {
	name, body, ok := fieldName(line)
	if !ok || len(name) > len("content-transfer-encoding") {
		return "", nil
	}
	s := string(bytes.ToLower(name))
	switch s {
	case "mime-version", "content-type", "content-id", "content-description", "content-transfer-encoding", "content-md5",
		"content-disposition", "content-language", "content-location":
		return s, body
	case "date", "subject", "from", "sender", "reply-to", "to", "cc", "bcc", "in-reply-to", "message-id":
		if f.message {
			return s, body
		}
	}
	return "", nil
}

// fieldName divides a header line at its colon. White space before the colon is not part of the name (RFC 5322 §4.5).
func fieldName(line []byte) (name, body []byte, ok bool) {
	name, body, ok = bytes.Cut(line, []byte(":"))
	return bytes.TrimRight(name, " \t"), body, ok
}

// take understands the fields of a header and gives the boundary of a multipart. Of content fields the first one
// counts, of those of an envelope the last one, and addresses are gathered from all.
func (p *Part) take(list []field, addresses *int) (boundary string) {
	var content Part
	isMIME := p.mime
	for _, f := range list {
		switch f.name {
		case "mime-version":
			isMIME = true
		case "content-type":
			isMIME = true
			if content.Type == nil {
				boundary = content.setType(f.body)
			}
		default:
			content.content(f)
		}
		if p.Envelope != nil {
			p.Envelope.field(f, addresses)
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

func (p *Part) content(f field) {
	switch f.name {
	case "content-id":
		first(&p.ID, f.body)
	case "content-description":
		first(&p.Description, f.body)
	case "content-md5":
		first(&p.MD5, f.body)
	case "content-location":
		first(&p.Location, f.body)
	case "content-transfer-encoding":
		if p.Encoding == nil {
			p.setEncoding(f.body)
		}
	case "content-disposition":
		if p.Disposition == nil {
			p.setDisposition(f.body)
		}
	case "content-language":
		if p.Language == nil {
			p.setLanguage(f.body)
		}
	}
}

func first(v *Value, body []byte) {
	if *v == nil {
		*v = text(body)
	}
}

func (e *Envelope) field(f field, addresses *int) {
	switch f.name {
	case "date":
		e.Date = text(f.body)
	case "subject":
		e.Subject = text(f.body)
	case "in-reply-to":
		e.InReplyTo = text(f.body)
	case "message-id":
		e.MessageID = text(f.body)
	default:
		if list := e.addresses(f.name); list != nil {
			more := ParseAddresses(f.body, *addresses)
			*addresses -= len(more)
			*list = append(*list, more...)
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
