package imapd

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"postrider/internal/imap"
	"postrider/internal/mailstore"
)

// update tells, at the end of a command, what has changed in the selected mailbox. Message numbers stay during FETCH, STORE
// and SEARCH (RFC 3501 §7.4.1). While more such commands wait to be read the mailbox is looked at once a second.
func (s *session) update(ctx context.Context, req *imap.Request) {
	if s.box == nil || s.end != "" {
		return
	}
	mode, uid := mailstore.All, strings.HasPrefix(req.Name, "UID ")
	switch c := req.Command.(type) {
	case *imap.Select, *imap.Idle:
		return // they have just looked
	case *imap.Status:
		if c.Mailbox == s.box.name {
			return // so has this
		}
	case *imap.Fetch, *imap.Store, *imap.Search, *imap.Sort, *imap.Thread:
		if s.r.Buffered() > 0 && time.Since(s.box.synced) < s.stream.times.fresh {
			return
		}
		mode = viewMode(uid)
	}
	s.sync(ctx, mode, uid)
}

// viewMode is how the mailbox is looked at during FETCH, STORE and SEARCH: numbers stay where they are used.
func viewMode(uid bool) mailstore.Mode {
	if uid {
		return mailstore.All
	}
	return mailstore.NoExpunges
}

// sync looks for changes and tells them. It is false when the mailbox is no longer what the client knows: then the session
// is to end, as in Dovecot.
func (s *session) sync(ctx context.Context, mode mailstore.Mode, uid bool) bool {
	b := s.box
	changes, err := b.Sync(ctx, mode)
	b.synced = time.Now()
	if errors.Is(err, mailstore.ErrReset) || errors.Is(err, mailstore.ErrNoFolder) {
		const text = "IMAP session state is inconsistent, please relogin."
		s.bye(text, text)
		return false
	}
	s.syncTrouble(err)
	s.tellGone(&changes)
	s.newKeywords()
	if changes.New > 0 {
		s.w.Exists(uint32(changes.Exists))
		s.tellNew(ctx, changes.Exists, changes.New)
	}
	if changes.Recent != b.recent && !s.on.rev2 {
		b.recent = changes.Recent
		s.w.Recent(uint32(b.recent))
	}
	if !s.unasked || s.hearsOfFlags() {
		s.tell(changes.Flags, uid)
	} else if len(changes.Flags) > 0 {
		b.untold = true
	}
	if mode == mailstore.All && !b.untold {
		b.modSeq = b.HighestModSeq()
	}
	return true
}

// tellGone tells what is not in the view any more.
func (s *session) tellGone(changes *mailstore.Changes) {
	if !s.on.vanishes() {
		for _, seq := range changes.Expunged {
			s.w.Expunge(uint32(seq))
		}
		return
	}
	var vanished imap.Set
	for _, uid := range slices.Backward(changes.UIDs) {
		vanished = vanished.Add(uid)
	}
	if len(vanished) > 0 {
		s.w.Vanished(false, vanished)
	}
}

// syncTrouble logs an error, once as long as it stays the same. The client has the mailbox as it was.
func (s *session) syncTrouble(err error) {
	text := ""
	if err != nil && !errors.Is(err, context.Canceled) {
		text = err.Error()
	}
	if text != "" && text != s.box.trouble {
		s.o.Log.Error("look at %s: %s", s.box.name, text)
	}
	s.box.trouble = text
}

// newKeywords tells the flags of the mailbox if the client does not know them.
func (s *session) newKeywords() {
	if s.box.keywords != *s.box.Keywords() {
		s.tellFlags()
	}
}

// tell writes the flags of messages, ascending, that are in the view. The answer to a UID command has the UID, too (RFC 3501
// §6.4.8).
func (s *session) tell(msgs []*mailstore.Message, uid bool) {
	view, before := s.box.Messages(), 0
	for _, m := range msgs {
		i, found := position(view[before:], m.UID)
		if before += i; found {
			s.tellOne(before, m, uid)
		}
	}
}

// tellOne writes the flags of message i of the view, with its mod-sequence if the client is to have those, and with the UID by which
// QRESYNC goes (RFC 7162 §3.2.4).
func (s *session) tellOne(i int, m *mailstore.Message, uid bool) {
	s.beginTold(i, m, uid)
	s.flags = s.box.flagNames(s.flags[:0], m)
	s.w.FetchFlags(s.flags)
	if s.on.condStore {
		s.box.said = max(s.box.said, m.ModSeq)
		s.w.FetchModSeq(m.ModSeq)
	}
	s.w.EndFetch()
}

func (s *session) beginTold(i int, m *mailstore.Message, uid bool) {
	s.w.BeginFetch(s.number(i, m))
	if (uid || s.on.qresync) && !s.on.uidOnly {
		s.w.FetchUID(m.UID)
	}
}

// number is what a FETCH response begins with, for message i of the view.
func (s *session) number(i int, m *mailstore.Message) uint32 {
	if s.on.uidOnly {
		return m.UID
	}
	return uint32(i) + 1
}
