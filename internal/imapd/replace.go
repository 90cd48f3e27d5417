package imapd

import (
	"context"

	"postrider/internal/imap"
)

// replace is REPLACE and UID REPLACE (RFC 8508): the new message is durable before the old one goes, whatever its flags. The
// client hears of the new one first; EXPUNGE, or VANISHED, follows as the command ends.
func (s *session) replace(ctx context.Context, c *imap.Replace) reply {
	spans, found := s.box.find(imap.Set{{Start: c.Message, Stop: c.Message}}, c.UID)
	switch {
	case !found:
		return badSet()
	case s.box.readOnly:
		return readOnly()
	case len(spans) == 0:
		return no(imap.CodeNonExistent, "No such message.")
	}
	old := s.box.messages(spans)
	where, r, done := s.take(ctx, c.Mailbox, c.By)
	if !done {
		return r
	}
	s.w.Untagged(imap.OK, where, "Replacement Message ready")
	if err := s.box.Expunge(ctx, old); err != nil {
		return s.refusal("remove what was replaced from", s.box.name, err)
	}
	s.sum.Expunged++
	return ok("Replace completed.")
}
