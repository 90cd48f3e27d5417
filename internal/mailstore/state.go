package mailstore

import (
	"cmp"
	"slices"
)

// state is what sessions see of a folder at a time. It never changes.
type state struct {
	uidValidity uint32
	uidNext     uint32
	modSeq      uint64 // the largest that was given: HIGHESTMODSEQ
	guid        string // of the mailbox
	messages    []*Message
	keywords    KeywordNames
	letters     letterSums // of keywords
	counts      Counts
	size        sizes

	vanished    []vanished // the last that went, in order
	vanishedAll uint64     // all that went after it are in vanished
}

// Counts are numbers of a folder's messages.
type Counts struct {
	Messages    int
	Unseen      int
	FirstUnseen int // sequence number of the first, 0 = none
	Deleted     int
	New         int // in new: \Recent to whoever opens the folder read-only
}

func countMessages(list []*Message) (c Counts) {
	c.Messages = len(list)
	for _, m := range list {
		c.add(m, 1)
	}
	c.findUnseen(list, 0)
	return c
}

// add counts a message, or with -1 takes it off; FirstUnseen is not known then.
func (c *Counts) add(m *Message, n int) {
	if m.Flags&Seen == 0 {
		c.Unseen += n
	}
	if m.Flags&Deleted != 0 {
		c.Deleted += n
	}
	if m.inNew {
		c.New += n
	}
}

// findUnseen looks for the first unseen message; those before index from are seen.
func (c *Counts) findUnseen(list []*Message, from int) {
	c.FirstUnseen = 0
	if c.Unseen == 0 {
		return
	}
	if i := slices.IndexFunc(list[from:], func(m *Message) bool { return m.Flags&Seen == 0 }); i >= 0 {
		c.FirstUnseen = from + i + 1
	}
}

// recounted are the counts after a difference. Only the messages that it names are looked at, and those up to the first unseen.
func (d *difference) recounted(old *state, now []*Message) Counts {
	if old == nil {
		return countMessages(now)
	}
	c, from := old.counts, len(now)
	c.Messages = len(now)
	if c.FirstUnseen > 0 {
		from = min(from, c.FirstUnseen-1)
	}
	count := func(uid uint32, m *Message) {
		if was := old.find(uid); was != nil {
			c.add(was, -1)
		}
		if m != nil {
			c.add(m, 1)
		}
		i, _ := position(now, uid)
		from = min(from, i)
	}
	for _, list := range [][]*Message{d.put, d.added} {
		for _, m := range list {
			count(m.UID, m)
		}
	}
	for _, uid := range d.gone {
		count(uid, nil)
	}
	c.findUnseen(now, from)
	return c
}

// find returns the message of a UID as it is now, nil = none.
func (s *state) find(uid uint32) *Message {
	if i, ok := position(s.messages, uid); ok {
		return s.messages[i]
	}
	return nil
}

func position(list []*Message, uid uint32) (int, bool) {
	return slices.BinarySearchFunc(list, uid, func(m *Message, uid uint32) int { return cmp.Compare(m.UID, uid) })
}

// cursor finds messages of a list by UID; those that are asked for in their order cost nothing.
type cursor struct {
	list []*Message
	at   int
}

func (c *cursor) find(uid uint32) (int, bool) {
	i, ok := c.at, c.at < len(c.list) && c.list[c.at].UID == uid
	if !ok {
		i, ok = position(c.list, uid)
	}
	if ok {
		c.at = i + 1
	}
	return i, ok
}
