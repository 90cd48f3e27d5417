package imapd

import (
	"context"
	"errors"
	"slices"
	"strings"

	"postrider/internal/imap"
	"postrider/internal/mailstore"
)

const separator = '.'

// makeFolders makes the special folders at the first login, and subscribes to them, since some clients show nothing else.
// It was the first if there is no list of subscriptions yet: that is written last and in one step, so an interrupted
// attempt is repeated, and a folder that the user deletes later stays deleted.
func (s *session) makeFolders(ctx context.Context) {
	if first, err := s.o.Store.NeverSubscribed(); err != nil || !first {
		return
	}
	var names []string
	for _, f := range s.o.Folders {
		if f.Name == "" || slices.Contains(names, f.Name) {
			continue
		}
		if err := s.o.Store.Create(f.Name); err != nil && !errors.Is(err, mailstore.ErrExists) {
			s.o.Log.Error("make special folders: %v", err)
			return
		}
		names = append(names, f.Name)
	}
	if len(names) == 0 {
		return
	}
	if err := s.o.Store.SubscribeFirst(ctx, names); err != nil {
		s.o.Log.Error("make special folders: %v", err)
	}
}

// trimSeparator takes off the separator behind a name that is to have children (RFC 3501 §6.3.3).
func trimSeparator(name string) string { return strings.TrimSuffix(name, string(separator)) }

// create is CREATE.
func (s *session) create(ctx context.Context, c *imap.Create) reply {
	name := trimSeparator(c.Mailbox)
	if len(c.Use) > 0 {
		return s.createFor(ctx, name, c.Use)
	}
	if err := s.o.Store.Create(name); err != nil {
		return s.refusal("create", name, err)
	}
	return s.created(name)
}

// created answers with the identifier of the new folder, if another session has not removed it already.
func (s *session) created(name string) reply {
	r := ok("Create completed.")
	if id, err := s.o.Store.ID(name); err == nil {
		r.code = imap.CodeMailboxID(id)
	}
	return r
}

// deleteMailbox is DELETE. If the mailbox is selected, that ends with it.
func (s *session) deleteMailbox(c *imap.Delete) reply {
	if c.Mailbox == mailstore.Inbox {
		return no(imap.CodeCannot, "INBOX can't be deleted.")
	}
	if err := s.o.Store.Delete(c.Mailbox); err != nil {
		return s.refusal("delete", c.Mailbox, err)
	}
	if s.box != nil && s.box.name == c.Mailbox {
		s.leaveAloud()
	}
	return ok("Delete completed.")
}

// rename is RENAME. Of INBOX the mail moves and the mailbox stays (RFC 3501 §6.3.5); another one that is selected, or is
// below, is no longer where it was.
func (s *session) rename(ctx context.Context, c *imap.Rename) reply {
	from, to := c.From, c.To
	switch {
	case from == to:
		return no(imap.CodeAlreadyExists, "Can't rename mailbox to itself.")
	case strings.HasPrefix(to, from+string(separator)) && from != mailstore.Inbox:
		return no(imap.CodeCannot, "Can't rename mailbox under its own child.")
	}
	if err := s.o.Store.Rename(ctx, from, to); err != nil {
		return s.refusal("rename", from, err)
	}
	if s.box != nil && from != mailstore.Inbox && (s.box.name == from || strings.HasPrefix(s.box.name, from+string(separator))) {
		s.leaveAloud()
	}
	if s.on.rev2 && from != mailstore.Inbox {
		s.listRenamed(from, to)
	}
	return ok("Rename completed.")
}

// subscribe is SUBSCRIBE. As in Dovecot only to what there is.
func (s *session) subscribe(ctx context.Context, name string) reply {
	name = trimSeparator(name)
	exists, err := s.o.Store.Exists(name)
	if err == nil && !exists {
		err = mailstore.ErrNoFolder
	}
	if err == nil {
		err = s.o.Store.Subscribe(ctx, name, true)
	}
	if err != nil {
		return s.refusal("subscribe to", name, err)
	}
	return ok("Subscribe completed.")
}

// unsubscribe is UNSUBSCRIBE, of any name.
func (s *session) unsubscribe(ctx context.Context, name string) reply {
	if err := s.o.Store.Subscribe(ctx, trimSeparator(name), false); err != nil {
		return s.refusal("unsubscribe from", name, err)
	}
	return ok("Unsubscribe completed.")
}
