package imapd

import "postrider/internal/imap"

// everyUID is a set that has them all.
var everyUID = imap.Set{{Start: 1, Stop: 1<<32 - 1}}

// resync tells a client that comes back what has changed since it left (RFC 7162 §3.2.5).
func (s *session) resync(q *imap.QResync, since uint64) {
	known := everyUID
	if q.Known != nil {
		known = q.Known.Resolve(0)
	}
	s.tellVanished(since, known, s.box.matching(q))
	spans := []span{{0, len(s.box.Messages())}}
	if q.Known != nil {
		spans = findUIDs(s.box.Messages(), known)
	}
	for _, sp := range s.box.changedSince(spans, since) {
		for i := sp.lo; i < sp.hi; i++ {
			s.tellOne(i, s.box.Messages()[i], true)
		}
	}
}

// matching is the largest UID up to which nothing has gone: where a message has the number still that the client had for it, none
// before it has gone.
func (b *selection) matching(q *imap.QResync) uint32 {
	view, seqs, uids := b.Messages(), q.MatchSeq.Resolve(0), q.MatchUID.Resolve(0)
	matched := uint32(0)
	for len(seqs) > 0 && len(uids) > 0 {
		seq, uid := seqs[0], uids[0]
		n := min(seq.Stop-seq.Start, uid.Stop-uid.Start)
		for i := uint32(0); i <= n; i++ { // bounded by the view
			at := uint64(seq.Start) + uint64(i)
			if at > uint64(len(view)) || view[at-1].UID != uid.Start+i {
				return matched
			}
			matched = uid.Start + i
		}
		seqs, uids = behind(seqs, n), behind(uids, n)
	}
	return matched
}

// behind is a resolved set without its first n+1 numbers, which are of its first range.
func behind(set imap.Set, n uint32) imap.Set {
	if set[0].Start += n; set[0].Start == set[0].Stop {
		return set[1:]
	}
	set[0].Start++
	return set
}

// tellVanished says which UIDs of a resolved set, above one, have gone since (RFC 7162 §3.2.10.1). Where nobody remembers, those that
// are not there have gone.
func (s *session) tellVanished(since uint64, known imap.Set, above uint32) {
	gone, remembered := s.box.Vanished(since)
	var vanished imap.Set
	if remembered {
		for _, uid := range gone {
			if uid > above && known.Contains(uid) {
				vanished = vanished.Add(uid)
			}
		}
	} else {
		vanished = s.box.missing(known, above)
	}
	if len(vanished) > 0 {
		s.w.Vanished(true, vanished)
	}
}

// missing is what no message has of a resolved set of UIDs: above one, and below UIDNEXT.
func (b *selection) missing(set imap.Set, above uint32) (missing imap.Set) {
	view := b.Messages()
	for _, r := range set {
		from, stop := uint64(max(r.Start, above+1)), uint64(min(r.Stop, b.UIDNext()-1))
		at, _ := position(view, uint32(from))
		for view = view[at:]; len(view) > 0 && uint64(view[0].UID) <= stop; view = view[1:] {
			if uid := uint64(view[0].UID); from < uid {
				missing = append(missing, imap.Range{Start: uint32(from), Stop: uint32(uid - 1)})
			}
			from = uint64(view[0].UID) + 1
		}
		if from <= stop {
			missing = append(missing, imap.Range{Start: uint32(from), Stop: uint32(stop)})
		}
	}
	return missing
}

// changedSince is those messages of spans that have a larger mod-sequence.
func (b *selection) changedSince(spans []span, since uint64) (changed []span) {
	view := b.Messages()
	for _, sp := range spans {
		for i := sp.lo; i < sp.hi; i++ {
			if view[i].ModSeq > since {
				changed = add(changed, i)
			}
		}
	}
	return changed
}
