package mailstore

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// maxVanished bounds what is remembered of messages that went.
const maxVanished = 4096

// maxModSeq is the largest mod-sequence that is believed; 63 bits are what there is (RFC 7162 §7).
const maxModSeq = 1 << 62

// remoteDoubt is how far clocks of hosts that share mail may differ, in the unit of mod-sequences.
const remoteDoubt = 120_000_000

// vanished is a message that went, and at which mod-sequence.
type vanished struct {
	uid    uint32
	modSeq uint64
}

// forgetVanished drops the oldest of too many.
func (s *state) forgetVanished() {
	if over := len(s.vanished) - maxVanished; over > 0 {
		slices.SortStableFunc(s.vanished, func(a, b vanished) int { return cmp.Compare(a.modSeq, b.modSeq) })
		s.vanishedAll = s.vanished[over-1].modSeq
		s.vanished = append([]vanished(nil), s.vanished[over:]...)
	}
}

// Vanished returns the UIDs, ascending, of messages that went after a mod-sequence. ok is false if that is not remembered: then every
// UID below UIDNEXT that the view does not have may be one.
func (b *Mailbox) Vanished(since uint64) (uids []uint32, ok bool) {
	s := b.state
	if since < s.vanishedAll || since > s.modSeq {
		return nil, false
	}
	for _, v := range s.vanished {
		if v.modSeq > since && s.find(v.uid) == nil {
			uids = append(uids, v.uid)
		}
	}
	slices.Sort(uids)
	return slices.Compact(uids), true
}

// Since is the mod-sequence with which a client's is to be compared when it asks what changed. For one that nobody gave here that is 0: the client
// gets a full answer. In a Remote store other hosts, whose clocks differ, give them too, and telling too much does no harm.
func (b *Mailbox) Since(modSeq uint64) uint64 {
	switch {
	case modSeq > b.state.modSeq:
		return 0
	case b.folder.store.opts.Remote:
		return modSeq - min(modSeq, remoteDoubt)
	}
	return modSeq
}

// numbering gives mod-sequences to what is published, as docs/mailstore.md says.
type numbering struct {
	old, next *state
	theirs    map[uint32]entry // what others wrote to the index since it was last read here
	modSeq    uint64           // of what is new
	write     batch
	own       bool // the next state's list is not that of the old one
}

// replace changes the next state's list.
func (n *numbering) replace(i int, m *Message) {
	if !n.own {
		n.next.messages, n.own = slices.Clone(n.next.messages), true
	}
	n.next.messages[i] = m
}

// entry is what the index says of a message.
type entry struct {
	gone    bool
	modSeq  uint64
	message *Message // nil if it is gone, or if only a change is known and our state has it
}

// collect makes entries of batches; messages that only change are found in state or among them.
func collect(theirs map[uint32]entry, list []*batch, old *state) {
	for _, b := range list {
		for _, m := range b.full {
			theirs[m.UID] = entry{modSeq: m.ModSeq, message: m}
		}
		for _, c := range b.change {
			m := theirs[c.UID].message
			if m == nil && old != nil {
				m = old.find(c.UID)
			}
			if m != nil {
				n := m.as(new(Message), m.Base()+c.name, c.inNew, c.Flags, c.Keywords)
				n.ModSeq = c.ModSeq
				theirs[c.UID] = entry{modSeq: c.ModSeq, message: n}
			}
		}
		for _, v := range b.gone {
			theirs[v.uid] = entry{gone: true, modSeq: v.modSeq}
		}
		for _, k := range b.info {
			if m := theirs[k.UID].message; m != nil {
				m.know(k.size, k.wire, k.date, infoSaved)
			} else if old != nil {
				if m := old.find(k.UID); m != nil {
					m.know(k.size, k.wire, k.date, infoSaved)
				}
			}
		}
	}
}

// sameFlags says that clients see no difference.
func sameFlags(a, b *Message) bool { return a.Flags == b.Flags && a.Keywords == b.Keywords }

// indexed is what the index has of a message: what others wrote last, or else what we published.
func (n *numbering) indexed(uid uint32) *Message {
	if e, ok := n.theirs[uid]; ok {
		return e.message
	}
	if n.old != nil {
		return n.old.find(uid)
	}
	return nil
}

// take numbers what differs.
func (n *numbering) take(d *difference) {
	for _, m := range d.put {
		n.number(m)
	}
	for _, m := range d.added {
		n.number(m)
	}
	for _, uid := range d.gone {
		n.vanish(uid)
	}
}

// number gives a message that is put into the state its mod-sequence.
func (n *numbering) number(m *Message) {
	was := n.indexed(m.UID)
	delete(n.theirs, m.UID)
	if was == nil {
		m.ModSeq = n.modSeq
		n.write.full = append(n.write.full, m)
		return
	}
	if m.ModSeq = n.modSeq; sameFlags(m, was) {
		m.ModSeq = was.ModSeq
	}
	switch {
	case m.keys != was.keys || m.Base() != was.Base():
		n.write.full = append(n.write.full, m)
	case m.name != was.name || m.inNew != was.inNew || m.ModSeq != was.ModSeq:
		n.write.change = append(n.write.change, m)
	}
}

// vanish notes that a message went.
func (n *numbering) vanish(uid uint32) {
	e, ok := n.theirs[uid]
	delete(n.theirs, uid)
	v := vanished{uid, n.modSeq}
	if ok && e.gone {
		v.modSeq = e.modSeq
	} else {
		n.write.gone = append(n.write.gone, v)
	}
	n.next.vanished = append(n.next.vanished, v)
}

// compare settles what others wrote of messages that did not change here. What they know of and we do not yet is returned.
func (n *numbering) compare() (unseen map[uint32]entry) {
	at := cursor{list: n.next.messages}
	for _, uid := range sortedUIDs(n.theirs) {
		e := n.theirs[uid]
		i, here := at.find(uid)
		switch {
		case here:
			m := n.next.messages[i].copyAt(0)
			n.number(m)
			n.replace(i, m)
		case e.gone:
			n.vanish(uid)
		case uid < n.next.uidNext:
			n.vanish(uid)
		default:
			if unseen == nil {
				unseen = make(map[uint32]entry)
			}
			unseen[uid] = e
		}
	}
	return unseen
}

func sortedUIDs(m map[uint32]entry) []uint32 {
	return slices.Sorted(maps.Keys(m))
}

// renamed changes the messages of the letters whose keywords have other names now.
func (n *numbering) renamed(letters Keywords) {
	for i, m := range n.next.messages {
		if m.Keywords&letters != 0 && m.ModSeq != n.modSeq {
			c := m.copyAt(n.modSeq)
			n.replace(i, c)
			n.write.change = append(n.write.change, c)
		}
	}
}

// otherLetters are those that do not mean the same in both.
func otherLetters(a, b *letterSums) (set Keywords) {
	for i := range a {
		if a[i] != b[i] {
			set |= 1 << i
		}
	}
	return set
}

// nextModSeq is larger than all that were given here or, as the index says, elsewhere, and than the times of the files: so it grows even if
// all that is known of former ones is lost.
func (f *folder) nextModSeq(above uint64) uint64 {
	newest := max(f.clock.UnixMicro(), 1)
	bound := newest + (24 * time.Hour).Microseconds() // an mtime can be anything
	for _, id := range []fileID{f.list.id, f.new.stamp.ID, f.cur.stamp.ID} {
		for _, t := range []int64{id.Mtime, id.Ctime} {
			if t = t/1000 + 1; t < bound {
				newest = max(newest, t)
			}
		}
	}
	if f.state != nil {
		above = max(above, f.state.modSeq)
	}
	return max(above+1, uint64(newest))
}

// afresh gives all messages a new mod-sequence, so that each client gets a full answer.
func (s *state) afresh(modSeq uint64) {
	slab, list := make([]Message, len(s.messages)), make([]*Message, len(s.messages))
	for i, m := range s.messages {
		list[i] = m.as(&slab[i], m.name, m.inNew, m.Flags, m.Keywords)
		list[i].ModSeq = modSeq
	}
	s.messages, s.modSeq, s.vanished, s.vanishedAll = list, modSeq, nil, modSeq
}
