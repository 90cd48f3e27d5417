package imapd

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"postrider/internal/imap"
	"postrider/internal/mailstore"
)

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
		if g.Filter.Selected() {
			n.selected = g
		} else {
			n.names |= g.Events &^ imap.MessageEvents
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
		return g.Events != 0 && !g.Filter.Selected()
	})
}

// observe begins to watch; with status set the client hears how the folders are. An answer without a status is that it went well.
func (s *session) observe(ctx context.Context, status bool) reply {
	n := s.notify
	if n.observer = s.o.Store.Observe(s.stream.wake); n.observer == nil {
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
	return slices.Sorted(maps.Keys(n.folders))
}

var errOverflow = errors.New("too many mailboxes to watch")

// reobserve watches the folders of whose messages the client is to hear, and no others. With tell set it hears how the new ones are.
func (n *notification) reobserve(list []entry, entries map[string]entry, tell bool) error {
	for name := range n.folders {
		if e, there := entries[name]; !there || !e.exists || n.eventsOf(&e)&imap.MessageEvents == 0 {
			n.observer.Forget(name)
			delete(n.folders, name)
		}
	}
	for i := range list {
		e := &list[i]
		events := n.eventsOf(e) & imap.MessageEvents
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
	if !s.hearsOfOthers() {
		return true
	}
	n := s.notify
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

// hearsOfOthers says whether the client is to hear of folders that are not selected.
func (s *session) hearsOfOthers() bool { return s.notify != nil && s.notify.observer != nil }

// hearsOfSelected says whether the client is to hear of the selected mailbox when nothing is asked.
func (s *session) hearsOfSelected() bool {
	return s.box != nil && (s.notify == nil || s.notify.selected.Events != 0)
}

// hearsOfFlags says whether the client is to hear of changed flags when nothing is asked. Who knows mod-sequences must not miss any.
func (s *session) hearsOfFlags() bool {
	return s.notify == nil || s.on.condStore || s.notify.selected.Events&imap.FlagChange != 0
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

// await waits for the next command of a client that is to hear of events meanwhile. Input that is there already comes first.
func (s *session) await(ctx context.Context) error {
	if s.notify == nil || s.r.Buffered() > 0 || !s.hearsOfOthers() && !s.hearsOfSelected() {
		return nil
	}
	if s.hearsOfSelected() && !s.box.hinted {
		s.box.Watch(s.stream.wake) // from here on nothing is missed
		s.box.hinted = true
		if !s.look(ctx, false) {
			return errNotTold
		}
	}
	if err := s.w.Flush(); err != nil {
		return err
	}
	return s.meanwhile(ctx, s.r.Wait, false)
}

// errNotTold is that the client could not be told of changes; why stands elsewhere.
var errNotTold = errors.New("client is not told of changes")
