package imap

import "postrider/internal/mutf7"

func appendWords(b []byte, words []string) []byte {
	for _, word := range words {
		b = append(append(b, ' '), word...)
	}
	return b
}

func (w *Writer) line(b []byte) { w.add(append(b, "\r\n"...)) }

// Capability writes the untagged CAPABILITY.
func (w *Writer) Capability(capabilities []string) {
	w.line(appendWords(append(w.buf, "* CAPABILITY"...), capabilities))
}

// Enabled writes what an ENABLE enabled, possibly nothing.
func (w *Writer) Enabled(capabilities []string) {
	w.line(appendWords(append(w.buf, "* ENABLED"...), capabilities))
}

// Exists, Recent and Expunge write the size of the mailbox and what changes it.
func (w *Writer) Exists(n uint32)    { w.count(n, " EXISTS") }
func (w *Writer) Recent(n uint32)    { w.count(n, " RECENT") }
func (w *Writer) Expunge(seq uint32) { w.count(seq, " EXPUNGE") }

func (w *Writer) count(n uint32, what string) {
	b := appendUint(append(w.buf, "* "...), uint64(n))
	w.line(append(b, what...))
}

// Vanished writes the UIDs of messages that are gone (RFC 7162 §3.2.10); earlier says that a client asked for them.
func (w *Writer) Vanished(earlier bool, uids Set) {
	b := append(w.buf, "* VANISHED "...)
	if earlier {
		b = append(b, "(EARLIER) "...)
	}
	w.line(uids.Append(b))
}

// Flags writes the flags of the mailbox.
func (w *Writer) Flags(flags []Flag) { w.line(appendFlags(append(w.buf, "* FLAGS "...), flags)) }

// ListData is a line of LIST or LSUB.
type ListData struct {
	LSub       bool
	Attrs      []MailboxAttr
	Delimiter  byte // 0 = none
	Mailbox    string
	Subscribed bool   // there are subscribed mailboxes below (CHILDINFO, RFC 5258 §3.5)
	OldName    string // that the mailbox had, if that is told (RFC 9051 §6.3.9.7)
}

// List writes a line of LIST or LSUB.
func (w *Writer) List(l *ListData) {
	b := append(w.buf, "* LIST ("...)
	if l.LSub {
		b = append(w.buf, "* LSUB ("...)
	}
	for i, attr := range l.Attrs {
		if i > 0 {
			b = append(b, ' ')
		}
		b = append(b, attr...)
	}
	b = append(appendDelimiter(append(b, ") "...), l.Delimiter), ' ')
	b = w.appendMailbox(b, l.Mailbox)
	if l.Subscribed {
		b = append(b, ` ("CHILDINFO" ("SUBSCRIBED"))`...)
	}
	if l.OldName != "" {
		b = append(w.appendMailbox(append(b, ` ("OLDNAME" (`...), l.OldName), "))"...)
	}
	w.line(b)
}

func appendDelimiter(b []byte, delimiter byte) []byte {
	if delimiter == 0 {
		return append(b, "NIL"...)
	}
	return appendString(b, []byte{delimiter})
}

// NamespaceData is a prefix and its hierarchy delimiter (RFC 2342).
type NamespaceData struct {
	Prefix    string
	Delimiter byte
}

// Namespace writes the personal namespaces, those of other users, and the shared ones.
func (w *Writer) Namespace(personal, others, shared []NamespaceData) {
	b := append(w.buf, "* NAMESPACE"...)
	for _, spaces := range [...][]NamespaceData{personal, others, shared} {
		if len(spaces) == 0 {
			b = append(b, " NIL"...)
			continue
		}
		b = append(b, " ("...)
		for _, space := range spaces {
			b = appendString(append(b, '('), mutf7.Encode(space.Prefix))
			b = append(appendDelimiter(append(b, ' '), space.Delimiter), ')')
		}
		b = append(b, ')')
	}
	w.line(b)
}

// ID writes what the server says of itself; NIL if that is nothing.
func (w *Writer) ID(params []IDParam) {
	b := append(w.buf, "* ID "...)
	if len(params) == 0 {
		w.line(append(b, "NIL"...))
		return
	}
	for i, param := range params {
		b = append(b, "( "[min(i, 1)])
		b = append(appendString(b, param.Key), ' ')
		if !param.Valid {
			b = append(b, "NIL"...)
			continue
		}
		b = appendString(b, param.Value)
	}
	w.line(append(b, ')'))
}

// StatusData is the state of a mailbox.
type StatusData struct {
	Messages, Recent, UIDNext, UIDValidity, Unseen, Deleted uint32
	Size, HighestModSeq, DeletedStorage                     uint64
	MailboxID                                               string
	AppendLimit                                             uint64 // 0 = none
}

func (d *StatusData) value(item StatusItems) uint64 {
	switch item {
	case StatusMessages:
		return uint64(d.Messages)
	case StatusRecent:
		return uint64(d.Recent)
	case StatusUIDNext:
		return uint64(d.UIDNext)
	case StatusUIDValidity:
		return uint64(d.UIDValidity)
	case StatusUnseen:
		return uint64(d.Unseen)
	case StatusDeleted:
		return uint64(d.Deleted)
	case StatusSize:
		return d.Size
	case StatusDeletedStorage:
		return d.DeletedStorage
	case StatusAppendLimit:
		return d.AppendLimit
	}
	return d.HighestModSeq
}

// Status writes the items of STATUS that were asked for.
func (w *Writer) Status(mailbox string, items StatusItems, data *StatusData) {
	b := w.appendMailbox(append(w.buf, "* STATUS "...), mailbox)
	b = append(b, " ("...)
	start := len(b)
	for _, s := range statusNames {
		if items&s.item == 0 {
			continue
		}
		if len(b) > start {
			b = append(b, ' ')
		}
		b = append(append(b, s.name...), ' ')
		switch {
		case s.item == StatusMailboxID:
			b = append(append(append(b, '('), data.MailboxID...), ')')
		case s.item == StatusAppendLimit && data.AppendLimit == 0:
			b = append(b, "NIL"...)
		default:
			b = appendUint(b, data.value(s.item))
		}
	}
	w.line(append(b, ')'))
}
