package imapd

import (
	"context"
	"errors"
	"strings"

	"postrider/internal/imap"
	"postrider/internal/mailstore"
	"postrider/internal/search"
)

// candidate is a message that a search looks at.
type candidate struct {
	source
	box     *selection
	seq     uint32
	headers *headers
}

func (c *candidate) Header(ctx context.Context) ([]byte, error) { return c.headers.of(ctx, &c.source) }

// Sent gives the time in the Date field, as it is written there.
func (c *candidate) Sent(ctx context.Context) (int64, error) {
	sent, err := c.headers.sent(ctx, &c.source)
	return sent.Written, err
}

func (c *candidate) Seq() uint32 { return c.seq }
func (c *candidate) UID() uint32 { return c.Message.UID }

func (c *candidate) ModSeq() uint64 { return c.Message.ModSeq }

// Has says whether the message has a system flag or a keyword.
func (c *candidate) Has(flag imap.Flag) bool {
	if flag == imap.FlagRecent {
		return c.box.Recent(c.Message.UID)
	}
	for _, f := range systemFlags {
		if f.name == flag {
			return c.Message.Flags&f.bit != 0
		}
	}
	if c.Message.Keywords == 0 {
		return false
	}
	for i, name := range c.box.Keywords() {
		if c.Message.Keywords&(1<<i) != 0 && strings.EqualFold(name, string(flag)) {
			return true
		}
	}
	return false
}

// search is SEARCH and UID SEARCH (RFC 3501 §6.4.4, RFC 4731).
func (s *session) search(ctx context.Context, tag string, c *imap.Search) reply {
	if s.on.utf8 && c.Charset != "" { // RFC 6855 §3
		return bad("Texts are in UTF-8, no charset is named.")
	}
	if s.on.rev2 && !c.Extended {
		c.Extended, c.Return = true, imap.ReturnAll
	}
	seqs, lowest, r := s.find(ctx, tag, c)
	if r.status != "" {
		return r
	}
	result := s.result(c, seqs)
	if !c.Extended {
		s.w.Search(result)
	} else if c.Return != imap.ReturnSave {
		s.w.ESearch(tag, result)
	}
	return s.cut(ok("Search completed."), lowest)
}

// find gives the numbers of the messages that a SEARCH, SORT or THREAD is about, ascending, and the lowest UID of those that were
// looked at if there are others; or the answer, if they cannot be found. Numbers that are out of range find nothing, as in
// Dovecot.
func (s *session) find(ctx context.Context, tag string, c *imap.Search) (seqs []uint32, lowest uint32, r reply) {
	if c.Return&imap.ReturnSave != 0 {
		s.box.saved = nil // should it fail
	}
	if c.Key.Any(ofModSeqs) {
		s.enableCondStore()
		if !s.sync(ctx, viewMode(c.UID), c.UID) {
			return nil, 0, gone()
		}
	}
	s.box.numberKeys(&c.Key)
	view := s.box.Messages()
	query, err := search.New(c, uint32(len(view)), lastUID(view))
	if errors.Is(err, search.ErrCharset) {
		return nil, 0, no(imap.CodeBadCharset, "Unknown charset.")
	}
	if err == nil {
		seqs, lowest = s.candidates(query)
		seqs, err = s.matches(ctx, tag, query, seqs)
	}
	if err != nil {
		return nil, 0, s.refusal("search", s.box.name, err)
	}
	return seqs, lowest, reply{}
}

// result is what a SEARCH or SORT tells of messages, in the order in which they are given. It is saved if that was asked for.
func (s *session) result(c *imap.Search, seqs []uint32) *imap.SearchResult {
	view := s.box.Messages()
	r := &imap.SearchResult{UID: c.UID, Return: c.Return, Partial: c.Partial}
	for _, seq := range seqs {
		number := seq
		if c.UID {
			number = view[seq-1].UID
		}
		r.Found = r.Found.Add(number)
	}
	if c.Key.Any(ofModSeqs) {
		r.ModSeq = s.box.highestOf(r)
	}
	s.box.save(r)
	return r
}

// candidates are the numbers of the messages that are looked at, and the lowest UID of them if there are others.
func (s *session) candidates(query *search.Query) (seqs []uint32, lowest uint32) {
	all := query.Candidates(uint32(len(s.box.Messages())))
	if all.Len() > uint64(s.o.limit) {
		all = all.Slice(imap.ResultRange{First: -1, Last: -int64(s.o.limit)})
		lowest = s.box.Messages()[all[0].Start-1].UID
	}
	seqs = make([]uint32, 0, all.Len())
	for _, r := range all {
		for seq := r.Start; seq <= r.Stop; seq++ {
			seqs = append(seqs, seq)
		}
	}
	return seqs, lowest
}

// matches leaves of the numbers those of what is found. A message that is gone is not.
func (s *session) matches(ctx context.Context, tag string, query *search.Query, seqs []uint32) ([]uint32, error) {
	if query.All() {
		return seqs, nil
	}
	view := s.box.Messages()
	hits := make([]bool, len(seqs))
	err := s.survey(ctx, tag, len(seqs), query.Slow(), func(h *headers) func(i int) error {
		c := candidate{source: source{box: s.box.Mailbox}, box: s.box, headers: h}
		return func(i int) (err error) {
			c.seq, c.source.Message = seqs[i], view[seqs[i]-1]
			hits[i], err = query.Match(ctx, &c)
			if errors.Is(err, mailstore.ErrExpunged) {
				hits[i], err = false, nil
			}
			return err
		}
	})
	found := seqs[:0]
	for i, hit := range hits {
		if hit {
			found = append(found, seqs[i])
		}
	}
	return found, err
}

func ofModSeqs(k *imap.Key) bool { return k.Op == imap.KeyModSeq }
