package imapd

import (
	"cmp"
	"slices"
	"time"

	"postrider/internal/imap"
	"postrider/internal/mailstore"
)

// selection is the selected mailbox, and what the client was told of it.
type selection struct {
	*mailstore.Mailbox
	name     string
	readOnly bool

	on       *enabled
	keywords mailstore.KeywordNames
	recent   int
	modSeq   uint64   // of the last Sync whose changes the client was told all of
	untold   bool     // flags changed of which a NOTIFY let it not hear: it knows no later state
	said     uint64   // the largest mod-sequence that it was told
	saved    imap.Set // UIDs of the last SEARCH that was to be saved (RFC 5182)
	synced   time.Time
	hinted   bool   // hints of changes come since it was last synced
	trouble  string // the error of the last Sync, which was logged
}

// span is the messages lo to hi-1 of a view.
type span struct{ lo, hi int }

// find returns the messages of a set, ascending. UIDs that nothing has are passed over; of message numbers that is an error,
// as in Dovecot: the client and the session do not mean the same mailbox.
func (b *selection) find(set imap.Set, uid bool) ([]span, bool) {
	view := b.Messages()
	switch {
	case uid:
		return findUIDs(view, set), true
	case len(set) == 0:
		return nil, true
	}
	resolved := set.Resolve(uint32(len(view)))
	if len(resolved) == 0 || resolved[len(resolved)-1].Stop > uint32(len(view)) {
		return nil, false
	}
	spans := make([]span, len(resolved))
	for i, r := range resolved {
		spans[i] = span{int(r.Start) - 1, int(r.Stop)}
	}
	return spans, true
}

func findUIDs(view []*mailstore.Message, set imap.Set) (spans []span) {
	for _, r := range set.Resolve(lastUID(view)) {
		lo, _ := position(view, r.Start)
		hi, found := position(view[lo:], r.Stop)
		if hi += lo; found {
			hi++
		}
		if lo < hi {
			spans = append(spans, span{lo, hi})
		}
	}
	return spans
}

func position(view []*mailstore.Message, uid uint32) (int, bool) {
	return slices.BinarySearchFunc(view, uid, func(m *mailstore.Message, uid uint32) int { return cmp.Compare(m.UID, uid) })
}

func lastUID(view []*mailstore.Message) uint32 {
	if len(view) == 0 {
		return 0
	}
	return view[len(view)-1].UID
}

// messages are those of spans, not to be changed.
func (b *selection) messages(spans []span) []*mailstore.Message {
	view := b.Messages()
	if len(spans) == 1 {
		return view[spans[0].lo:spans[0].hi:spans[0].hi]
	}
	var list []*mailstore.Message
	for _, sp := range spans {
		list = append(list, view[sp.lo:sp.hi]...)
	}
	return list
}

// badSet is the answer to message numbers that are out of range.
func badSet() reply { return bad("Invalid messageset.") }

var systemFlags = [...]struct {
	bit  mailstore.Flags
	name imap.Flag
}{
	{mailstore.Answered, imap.FlagAnswered},
	{mailstore.Flagged, imap.FlagFlagged},
	{mailstore.Deleted, imap.FlagDeleted},
	{mailstore.Seen, imap.FlagSeen},
	{mailstore.Draft, imap.FlagDraft},
}

// flagNames appends the flags of a message in Dovecot's order.
func (b *selection) flagNames(list []imap.Flag, m *mailstore.Message) []imap.Flag {
	for _, f := range systemFlags {
		if m.Flags&f.bit != 0 {
			list = append(list, f.name)
		}
	}
	if !b.on.rev2 && b.Recent(m.UID) {
		list = append(list, imap.FlagRecent)
	}
	if m.Keywords == 0 {
		return list
	}
	for i, name := range b.Keywords() {
		if m.Keywords&(1<<i) != 0 && name != "" {
			list = append(list, imap.Flag(name))
		}
	}
	return list
}

// splitFlags divides what a client names into what the store keeps apart.
func splitFlags(list []imap.Flag) (flags mailstore.Flags, keywords []string) {
next:
	for _, name := range list {
		for _, f := range systemFlags {
			if f.name == name {
				flags |= f.bit
				continue next
			}
		}
		keywords = append(keywords, string(name))
	}
	return flags, keywords
}

// allFlags are those of the mailbox.
func (b *selection) allFlags() (flags []imap.Flag, room bool) {
	for _, f := range systemFlags {
		flags = append(flags, f.name)
	}
	names, room := b.AllKeywords()
	for _, name := range names {
		flags = append(flags, imap.Flag(name))
	}
	return flags, room
}
