package mime

// Text is what of a part a section means (RFC 3501 §6.4.5).
type Text uint8

const (
	Whole Text = iota
	Header
	HeaderFields
	HeaderFieldsNot
	BodyText
	MIME
)

// Section is what stands in the brackets of BODY[].
type Section struct {
	Path   []uint32
	Text   Text
	Fields []string
}

// Find gives the place of a section; that of HeaderFields and HeaderFieldsNot is the whole header. It is false where
// the message has no such part; the answer is then an empty string.
func (p *Part) Find(s Section) (Range, bool) {
	whole := Range{p.Header.Start, p.Body.End}
	if p = p.find(s.Path); p == nil {
		return Range{}, false
	}
	if s.Text == MIME {
		return p.Header, true
	}
	if len(s.Path) > 0 {
		if s.Text == Whole {
			return p.Body, true
		}
		if p.Kind != Message || len(p.Parts) == 0 {
			return Range{}, false
		}
		p = p.Parts[0]
	}
	switch s.Text {
	case Whole:
		return whole, true
	case BodyText:
		return p.Body, true
	}
	return p.Header, true
}

// find gives the part of a path, or nil.
func (p *Part) find(path []uint32) *Part {
	for i, n := range path {
		if p = p.descend(n, i == len(path)-1); p == nil {
			return nil
		}
	}
	return p
}

// descend takes a step of a path. What is not a multipart has one part, itself; a step below a message is one into its
// content.
func (p *Part) descend(n uint32, last bool) *Part {
	switch {
	case p.Kind == Multipart && n > 0 && int64(n) <= int64(len(p.Parts)):
		p = p.Parts[n-1]
	case p.Kind == Multipart || n != 1 || !last && p.Kind != Message:
		return nil
	}
	if !last && p.Kind == Message && len(p.Parts) == 1 {
		return p.Parts[0]
	}
	return p
}
