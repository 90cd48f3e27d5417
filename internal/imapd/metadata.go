package imapd

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"postrider/internal/imap"
	"postrider/internal/mailstore"
)

// metadata are the entries of a mailbox, or of the server, with the special use that it has by the administrator's choice.
func (s *session) metadata(name string) (map[string]string, error) {
	entries, err := s.o.Store.Metadata(name)
	if err != nil || name == "" {
		return entries, err
	}
	uses, err := s.specialUses()
	if err != nil {
		return nil, err
	}
	if list := uses.of(name); len(list) > 0 {
		entries[mailstore.SpecialUse] = joinUses(list)
	}
	return entries, nil
}

// getMetadata is GETMETADATA (RFC 5464 §4.2). As in Dovecot an entry that is named and not there is NIL.
func (s *session) getMetadata(c *imap.GetMetadata) reply {
	entries, err := s.metadata(c.Mailbox)
	if err != nil {
		return s.refusal("read metadata of", c.Mailbox, err)
	}
	found, longest := choose(entries, c)
	if len(found) > 0 {
		s.w.Metadata(c.Mailbox, found)
	}
	r := ok("Getmetadata completed.")
	if longest > 0 {
		r.code = imap.CodeMetadataLongEntries(uint64(longest))
	}
	return r
}

// choose returns the entries that are asked for, each once, and the size of the largest that the client does not want.
func choose(entries map[string]string, c *imap.GetMetadata) (found []imap.MetadataEntry, longest int) {
	seen := make(map[string]bool)
	add := func(name string, valid bool) {
		value := entries[name]
		switch {
		case seen[name]:
			return
		case c.MaxSize >= 0 && int64(len(value)) > c.MaxSize:
			longest = max(longest, len(value))
		default:
			found = append(found, imap.MetadataEntry{Name: name, Value: value, Valid: valid})
		}
		seen[name] = true
	}
	names := slices.Sorted(maps.Keys(entries))
	for _, asked := range c.Entries {
		if _, there := entries[asked]; there || c.Depth == imap.DepthZero {
			add(asked, there)
		}
		for _, name := range names {
			if below, ok := strings.CutPrefix(name, asked+"/"); ok &&
				(c.Depth == imap.DepthInfinity || c.Depth == imap.DepthOne && !strings.Contains(below, "/")) {
				add(name, true)
			}
		}
	}
	return found, longest
}

// setMetadata is SETMETADATA (RFC 5464 §4.3).
func (s *session) setMetadata(ctx context.Context, c *imap.SetMetadata) reply {
	changes := make([]mailstore.MetadataEntry, len(c.Entries))
	for i, e := range c.Entries {
		if c.Mailbox == "" && e.Name == "/shared/admin" { // of whom to ask for help (RFC 5464 §6.2.1.2)
			return no(imap.CodeNoPerm, "This entry is the administrator's.")
		}
		if e.Name == mailstore.SpecialUse && e.Valid && c.Mailbox != "" {
			uses, ok := parseUses(e.Value)
			if !ok || c.Mailbox == mailstore.Inbox {
				return badUse()
			}
			e.Value = joinUses(uses)
		}
		changes[i] = mailstore.MetadataEntry{Name: e.Name, Value: e.Value, Remove: !e.Valid}
	}
	err := s.o.Store.SetMetadata(ctx, c.Mailbox, changes)
	switch {
	case errors.Is(err, mailstore.ErrMetadataSize):
		return no(imap.CodeMetadataMaxSize(mailstore.MaxMetadataValue), "Metadata value is too large.")
	case errors.Is(err, mailstore.ErrMetadataCount):
		return no(imap.CodeMetadataTooMany, "Too many metadata entries.")
	case err != nil:
		return s.refusal("set metadata of", c.Mailbox, err)
	}
	return ok("Setmetadata completed.")
}
