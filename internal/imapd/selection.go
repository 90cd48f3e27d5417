package imapd

import (
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

// known is the mod-sequence up to which the client was told all.
func (b *selection) known() uint64 {
	if b.untold {
		return b.modSeq
	}
	return b.HighestModSeq()
}

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
