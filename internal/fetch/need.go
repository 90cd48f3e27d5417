package fetch

import "postrider/internal/imap"

// need is what must be known of a message to answer for some items.
type need struct {
	date, size bool
	header     bool // octets of the message's own header
	envelope   bool
	structure  bool // BODYSTRUCTURE
	parts      bool // the places of its parts
	tree       bool // its parts, as the file alone tells
	body       bool // the place of its body, by counting it
	partial    bool // a client that reads a body in pieces will come back
	preview    bool
	cached     bool // there is a cache
}

// need is what the Fetcher must know for items.
func (f *Fetcher) need(items []imap.FetchItem) need {
	n := needOf(items)
	n.cached = f.Cache != nil
	return n
}

func needOf(items []imap.FetchItem) (n need) {
	for i := range items {
		switch item := &items[i]; item.Attr {
		case imap.FetchInternalDate:
			n.date = true
		case imap.FetchSize:
			n.size = true
		case imap.FetchEnvelope:
			n.envelope = true
		case imap.FetchBodyStructure:
			n.structure = true
		case imap.FetchBody:
			n.tree = true
		case imap.FetchPreview:
			n.tree, n.preview = true, true
		default:
			n.section(item)
		}
	}
	return n
}

func (n *need) section(item *imap.FetchItem) {
	binary := item.Attr == imap.FetchBinary || item.Attr == imap.FetchBinarySize
	if !item.HasSection() && !binary {
		return
	}
	s := &item.Section
	switch {
	case binary:
		n.tree = true // a record does not tell the transfer encoding
	case len(s.Part) > 0:
		n.parts = true
	case s.Specifier == imap.SectionAll || s.Specifier == imap.SectionText:
		n.body = true
	default:
		n.header = true
	}
	n.partial = n.partial || item.Partial != nil
}

func (n *need) info() bool { return n.date || n.size }

// record says that a record of the cache spares reading the file, or some of it.
func (n *need) record() bool { return n.cached && n.ofRecord() }

func (n *need) ofRecord() bool { return n.header || n.envelope || n.structure || n.parts }

// file says that the file is read whatever is known of the message.
func (n *need) file() bool { return n.body || n.parts || n.tree || !n.cached && n.ofRecord() }

// texts says that all of the file is sent, as one text.
func (n *need) texts() bool { return n.body && !n.partial && !n.parts && !n.tree }

// end says that it is read to its end.
func (n *need) end() bool { return n.body || n.parts || n.tree }

// whole says that the record must be one of the whole message. The size of the file is negative if it is not known.
func (n *need) whole(size int64) bool { return n.structure || n.parts || n.size && size < 0 }
