package imapd

import (
	"context"
	"errors"
	"sync/atomic"

	"postrider/internal/imap"
	"postrider/internal/mailstore"
	"postrider/internal/thread"
)

// thread is THREAD and UID THREAD (RFC 5256).
func (s *session) thread(ctx context.Context, tag string, c *imap.Thread) reply {
	seqs, lowest, r := s.find(ctx, tag, &c.Search)
	if r.status != "" {
		return r
	}
	if lowest > 0 {
		return s.overLimit()
	}
	messages, err := s.threadMessages(ctx, tag, seqs)
	if err != nil {
		return s.sortRefusal("thread", err)
	}
	var nodes []thread.Node
	switch c.Algorithm {
	case imap.ThreadOrderedSubject:
		nodes = thread.OrderedSubject(messages)
	case imap.ThreadReferences:
		nodes = thread.References(messages)
	case imap.ThreadRefs:
		nodes = thread.Refs(messages)
	}
	view := s.box.Messages()
	s.w.Thread(func(yield func(number uint32, answers int) bool) {
		for _, n := range nodes {
			number := uint32(0)
			if n.Message != thread.Absent {
				number = seqs[n.Message]
				if c.UID {
					number = view[number-1].UID
				}
			}
			if !yield(number, int(n.Answers)) {
				return
			}
		}
	})
	return ok("Thread completed.")
}

// threadMessages finds out by what messages are threaded. One that is gone has nothing.
func (s *session) threadMessages(ctx context.Context, tag string, seqs []uint32) ([]thread.Message, error) {
	view := s.box.Messages()
	messages := make([]thread.Message, len(seqs))
	var held atomic.Int64 // octets
	err := s.survey(ctx, tag, len(seqs), true, func(h *headers) func(i int) error {
		src := source{box: s.box.Mailbox}
		return func(i int) error {
			src.Message = view[seqs[i]-1]
			m, err := h.threadMessage(ctx, &src)
			if errors.Is(err, mailstore.ErrExpunged) {
				return nil
			}
			if messages[i] = m; held.Add(int64(len(m.Key))) > s.o.sorted {
				return errTooMuch
			}
			return err
		}
	})
	return messages, err
}

// threadMessage is what a message is threaded by.
func (h *headers) threadMessage(ctx context.Context, src *source) (m thread.Message, err error) {
	key, sent, err := h.key(ctx, src)
	if err != nil {
		return m, err
	}
	date, err := src.date(ctx, sent)
	return thread.Message{Key: key, Date: date}, err
}
