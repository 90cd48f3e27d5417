package imap

import (
	"strconv"
	"strings"
)

// Commands of RFC 5464. An empty mailbox is the server. Names of entries are in lower case.
type (
	// GetMetadata is GETMETADATA.
	GetMetadata struct {
		Mailbox string
		Entries []string
		Depth   MetadataDepth
		MaxSize int64 // octets of a value that is to be sent; -1 = any
	}
	// SetMetadata is SETMETADATA.
	SetMetadata struct {
		Mailbox string
		Entries []MetadataEntry
	}
)

// MetadataEntry is the name of an entry and its value; one that is not Valid is NIL.
type MetadataEntry struct {
	Name, Value string
	Valid       bool
}

// MetadataDepth says what of the entries below one is asked for (RFC 5464 §4.2.2).
type MetadataDepth uint8

// The depths.
const (
	DepthZero MetadataDepth = iota
	DepthOne
	DepthInfinity
)

var metadataDepths = map[string]MetadataDepth{"0": DepthZero, "1": DepthOne, "INFINITY": DepthInfinity}

// Bounds of the entries that a command names.
const (
	maxEntryName = 255
	maxEntries   = 128
)

// Response codes of METADATA (RFC 5464 §4.2.1, 4.3).
const CodeMetadataTooMany Code = "METADATA TOOMANY"

// CodeMetadataMaxSize is the size that a value may have, CodeMetadataLongEntries that of the largest that was left out.
func CodeMetadataMaxSize(n uint64) Code     { return codeNumber("METADATA MAXSIZE", n) }
func CodeMetadataLongEntries(n uint64) Code { return codeNumber("METADATA LONGENTRIES", n) }

func parseGetMetadata(p *parser) Command {
	get := &GetMetadata{MaxSize: -1}
	p.sp()
	if p.peek() == '(' {
		p.list(func() { p.metadataOption(get) })
		p.sp()
	}
	get.Mailbox = p.mailbox()
	p.sp()
	if late := p.metadataEntries(get); late {
		p.sp()
		if p.metadataEntries(get) {
			p.fail("options twice")
		}
	}
	return get
}

// metadataEntries reads the names of entries. Late are options in their place: the examples of RFC 5464 §4.2 have them
// behind the mailbox, and so have clients.
func (p *parser) metadataEntries(get *GetMetadata) (late bool) {
	if p.peek() != '(' {
		get.Entries = []string{p.entryName()}
		return false
	}
	p.list(func() {
		if c := p.peek(); late || len(get.Entries) == 0 && c != '/' && isWordChar(c) {
			late = true
			p.metadataOption(get)
			return
		}
		if get.Entries = append(get.Entries, p.entryName()); len(get.Entries) > maxEntries {
			p.refuse(BAD, CodeLimit, "too many entries")
		}
	})
	if !late && len(get.Entries) == 0 {
		p.fail("no entries")
	}
	return late
}

func (p *parser) metadataOption(get *GetMetadata) {
	name := p.word()
	p.sp()
	switch name {
	case "MAXSIZE":
		get.MaxSize = int64(p.number())
	case "DEPTH":
		depth, ok := metadataDepths[p.word()]
		if !ok {
			p.fail("unknown depth")
		}
		get.Depth = depth
	default:
		p.fail("unknown option")
	}
}

func parseSetMetadata(p *parser) Command {
	set := &SetMetadata{Mailbox: p.nextMailbox()}
	p.sp()
	p.list(func() {
		e := MetadataEntry{Name: p.entryName()}
		p.sp()
		e.Value, e.Valid = p.nstring()
		if set.Entries = append(set.Entries, e); len(set.Entries) > maxEntries {
			p.refuse(BAD, CodeLimit, "too many entries")
		}
	})
	if len(set.Entries) == 0 {
		p.fail("no entries")
	}
	return set
}

// entryName reads the name of an entry (RFC 5464 §3).
func (p *parser) entryName() string {
	name := strings.ToLower(p.astring())
	if p.err != nil {
		return ""
	}
	if why := badEntryName(name); why != "" {
		p.fail("entry name " + why)
	}
	return name
}

// badEntryName says what is wrong with a name, or nothing.
func badEntryName(name string) string {
	first, rest, _ := strings.Cut(strings.TrimPrefix(name, "/"), "/")
	switch {
	case len(name) > maxEntryName:
		return "is too long"
	case name == "" || name[0] != '/' || first != "private" && first != "shared":
		return "must begin with /private or /shared"
	case strings.Contains(name, "//") || strings.HasSuffix(name, "/") || rest == "" && strings.Count(name, "/") > 1:
		return "has an empty component"
	case strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' || r == '*' || r == '%' }):
		return "has a character that is not allowed"
	}
	return ""
}

// Metadata writes entries with their values.
func (w *Writer) Metadata(mailbox string, entries []MetadataEntry) {
	b := w.appendMailbox(append(w.buf, "* METADATA "...), mailbox)
	b = append(b, " ("...)
	for i, e := range entries {
		if i > 0 {
			b = append(b, ' ')
		}
		b = append(appendAString(b, e.Name), ' ')
		switch {
		case !e.Valid:
			b = append(b, "NIL"...)
		case strings.IndexByte(e.Value, 0) >= 0:
			b = append(strconv.AppendInt(append(b, "~{"...), int64(len(e.Value)), 10), "}\r\n"...)
			b = append(b, e.Value...)
		default:
			b = appendString(b, e.Value)
		}
	}
	w.line(append(b, ')'))
}
