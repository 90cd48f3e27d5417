// Package mime reads a message as an IMAP server needs it: one pass over its octets gives the tree of its parts with
// their places in the file, their sizes as if every line ended in CRLF, and the header fields of which ENVELOPE and
// BODYSTRUCTURE are made (RFC 3501 §7.4.2). Answers are those of Dovecot 2.3, so that clients which change servers
// find their caches valid. It also undoes transfer encodings and encoded words.
//
// It trusts nothing: any sequence of octets is a message, at worst one part of text/plain. Depth, number of parts, kept
// header octets and addresses are bounded; what is beyond a bound is text of the part that holds it.
package mime

// Bounds on what is kept of one message.
const (
	MaxDepth      = 100       // levels of parts; a container on the last level is application/octet-stream
	MaxParts      = 10_000    // parts; further ones are text of the multipart they are in
	MaxPartHeader = 256 << 10 // octets kept of the fields of one part; further fields are as if absent
	MaxHeaders    = 1 << 20   // octets kept of the fields of all parts
	MaxAddresses  = 10_000    // addresses kept of all envelopes
	MaxParams     = 1_000     // parameters kept of one field
	maxBoundary   = 80        // octets of a boundary that count (RFC 2046 §5.1.1 allows 70)
)

// Mark is a place in a message.
type Mark struct {
	Off   int64 // octets before it in the file
	CRLF  int64 // octets before it if every line ended in CRLF
	Lines int64 // line ends before it
}

// Range is what lies between two marks.
type Range struct{ Start, End Mark }

// Size is in octets, lines ending in CRLF.
func (r Range) Size() int64 { return r.End.CRLF - r.Start.CRLF }

// Lines counts line ends.
func (r Range) Lines() int64 { return r.End.Lines - r.Start.Lines }

// Kind says what the body of a part holds.
type Kind uint8

const (
	Leaf      Kind = iota // octets
	Multipart             // any number of parts, also none
	Message               // one part, the message
)

// Param is a parameter of a field. RFC 2231 pieces are joined (`name*0=a; name*1=b` is name=ab) but not decoded: the
// name of an encoded one ends in `*`.
type Param struct{ Name, Value string }

// Value is a field value that is there, even if empty; nil stands for an absent field.
type Value = *string

// Part is a message or a part of one. Names and values are as they stand in the message: nothing is decoded and no
// case is changed, NUL is U+FFFD.
type Part struct {
	Kind Kind
	// Type and Subtype are nil without a Content-Type field, and both empty where it cannot be understood.
	Type, Subtype                  Value
	Params                         []Param
	ID, Description, MD5, Location Value
	Encoding                       Value
	Disposition                    Value
	DispositionParams              []Param
	Language                       []string
	Envelope                       *Envelope // of the message itself and of each one inside, else nil
	Header, Body                   Range     // the blank line is the header's
	Parts                          []*Part
	parent                         *Part
	level                          int
	mime, digest                   bool
}

// Size is the size of header and body in octets, lines ending in CRLF: RFC822.SIZE of the whole message.
func (p *Part) Size() int64 { return p.Body.End.CRLF - p.Header.Start.CRLF }

// Envelope holds the fields of a message header that ENVELOPE shows (RFC 3501 §7.4.2).
type Envelope struct {
	Date, Subject                      Value
	From, Sender, ReplyTo, To, Cc, Bcc []Address
	InReplyTo, MessageID               Value
}
