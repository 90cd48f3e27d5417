package sortkey

import (
	"cmp"
	"encoding/binary"
	"slices"
	"strings"

	"postrider/internal/imap"
)

// Message is one of those that are sorted or threaded. Times are in seconds from 1 January 1970 UTC; what nothing asks for may be
// left out.
type Message struct {
	Key
	Date    int64 // when it was sent, or else when it arrived (RFC 5256 §2.2)
	Arrived int64
	Size    int64 // octets
}

// Order gives the indices of messages in the order of the criteria; those that are equal by all of them stay in theirs
// (RFC 5256 §3).
func Order(messages []Message, by []imap.SortCriterion) []int32 {
	type entry struct {
		first uint64 // as much of the first criterion
		i     int32
	}
	entries := make([]entry, len(messages))
	for i := range messages {
		entries[i] = entry{messages[i].beginning(by[0]), int32(i)}
	}
	slices.SortFunc(entries, func(a, b entry) int {
		if a.first != b.first {
			return cmp.Compare(a.first, b.first)
		}
		for _, c := range by {
			if n := messages[a.i].compare(&messages[b.i], c); n != 0 {
				return n
			}
		}
		return cmp.Compare(a.i, b.i)
	})
	order := make([]int32, len(entries))
	for i := range entries {
		order[i] = entries[i].i
	}
	return order
}

// beginning is a number that is smaller only for a message that comes first by the criterion.
func (m *Message) beginning(c imap.SortCriterion) (n uint64) {
	if isNumber(c.Key) {
		n = uint64(m.number(c.Key)) ^ 1<<63
	} else {
		var b [8]byte
		copy(b[:], m.sortText(c.Key))
		n = binary.BigEndian.Uint64(b[:])
	}
	if c.Reverse {
		n = ^n
	}
	return n
}

func (m *Message) compare(o *Message, c imap.SortCriterion) (n int) {
	if isNumber(c.Key) {
		n = cmp.Compare(m.number(c.Key), o.number(c.Key))
	} else {
		n = strings.Compare(m.sortText(c.Key), o.sortText(c.Key))
	}
	if c.Reverse {
		n = -n
	}
	return n
}

func isNumber(k imap.SortKey) bool {
	return k == imap.SortArrival || k == imap.SortDate || k == imap.SortSize
}

func (m *Message) number(k imap.SortKey) int64 {
	switch k {
	case imap.SortArrival:
		return m.Arrived
	case imap.SortDate:
		return m.Date
	}
	return m.Size
}

func (m *Message) sortText(k imap.SortKey) string {
	switch k {
	case imap.SortCc:
		return m.Cc()
	case imap.SortDisplayFrom:
		return m.DisplayFrom()
	case imap.SortDisplayTo:
		return m.DisplayTo()
	case imap.SortFrom:
		return m.From()
	case imap.SortTo:
		return m.To()
	}
	return m.Subject()
}
