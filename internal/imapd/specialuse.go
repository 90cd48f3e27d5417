package imapd

import (
	"context"
	"slices"
	"strings"

	"postrider/internal/imap"
	"postrider/internal/mailstore"
)

// choosable are the special uses that a user may give to a folder (RFC 6154 §2); \All and \Flagged would be views of all mail.
var choosable = []imap.MailboxAttr{imap.AttrArchive, imap.AttrDrafts, imap.AttrJunk, imap.AttrSent, imap.AttrTrash}

func badUse() reply {
	return no(imap.CodeUseAttr, "A folder can be for \\Archive, \\Drafts, \\Junk, \\Sent or \\Trash.")
}

// findUses returns attributes as they are written; ok is false where one cannot be chosen.
func findUses(names []string) (uses []imap.MailboxAttr, ok bool) {
	for _, name := range names {
		i := slices.IndexFunc(choosable, func(a imap.MailboxAttr) bool { return strings.EqualFold(string(a), name) })
		if i < 0 {
			return nil, false
		}
		if !slices.Contains(uses, choosable[i]) {
			uses = append(uses, choosable[i])
		}
	}
	return uses, true
}

// parseUses reads the entry that says what a folder is for: attributes with spaces between.
func parseUses(value string) ([]imap.MailboxAttr, bool) { return findUses(strings.Fields(value)) }

func joinUses(uses []imap.MailboxAttr) string {
	words := make([]string, len(uses))
	for i, use := range uses {
		words[i] = string(use)
	}
	return strings.Join(words, " ")
}

// specialUses is what the folders are for: by the user's choice, and for the uses that the user gave to none by the administrator's.
type specialUses struct {
	chosen   map[string][]imap.MailboxAttr // by folder
	defaults []SpecialFolder
}

func (s *session) specialUses() (specialUses, error) {
	uses := specialUses{defaults: s.o.Folders}
	entries, err := s.o.Store.SpecialUses()
	if err != nil || len(entries) == 0 {
		return uses, err
	}
	uses.chosen = make(map[string][]imap.MailboxAttr)
	var taken []imap.MailboxAttr
	for name, value := range entries {
		if list, ok := parseUses(value); ok {
			uses.chosen[name] = list
			taken = append(taken, list...)
		}
	}
	uses.defaults = slices.DeleteFunc(slices.Clone(s.o.Folders), func(f SpecialFolder) bool { return slices.Contains(taken, f.Attr) })
	return uses, nil
}

// of are the uses of a folder.
func (u *specialUses) of(name string) []imap.MailboxAttr {
	uses := u.chosen[name]
	for _, f := range u.defaults {
		if f.Name == name && name != "" {
			uses = append(uses[:len(uses):len(uses)], f.Attr)
		}
	}
	return uses
}

// createFor is CREATE with special uses (RFC 6154 §3).
func (s *session) createFor(ctx context.Context, name string, wanted []imap.MailboxAttr) reply {
	names := make([]string, len(wanted))
	for i, use := range wanted {
		names[i] = string(use)
	}
	chosen, ok := findUses(names)
	if !ok {
		return badUse()
	}
	if err := s.o.Store.Create(name); err != nil {
		return s.refusal("create", name, err)
	}
	entry := mailstore.MetadataEntry{Name: mailstore.SpecialUse, Value: joinUses(chosen)}
	if err := s.o.Store.SetMetadata(ctx, name, []mailstore.MetadataEntry{entry}); err != nil {
		if gone := s.o.Store.Delete(name); gone != nil {
			s.o.Log.Warn("take back %s: %v", name, gone)
		}
		return s.refusal("create", name, err)
	}
	return s.created(name)
}
