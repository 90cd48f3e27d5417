package imapd

import (
	"context"

	"postrider/internal/imap"
	"postrider/internal/mailstore"
)

// copy is COPY and UID COPY. Messages that another session removed meanwhile are not copied; the rest is.
func (s *session) copy(ctx context.Context, c *imap.Copy) reply {
	spans, found := s.box.find(c.Set, c.UID)
	if !found {
		return badSet()
	}
	if length(spans) > s.o.limit {
		return s.overLimit()
	}
	msgs := s.box.messages(spans)
	if len(msgs) == 0 {
		return ok("No messages found.")
	}
	copied, err := s.box.Copy(ctx, msgs, c.Mailbox)
	if err != nil {
		return s.destination("copy to", c.Mailbox, err)
	}
	if len(copied.To) == 0 {
		return expunged()
	}
	s.countTrashed(c.Mailbox, len(copied.To))
	r := reply{status: imap.OK, code: copyUID(copied), text: "Copy completed."}
	if len(copied.To) < len(msgs) {
		r.text = someGone
	}
	return r
}

// move is MOVE and UID MOVE (RFC 6851). What was moved is told before the EXPUNGEs, which follow as the command ends.
func (s *session) move(ctx context.Context, c *imap.Move) reply {
	spans, found := s.box.find(c.Set, c.UID)
	if !found {
		return badSet()
	}
	if s.box.readOnly {
		return readOnly()
	}
	spans, lowest := s.limited(spans)
	msgs := s.box.messages(spans)
	if len(msgs) == 0 {
		return ok("No messages found.")
	}
	moved, err := s.box.Move(ctx, msgs, c.Mailbox)
	if len(moved.To) > 0 {
		s.w.Untagged(imap.OK, copyUID(moved), "Moved UIDs.")
		s.countTrashed(c.Mailbox, len(moved.To))
	}
	switch {
	case err != nil:
		return s.destination("move to", c.Mailbox, err)
	case len(moved.To) == 0:
		return expunged()
	}
	s.sum.Expunged += len(moved.To)
	return s.cut(ok("Move completed."), lowest)
}

// copyUID says which UID each message has got; both sets have the same order.
func copyUID(c mailstore.Copied) imap.Code {
	var from, to imap.Set
	for i := range c.To {
		from, to = from.Add(c.From[i]), to.Add(c.To[i])
	}
	return imap.CodeCopyUID(c.UIDValidity, from, to)
}

func (s *session) countTrashed(name string, n int) {
	for _, f := range s.o.Folders {
		if f.Attr == imap.AttrTrash && f.Name == name {
			s.sum.Trashed += n
		}
	}
}
