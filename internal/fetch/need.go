package fetch

import "postrider/internal/imap"

// need is what must be known of a message to answer for some items.
type need struct {
	date, size bool
	file       bool // it is opened; the place of the header is found
	body       bool // and that of the body, by counting it
	partial    bool // a client that reads a body in pieces will come back
	envelope   bool // the fields of the header are understood
	structure  bool // all of it is read and understood
}

func needOf(items []imap.FetchItem) (n need) {
	for i := range items {
		switch item := &items[i]; item.Attr {
		case imap.FetchInternalDate:
			n.date = true
		case imap.FetchSize:
			n.size = true
		case imap.FetchEnvelope:
			n.file, n.envelope = true, true
		case imap.FetchBody, imap.FetchBodyStructure:
			n.file, n.structure = true, true
		default:
			n.section(item)
		}
	}
	return n
}

func (n *need) section(item *imap.FetchItem) {
	if !item.HasSection() && item.Attr != imap.FetchBinarySize {
		return
	}
	n.file = true
	s := &item.Section
	switch {
	case len(s.Part) > 0:
		n.structure = true
	case s.Specifier == imap.SectionAll || s.Specifier == imap.SectionText:
		n.body = true
	}
	n.partial = n.partial || item.Partial != nil
}

// info says whether the Source is asked; the size is known without it where the whole message is read.
func (n *need) info() bool { return n.date || n.size && !n.whole() }

func (n *need) whole() bool { return n.body || n.structure }
