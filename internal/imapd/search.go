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
	if c.Return&imap.ReturnSave != 0 {
		s.box.saved = nil // should it fail
	}
	modSeqs := asksModSeq(&c.Key)
	if modSeqs {
		s.enableCondStore()
		if !s.sync(ctx, viewMode(c.UID), c.UID) {
			return gone()
		}
	}
	view := s.box.Messages()
	query, err := search.New(c, uint32(len(view)), lastUID(view))
	if errors.Is(err, search.ErrCharset) {
		return no(imap.CodeBadCharset, "Unknown charset.")
	}
	if err != nil {
		return s.refusal("search", s.box.name, err)
	}
	found, err := s.matches(ctx, query, c.UID)
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
	return ok("Search completed.")
}

// matches returns the numbers or UIDs of what is found. A message that is gone is not.
func (s *session) matches(ctx context.Context, query *search.Query, uid bool) (found imap.Set, err error) {
	view := s.box.Messages()
	c := candidate{source: source{box: s.box.Mailbox}, box: s.box}
	said := time.Now()
	for _, r := range query.Candidates(uint32(len(view))) {
		for seq := r.Start; seq <= r.Stop; seq++ {
			c.seq, c.source.Message = seq, view[seq-1]
			match, err := query.Match(ctx, &c)
			if err != nil && !errors.Is(err, mailstore.ErrExpunged) {
				return nil, err
			}
			if match && err == nil {
				found = found.Add(number(&c, uid))
			}
			if err := s.progress(&said, seq, len(view)); err != nil {
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

// asksModSeq says whether a search depends on mod-sequences. The depth of keys is bounded by package imap.
func asksModSeq(k *imap.Key) bool {
	if k.Op == imap.KeyModSeq {
		return true
	}
	for i := range k.Keys {
		if asksModSeq(&k.Keys[i]) {
			return true
		}
	}
	return false
}

// searchSilence is how long a client hears nothing of a search, as in Dovecot.
const searchSilence = 10 * time.Second

// progress tells a client that waits that something is done for it, and finds out whether it is still there.
func (s *session) progress(said *time.Time, seq uint32, total int) error {
	if time.Since(*said) < searchSilence {
		return nil
	}
	*said = time.Now()
	s.w.Untagged(imap.OK, "", fmt.Sprintf("Searched %d%% of the mailbox", uint64(seq)*100/uint64(total)))
	return s.w.Flush()
}
