package imapd

import (
	"slices"

	"postrider/internal/imap"
)

// wentWithRev2 names what a command asks for that IMAP4rev2 has no more (RFC 9051 appendix E); "" = nothing.
func wentWithRev2(command imap.Command) string {
	switch c := command.(type) {
	case *imap.Status:
		return recentItem(c.Items)
	case *imap.List:
		return recentItem(c.Status)
	case searching:
		return recentKey(c.Program())
	case *imap.Fetch:
		if slices.ContainsFunc(c.Items, func(i imap.FetchItem) bool { return i.Attr.Old() }) {
			return "RFC822"
		}
	}
	return ""
}

func recentItem(items imap.StatusItems) string {
	if items&imap.StatusRecent != 0 {
		return "RECENT"
	}
	return ""
}

// recentKey finds RECENT, and NEW and OLD, which are made of it.
func recentKey(k *imap.Key) string {
	if k.Any(func(k *imap.Key) bool { return k.Flag == imap.FlagRecent }) {
		return "RECENT"
	}
	return ""
}

// listSelected tells the name of a mailbox that is selected (RFC 9051 §6.3.2).
func (s *session) listSelected(name string) {
	data := imap.ListData{Delimiter: separator, Mailbox: name}
	if uses, err := s.specialUses(); err == nil {
		data.Attrs = uses.of(name)
	}
	s.w.List(&data)
}

// listRenamed tells the new name of a mailbox (RFC 9051 §6.3.9.7).
func (s *session) listRenamed(from, to string) {
	s.w.List(&imap.ListData{Delimiter: separator, Mailbox: to, OldName: from})
}
