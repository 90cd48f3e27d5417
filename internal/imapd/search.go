package imapd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"postrider/internal/imap"
	"postrider/internal/mailstore"
	"postrider/internal/search"
)

// candidate is a message that a search looks at.
type candidate struct {
	source
	box *selection
	seq uint32
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

// search is SEARCH and UID SEARCH (RFC 3501 §6.4.4, RFC 4731). Numbers that are out of range find nothing, as in Dovecot.
func (s *session) search(ctx context.Context, tag string, c *imap.Search) reply {
	if s.on.rev2 && !c.Extended {
		c.Extended, c.Return = true, imap.ReturnAll
	}
	if c.Return&imap.ReturnSave != 0 {
		s.box.saved = nil // should it fail
	}
	modSeqs := c.Key.Any(ofModSeqs)
	if modSeqs {
		s.enableCondStore()
		if !s.sync(ctx, viewMode(c.UID), c.UID) {
			return gone()
		}
	}
	s.box.numberKeys(&c.Key)
	view := s.box.Messages()
	query, err := search.New(c, uint32(len(view)), lastUID(view))
	if errors.Is(err, search.ErrCharset) {
		return no(imap.CodeBadCharset, "Unknown charset.")
	}
	if err != nil {
		return s.refusal("search", s.box.name, err)
	}
	candidates, lowest := s.candidates(query)
	found, err := s.matches(ctx, tag, query, candidates, c.UID)
	if err != nil {
		return s.refusal("search", s.box.name, err)
	}
	result := imap.SearchResult{UID: c.UID, Return: c.Return, Partial: c.Partial, Found: found}
	if modSeqs {
		result.ModSeq = s.box.highestOf(&result)
	}
	s.box.save(&result)
	switch {
	case !c.Extended:
		s.w.Search(&result)
	case c.Return != imap.ReturnSave:
		s.w.ESearch(tag, &result)
	}
	return s.cut(ok("Search completed."), lowest)
}

// candidates are the numbers of the messages that are looked at, and the lowest UID of them if there are others.
func (s *session) candidates(query *search.Query) (numbers imap.Set, lowest uint32) {
	all := query.Candidates(uint32(len(s.box.Messages())))
	if all.Len() <= uint64(s.o.limit) {
		return all, 0
	}
	numbers = all.Slice(imap.ResultRange{First: -1, Last: -int64(s.o.limit)})
	return numbers, s.box.Messages()[numbers[0].Start-1].UID
}

// matches returns the numbers or UIDs of what is found. A message that is gone is not.
func (s *session) matches(ctx context.Context, tag string, query *search.Query, candidates imap.Set, uid bool) (found imap.Set, err error) {
	view := s.box.Messages()
	c := candidate{source: source{box: s.box.Mailbox}, box: s.box}
	said := time.Now()
	for _, r := range candidates {
		for seq := r.Start; seq <= r.Stop; seq++ {
			c.seq, c.source.Message = seq, view[seq-1]
			match, err := query.Match(ctx, &c)
			if err != nil && !errors.Is(err, mailstore.ErrExpunged) {
				return nil, err
			}
			if match && err == nil {
				found = found.Add(number(&c, uid))
			}
			if err := s.progress(&said, tag, uint64(seq), uint64(len(view))); err != nil {
				return nil, err
			}
			if err := ctx.Err(); err != nil {
				return nil, err
			}
		}
	}
	return found, nil
}

func number(c *candidate, uid bool) uint32 {
	if uid {
		return c.UID()
	}
	return c.Seq()
}

func ofModSeqs(k *imap.Key) bool { return k.Op == imap.KeyModSeq }

// progress tells a client that waits how much of total is done for it (RFC 9585), and finds out whether it is still there.
func (s *session) progress(said *time.Time, tag string, done, total uint64) error {
	if time.Since(*said) < s.stream.times.silence {
		return nil
	}
	*said = time.Now()
	s.w.Untagged(imap.OK, imap.CodeInProgress(tag, done, total), fmt.Sprintf("Searched %d%% of the mailbox", done*100/total))
	return s.w.Flush()
}
