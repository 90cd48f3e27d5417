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
	state    *State              // UIDVALIDITY and the like of the last Sync
	view     []*Message          // ascending UIDs; the client's sequence numbers
	recent   map[uint32]struct{} // \Recent in this session
	hints    *Hints
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
		b.hints.Close()
		b.hints = nil
	}
	b.folder.store.closeFolder(b.folder)
}

// UIDValidity is that of the folder; it never changes in a Mailbox.
func (b *Mailbox) UIDValidity() uint32 { return b.state.UIDValidity }

// UIDNext is larger than the UID of every message in the view.
func (b *Mailbox) UIDNext() uint32 { return b.state.UIDNext }

// HighestModSeq is the largest mod-sequence that the folder has given; it grows also when messages go.
func (b *Mailbox) HighestModSeq() uint64 { return b.state.ModSeq }

// Messages is the view: message i has the sequence number i+1. It is not to be changed, and stays as it is.
func (b *Mailbox) Messages() []*Message { return b.view }

// Recent says whether a message is \Recent in this session.
func (b *Mailbox) Recent(uid uint32) bool {
	_, ok := b.recent[uid]
	return ok
}

// KeywordNames are the names of a message's keywords. A letter that has no name in dovecot-keywords is left out.
func (b *Mailbox) KeywordNames(set Keywords) []string { return b.state.Keywords.names(set) }

// AllKeywords are the names that the folder has, and whether another can be added.
func (b *Mailbox) AllKeywords() (names []string, room bool) {
	names = b.state.Keywords.names(1<<MaxKeywords - 1)
	return names, len(names) < MaxKeywords
}

// Keywords are the names of the folder's letters, to tell a change of them; they are not to be changed.
func (b *Mailbox) Keywords() *KeywordNames { return &b.state.Keywords }

// Sync looks for what others changed and brings the view up to date. The changes count even beside an error. After
// ErrNoFolder or ErrReset the view is dead.
func (b *Mailbox) Sync(ctx context.Context, mode Mode) (Changes, error) {
	f := b.folder
	if err := f.begin(ctx); err != nil {
		return Changes{Exists: len(b.view), Recent: len(b.recent)}, err
	}
	defer f.end()
	moved, err := f.refresh(ctx, !b.readOnly)
	if err == nil && b.state != nil && f.state.UIDValidity != b.state.UIDValidity {
		err = ErrReset
	}
	if f.state == nil || errors.Is(err, ErrReset) {
		return Changes{Exists: len(b.view), Recent: len(b.recent)}, err
	}
	for _, uid := range moved {
		b.recent[uid] = struct{}{}
	}
	return b.adopt(f.state, mode), err
}

// adopt makes state the view and says what that changes.
func (b *Mailbox) adopt(state *State, mode Mode) Changes {
	if sameSlice(b.view, state.Messages) {
		b.state = state
		return Changes{Exists: len(b.view), Recent: len(b.recent)}
	}
	var c Changes
	old, view := b.view, make([]*Message, 0, len(state.Messages))
	for _, m := range state.Messages {
		for len(old) > 0 && old[0].UID < m.UID {
			if mode == NoExpunges {
				view = append(view, old[0])
			} else {
				b.expunge(&c, len(b.view)-len(old)+1, old[0].UID)
			}
			old = old[1:]
		}
		if len(old) > 0 && old[0].UID == m.UID {
			if old[0] != m && (old[0].Flags != m.Flags || old[0].Keywords != m.Keywords) {
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
		if mode == NoExpunges {
			view = append(view, m)
		} else {
			b.expunge(&c, len(b.view)-len(old)+i+1, m.UID)
		}
	}
	slices.Reverse(c.Expunged)
	slices.Reverse(c.UIDs)
	if len(view) == len(state.Messages) {
		view = state.Messages // one copy for all sessions
	}
	b.view, b.state = view, state
	c.Exists, c.Recent = len(view), len(b.recent)
	return c
}

func sameSlice(a, b []*Message) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

func (b *Mailbox) expunge(c *Changes, seq int, uid uint32) {
	c.Expunged = append(c.Expunged, seq)
	c.UIDs = append(c.UIDs, uid)
	delete(b.recent, uid)
}

// Status is what STATUS asks of a folder.
type Status struct {
	UIDValidity, UIDNext              uint32
	Messages, Recent, Unseen, Deleted int
}

// Status looks at a folder without moving its new mail.
func (s *Store) Status(ctx context.Context, name string) (Status, error) {
	b, err := s.Open(ctx, name, true)
	if b == nil {
		return Status{}, err
	}
	defer b.Close()
	st := Status{UIDValidity: b.UIDValidity(), UIDNext: b.UIDNext(), Messages: len(b.view), Recent: len(b.recent)}
	for _, m := range b.view {
		if m.Flags&Seen == 0 {
			st.Unseen++
		}
		if m.Flags&Deleted != 0 {
			st.Deleted++
		}
	}
	return st, err
}
