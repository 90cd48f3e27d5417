package imapd

import (
	"context"

	"postrider/internal/imap"
	"postrider/internal/mailstore"
)

// status is STATUS. The mailbox that is selected is brought up to date before, so that both answers agree.
func (s *session) status(ctx context.Context, c *imap.Status) reply {
	if c.Items&imap.StatusHighestModSeq != 0 {
		s.enableCondStore()
	}
	data, err := s.statusOf(ctx, c.Mailbox, c.Items)
	if err != nil {
		return s.refusal("status of", c.Mailbox, err)
	}
	s.w.Status(c.Mailbox, c.Items, data)
	return ok("Status completed.")
}

func (s *session) statusOf(ctx context.Context, name string, items imap.StatusItems) (*imap.StatusData, error) {
	if s.box != nil && s.box.name == name {
		if !s.sync(ctx, mailstore.All, false) {
			return nil, mailstore.ErrReset
		}
		return counts(ctx, s.box.Mailbox, items)
	}
	box, err := s.o.Store.Open(ctx, name, true)
	if box == nil {
		return nil, err
	}
	defer box.Close()
	if err != nil {
		s.o.Log.Warn("status of %s: %v", name, err)
	}
	return counts(ctx, box, items)
}

// counts adds up what was asked of a mailbox.
func counts(ctx context.Context, box *mailstore.Mailbox, items imap.StatusItems) (*imap.StatusData, error) {
	view := box.Messages()
	d := &imap.StatusData{Messages: uint32(len(view)), UIDNext: box.UIDNext(), UIDValidity: box.UIDValidity(), MailboxID: box.ID(), HighestModSeq: box.HighestModSeq()}
	for _, m := range view {
		if m.Flags&mailstore.Seen == 0 {
			d.Unseen++
		}
		if m.Flags&mailstore.Deleted != 0 {
			d.Deleted++
		}
		if box.Recent(m.UID) {
			d.Recent++
		}
	}
	if items&imap.StatusDeletedStorage != 0 {
		var err error
		if d.DeletedStorage, err = deletedStorage(ctx, box); err != nil {
			return nil, err
		}
	}
	if items&imap.StatusSize != 0 {
		return d, addSizes(ctx, box, d)
	}
	return d, nil
}

// addSizes adds up the messages as a client is served, from their names where those say it (RFC 8438).
func addSizes(ctx context.Context, box *mailstore.Mailbox, d *imap.StatusData) error {
	for _, m := range box.Messages() {
		if _, size, ok := m.Sizes(); ok {
			d.Size += uint64(size)
			continue
		}
		info, err := box.Info(ctx, m)
		if err != nil {
			return err
		}
		d.Size += uint64(info.Wire)
	}
	return nil
}
