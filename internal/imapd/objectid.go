package imapd

import (
	"context"
	"fmt"
	"time"

	"postrider/internal/imap"
	"postrider/internal/mailstore"
)

// Saved is when the message came into its folder (RFC 8514), or when it arrived, if its name does not tell.
func (s *source) Saved(ctx context.Context) (time.Time, error) {
	if saved := s.Message.Saved(); !saved.IsZero() {
		return saved, nil
	}
	return s.Arrived(ctx)
}

// ThreadID is the same for all messages that name the same one first (RFC 8474 §5.2), "" for one without any.
func (c *candidate) ThreadID(ctx context.Context) (string, error) {
	return c.headers.threadID(ctx, &c.source)
}

func (h *headers) threadID(ctx context.Context, s *source) (string, error) {
	key, _, err := h.key(ctx, s)
	if err != nil {
		return "", err
	}
	root, ok := key.Root()
	if !ok {
		return "", nil
	}
	return fmt.Sprintf("T%016x", root), nil
}

// identify finds out what only a FETCH of these items needs.
func (f *fetching) identify(m *mailstore.Message) (err error) {
	src := source{f.box.Mailbox, m}
	for i := range f.items {
		switch f.items[i].Attr {
		case imap.FetchEmailID:
			f.message.EmailID = m.EmailID()
		case imap.FetchThreadID:
			f.message.ThreadID, err = f.headers.threadID(f.ctx, &src)
		case imap.FetchSaveDate:
			f.message.Saved, err = src.Saved(f.ctx)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
