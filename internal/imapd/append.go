package imapd

import (
	"bufio"
	"context"
	"errors"
	"io"
	"math"

	"postrider/internal/imap"
	"postrider/internal/mailstore"
	"postrider/internal/mime"
)

// appendBuffer is the largest piece of a message in memory.
const appendBuffer = 64 << 10

// appendMessages is APPEND. Messages that are refused before they are asked for are skipped by the Reader, or are not sent at
// all.
func (s *session) appendMessages(ctx context.Context, c *imap.Append) reply {
	code, r, done := s.take(ctx, c.Mailbox, c.Messages)
	if !done {
		return r
	}
	return reply{status: imap.OK, code: code, text: "Append completed."}
}

// take puts what the client brings into a mailbox, all or nothing, and says where it is. If it is not done, r is why.
func (s *session) take(ctx context.Context, mailbox string, messages *imap.Incoming) (where imap.Code, r reply, done bool) {
	to, err := s.o.Store.Append(mailbox)
	if err != nil {
		return "", s.destination("append to", mailbox, err), false
	}
	defer to.Close()
	in := incoming{session: s, ctx: ctx, messages: messages, to: to}
	defer in.close()
	err = in.all()
	var validity uint32
	var uids []uint32
	if err == nil {
		if validity, uids, err = to.Commit(ctx); err != nil {
			err = &storeError{err}
		}
	}
	if err != nil {
		return "", in.refuse(mailbox, err), false
	}
	var set imap.Set
	for _, uid := range uids {
		set = set.Add(uid)
	}
	return imap.CodeAppendUID(validity, set), reply{}, true
}

// incoming are messages on their way into a mailbox.
type incoming struct {
	*session
	ctx      context.Context
	messages *imap.Incoming
	to       *mailstore.Append
	accepted bool  // octets were asked for: the client is sending
	room     int64 // octets that the message may still have
	octets   int64 // of the messages before
	buffer   []byte
	from     sources
}

func (in *incoming) close() { in.from.close() }

// answered is an error with its answer.
type answered struct{ reply }

func (a answered) Error() string { return a.text }

func errEmpty() error { return answered{no("", "Can't save a zero byte message.")} }

// storeError is one of the store.
type storeError struct{ error }

func (e *storeError) Unwrap() error { return e.error }

// all reads the messages into the store, to the end of the command.
func (in *incoming) all() error {
	for {
		m, err := in.messages.Next()
		if err == io.EOF {
			return nil
		}
		if err == nil {
			err = in.one(m)
		}
		if err != nil {
			return err
		}
	}
}

func (in *incoming) one(m *imap.Message) error {
	if in.room = math.MaxInt64; in.o.MessageSize > 0 {
		in.room = in.o.MessageSize
	}
	before := in.room
	part, err := m.Next()
	if err == nil {
		err = in.check(part)
	}
	if err == nil && part.URL == "" && part.Size == 0 && !m.Catenated {
		err = errEmpty()
	}
	if err == nil {
		err = in.fits(part.Size)
	}
	if err != nil {
		return err
	}
	flags, keywords := splitFlags(m.Flags)
	draft, err := in.to.Create(flags, keywords, m.Date)
	if err != nil {
		return &storeError{err}
	}
	if m.Catenated || part.Binary {
		err = in.encoded(m, part, draft)
	} else {
		err = in.parts(m, part, draft)
	}
	if err == nil && in.room == before {
		err = errEmpty()
	}
	in.octets += before - in.room
	return err
}

// fits asks whether there is room for what came and for what is announced, before that is sent.
func (in *incoming) fits(octets int64) error {
	if err := in.o.Store.Room(in.ctx, in.octets+octets); err != nil {
		return &storeError{err}
	}
	return nil
}

// encoded puts a message into the store that may have parts in binary.
func (in *incoming) encoded(m *imap.Message, part *imap.Part, draft io.Writer) error {
	buffered := bufio.NewWriterSize(draft, appendBuffer)
	encoder := mime.NewEncoder(buffered)
	if err := in.parts(m, part, encoder); err != nil {
		return err
	}
	err := encoder.Close()
	if err == nil {
		err = buffered.Flush()
	}
	if err != nil {
		return &storeError{err}
	}
	return nil
}

// parts puts together a message that begins with part.
func (in *incoming) parts(m *imap.Message, part *imap.Part, to io.Writer) (err error) {
	dst := &diskWriter{to: to}
	for ; err == nil; part, err = m.Next() {
		if err := in.part(part, dst); err != nil {
			return err
		}
	}
	if err == io.EOF {
		return nil
	}
	return err
}

// check refuses octets that are too many (RFC 7889 §4).
func (in *incoming) check(part *imap.Part) error {
	if part.Size > in.room {
		return answered{no(imap.CodeTooBig, "Message is too large.")}
	}
	return nil
}

// part puts a part of a message where it belongs.
func (in *incoming) part(part *imap.Part, to *diskWriter) error {
	if part.URL != "" {
		return in.copyURL(part.URL, to)
	}
	if err := in.check(part); err != nil {
		return err
	}
	in.accepted = true
	if err := part.Accept(); err != nil {
		return err
	}
	in.room -= part.Size
	if int64(len(in.buffer)) < min(part.Size, appendBuffer) {
		in.buffer = make([]byte, min(part.Size, appendBuffer))
	}
	if part.Size == 0 {
		return nil
	}
	_, err := io.CopyBuffer(to, onlyReader{part}, in.buffer)
	if to.err != nil {
		return &storeError{to.err}
	}
	return err
}

// refuse is the answer to an error. A client that is sending is heard to the end first.
func (in *incoming) refuse(mailbox string, err error) reply {
	if in.accepted {
		if err := in.messages.End(); err != nil && !errors.As(err, new(*imap.CommandError)) {
			in.failed(in.ctx, err)
			return reply{}
		}
	}
	var answer answered
	var store *storeError
	var wrong *imap.CommandError
	switch {
	case errors.As(err, &answer):
		return answer.reply
	case errors.As(err, &wrong):
		return reply{status: wrong.Status, code: wrong.Code, text: wrong.Text}
	case errors.Is(err, mime.ErrEncoding):
		return no(imap.CodeUnknownCTE, "The header of a part in binary is too long.")
	case errors.As(err, &store):
		return in.destination("append to", mailbox, store.error)
	}
	in.failed(in.ctx, err)
	return reply{}
}

// diskWriter remembers the error of the store, to tell it from one of what is read.
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
