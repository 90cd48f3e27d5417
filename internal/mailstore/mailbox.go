package mailstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// Mailbox is a folder as one session has it open: what changes shows when the session calls Sync. It is not safe for
// concurrent use; any number of them may be open on one folder.
type Mailbox struct {
	folder   *folder
	readOnly bool
	state    *state              // UIDVALIDITY and the like of the last Sync
	told     uint64              // all changes up to this mod-sequence are in the view
	view     []*Message          // ascending UIDs; the client's sequence numbers
	recent   map[uint32]struct{} // \Recent in this session
	hints    *hints
}

// Changes is what a Sync brought, in the order in which a client is told.
type Changes struct {
	Expunged []int      // sequence numbers, largest first, so that each is right when it is sent
	UIDs     []uint32   // of the expunged, in the same order
	Exists   int        // messages now
	New      int        // of them, how many are new at the end
	Recent   int        // messages that are \Recent to this session
	Flags    []*Message // older ones with other flags, ascending
}

// Mode says what a Sync may do to the sequence numbers.
type Mode int

const (
	All        Mode = iota
	NoExpunges      // during FETCH, STORE and SEARCH (RFC 3501 §7.4.1)
)

// Open opens a folder. Unless readOnly is set, new mail is moved to cur and is \Recent to this session alone. The first view
// is complete; with ErrUnwritable there is a Mailbox too, without the mail that could get no UID.
func (s *Store) Open(ctx context.Context, name string, readOnly bool) (*Mailbox, error) {
	f, err := s.openFolder(name)
	if err != nil {
		return nil, err
	}
	b := &Mailbox{folder: f, readOnly: readOnly, recent: make(map[uint32]struct{})}
	_, err = b.Sync(ctx, All)
	if b.state == nil || err != nil && !errors.Is(err, ErrUnwritable) {
		b.Close()
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	return b, err
}

// Close gives the mailbox back.
func (b *Mailbox) Close() {
	if b.hints != nil {
		b.hints.close()
		b.hints = nil
	}
	b.folder.save()
	if b.state != nil {
		b.folder.tidyCache(b.view)
	}
	b.folder.store.closeFolder(b.folder)
}

// save lets the index have what was found out about messages; it is not waited for.
func (f *folder) save() {
	select {
	case f.turn <- struct{}{}:
	default:
		return
	}
	defer f.end()
	if f.state == nil || f.dirty || f.index.instance == 0 || !f.learned.Swap(false) {
		return
	}
	if more := unsaved(f.state.messages); len(more) > 0 {
		f.publish(difference{learned: more})
	}
}

// UIDValidity is that of the folder; it never changes in a Mailbox.
func (b *Mailbox) UIDValidity() uint32 { return b.state.uidValidity }

// UIDNext is larger than the UID of every message in the view.
func (b *Mailbox) UIDNext() uint32 { return b.state.uidNext }

// HighestModSeq is the mod-sequence up to which the view has all changes; it grows also when messages go.
func (b *Mailbox) HighestModSeq() uint64 { return b.told }

// Counts are those of the view as it was after the last Sync with All, or of what the folder has now.
func (b *Mailbox) Counts() Counts {
	if sameSlice(b.view, b.state.messages) {
		return b.state.counts
	}
	return countMessages(b.view)
}

// Size adds up the messages as a client is served; ok is false if that was not known of each when the state was made: then who needs it
// asks each.
func (b *Mailbox) Size() (sum int64, ok bool) {
	s := b.state.size
	if !sameSlice(b.view, b.state.messages) {
		s = sizes{}
		for _, m := range b.view {
			s.add(m, 1)
		}
	}
	return s.Wire, s.Unsized == 0
}

// RecentCount is how many messages are \\Recent in this session.
func (b *Mailbox) RecentCount() int { return len(b.recent) }

// Messages is the view: message i has the sequence number i+1. It is not to be changed, and stays as it is.
func (b *Mailbox) Messages() []*Message { return b.view }

// Recent says whether a message is \Recent in this session.
func (b *Mailbox) Recent(uid uint32) bool {
	_, ok := b.recent[uid]
	return ok
}

// KeywordNames are the names of a message's keywords. A letter that has no name in dovecot-keywords is left out.
func (b *Mailbox) KeywordNames(set Keywords) []string { return b.state.keywords.names(set) }

// AllKeywords are the names that the folder has, and whether another can be added: there is a letter that no message uses.
func (b *Mailbox) AllKeywords() (names []string, room bool) {
	const all = 1<<MaxKeywords - 1
	used := Keywords(0)
	for _, m := range b.state.messages {
		used |= m.Keywords
	}
	return b.state.keywords.names(all), used&all != all
}

// Keywords are the names of the folder's letters, to tell a change of them; they are not to be changed.
func (b *Mailbox) Keywords() *KeywordNames { return &b.state.keywords }

// Sync looks for what others changed and brings the view up to date. The changes count even beside an error. After
// ErrNoFolder or ErrReset the view is dead.
func (b *Mailbox) Sync(ctx context.Context, mode Mode) (Changes, error) {
	f := b.folder
	if err := f.begin(ctx); err != nil {
		return Changes{Exists: len(b.view), Recent: len(b.recent)}, err
	}
	defer f.end()
	moved, err := f.refresh(ctx, !b.readOnly)
	if err == nil && b.state != nil && f.state.uidValidity != b.state.uidValidity {
		err = ErrReset
	}
	if f.state == nil || errors.Is(err, ErrReset) {
		return Changes{Exists: len(b.view), Recent: len(b.recent)}, err
	}
	for _, uid := range moved {
		b.recent[uid] = struct{}{}
	}
	b.claimArrived()
	return b.adopt(f.state, mode), err
}

// claimArrived makes what was appended and copied \Recent: of those sessions that write, to the first.
func (b *Mailbox) claimArrived() {
	f := b.folder
	if f.arrived == 0 {
		return
	}
	first, _ := position(f.state.messages, f.arrived)
	for _, m := range f.state.messages[first:] {
		b.recent[m.UID] = struct{}{}
	}
	if !b.readOnly {
		f.arrived = 0
	}
}

// adopt makes a state the view and says what that changes.
func (b *Mailbox) adopt(now *state, mode Mode) Changes {
	var c Changes
	first := b.state == nil && (!b.readOnly || now.counts.New == 0)
	if first || sameSlice(b.view, now.messages) {
		if first {
			c.New = len(now.messages)
		}
		b.view, b.state, b.told = now.messages, now, now.modSeq
		c.Exists, c.Recent = len(b.view), len(b.recent)
		return c
	}
	var letters Keywords // whose keyword has another name
	if b.state != nil {
		letters = otherLetters(&b.state.letters, &now.letters)
	}
	old, view := b.view, make([]*Message, 0, len(now.messages))
	keep := func(m *Message, seq int) {
		if mode == NoExpunges {
			view = append(view, m)
		} else {
			b.expunge(&c, seq, m.UID)
		}
	}
	for _, m := range now.messages {
		if len(old) > 0 && old[0] == m {
			old, view = old[1:], append(view, m)
			continue
		}
		for len(old) > 0 && old[0].UID < m.UID {
			keep(old[0], len(b.view)-len(old)+1)
			old = old[1:]
		}
		if len(old) > 0 && old[0].UID == m.UID {
			if old[0] != m && (!sameFlags(old[0], m) || m.Keywords&letters != 0) {
				c.Flags = append(c.Flags, m)
			}
			old = old[1:]
		} else {
			c.New++
			if b.readOnly && m.inNew {
				b.recent[m.UID] = struct{}{}
			}
		}
		view = append(view, m)
	}
	for i, m := range old {
		keep(m, len(b.view)-len(old)+i+1)
	}
	slices.Reverse(c.Expunged)
	slices.Reverse(c.UIDs)
	b.see(view, now)
	c.Exists, c.Recent = len(b.view), len(b.recent)
	return c
}

// see makes a list the view. If it is all that the state has, there is one copy for all sessions, and everything is told.
func (b *Mailbox) see(view []*Message, now *state) {
	if b.state = now; slices.Equal(view, now.messages) {
		view, b.told = now.messages, now.modSeq
	}
	b.view = view
}

func sameSlice(a, b []*Message) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

func (b *Mailbox) expunge(c *Changes, seq int, uid uint32) {
	c.Expunged = append(c.Expunged, seq)
	c.UIDs = append(c.UIDs, uid)
	delete(b.recent, uid)
}
