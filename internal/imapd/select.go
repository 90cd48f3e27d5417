package imapd

import (
	"context"
	"errors"
	"time"

	"postrider/internal/fetch"
	"postrider/internal/imap"
	"postrider/internal/mailstore"
)

// leave gives up the selected mailbox.
func (s *session) leave() {
	if s.box == nil {
		return
	}
	s.notifyLeft()
	s.box.Close()
	s.box = nil
	s.fetcher.Forget()
	s.r.State = imap.Authenticated
}

// leaveAloud also tells the client, which did not ask for it (RFC 7162 §3.2.11).
func (s *session) leaveAloud() {
	if s.box != nil {
		s.leave()
		s.w.Untagged(imap.OK, imap.CodeClosed, "Previous mailbox closed.")
	}
}

// selectMailbox is SELECT and EXAMINE. What a client knows of another UIDVALIDITY is nothing (RFC 7162 §3.2.5).
func (s *session) selectMailbox(ctx context.Context, c *imap.Select) reply {
	if c.QResync != nil && !s.on.qresync {
		return bad("QRESYNC is not enabled.")
	}
	s.leaveAloud()
	box, err := s.o.Store.Open(ctx, c.Mailbox, c.ReadOnly)
	if box == nil {
		return s.refusal("select", c.Mailbox, err)
	}
	if err != nil {
		s.o.Log.Warn("select %s: %v", c.Mailbox, err)
	}
	s.fetcher = fetch.Fetcher{Cache: box.Cache(), Crew: s.o.Crew}
	s.box = &selection{Mailbox: box, on: &s.on, name: c.Mailbox, readOnly: c.ReadOnly, synced: time.Now()}
	s.r.State = imap.Selected
	s.on.condStore = s.on.condStore || c.CondStore
	back := c.QResync != nil && c.QResync.UIDValidity == box.UIDValidity()
	since := uint64(0)
	if back {
		since = s.box.Since(c.QResync.ModSeq)
	}
	s.describe()
	if back {
		s.resync(c.QResync, since)
	}
	if c.ReadOnly {
		return reply{status: imap.OK, code: imap.CodeReadOnly, text: "Examine completed."}
	}
	return reply{status: imap.OK, code: imap.CodeReadWrite, text: "Select completed."}
}

// describe tells all of the mailbox, in Dovecot's order.
func (s *session) describe() {
	b, view := s.box, s.box.Messages()
	s.tellFlags()
	s.w.Exists(uint32(len(view)))
	unseen := b.Counts().FirstUnseen
	b.recent = b.RecentCount()
	if !s.on.rev2 {
		s.w.Recent(uint32(b.recent))
	}
	if unseen > 0 && !s.on.uidOnly && !s.on.rev2 {
		s.w.Untagged(imap.OK, imap.CodeUnseen(uint32(unseen)), "First unseen.")
	}
	s.w.Untagged(imap.OK, imap.CodeUIDValidity(b.UIDValidity()), "UIDs valid")
	s.w.Untagged(imap.OK, imap.CodeUIDNext(b.UIDNext()), "Predicted next UID")
	s.w.Untagged(imap.OK, imap.CodeMailboxID(b.ID()), "Mailbox ID")
	b.modSeq = b.HighestModSeq()
	s.tellModSeq()
	if s.on.rev2 {
		s.listSelected(b.name)
	}
}

// tellFlags tells the flags of the mailbox, and which can be changed.
func (s *session) tellFlags() {
	s.box.keywords = *s.box.Keywords()
	flags, room := s.box.allFlags()
	s.w.Flags(flags)
	if s.box.readOnly {
		s.w.Untagged(imap.OK, imap.CodePermanentFlags(nil, false), "Read-only mailbox.")
		return
	}
	s.w.Untagged(imap.OK, imap.CodePermanentFlags(flags, room), "Flags permitted.")
}

// closeMailbox removes the messages with \Deleted, and says nothing of them (RFC 3501 §6.4.2).
func (s *session) closeMailbox(ctx context.Context) reply {
	defer s.leave()
	if s.box.readOnly {
		return ok("Close completed.")
	}
	_, err := s.box.Sync(ctx, mailstore.All)
	if err == nil || errors.Is(err, mailstore.ErrUnwritable) {
		_, err = s.removeDeleted(ctx, nil)
	}
	if err != nil {
		r := s.refusal("close", s.box.name, err)
		s.w.Untagged(r.status, r.code, r.text)
	}
	return ok("Close completed.")
}

// expunge is EXPUNGE and UID EXPUNGE (RFC 4315 §2.1). The view is brought up to date first: a message that another session
// undeleted stays.
func (s *session) expunge(ctx context.Context, c *imap.Expunge) reply {
	if s.box.readOnly {
		return readOnly()
	}
	var set imap.Set
	if c.UID {
		set = c.Set.Resolve(lastUID(s.box.Messages())) // what the client knows as "*", not what comes now
	}
	if !s.sync(ctx, mailstore.All, c.UID) {
		return gone()
	}
	lowest, err := s.removeDeleted(ctx, set)
	if err != nil {
		return s.refusal("expunge", s.box.name, err)
	}
	return s.cut(ok("Expunge completed."), lowest)
}

// removeDeleted removes messages with \Deleted, of a set of UIDs if it is not nil: then of so many only those with the highest, down
// to lowest.
func (s *session) removeDeleted(ctx context.Context, set imap.Set) (lowest uint32, err error) {
	view := s.box.Messages()
	spans := []span{{0, len(view)}}
	if set != nil {
		spans = findUIDs(view, set)
	}
	var deleted []span
	for _, sp := range spans {
		for i := sp.lo; i < sp.hi; i++ {
			if view[i].Flags&mailstore.Deleted != 0 {
				deleted = add(deleted, i)
			}
		}
	}
	if len(deleted) == 0 {
		return 0, nil
	}
	if set != nil {
		deleted, lowest = s.limited(deleted)
	}
	s.sum.Expunged += length(deleted)
	return lowest, s.box.ExpungeDeleted(ctx, s.box.messages(deleted))
}
