package imapd

import (
	"context"
	"slices"
	"strings"

	"postrider/internal/imap"
	"postrider/internal/mailstore"
)

var flagOps = [...]mailstore.FlagOp{
	imap.StoreReplace: mailstore.ReplaceFlags,
	imap.StoreAdd:     mailstore.AddFlags,
	imap.StoreRemove:  mailstore.RemoveFlags,
}

// store is STORE and UID STORE. The client hears of every message, or, of those that it asked silence for, where another
// session changed more.
func (s *session) store(ctx context.Context, c *imap.Store) reply {
	spans, found := s.box.find(c.Set, c.UID)
	switch {
	case !found:
		return badSet()
	case c.UnchangedSince != nil:
		return bad("No mod-sequences are kept.")
	case s.box.readOnly:
		return readOnly()
	}
	msgs := s.box.messages(spans)
	if len(msgs) == 0 {
		return ok("Store completed.")
	}
	flags, keywords := splitFlags(c.Flags)
	op := flagOps[c.Op]
	s.countDeleted(msgs, op, flags)
	now, err := s.box.StoreFlags(ctx, msgs, op, flags, keywords)
	s.newKeywords()
	changed := now
	switch {
	case err != nil:
		changed = otherThan(now, msgs, asBefore)
	case c.Silent:
		changed = otherThan(now, msgs, s.box.after(op, flags, keywords))
	}
	s.tell(changed, c.UID)
	switch {
	case err != nil:
		return s.refusal("store flags in", s.box.name, err)
	case len(now) < len(msgs) && !c.UID: // UIDs that nothing has are no error
		return expunged()
	}
	return ok("Store completed.")
}

func (s *session) countDeleted(msgs []*mailstore.Message, op mailstore.FlagOp, flags mailstore.Flags) {
	if op == mailstore.RemoveFlags || flags&mailstore.Deleted == 0 {
		return
	}
	for _, m := range msgs {
		if m.Flags&mailstore.Deleted == 0 {
			s.sum.Deleted++
		}
	}
}

// after returns what a change makes of a message's flags.
func (b *selection) after(op mailstore.FlagOp, flags mailstore.Flags, keywords []string) func(*mailstore.Message) (mailstore.Flags, mailstore.Keywords) {
	set, named := mailstore.Keywords(0), mailstore.Keywords(0)
	for i, name := range b.Keywords() {
		if name != "" {
			named |= 1 << i
		}
		if containsFold(keywords, name) {
			set |= 1 << i
		}
	}
	return func(m *mailstore.Message) (mailstore.Flags, mailstore.Keywords) {
		switch op {
		case mailstore.AddFlags:
			return m.Flags | flags, m.Keywords | set
		case mailstore.RemoveFlags:
			return m.Flags &^ flags, m.Keywords &^ set
		}
		return flags, m.Keywords&^named | set
	}
}

func asBefore(m *mailstore.Message) (mailstore.Flags, mailstore.Keywords) { return m.Flags, m.Keywords }

// otherThan returns those messages that are not now as expected of what they were before; both lists ascend.
func otherThan(now, before []*mailstore.Message, expected func(*mailstore.Message) (mailstore.Flags, mailstore.Keywords)) (list []*mailstore.Message) {
	for _, m := range now {
		for len(before) > 0 && before[0].UID < m.UID {
			before = before[1:]
		}
		if len(before) == 0 {
			return list
		}
		if flags, keywords := expected(before[0]); m.Flags != flags || m.Keywords != keywords {
			list = append(list, m)
		}
	}
	return list
}

func containsFold(list []string, name string) bool {
	return slices.ContainsFunc(list, func(s string) bool { return strings.EqualFold(s, name) })
}
