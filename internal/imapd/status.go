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
	s.tellStatus(c.Mailbox, c.Items, data)
	return ok("Status completed.")
}

// tellStatus adds what is the same of every mailbox.
func (s *session) tellStatus(name string, items imap.StatusItems, data *imap.StatusData) {
	data.AppendLimit = uint64(max(s.o.MessageSize, 0))
	s.w.Status(name, items, data)
}

func (s *session) statusOf(ctx context.Context, name string, items imap.StatusItems) (*imap.StatusData, error) {
	if s.box != nil && s.box.name == name {
		if !s.sync(ctx, mailstore.All, false) {
			return nil, mailstore.ErrReset
		}
		return counts(ctx, s.box.Mailbox, items)
	}
	st, err := s.o.Store.Status(ctx, name)
	if st.UIDValidity == 0 {
		return nil, err
	}
	if err != nil {
		s.o.Log.Warn("status of %s: %v", name, err)
	}
	if items&imap.StatusSize != 0 && !st.Sized || items&imap.StatusDeletedStorage != 0 && st.Deleted > 0 {
		return s.statusByMessage(ctx, name, items)
	}
	return &imap.StatusData{Messages: uint32(st.Messages), UIDNext: st.UIDNext, UIDValidity: st.UIDValidity, MailboxID: st.ID, HighestModSeq: st.ModSeq,
		Unseen: uint32(st.Unseen), Deleted: uint32(st.Deleted), Recent: uint32(st.Recent), Size: uint64(st.Size)}, nil
}

// statusByMessage looks at messages, for what is not known of all together.
func (s *session) statusByMessage(ctx context.Context, name string, items imap.StatusItems) (*imap.StatusData, error) {
	box, err := s.o.Store.Open(ctx, name, true)
	if box == nil {
		return nil, err
	}
	defer box.Close()
	return counts(ctx, box, items)
}

// counts adds up what was asked of a mailbox.
func counts(ctx context.Context, box *mailstore.Mailbox, items imap.StatusItems) (*imap.StatusData, error) {
	c := box.Counts()
	d := &imap.StatusData{Messages: uint32(c.Messages), UIDNext: box.UIDNext(), UIDValidity: box.UIDValidity(), MailboxID: box.ID(), HighestModSeq: box.HighestModSeq(),
		Unseen: uint32(c.Unseen), Deleted: uint32(c.Deleted), Recent: uint32(box.RecentCount())}
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
	if sum, ok := box.Size(); ok {
		d.Size = uint64(sum)
		return nil
	}
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
