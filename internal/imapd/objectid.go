package imapd

import (
	"bytes"
	"cmp"
	"context"
	"time"

	"postrider/internal/imap"
	"postrider/internal/mailstore"
	"postrider/internal/mime"
)

// Saved is when the message came into its folder (RFC 8514), or when it arrived, if its name does not tell.
func (s *source) Saved(ctx context.Context) (time.Time, error) {
	if saved := s.Message.Saved(); !saved.IsZero() {
		return saved, nil
	}
	return s.Arrived(ctx)
}

// ThreadID is the same for all messages whose References begin with the same message (RFC 8474 §5.2), "" for one without any.
func (c *candidate) ThreadID(ctx context.Context) (string, error) {
	header, err := c.Header(ctx)
	if err != nil {
		return "", err
	}
	return threadID(header), nil
}

func threadID(header []byte) string {
	root := threadRoot(header)
	if root == "" {
		return ""
	}
	return "T" + mailstore.ObjectID(root)
}

// maxMessageID is how long an identifier in a header may be.
const maxMessageID = 998

// threadFields are those that name the first message of a thread, the best first.
var threadFields = [...]string{"references", "in-reply-to", "message-id"}

// threadRoot is the identifier of the first message in the thread of a message.
func threadRoot(header []byte) string {
	var ids [len(threadFields)]string
	for name, body := range mime.Fields(header) {
		for i, f := range threadFields {
			if ids[i] == "" && bytes.EqualFold(name, []byte(f)) {
				ids[i] = messageID(body)
			}
		}
	}
	return cmp.Or(ids[:]...)
}

// messageID is the first identifier in the body of a field, with its brackets.
func messageID(body []byte) string {
	start := bytes.IndexByte(body, '<')
	if start < 0 {
		return ""
	}
	end := bytes.IndexByte(body[start:], '>')
	if end < 0 || end > maxMessageID {
		return ""
	}
	return string(body[start : start+end+1])
}

// identify finds out what only a FETCH of these items needs.
func (f *fetching) identify(m *mailstore.Message) (err error) {
	src := source{f.box.Mailbox, m}
	var header []byte
	for i := range f.items {
		switch f.items[i].Attr {
		case imap.FetchEmailID:
			f.message.EmailID = m.EmailID()
		case imap.FetchThreadID:
			header, err = f.headers.of(f.ctx, &src)
			f.message.ThreadID = threadID(header)
		case imap.FetchSaveDate:
			f.message.Saved, err = src.Saved(f.ctx)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
