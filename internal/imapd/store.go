package imapd

import (
	"context"
	"math"
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
// session changed more, and of new mod-sequences.
func (s *session) store(ctx context.Context, c *imap.Store) reply {
	since := uint64(math.MaxUint64)
	if c.UnchangedSince != nil {
		s.enableCondStore()
		since = *c.UnchangedSince
	}
	spans, found := s.box.find(c.Set, c.UID)
	switch {
	case !found:
		return badSet()
	case s.box.readOnly:
		return readOnly()
	}
	spans, lowest := s.limited(spans)
	st := storing{session: s, cmd: c, msgs: s.box.messages(spans)}
	if len(st.msgs) == 0 {
		return ok("Store completed.")
	}
	flags, keywords := splitFlags(c.Flags)
	op := flagOps[c.Op]
	s.countDeleted(st.msgs, op, flags)
	now, modified, err := s.box.StoreUnchanged(ctx, st.msgs, since, op, flags, keywords)
	s.newKeywords()
	switch {
	case err != nil:
		s.tell(otherThan(now, st.msgs, asBefore), c.UID)
	case c.Silent:
		st.tellSilent(now, s.box.after(op, flags, keywords))
	default:
		s.tell(now, c.UID)
	}
	s.tell(modified, c.UID)
	if err != nil {
		return s.refusal("store flags in", s.box.name, err)
	}
	return s.cut(st.reply(len(now), modified), lowest)
}

// storing is a STORE that is carried out.
type storing struct {
	*session
	cmd  *imap.Store
	msgs []*mailstore.Message // as they were before
}

// tellSilent tells what is not as the client takes it to be, and the mod-sequences of the others (RFC 7162 §3.1.3).
func (st *storing) tellSilent(now []*mailstore.Message, expected func(*mailstore.Message) (mailstore.Flags, mailstore.Keywords)) {
	other := otherThan(now, st.msgs, expected)
	if !st.on.condStore {
		st.tell(other, st.cmd.UID)
		return
	}
	view, before := st.box.Messages(), st.msgs
	for _, m := range now {
		for before[0].UID < m.UID {
			before = before[1:]
		}
		i, _ := position(view, m.UID)
		switch {
		case len(other) > 0 && other[0].UID == m.UID:
			other = other[1:]
			st.tellOne(i, m, st.cmd.UID)
		case m.ModSeq != before[0].ModSeq:
			st.beginTold(i, m, st.cmd.UID)
			st.box.said = max(st.box.said, m.ModSeq)
			st.w.FetchModSeq(m.ModSeq)
			st.w.EndFetch()
		}
	}
}

// reply names those that another had changed. UIDs that nothing has are no error. Message numbers are in a conditional STORE (RFC 7162 §3.1.3);
// in others, as in Dovecot, the client just hears that they are gone.
func (st *storing) reply(done int, modified []*mailstore.Message) reply {
	r := ok("Store completed.")
	if done+len(modified) < len(st.msgs) && !st.cmd.UID {
		r = expunged()
		if st.cmd.UnchangedSince == nil {
			r.status = imap.OK
		}
	}
	if len(modified) == 0 {
		return r
	}
	if r.status == imap.OK {
		r.text = "Conditional store failed."
	}
	r.code = imap.CodeModified(st.box.numbers(modified, st.cmd.UID))
	return r
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
