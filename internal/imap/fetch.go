package imap

import "strconv"

// FetchAttr is a kind of FETCH data item (RFC 3501 §6.4.5).
type FetchAttr uint8

// FETCH data items. Those from FetchSection on are octets of the message, which Section says.
const (
	FetchUID FetchAttr = iota + 1
	FetchFlags
	FetchInternalDate
	FetchSize // RFC822.SIZE
	FetchEnvelope
	FetchBody // BODY: BODYSTRUCTURE without extension data
	FetchBodyStructure
	FetchModSeq     // RFC 7162
	FetchEmailID    // RFC 8474
	FetchThreadID   // RFC 8474
	FetchSaveDate   // RFC 8514
	FetchBinarySize // BINARY.SIZE[...] (RFC 3516)
	FetchPreview    // RFC 8970

	FetchSection      // BODY[...]
	FetchRFC822       // BODY[] under another name
	FetchRFC822Header // BODY.PEEK[HEADER]
	FetchRFC822Text   // BODY[TEXT]
	FetchBinary       // BINARY[...]: the section without its transfer encoding (RFC 3516)
)

// FetchItem is one data item of a FETCH.
type FetchItem struct {
	Attr    FetchAttr
	Section Section
	Peek    bool // do not set \Seen
	Lazy    bool // of PREVIEW: only if it takes no time
	Partial *Partial
}

// HasSection says whether the item is octets of the message.
func (i *FetchItem) HasSection() bool { return i.Attr >= FetchSection }

// reads says whether the message may be read anew for the item.
func (i *FetchItem) reads() bool { return i.HasSection() || i.Attr == FetchBinarySize }

// Old says whether IMAP4rev2 has the item under another name only.
func (a FetchAttr) Old() bool {
	return a == FetchRFC822 || a == FetchRFC822Header || a == FetchRFC822Text
}

// SetsSeen says whether the item, when fetched, sets \Seen.
func (i *FetchItem) SetsSeen() bool { return i.HasSection() && !i.Peek }

// Partial is <offset.count>: what is there of Count octets from Offset on.
type Partial struct{ Offset, Count int64 }

// Specifier says what of a part a Section is.
type Specifier uint8

// Section specifiers.
const (
	SectionAll             Specifier = iota // BODY[] or BODY[1]
	SectionHeader                           // HEADER
	SectionHeaderFields                     // HEADER.FIELDS (...)
	SectionHeaderFieldsNot                  // HEADER.FIELDS.NOT (...)
	SectionText                             // TEXT
	SectionMIME                             // MIME, of a part only
)

// Section is what stands in the brackets of BODY[...].
type Section struct {
	Part      []uint32 // 1.2.3; empty is the message
	Specifier Specifier
	Fields    []string // as the client spells them
}

var fetchNames = [...]string{
	FetchUID:           "UID",
	FetchFlags:         "FLAGS",
	FetchInternalDate:  "INTERNALDATE",
	FetchSize:          "RFC822.SIZE",
	FetchEnvelope:      "ENVELOPE",
	FetchBody:          "BODY",
	FetchBodyStructure: "BODYSTRUCTURE",
	FetchModSeq:        "MODSEQ",
	FetchEmailID:       "EMAILID",
	FetchThreadID:      "THREADID",
	FetchSaveDate:      "SAVEDATE",
	FetchBinarySize:    "BINARY.SIZE",
	FetchPreview:       "PREVIEW",
	FetchSection:       "BODY",
	FetchRFC822:        "RFC822",
	FetchRFC822Header:  "RFC822.HEADER",
	FetchRFC822Text:    "RFC822.TEXT",
	FetchBinary:        "BINARY",
}

var specifierNames = [...]string{
	SectionHeader:          "HEADER",
	SectionHeaderFields:    "HEADER.FIELDS",
	SectionHeaderFieldsNot: "HEADER.FIELDS.NOT",
	SectionText:            "TEXT",
	SectionMIME:            "MIME",
}

var fetchItems = map[string]FetchItem{
	"UID":           {Attr: FetchUID},
	"FLAGS":         {Attr: FetchFlags},
	"INTERNALDATE":  {Attr: FetchInternalDate},
	"RFC822.SIZE":   {Attr: FetchSize},
	"ENVELOPE":      {Attr: FetchEnvelope},
	"BODY":          {Attr: FetchBody},
	"BODYSTRUCTURE": {Attr: FetchBodyStructure},
	"MODSEQ":        {Attr: FetchModSeq},
	"EMAILID":       {Attr: FetchEmailID},
	"THREADID":      {Attr: FetchThreadID},
	"SAVEDATE":      {Attr: FetchSaveDate},
	"PREVIEW":       {Attr: FetchPreview},
	"RFC822":        {Attr: FetchRFC822},
	"RFC822.HEADER": {Attr: FetchRFC822Header, Section: Section{Specifier: SectionHeader}, Peek: true},
	"RFC822.TEXT":   {Attr: FetchRFC822Text, Section: Section{Specifier: SectionText}},
}

// fetchMacros stand alone (RFC 3501 §6.4.5).
var fetchMacros = map[string][]FetchAttr{
	"ALL":  {FetchFlags, FetchInternalDate, FetchSize, FetchEnvelope},
	"FAST": {FetchFlags, FetchInternalDate, FetchSize},
	"FULL": {FetchFlags, FetchInternalDate, FetchSize, FetchEnvelope, FetchBody},
}

func parseFetch(p *parser) Command {
	fetch := &Fetch{UID: p.uid, Set: p.nextSet()}
	p.sp()
	if p.peek() == '(' {
		sections := 0
		p.list(func() {
			item := p.fetchItem(p.word())
			if item.Attr == FetchPreview {
				p.previewModifiers(&item)
			}
			if fetch.Items = append(fetch.Items, item); item.reads() {
				sections++
			}
			if sections > maxSections {
				p.refuse(BAD, CodeLimit, "too many sections")
			}
		})
		if len(fetch.Items) == 0 {
			p.fail("no data items")
		}
	} else {
		fetch.Items = p.fetchMacro()
	}
	for lists := 0; lists < 2 && p.more(); lists++ { // those of PREVIEW, and of FETCH
		p.list(func() { p.fetchModifier(fetch) })
	}
	if fetch.Vanished && (!p.uid || fetch.ChangedSince == nil) {
		p.fail("VANISHED is for UID FETCH with CHANGEDSINCE")
	}
	return fetch
}

func (p *parser) fetchModifier(fetch *Fetch) {
	switch p.word() {
	case "CHANGEDSINCE":
		p.sp()
		n := p.number()
		fetch.ChangedSince = &n
	case "VANISHED":
		fetch.Vanished = true
	case "PARTIAL":
		p.sp()
		r := p.resultRange()
		fetch.Partial = &r
	case "LAZY":
		if fetch.Items[0].Lazy = true; fetch.Items[0].Attr != FetchPreview {
			p.fail("LAZY is of PREVIEW")
		}
	default:
		p.fail("unknown modifier")
	}
}

// previewModifiers reads what may follow PREVIEW in a list (RFC 8970 §4). If that is another item, the space before it was taken.
func (p *parser) previewModifiers(item *FetchItem) {
	if p.gap = p.spaces(); !p.gap || p.peek() != '(' {
		return
	}
	p.gap = false
	p.list(func() {
		if item.Lazy = p.word() == "LAZY"; !item.Lazy {
			p.fail("unknown modifier")
		}
	})
}

func (p *parser) fetchMacro() []FetchItem {
	name := p.word()
	macro, ok := fetchMacros[name]
	if !ok {
		return []FetchItem{p.fetchItem(name)}
	}
	items := make([]FetchItem, len(macro))
	for i, attr := range macro {
		items[i].Attr = attr
	}
	return items
}

func (p *parser) fetchItem(name string) FetchItem {
	if peek := name == "BODY.PEEK"; peek || name == "BODY" && p.peek() == '[' {
		return FetchItem{Attr: FetchSection, Peek: peek, Section: p.section(), Partial: p.partial()}
	}
	switch name {
	case "BINARY", "BINARY.PEEK":
		return FetchItem{Attr: FetchBinary, Peek: name != "BINARY", Section: p.binarySection(), Partial: p.partial()}
	case "BINARY.SIZE":
		return FetchItem{Attr: FetchBinarySize, Section: p.binarySection()}
	}
	item, ok := fetchItems[name]
	if !ok {
		p.fail("unknown data item")
	}
	return item
}

// section reads [1.2.HEADER.FIELDS (From To)] and the like.
func (p *parser) section() (s Section) {
	p.expect('[')
	defer p.expect(']')
	for isDigit(p.peek()) {
		if len(s.Part) == maxParts {
			p.fail("section too deep")
		}
		s.Part = append(s.Part, p.number32())
		if !p.take('.') {
			return s
		}
		if c := p.peek(); c == ']' {
			p.fail("section ends in a dot")
		}
	}
	if p.peek() == ']' {
		return s
	}
	s.Specifier = p.specifier()
	switch s.Specifier {
	case SectionMIME:
		if len(s.Part) == 0 {
			p.fail("MIME is of a part")
		}
	case SectionHeaderFields, SectionHeaderFieldsNot:
		p.sp()
		p.list(func() { s.Fields = append(s.Fields, p.fieldName()) })
		if len(s.Fields) == 0 {
			p.fail("no header fields")
		}
	}
	return s
}

// binarySection reads [1.2]: of a part only all can be without its transfer encoding.
func (p *parser) binarySection() Section {
	s := p.section()
	if s.Specifier != SectionAll {
		p.fail("a part is expected")
	}
	return s
}

func (p *parser) specifier() Specifier {
	name := p.word()
	for i, n := range specifierNames {
		if n == name && n != "" {
			return Specifier(i)
		}
	}
	p.fail("unknown section")
	return SectionAll
}

// fieldName reads the name of a header field; it will stand in the answer.
func (p *parser) fieldName() string {
	name := p.astring()
	if len(name) > maxField {
		p.fail("header field name too long")
	}
	for i := range len(name) {
		if name[i] < ' ' || name[i] > '~' {
			p.fail("invalid header field name")
		}
	}
	return name
}

func (p *parser) partial() *Partial {
	if !p.take('<') {
		return nil
	}
	offset := int64(p.number())
	p.expect('.')
	count := int64(p.number())
	if count == 0 {
		p.fail("partial of nothing")
	}
	p.expect('>')
	return &Partial{offset, count}
}

// appendName appends the name under which the item is answered: BODY[HEADER]<0>.
func (i *FetchItem) appendName(b []byte) []byte {
	b = append(b, fetchNames[i.Attr]...)
	switch i.Attr {
	case FetchSection, FetchBinary, FetchBinarySize:
		b = i.Section.append(b)
	}
	if i.Partial != nil {
		b = append(b, '<')
		b = strconv.AppendInt(b, i.Partial.Offset, 10)
		b = append(b, '>')
	}
	return b
}

func (s *Section) append(b []byte) []byte {
	b = append(b, '[')
	for i, n := range s.Part {
		if i > 0 {
			b = append(b, '.')
		}
		b = strconv.AppendUint(b, uint64(n), 10)
	}
	if s.Specifier != SectionAll {
		if len(s.Part) > 0 {
			b = append(b, '.')
		}
		b = append(b, specifierNames[s.Specifier]...)
	}
	if len(s.Fields) > 0 {
		b = append(b, " ("...)
		for i, field := range s.Fields {
			if i > 0 {
				b = append(b, ' ')
			}
			b = appendAString(b, field)
		}
		b = append(b, ')')
	}
	return append(b, ']')
}
