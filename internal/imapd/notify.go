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

// listAgain is how long the lists of folders and subscriptions count as just looked at: locks come and go in that directory, too.
const listAgain = 100 * time.Millisecond

// maxObserved is how many folders a session hears of besides the one that is selected; each takes two of the user's inotify watches.
const maxObserved = 256

// notification is what a client is to hear of without asking (RFC 5465).
type notification struct {
	groups   []imap.NotifyGroup
	selected imap.NotifyGroup // of the selected mailbox; without events it hears of nothing

	observer *mailstore.Observer     // nil = of the selected mailbox only
	folders  map[string]*observation // those that are observed
	entries  map[string]entry        // the folders when the client last heard of them
	ids      map[string]string       // and their identifiers, if it hears of names
	names    imap.NotifyEvents       // MailboxName and SubscriptionChange, if any group has them
	listed   time.Time               // when the lists were last looked at
}

// observation is what the client knows of a folder.
type observation struct {
	events imap.NotifyEvents
	last   imap.StatusData
	told   bool // last is what it knows
}

// notifyCommand is NOTIFY (RFC 5465 §3.1): it replaces what was asked for before.
func (s *session) notifyCommand(ctx context.Context, c *imap.Notify) reply {
	s.endNotify()
	n := &notification{groups: c.Groups}
	s.notify = n
	for _, g := range c.Groups {
		switch g.Filter {
		case imap.NotifySelected, imap.NotifySelectedDelayed:
			n.selected = g
		default:
			n.names |= g.Events & (imap.MailboxName | imap.SubscriptionChange)
		}
	}
	if n.observes() {
		if r := s.observe(ctx, c.Status); r.status != "" {
			return r
		}
	}
	return ok("NOTIFY completed.")
}

// observes says whether there is anything to hear of besides the selected mailbox.
func (n *notification) observes() bool {
	return slices.ContainsFunc(n.groups, func(g imap.NotifyGroup) bool {
		return g.Events != 0 && g.Filter != imap.NotifySelected && g.Filter != imap.NotifySelectedDelayed
	})
}

// observe begins to watch; with status set the client hears how the folders are. An answer without a status is that it went well.
func (s *session) observe(ctx context.Context, status bool) reply {
	n := s.notify
	if n.observer = s.o.Store.Observe(); n.observer == nil {
		return s.notifyOverflow()
	}
	n.folders = make(map[string]*observation)
	if err := s.relist(false); err != nil {
		if errors.Is(err, errOverflow) {
			return s.notifyOverflow()
		}
		s.endNotify()
		return s.refusal("list", "folders", err)
	}
	for _, name := range n.sorted() {
		if err := s.lookAt(ctx, name, status); err != nil {
			s.endNotify()
			return s.refusal("status of", name, err)
		}
	}
	return reply{}
}

// notifyOverflow is the answer where more would have to be watched than can be; the client then hears of nothing.
func (s *session) notifyOverflow() reply {
	s.endNotify()
	s.notify = &notification{}
	return no(imap.CodeNotificationOverflow, "Too many mailboxes to watch.")
}

func (s *session) endNotify() {
	if s.notify != nil && s.notify.observer != nil {
		s.notify.observer.Close()
	}
	s.notify = nil
}

// sorted are the names of the folders that are observed.
func (n *notification) sorted() []string {
	names := make([]string, 0, len(n.folders))
	for name := range n.folders {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

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

const messageEvents = imap.MessageNew | imap.MessageExpunge | imap.FlagChange

var errOverflow = errors.New("too many mailboxes to watch")

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

// reobserve watches the folders of whose messages the client is to hear, and no others. With tell set it hears how the new ones are.
func (n *notification) reobserve(list []entry, entries map[string]entry, tell bool) error {
	for name := range n.folders {
		if e, there := entries[name]; !there || !e.exists || n.eventsOf(&e)&messageEvents == 0 {
			n.observer.Forget(name)
			delete(n.folders, name)
		}
	}
	for i := range list {
		e := &list[i]
		events := n.eventsOf(e) & messageEvents
		if !e.exists || events == 0 {
			continue
		}
		if n.folders[e.name] == nil && len(n.folders) == maxObserved {
			return errOverflow
		}
		if err := n.observer.Watch(e.name); err != nil {
			continue // it was removed meanwhile: the next look at the list sees that
		}
		if n.folders[e.name] == nil {
			n.folders[e.name] = &observation{told: tell}
		}
		n.folders[e.name].events = events
	}
	return nil
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

// lookAt tells how a folder is, if tell is set or, once the client knows it, if something changed that it is to hear of.
func (s *session) lookAt(ctx context.Context, name string, tell bool) error {
	o := s.notify.folders[name]
	if s.box != nil && s.box.name == name {
		return nil // for which there are other rules
	}
	items := o.items()
	data, err := s.statusOf(ctx, name, items)
	if errors.Is(err, mailstore.ErrNoFolder) || errors.Is(err, mailstore.ErrReset) {
		return nil // the list of folders tells
	}
	if err != nil {
		return err
	}
	changed := data.Messages != o.last.Messages || data.UIDNext != o.last.UIDNext || data.UIDValidity != o.last.UIDValidity ||
		items&imap.StatusUnseen != 0 && (data.Unseen != o.last.Unseen || data.HighestModSeq != o.last.HighestModSeq)
	if tell || o.told && changed {
		s.w.Status(name, items, data)
	}
	o.last, o.told = *data, true
	return nil
}

// items are what a client that hears of events is told of a folder.
func (o *observation) items() imap.StatusItems {
	items := imap.StatusMessages | imap.StatusUIDNext | imap.StatusUIDValidity
	if o.events&imap.FlagChange != 0 {
		items |= imap.StatusUnseen | imap.StatusHighestModSeq
	}
	return items
}

// notifyLeft takes what the client knows of the selected mailbox, which it leaves, for what it knows of the folder.
func (s *session) notifyLeft() {
	if s.notify == nil || s.notify.folders[s.box.name] == nil {
		return
	}
	o := s.notify.folders[s.box.name]
	if data, err := counts(context.Background(), s.box.Mailbox, o.items()); err == nil {
		o.last, o.told = *data, true
		s.notify.observer.Touch(s.box.name)
	}
}

// lookElsewhere tells what has happened in the folders that are not selected. It is false when the session is to end.
func (s *session) lookElsewhere(ctx context.Context) bool {
	n := s.notify
	if n == nil || n.observer == nil {
		return true
	}
	if n.observer.ListChanged() {
		if rest := listAgain - time.Since(n.listed); rest > 0 {
			n.observer.ListLater(rest)
		} else if !s.lookAtLists() {
			return s.w.Flush() == nil
		}
	}
	for _, name := range n.sorted() {
		if !n.observer.Changed(name) {
			continue
		}
		if err := s.lookAt(ctx, name, false); err != nil && ctx.Err() == nil {
			s.o.Log.Error("status of %s: %v", name, err)
		}
	}
	return s.w.Flush() == nil
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

// notified is where hints of other folders come from; nil = from nowhere.
func (s *session) notified() <-chan struct{} {
	if s.notify == nil || s.notify.observer == nil {
		return nil
	}
	return s.notify.observer.C
}

// hearsOfSelected says whether the client is to hear of the selected mailbox when nothing is asked.
func (s *session) hearsOfSelected() bool {
	return s.box != nil && (s.notify == nil || s.notify.selected.Events != 0)
}

// hearsOfFlags says whether the client is to hear of changed flags when nothing is asked. Who knows mod-sequences must not miss any.
func (s *session) hearsOfFlags() bool {
	return s.notify == nil || s.on.condStore || s.notify.selected.Events&imap.FlagChange != 0
}

// ownListing is before a command that changes the lists, what it returns after it: the client hears of what others did to them, and its
// own doing counts as known.
func (s *session) ownListing(ctx context.Context, req *imap.Request) (after func()) {
	switch req.Command.(type) {
	case *imap.Create, *imap.Delete, *imap.Rename, *imap.Subscribe, *imap.Unsubscribe:
		if s.notified() != nil && s.lookAtLists() {
			return func() { s.knowLists(ctx) }
		}
	}
	return func() {}
}

// tellNew fetches for the client what it wants to have of new messages (RFC 5465 §5.2); \Seen stays as it is.
func (s *session) tellNew(ctx context.Context, exists, count int) {
	if s.notify == nil || len(s.notify.selected.Fetch) == 0 {
		return
	}
	items := slices.Clone(s.notify.selected.Fetch)
	for i := range items {
		items[i].Peek = true
	}
	f := &fetching{session: s, ctx: ctx, items: items, withFlags: items}
	f.answer([]span{{exists - count, exists}})
	if f.failure != nil {
		s.o.Log.Error("fetch new messages of %s: %v", s.box.name, f.failure)
	}
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

// await waits for the next command of a client that is to hear of events meanwhile. Input that is there already comes first.
func (s *session) await(ctx context.Context) error {
	if s.notify == nil || s.r.Buffered() > 0 || s.notified() == nil && !s.hearsOfSelected() {
		return nil
	}
	if s.hearsOfSelected() && !s.box.hinted {
		s.box.Hints() // from here on none is missed
		s.box.hinted = true
		if !s.look(ctx, false) {
			return errNotTold
		}
	}
	if err := s.w.Flush(); err != nil {
		return err
	}
	return s.meanwhile(ctx, s.r.Await, false)
}

// errNotTold is that the client could not be told of changes; why stands elsewhere.
var errNotTold = errors.New("client is not told of changes")
