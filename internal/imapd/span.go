package imapd

import (
	"cmp"
	"slices"

	"postrider/internal/imap"
	"postrider/internal/mailstore"
)

// span is the messages lo to hi-1 of a view.
type span struct{ lo, hi int }

// find returns the messages of a set, ascending. UIDs that nothing has are passed over; of message numbers that is an error,
// as in Dovecot: the client and the session do not mean the same mailbox.
func (b *selection) find(set imap.Set, uid bool) ([]span, bool) {
	view := b.Messages()
	switch {
	case uid:
		return findUIDs(view, set), true
	case len(set) == 0:
		return nil, true
	}
	resolved := set.Resolve(uint32(len(view)))
	if len(resolved) == 0 || resolved[len(resolved)-1].Stop > uint32(len(view)) {
		return nil, false
	}
	spans := make([]span, len(resolved))
	for i, r := range resolved {
		spans[i] = span{int(r.Start) - 1, int(r.Stop)}
	}
	return spans, true
}

// findUIDs is find for UIDs.
func findUIDs(view []*mailstore.Message, set imap.Set) (spans []span) {
	for _, r := range set.Resolve(lastUID(view)) {
		lo, _ := position(view, r.Start)
		hi, found := position(view[lo:], r.Stop)
		if hi += lo; found {
			hi++
		}
		if lo < hi {
			spans = append(spans, span{lo, hi})
		}
	}
	return spans
}

// position is where a UID is in a view, or would be.
func position(view []*mailstore.Message, uid uint32) (int, bool) {
	return slices.BinarySearchFunc(view, uid, func(m *mailstore.Message, uid uint32) int { return cmp.Compare(m.UID, uid) })
}

// lastUID is what "*" means; 0 in an empty view.
func lastUID(view []*mailstore.Message) uint32 {
	if len(view) == 0 {
		return 0
	}
	return view[len(view)-1].UID
}

// messages are those of spans, not to be changed.
func (b *selection) messages(spans []span) []*mailstore.Message {
	view := b.Messages()
	if len(spans) == 1 {
		return view[spans[0].lo:spans[0].hi:spans[0].hi]
	}
	var list []*mailstore.Message
	for _, sp := range spans {
		list = append(list, view[sp.lo:sp.hi]...)
	}
	return list
}

// add appends a message to ascending spans.
func add(spans []span, i int) []span {
	if last := len(spans) - 1; last >= 0 && spans[last].hi == i {
		spans[last].hi++
		return spans
	}
	return append(spans, span{i, i + 1})
}

// pick is those messages of spans that have places in a range (RFC 9394 §3.3).
func pick(spans []span, r imap.ResultRange) (picked []span) {
	lo, hi := r.Of(uint64(length(spans)))
	for _, sp := range spans {
		n := uint64(sp.hi - sp.lo)
		if from, to := min(lo, n), min(hi, n); from < to {
			picked = append(picked, span{sp.lo + int(from), sp.lo + int(to)})
		}
		lo, hi = lo-min(lo, n), hi-min(hi, n)
	}
	return picked
}

// length is how many messages there are.
func length(spans []span) (n int) {
	for _, sp := range spans {
		n += sp.hi - sp.lo
	}
	return n
}

// numbers are the UIDs or the message numbers of ascending messages of the view.
func (b *selection) numbers(msgs []*mailstore.Message, uid bool) (set imap.Set) {
	for _, m := range msgs {
		n := m.UID
		if i, found := position(b.Messages(), m.UID); !uid && found {
			n = uint32(i) + 1
		}
		set = set.Add(n)
	}
	return set
}

// numbersOf are the message numbers of spans.
func numbersOf(spans []span) (set imap.Set) {
	for _, sp := range spans {
		set = append(set, imap.Range{Start: uint32(sp.lo) + 1, Stop: uint32(sp.hi)})
	}
	return set
}
