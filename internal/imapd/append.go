package imapd

import (
	"context"
	"errors"
	"io"

	"postrider/internal/imap"
	"postrider/internal/mailstore"
)

// appendBuffer is the largest piece of a message in memory.
const appendBuffer = 64 << 10

// appendMessage is APPEND. A message that is refused before it is asked for is skipped by the Reader, or is not sent at all.
func (s *session) appendMessage(ctx context.Context, c *imap.Append) reply {
	switch {
	case c.Message.Size == 0:
		return no("", "Can't save a zero byte message.")
	case s.o.MessageSize > 0 && c.Message.Size > s.o.MessageSize:
		return no(imap.CodeTooBig, "Message is too large.")
	}
	a, err := s.o.Store.Append(c.Mailbox)
	if err != nil {
		return s.destination("append to", c.Mailbox, err)
	}
	defer a.Close()
	if err := s.o.Store.Room(ctx, c.Message.Size); err != nil {
		return s.destination("append to", c.Mailbox, err)
	}
	flags, keywords := splitFlags(c.Flags)
	m, err := a.Create(flags, keywords, c.Date)
	if err != nil {
		return s.destination("append to", c.Mailbox, err)
	}
	if r, whole := s.receive(ctx, c, m); !whole {
		return r
	}
	validity, uids, err := a.Commit(ctx)
	if err != nil {
		return s.destination("append to", c.Mailbox, err)
	}
	return reply{status: imap.OK, code: imap.CodeAppendUID(validity, uids[0]), text: "Append completed."}
}

// receive reads the message into the store, and to its end even if the store does not take it. If whole is false it is not
// to be kept.
func (s *session) receive(ctx context.Context, c *imap.Append, m *mailstore.NewMessage) (r reply, whole bool) {
	err := c.Message.Accept()
	to := &diskWriter{to: m}
	if err == nil {
		_, err = io.CopyBuffer(to, onlyReader{c.Message}, make([]byte, min(c.Message.Size, appendBuffer)))
	}
	if err == nil || to.err != nil {
		err = c.Message.End()
	}
	refused := (*imap.CommandError)(nil)
	switch {
	case errors.As(err, &refused):
		return reply{status: refused.Status, code: refused.Code, text: refused.Text}, false
	case err != nil:
		s.failed(ctx, err)
		return reply{}, false
	case to.err != nil:
		return s.destination("append to", c.Mailbox, to.err), false
	}
	return reply{}, true
}

// diskWriter remembers the error of the store, to tell it from one of the connection.
type diskWriter struct {
	to  io.Writer
	err error
}

func (w *diskWriter) Write(b []byte) (n int, err error) {
	n, w.err = w.to.Write(b)
	return n, w.err
}

// onlyReader hides everything but Read, so that the buffer is what is used.
type onlyReader struct{ io.Reader }
