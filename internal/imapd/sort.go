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

const (
	maxSorted   = 256 << 20 // octets of keys that one command may sort
	maxSortKeys = 16 << 20  // octets of keys that are kept with a mailbox
)

var errTooMuch = errors.New("too many messages to sort")

// sortKeys are the keys of messages by their UIDs, kept for as long as a client works with a mailbox: sorting again is fast.
type sortKeys struct {
	keys   map[uint32]sortkey.Key
	octets int
}

// add keeps keys, all or, where there are too many, none.
func (k *sortKeys) add(view []*mailstore.Message, seqs []uint32, messages []sortkey.Message, octets int) {
	if octets == 0 || k.octets+octets > maxSortKeys {
		return
	}
	if k.keys == nil {
		k.keys = make(map[uint32]sortkey.Key, len(seqs))
	}
	for i, seq := range seqs {
		if messages[i].Key != "" {
			k.keys[view[seq-1].UID] = messages[i].Key
		}
	}
	k.octets += octets
}

// sortMessages finds out by what messages are sorted. A message that is gone has nothing.
func (s *session) sortMessages(ctx context.Context, tag string, seqs []uint32, need needed) ([]sortkey.Message, error) {
	view, kept := s.box.Messages(), &s.box.sortKeys
	messages := make([]sortkey.Message, len(seqs))
	octets := make([]int, len(seqs)) // of the keys that were made
	var held atomic.Int64            // of all keys
	err := s.survey(ctx, tag, len(seqs), true, func(h *headers) func(i int) error {
		l := sortLooker{needed: need, source: source{box: s.box.Mailbox}, maker: sortkey.NewMaker(), headers: h}
		return func(i int) error {
			l.source.Message = view[seqs[i]-1]
			messages[i].Key = kept.keys[l.source.Message.UID]
			err := l.look(ctx, &messages[i], &octets[i])
			if held.Add(int64(len(messages[i].Key))) > s.o.sorted {
				return errTooMuch
			}
			if errors.Is(err, mailstore.ErrExpunged) {
				return nil
			}
			return err
		}
	})
	if err != nil {
		return nil, err
	}
	made := 0
	for _, n := range octets {
		made += n
	}
	kept.add(view, seqs, messages, made)
	return messages, nil
}

// sortLooker looks at one message after the other.
type sortLooker struct {
	needed
	source  source
	maker   *sortkey.Maker
	headers *headers
	buf     []byte
}

// look adds to m what is needed and not there.
func (l *sortLooker) look(ctx context.Context, m *sortkey.Message, made *int) error {
	if m.Key == "" && l.sent || l.texts && (m.Key == "" || m.Key.Brief()) {
		header, err := l.headers.of(ctx, &l.source)
		if err != nil {
			return err
		}
		if l.texts {
			l.buf = l.maker.Append(l.buf[:0], header)
		} else {
			l.buf = l.maker.AppendBrief(l.buf[:0], header)
		}
		m.Key, *made = sortkey.Key(l.buf), len(l.buf)
	}
	_, sent := m.Sent()
	if l.arrival || l.sent && !sent {
		date, err := l.source.Arrived(ctx)
		if err != nil {
			return err
		}
		m.Arrived = date.Unix()
	}
	if l.size {
		size, err := l.source.Wire(ctx)
		if err != nil {
			return err
		}
		m.Size = size
	}
	return nil
}
