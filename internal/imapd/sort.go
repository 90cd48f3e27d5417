package imapd

import (
	"context"
	"errors"
	"sync/atomic"

	"postrider/internal/imap"
	"postrider/internal/mailstore"
	"postrider/internal/sortkey"
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
	uids := make([]uint32, len(seqs))
	for i, seq := range seqs {
		uids[i] = s.box.Messages()[seq-1].UID
	}
	columns := make([]sortkey.Column, len(c.By))
	for i, by := range c.By {
		ranks, err := s.ranks(ctx, tag, seqs, uids, by.Key)
		if err != nil {
			return s.sortRefusal("sort", err)
		}
		columns[i] = sortkey.Column{Ranks: ranks, Reverse: by.Reverse}
	}
	sorted := make([]uint32, len(seqs))
	for i, m := range sortkey.Order(columns) {
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

func (s *session) sortRefusal(op string, err error) reply {
	if errors.Is(err, errTooMuch) {
		return no(imap.CodeLimit, "Too many messages.")
	}
	return s.refusal(op, s.box.name, err)
}

// ranks are those of messages by a criterion. What is found out of half of the folder or more is kept with it.
func (s *session) ranks(ctx context.Context, tag string, seqs, uids []uint32, by imap.SortKey) ([]uint32, error) {
	if known := s.box.Ranks().Find(by, s.box.UIDValidity(), uids); known != nil {
		return known, nil
	}
	values, whole, err := s.sortValues(ctx, tag, seqs, by)
	if err != nil {
		return nil, err
	}
	ranks := sortkey.Rank(values)
	if whole && 2*len(uids) >= len(s.box.Messages()) {
		s.box.Ranks().Keep(by, s.box.UIDValidity(), uids, ranks)
	}
	return ranks, nil
}

// maxSorted is how many octets of texts or keys one command may sort.
const maxSorted = 256 << 20

var errTooMuch = errors.New("too many messages to sort")

// sortValues finds out by what messages are sorted. If some are gone, which have nothing, that is not the whole.
func (s *session) sortValues(ctx context.Context, tag string, seqs []uint32, by imap.SortKey) (values []sortkey.Value, whole bool, err error) {
	view := s.box.Messages()
	values = make([]sortkey.Value, len(seqs))
	var held atomic.Int64 // octets
	var gone atomic.Bool
	err = s.survey(ctx, tag, len(seqs), true, func(h *headers) func(i int) error {
		src := source{box: s.box.Mailbox}
		return func(i int) error {
			src.Message = view[seqs[i]-1]
			value, err := h.sortValue(ctx, &src, by)
			if errors.Is(err, mailstore.ErrExpunged) {
				gone.Store(true)
				return nil
			}
			if values[i] = value; held.Add(int64(value.Size())) > s.o.sorted {
				return errTooMuch
			}
			return err
		}
	})
	return values, !gone.Load(), err
}

// sortValue is what a message is compared by.
func (h *headers) sortValue(ctx context.Context, src *source, by imap.SortKey) (sortkey.Value, error) {
	switch by {
	case imap.SortArrival:
		date, err := src.Arrived(ctx)
		return sortkey.Number(date.Unix()), err
	case imap.SortDate:
		sent, err := h.sent(ctx, src)
		if err != nil {
			return sortkey.Value{}, err
		}
		date, err := src.date(ctx, sent)
		return sortkey.Number(date), err
	case imap.SortSize:
		size, err := src.Wire(ctx)
		return sortkey.Number(size), err
	}
	key, _, err := h.key(ctx, src)
	return sortkey.Text(key.Text(by)), err
}

// date is when a message was sent, or else when it arrived (RFC 5256 §2.2), in seconds from 1 January 1970 UTC.
func (s *source) date(ctx context.Context, sent sortkey.Sent) (int64, error) {
	if sent.Known {
		return sent.Unix(), nil
	}
	arrived, err := s.Arrived(ctx)
	return arrived.Unix(), err
}
