package imapd

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"postrider/internal/imap"
)

// listAgain is how long the lists of folders and subscriptions count as just looked at: locks come and go in that directory, too.
const listAgain = 100 * time.Millisecond

// eventsOf are the events of a name: those of the first group that has it (RFC 5465 §3.1).
func (n *notification) eventsOf(e *entry) imap.NotifyEvents {
	for _, g := range n.groups {
		if groupHas(&g, e) {
			return g.Events
		}
	}
	return 0
}

// groupHas says whether a name is among a group's. Mail may be delivered to any folder, by programs other than ours, so "inboxes" are all.
func groupHas(g *imap.NotifyGroup, e *entry) bool {
	switch g.Filter {
	case imap.NotifyInboxes, imap.NotifyPersonal:
		return true
	case imap.NotifySubscribed:
		return e.subscribed
	case imap.NotifyMailboxes:
		return slices.Contains(g.Mailboxes, e.name)
	case imap.NotifySubtree:
		return slices.ContainsFunc(g.Mailboxes, func(top string) bool {
			return e.name == top || strings.HasPrefix(e.name, top+string(separator))
		})
	}
	return false
}

// relist brings what is observed up to date with the lists of folders and subscriptions, and tells what has changed in them.
func (s *session) relist(tell bool) error {
	n := s.notify
	l := listing{session: s, cmd: &imap.List{}, patterns: []pattern{"*"}}
	list, err := l.entries(true)
	if err != nil {
		return err
	}
	entries := make(map[string]entry, len(list))
	for _, e := range list {
		entries[e.name] = e
	}
	ids := s.folderIDs(list)
	if tell {
		s.tellNames(list, entries, ids)
	}
	n.entries, n.ids, n.listed = entries, ids, time.Now()
	return n.reobserve(list, entries, tell)
}

// folderIDs are the identifiers by which a folder is known under another name.
func (s *session) folderIDs(list []entry) map[string]string {
	if s.notify.names&imap.MailboxName == 0 {
		return nil
	}
	ids := make(map[string]string, len(list))
	for _, e := range list {
		if !e.exists {
			continue
		}
		if id, was := s.notify.ids[e.name]; was && s.notify.entries[e.name].exists {
			ids[e.name] = id
		} else if id, err := s.o.Store.ID(e.name); err == nil {
			ids[e.name] = id
		}
	}
	return ids
}

// tellNames tells of folders that were made, removed or renamed, and of subscriptions (RFC 5465 §5.4, 5.5).
func (s *session) tellNames(list []entry, now map[string]entry, ids map[string]string) {
	n := s.notify
	oldNames := make(map[string]string) // by identifier
	for name, id := range n.ids {
		if e, there := now[name]; !there || !e.exists {
			oldNames[id] = name
		}
	}
	renamed := make(map[string]bool)
	for i := range list {
		e := &list[i]
		was, known := n.entries[e.name]
		events, appeared := n.eventsOf(e), e.exists && !was.exists
		data := imap.ListData{Delimiter: separator, Mailbox: e.name}
		if old := oldNames[ids[e.name]]; appeared && old != "" {
			data.OldName, renamed[old] = old, true
		}
		switch {
		case appeared && events&imap.MailboxName != 0, e.subscribed != (known && was.subscribed) && events&imap.SubscriptionChange != 0:
			s.listNotified(e, data)
		}
	}
	s.tellGoneNames(now, renamed)
}

// tellGoneNames tells of folders that are no longer there, and of names that only the list of subscriptions had.
func (s *session) tellGoneNames(now map[string]entry, renamed map[string]bool) {
	n := s.notify
	names := make([]string, 0)
	for name, was := range n.entries {
		e, there := now[name]
		if was.exists && !(there && e.exists) && n.eventsOf(&was)&imap.MailboxName != 0 && !renamed[name] ||
			!there && was.subscribed && n.eventsOf(&was)&imap.SubscriptionChange != 0 {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		e := now[name]
		e.name = name
		s.listNotified(&e, imap.ListData{Delimiter: separator, Mailbox: name})
	}
}

func (s *session) listNotified(e *entry, data imap.ListData) {
	if !e.exists {
		data.Attrs = append(data.Attrs, imap.AttrNonExistent)
	}
	if e.subscribed {
		data.Attrs = append(data.Attrs, imap.AttrSubscribed)
	}
	if e.exists && e.children {
		data.Attrs = append(data.Attrs, imap.AttrHasChildren)
	} else if e.exists {
		data.Attrs = append(data.Attrs, imap.AttrHasNoChildren)
	}
	s.w.List(&data)
}

// lookAtLists tells what has changed in the lists. It is false when the client hears of nothing any more, as there is too much.
func (s *session) lookAtLists() bool {
	err := s.relist(true)
	if errors.Is(err, errOverflow) {
		r := s.notifyOverflow()
		s.w.Untagged(imap.OK, r.code, r.text)
		return false
	}
	if err != nil {
		s.o.Log.Error("list folders: %v", err)
	}
	return true
}

// ownListing is before a command that changes the lists, what it returns after it: the client hears of what others did to them, and its
// own doing counts as known.
func (s *session) ownListing(ctx context.Context, req *imap.Request) (after func()) {
	switch req.Command.(type) {
	case *imap.Create, *imap.Delete, *imap.Rename, *imap.Subscribe, *imap.Unsubscribe:
		if s.hearsOfOthers() && s.lookAtLists() {
			return func() { s.knowLists(ctx) }
		}
	}
	return func() {}
}

// knowLists takes the lists as they are, and what is in folders that are new, for known. Where that fails the client hears of them.
func (s *session) knowLists(ctx context.Context) {
	err := s.relist(false)
	for name, o := range s.notify.folders {
		if err == nil && !o.told {
			err = s.lookAt(ctx, name, false)
		}
	}
	if err != nil {
		s.o.Log.Error("list folders: %v", err)
	}
}
