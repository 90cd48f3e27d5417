package imapd

import "postrider/internal/imap"

// highestOf is the largest mod-sequence of the messages that a result names (RFC 4731 §3.2, 9394 §3.1).
func (b *selection) highestOf(r *imap.SearchResult) (highest uint64) {
	spans, _ := b.find(named(r), r.UID)
	view := b.Messages()
	for _, sp := range spans {
		for _, m := range view[sp.lo:sp.hi] {
			highest = max(highest, m.ModSeq)
		}
	}
	return highest
}

// save keeps what a later "$" means: with MIN, MAX or PARTIAL alone not all that was found (RFC 5182 §2.4).
func (b *selection) save(r *imap.SearchResult) {
	if r.Return&imap.ReturnSave == 0 {
		return
	}
	if spans, _ := b.find(named(r), r.UID); !r.UID {
		b.saved = b.numbers(b.messages(spans), true)
		return
	}
	b.saved = named(r).Resolve(0) // that of a SORT has another order
}

// named is what of a result MIN, MAX and PARTIAL are about; all where another option is given, or none.
func named(r *imap.SearchResult) imap.Set {
	const some, all = imap.ReturnMin | imap.ReturnMax | imap.ReturnPartial, imap.ReturnAll | imap.ReturnCount
	if r.Return&some == 0 || r.Return&all != 0 || len(r.Found) == 0 {
		return r.Found
	}
	var list imap.Set
	if r.Return&imap.ReturnMin != 0 {
		list = append(list, imap.Range{Start: r.Found[0].Start, Stop: r.Found[0].Start})
	}
	if r.Return&imap.ReturnMax != 0 {
		last := r.Found[len(r.Found)-1].Stop
		list = append(list, imap.Range{Start: last, Stop: last})
	}
	if r.Return&imap.ReturnPartial != 0 {
		list = append(list, r.Found.Slice(r.Partial)...)
	}
	return list.Resolve(0)
}

// replaceSaved puts the saved result in the place of the "$" of a command; that of a SEARCH is replaced later.
func (b *selection) replaceSaved(command imap.Command) {
	switch c := command.(type) {
	case *imap.Fetch:
		c.Set = b.unsaved(c.Set, c.UID)
	case *imap.Store:
		c.Set = b.unsaved(c.Set, c.UID)
	case *imap.Copy:
		c.Set = b.unsaved(c.Set, c.UID)
	case *imap.Move:
		c.Set = b.unsaved(c.Set, c.UID)
	case *imap.Expunge:
		c.Set = b.unsaved(c.Set, c.UID)
	}
}

// unsaved is the set that is meant, of UIDs or of the numbers that the messages have now.
func (b *selection) unsaved(set imap.Set, uid bool) imap.Set {
	switch {
	case !set.Saved():
		return set
	case uid:
		return b.saved
	}
	return numbersOf(findUIDs(b.Messages(), b.saved))
}

// numberKeys makes keys of message numbers of all sets of a search, so that it need not look at what is in none of them. The depth of
// the tree is bounded by package imap.
func (b *selection) numberKeys(k *imap.Key) {
	switch {
	case k.Set.Saved():
		k.Op, k.Set = imap.KeySeq, b.unsaved(k.Set, false)
	case k.Op == imap.KeyUID:
		k.Op, k.Set = imap.KeySeq, numbersOf(findUIDs(b.Messages(), k.Set))
	}
	for i := range k.Keys {
		b.numberKeys(&k.Keys[i])
	}
}
