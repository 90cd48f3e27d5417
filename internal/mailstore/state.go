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
	for i, m := range list {
		if m.Flags&Seen == 0 {
			if c.Unseen == 0 {
				c.FirstUnseen = i + 1
			}
			c.Unseen++
		}
		if m.Flags&Deleted != 0 {
			c.Deleted++
		}
		if m.inNew {
			c.New++
		}
	}
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
