package imapd

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"

	"postrider/internal/imap"
	"postrider/internal/mailstore"
	"postrider/internal/sortkey"
	"postrider/internal/thread"
)

// sort is SORT and UID SORT (RFC 5256, RFC 5267).
func (s *session) sort(ctx context.Context, tag string, c *imap.Sort) reply {
	seqs, lowest, r := s.find(ctx, tag, &c.Search)
	if r.status != "" {
		return r
	}
	if lowest > 0 {
		return s.overLimit()
	}
	asks := func(keys ...imap.SortKey) bool {
		return slices.ContainsFunc(c.By, func(by imap.SortCriterion) bool { return slices.Contains(keys, by.Key) })
	}
	messages, err := s.sortMessages(ctx, tag, seqs, needed{
		arrival: asks(imap.SortArrival), sent: asks(imap.SortDate), size: asks(imap.SortSize),
		texts: asks(imap.SortCc, imap.SortDisplayFrom, imap.SortDisplayTo, imap.SortFrom, imap.SortSubject, imap.SortTo),
	})
	if err != nil {
		return s.sortRefusal("sort", err)
	}
	sorted := make([]uint32, len(seqs))
	for i, m := range sortkey.Order(messages, c.By) {
		sorted[i] = seqs[m]
	}
	result := s.result(&c.Search, sorted)
	if !c.Extended {
		s.w.Sort(result)
	} else if c.Return != imap.ReturnSave {
		s.w.ESearch(tag, result)
	}
	return ok("Sort completed.")
}

// thread is THREAD and UID THREAD (RFC 5256).
func (s *session) thread(ctx context.Context, tag string, c *imap.Thread) reply {
	seqs, lowest, r := s.find(ctx, tag, &c.Search)
	if r.status != "" {
		return r
	}
	if lowest > 0 {
		return s.overLimit()
	}
	messages, err := s.sortMessages(ctx, tag, seqs, needed{sent: true, texts: true})
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

func (s *session) sortRefusal(op string, err error) reply {
	if errors.Is(err, errTooMuch) {
		return no(imap.CodeLimit, "Too many messages.")
	}
	return s.refusal(op, s.box.name, err)
}

// needed is what of messages they are sorted by.
type needed struct {
	arrival, sent, size bool
	texts               bool // and references
}

// maxSorted is how many octets of keys one command may sort.
const maxSorted = 256 << 20

var errTooMuch = errors.New("too many messages to sort")

// sortMessages finds out by what messages are sorted. A message that is gone has nothing.
func (s *session) sortMessages(ctx context.Context, tag string, seqs []uint32, need needed) ([]sortkey.Message, error) {
	view := s.box.Messages()
	messages := make([]sortkey.Message, len(seqs))
	var held atomic.Int64 // octets of keys
	err := s.survey(ctx, tag, len(seqs), true, func(h *headers) func(i int) error {
		l := sortLooker{needed: need, source: source{box: s.box.Mailbox}, headers: h}
		return func(i int) error {
			l.source.Message = view[seqs[i]-1]
			err := l.look(ctx, &messages[i])
			if errors.Is(err, mailstore.ErrExpunged) {
				return nil
			}
			if held.Add(int64(len(messages[i].Key))) > s.o.sorted {
				return errTooMuch
			}
			return err
		}
	})
	return messages, err
}

// sortLooker looks at one message after the other.
type sortLooker struct {
	needed
	source  source
	headers *headers
}

// look finds what is needed of m.
func (l *sortLooker) look(ctx context.Context, m *sortkey.Message) (err error) {
	var sent sortkey.Sent
	if l.texts {
		m.Key, sent, err = l.headers.key(ctx, &l.source)
	} else if l.sent {
		sent, err = l.headers.sent(ctx, &l.source)
	}
	if err != nil {
		return err
	}
	if l.arrival || l.sent && !sent.Known {
		date, err := l.source.Arrived(ctx)
		if err != nil {
			return err
		}
		m.Arrived = date.Unix()
	}
	if m.Date = m.Arrived; sent.Known {
		m.Date = sent.Unix()
	}
	if l.size {
		m.Size, err = l.source.Wire(ctx)
	}
	return err
}
