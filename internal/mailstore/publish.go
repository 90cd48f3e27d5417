package mailstore

import (
	"errors"
	"io/fs"
	"time"

	"postrider/internal/maildir"
)

// difference is how a folder's files differ from its state. All lists ascend by UID.
type difference struct {
	put     []*Message // other names
	added   []*Message // have a UID and a file, and are not in the state
	gone    []uint32   // without file, or without UID
	learned []*Message // of which more is known than the index has
	missing int        // of the messages and of the list's lines, how many have no file
	loose   []string   // base names of files without a UID
	both    bool       // a base name is in new and in cur
	relist  bool       // a message lost its line, and its file may be there: list both directories
}

func (d *difference) none() bool { return len(d.put)+len(d.added)+len(d.gone) == 0 }

// applied is messages with the difference, a copy if there is any.
func (d *difference) applied(old []*Message) []*Message {
	if d.none() {
		return old
	}
	list := make([]*Message, 0, len(old)+len(d.added))
	put, gone, added := d.put, d.gone, d.added
	if len(gone) == 0 && (len(added) == 0 || len(old) == 0 || added[0].UID > old[len(old)-1].UID) {
		list = append(list, old...)
		at := cursor{list: list}
		for _, m := range put {
			if i, ok := at.find(m.UID); ok {
				list[i] = m
			}
		}
		return append(list, added...)
	}
	for _, m := range old {
		for len(added) > 0 && added[0].UID < m.UID {
			list, added = append(list, added[0]), added[1:]
		}
		for len(gone) > 0 && gone[0] < m.UID {
			gone = gone[1:]
		}
		for len(put) > 0 && put[0].UID < m.UID {
			put = put[1:]
		}
		switch {
		case len(gone) > 0 && gone[0] == m.UID:
		case len(put) > 0 && put[0].UID == m.UID:
			list = append(list, put[0])
		default:
			list = append(list, m)
		}
	}
	return append(list, added...)
}

// publish makes the next state. Its mod-sequences are in the index before anybody hears of them, or, where there can be no index,
// they are such that too much is told rather than too little.
func (f *folder) publish(d difference) {
	if f.list == nil {
		return
	}
	old := f.state
	next := &state{uidValidity: f.list.validity, uidNext: f.list.next, guid: f.list.guid, keywords: f.keywords, letters: f.keywords.sums()}
	if old != nil {
		next.vanished, next.vanishedAll, next.modSeq = old.vanished, old.vanishedAll, old.modSeq
		next.messages = old.messages
	}
	next.messages = d.applied(next.messages)
	next.size = d.resized(old, next.messages)
	if err := f.number(next, &d); err != nil {
		f.numberAlone(next, &d)
	}
	next.forgetVanished()
	f.store.modSeqs.reserve(next.modSeq)
	f.sums = f.sums.after(old, &d, next)
	f.state = next
	f.doubt, f.foreign, f.dirty = false, false, len(d.loose) > 0
	if !f.dirty {
		f.new.settled()
		f.cur.settled()
		f.fresh, f.whole = nil, nil
	}
}

// indexRetry is how long an index that could not be written is left alone.
const indexRetry = time.Minute

// number numbers next in agreement with the index, and writes it there. On an error the index is lost for this process.
func (f *folder) number(next *state, d *difference) (err error) {
	x := &f.index
	if x.boot == "" || f.state != nil && x.instance == 0 && time.Since(x.failed) < indexRetry {
		return errIndex
	}
	defer func() {
		if err != nil {
			x.failed, f.foreign = time.Now(), true
			x.spoil()
		}
	}()
	for range maxTries {
		o, err := x.open(true)
		if errors.Is(err, fs.ErrPermission) || errors.Is(err, maildir.ErrNotRegular) {
			x.spoil() // of another user
			o, err = x.open(true)
		}
		if err != nil {
			x.instance = 0
			return err
		}
		err = f.numberIn(o, next, d)
		o.close()
		if err == nil {
			return nil
		}
		f.index.instance = 0 // what others wrote is read anew
		if !errors.Is(err, errIndexMoved) {
			return err
		}
	}
	return errIndexMoved
}

// numberIn numbers next under the lock of the index.
func (f *folder) numberIn(o *openIndex, next *state, d *difference) error {
	known := o.instance // 0 = nothing: all of the index is others' news
	news, all, err := o.news()
	lost := err != nil || o.h.UIDValidity != next.uidValidity || f.doubt || known == 0 && f.state != nil || f.state != nil && o.h.ModSeq < f.state.modSeq
	n := numbering{old: f.state, next: next, theirs: f.unseen}
	if o.h != nil {
		n.modSeq = o.h.ModSeq
	}
	if lost {
		n.modSeq = max(n.modSeq, f.store.modSeqs.told())
	}
	n.modSeq = f.nextModSeq(n.modSeq)
	if lost {
		f.unseen = nil
		next.afresh(n.modSeq)
		next.counts = countMessages(next.messages)
		return o.rewrite(next.snapshot(nil), f.header(next, next.modSeq), next.guid, f.list.fields, true)
	}
	if n.theirs == nil {
		n.theirs = make(map[uint32]entry)
	}
	if all {
		next.vanishedAll = max(next.vanishedAll, o.h.VanishedAll)
	}
	collect(n.theirs, news, f.state)
	return f.write(o, &n, d, len(news) > 0)
}

// write completes the numbers and appends to the index what it does not have.
func (f *folder) write(o *openIndex, n *numbering, d *difference, news bool) error {
	next := n.next
	n.take(d)
	f.unseen = n.compare()
	if letters := otherLetters(&next.letters, &o.h.Letters); letters != 0 {
		n.renamed(letters)
	}
	highest := max(o.h.ModSeq, next.modSeq)
	switch fresh := !n.write.empty(); {
	case len(f.unseen) > 0 && (fresh || news):
		// What others told of a message that we do not see yet must come after all that we tell.
		next.modSeq, highest = n.modSeq, n.modSeq+1
		for _, uid := range sortedUIDs(f.unseen) {
			e := f.unseen[uid]
			e.message, e.modSeq = e.message.copyAt(highest), highest
			f.unseen[uid] = e
			n.write.full = append(n.write.full, e.message)
		}
	case len(f.unseen) > 0:
	case fresh:
		next.modSeq, highest = n.modSeq, n.modSeq
	default:
		next.modSeq = highest
	}
	next.counts = d.recounted(n.old, next.messages)
	n.write.info = d.learned
	h := f.header(next, highest)
	if n.write.empty() && o.sameHeader(&h) {
		o.know(o.h)
		return nil
	}
	if err := o.append(&n.write, h, next.guid, f.list.fields); err != nil {
		return err
	}
	saved(n.write.info)
	if o.ripe() {
		err := o.rewrite(next.snapshot(f.unseen), h, next.guid, f.list.fields, false)
		if errors.Is(err, errIndexMoved) {
			return err
		}
	}
	return nil
}

// numberAlone numbers where there is no index. Whatever others may have changed meanwhile, and told with numbers of theirs, everything is
// told anew; only our own changes are told as such.
func (f *folder) numberAlone(next *state, d *difference) {
	modSeq := f.nextModSeq(f.store.modSeqs.told())
	f.unseen = nil
	if f.state == nil || f.doubt || f.foreign {
		next.afresh(modSeq)
		next.counts = countMessages(next.messages)
		return
	}
	n := numbering{old: f.state, next: next, modSeq: modSeq}
	n.take(d)
	if letters := otherLetters(&next.letters, &f.state.letters); letters != 0 {
		n.renamed(letters)
	}
	if !n.write.empty() {
		next.modSeq = modSeq
	}
	next.counts = d.recounted(f.state, next.messages)
}

// snapshot is a batch that says all.
func (s *state) snapshot(unseen map[uint32]entry) *batch {
	b := &batch{full: s.messages, gone: s.vanished}
	for _, uid := range sortedUIDs(unseen) {
		b.full = append(b.full[:len(b.full):len(b.full)], unseen[uid].message)
	}
	return b
}

// unsaved are the messages of which more is known than the index has.
func unsaved(list []*Message) (more []*Message) {
	for _, m := range list {
		if m.known.Load() == infoKnown {
			more = append(more, m)
		}
	}
	return more
}

func saved(list []*Message) {
	for _, m := range list {
		m.known.Store(infoSaved)
	}
}

// header is what the index says of the folder as a whole.
func (f *folder) header(s *state, highest uint64) indexHeader {
	l, inNew := f.list, f.new.stamp
	if f.new.again {
		inNew = stamp{}
	}
	return indexHeader{ModSeq: highest, VanishedAll: s.vanishedAll, UIDValidity: s.uidValidity, UIDNext: s.uidNext,
		List: listMark{ID: l.id, Offset: l.offset, Lines: uint32(l.lines), Version: uint8(l.version), Damaged: l.damaged},
		New:  inNew, Cur: f.cur.stamp, Keywords: f.keywordsID, Letters: s.letters,
		Counts: diskCounts{Messages: uint32(s.counts.Messages), Unseen: uint32(s.counts.Unseen), FirstUnseen: uint32(s.counts.FirstUnseen),
			Deleted: uint32(s.counts.Deleted), New: uint32(s.counts.New), Size: s.size}}
}

// sameHeader says that the header has h already.
func (o *openIndex) sameHeader(h *indexHeader) bool {
	same := *h
	same.Boot, same.Dev, same.Ino, same.Instance = o.h.Boot, o.h.Dev, o.h.Ino, o.h.Instance
	same.Length, same.Snapshot, same.Strings = o.h.Length, o.h.Snapshot, o.h.Strings
	return same == *o.h
}

// sizes are what the messages of a state are as served, together, and of how many that is not known.
type sizes struct {
	Wire    int64
	Unsized uint32
}

// resized adds up the sizes anew where that may end that the sum is not known, else only what the difference makes of them.
func (d *difference) resized(old *state, now []*Message) (s sizes) {
	switch {
	case old == nil || old.size.Unsized > 0 && len(d.learned)+len(d.gone) > 0:
		for _, m := range now {
			s.add(m, 1)
		}
		return s
	case old.size.Unsized > 0 && len(now) > 0:
		return old.size
	}
	s = old.size
	for _, m := range d.added {
		s.add(m, 1)
	}
	for _, uid := range d.gone {
		if m := old.find(uid); m != nil {
			s.add(m, -1)
		}
	}
	return s
}

func (s *sizes) add(m *Message, sign int64) {
	_, wire, ok := m.Sizes()
	if !ok && m.isKnown() {
		wire, ok = m.wire, true
	}
	if !ok {
		s.Unsized++
		return
	}
	s.Wire += sign * wire
}
