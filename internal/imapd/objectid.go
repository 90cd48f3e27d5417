package imapd

import (
	"bufio"
	"bytes"
	"context"
	"io"
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

// ThreadID is the same for all messages whose References begin with the same message (RFC 8474 §5.2), "" for one without any.
func (s *source) ThreadID(ctx context.Context) (string, error) {
	file, err := s.Open(ctx)
	if err != nil {
		return "", err
	}
	defer file.Close()
	root, err := threadRoot(file)
	if root == "" || err != nil {
		return "", err
	}
	return "T" + mailstore.ObjectID(root), nil
}

// maxThreadHeader is how much of a header is looked at, and maxMessageID how long an identifier in it may be.
const (
	maxThreadHeader = 64 << 10
	maxMessageID    = 998
)

// threadFields are those that name the first message of a thread, the best first.
var threadFields = [...]string{"references", "in-reply-to", "message-id"}

// threadRoot is the identifier of the first message in the thread of a message.
func threadRoot(message io.Reader) (string, error) {
	lines := bufio.NewReaderSize(io.LimitReader(message, maxThreadHeader), 4<<10)
	var ids [len(threadFields)]string
	at, whole := -1, true // the field that the line belongs to; the piece before was a line's end
	for {
		line, err := lines.ReadSlice('\n')
		if whole && len(bytes.TrimRight(line, "\r\n")) == 0 {
			break
		}
		if whole && line[0] != ' ' && line[0] != '\t' {
			at, line = threadField(line)
		}
		if at >= 0 && ids[at] == "" {
			ids[at] = messageID(line)
		}
		whole = err == nil
		if err == io.EOF {
			break
		}
		if err != nil && err != bufio.ErrBufferFull {
			return "", err
		}
	}
	for _, id := range ids {
		if id != "" {
			return id, nil
		}
	}
	return "", nil
}

// threadField says which of threadFields a line begins, -1 = none, and what stands behind its colon.
func threadField(line []byte) (int, []byte) {
	name, body, _ := bytes.Cut(line, []byte(":"))
	name = bytes.TrimRight(name, " \t")
	for i, f := range threadFields {
		if bytes.EqualFold(name, []byte(f)) {
			return i, body
		}
	}
	return -1, nil
}

// messageID is the first identifier in a line, with its brackets.
func messageID(line []byte) string {
	start := bytes.IndexByte(line, '<')
	if start < 0 {
		return ""
	}
	end := bytes.IndexByte(line[start:], '>')
	if end < 0 || end > maxMessageID {
		return ""
	}
	return string(line[start : start+end+1])
}

// identify finds out what only a FETCH of these items needs.
func (f *fetching) identify(m *mailstore.Message) (err error) {
	src := source{f.box.Mailbox, m}
	for i := range f.items {
		switch f.items[i].Attr {
		case imap.FetchEmailID:
			f.message.EmailID = m.EmailID()
		case imap.FetchThreadID:
			f.message.ThreadID, err = src.ThreadID(f.ctx)
		case imap.FetchSaveDate:
			f.message.Saved, err = src.Saved(f.ctx)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
