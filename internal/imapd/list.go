package imapd

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"

	"postrider/internal/imap"
	"postrider/internal/mailstore"
)

// maxPatterns is how many patterns a LIST may have, each of which is compared with each folder.
const maxPatterns = 64

// entry is a name that a LIST may show.
type entry struct {
	name       string
	exists     bool // can be selected
	children   bool
	subscribed bool
	below      bool // a name below is subscribed, of which the client does not hear
}

// list is LIST, with RFC 5258, 5819 and 6154 §3.
func (s *session) list(ctx context.Context, c *imap.List) reply {
	if !c.Extended && c.Patterns[0] == "" { // asks for the separator
		s.w.List(&imap.ListData{Attrs: []imap.MailboxAttr{imap.AttrNoSelect}, Delimiter: separator})
		return ok("List completed.")
	}
	if len(c.Patterns) > maxPatterns {
		return no(imap.CodeLimit, "Too many patterns.")
	}
	if c.Status&imap.StatusHighestModSeq != 0 {
		s.enableCondStore()
	}
	l := listing{session: s, cmd: c, options: c.Return | c.Select&(imap.ListSubscribed|imap.ListSpecialUse)}
	for _, p := range c.Patterns {
		l.patterns = append(l.patterns, newPattern(c.Reference, p))
	}
	var err error
	if l.uses, err = s.specialUses(); err != nil {
		return s.refusal("list", "special uses", err)
	}
	entries, err := l.entries(c.Select&imap.ListSubscribed != 0 || c.Return&imap.ListSubscribed != 0)
	if err != nil {
		return s.refusal("list", "folders", err)
	}
	for i := range entries {
		if ctx.Err() != nil || s.w.Err() != nil {
			break
		}
		if e := &entries[i]; l.selects(e) && anyMatches(l.patterns, e.name) {
			l.show(ctx, e)
		}
	}
	return ok("List completed.")
}

// entries are the folders and their parents, and with subscribed set also what is subscribed and the parents of that; INBOX
// comes first, then the names in order.
func (l *listing) entries(subscribed bool) ([]entry, error) {
	folders, err := l.o.Store.List()
	if err != nil {
		return nil, err
	}
	list := make([]entry, 0, len(folders))
	for _, f := range folders {
		list = append(list, entry{name: f.Name, exists: !f.NoSelect, children: f.Children})
	}
	if !subscribed {
		return list, nil
	}
	names, err := l.o.Store.Subscriptions()
	if err != nil {
		return nil, err
	}
	return addSubscriptions(list, names, func(name string) bool { return !anyMatches(l.patterns, name) }), nil
}

// addSubscriptions marks what is subscribed, and adds what only the list of subscriptions knows. Names with one below them are marked for
// those that are hidden: of others the client hears anyway (RFC 5258 §3.5).
func addSubscriptions(list []entry, names []string, hidden func(name string) bool) []entry {
	at := make(map[string]int, len(list)+len(names))
	for i := range list {
		at[list[i].name] = i
	}
	find := func(name string) *entry {
		i, known := at[name]
		if !known {
			i = len(list)
			at[name] = i
			list = append(list, entry{name: name})
		}
		return &list[i]
	}
	for _, name := range names {
		find(name).subscribed = true
		if !hidden(name) {
			continue
		}
		for i := strings.LastIndexByte(name, separator); i > 0; i = strings.LastIndexByte(name, separator) {
			name = name[:i]
			find(name).below = true
		}
	}
	slices.SortFunc(list, func(a, b entry) int {
		return cmp.Or(boolOrder(b.name == mailstore.Inbox, a.name == mailstore.Inbox), cmp.Compare(a.name, b.name))
	})
	return list
}

func boolOrder(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// listing is a LIST that is carried out.
type listing struct {
	*session
	cmd      *imap.List
	options  imap.ListOptions // what is told of each name
	patterns []pattern
	uses     specialUses
}

// selects applies the selection options.
func (l *listing) selects(e *entry) bool {
	selected := l.cmd.Select
	if selected&imap.ListSpecialUse != 0 && (len(l.uses.of(e.name)) == 0 || !e.exists) {
		return false
	}
	if selected&imap.ListSubscribed != 0 {
		return e.subscribed || selected&imap.ListRecursiveMatch != 0 && e.below
	}
	return e.exists || e.children
}

func (l *listing) show(ctx context.Context, e *entry) {
	l.w.List(&imap.ListData{
		Attrs:      l.attrs(e),
		Delimiter:  separator,
		Mailbox:    e.name,
		Subscribed: l.cmd.Select&imap.ListRecursiveMatch != 0 && l.cmd.Select&imap.ListSubscribed != 0 && e.below,
	})
	if l.cmd.Status == 0 || !e.exists {
		return
	}
	data, err := l.statusOf(ctx, e.name, l.cmd.Status)
	switch {
	case err == nil:
		l.tellStatus(e.name, l.cmd.Status, data)
	case !errors.Is(err, mailstore.ErrNoFolder): // removed meanwhile
		l.o.Log.Error("status of %s: %v", e.name, err)
	}
}

// attrs are the attributes of a name. As in Dovecot, a plain LIST tells of children and special uses, an extended one of
// what it asks for.
func (l *listing) attrs(e *entry) (attrs []imap.MailboxAttr) {
	add := func(attr imap.MailboxAttr, when bool) {
		if when && attr != "" {
			attrs = append(attrs, attr)
		}
	}
	plain := !l.cmd.Extended
	add(imap.AttrNoSelect, plain && !e.exists)
	add(imap.AttrNonExistent, !plain && !e.exists)
	add(imap.AttrSubscribed, l.options&imap.ListSubscribed != 0 && e.subscribed)
	if plain || l.options&imap.ListChildren != 0 {
		add(imap.AttrHasChildren, e.children)
		add(imap.AttrHasNoChildren, !e.children)
	}
	if e.exists && (plain || l.options&imap.ListSpecialUse != 0) {
		attrs = append(attrs, l.uses.of(e.name)...)
	}
	return attrs
}

// lsub is LSUB: what is subscribed, there or not. Where a "%" stops at a name that only has subscribed ones below, that is
// shown with \Noselect (RFC 3501 §6.3.9).
func (s *session) lsub(c *imap.LSub) reply {
	names, err := s.o.Store.Subscriptions()
	if err != nil {
		return s.refusal("list", "subscriptions", err)
	}
	p := newPattern(c.Reference, c.Pattern)
	parents := strings.HasSuffix(string(p), "%")
	for _, e := range addSubscriptions(nil, names, func(string) bool { return true }) {
		if !e.subscribed && !parents || !p.matches(e.name) {
			continue
		}
		data := imap.ListData{LSub: true, Delimiter: separator, Mailbox: e.name}
		if !e.subscribed {
			data.Attrs = []imap.MailboxAttr{imap.AttrNoSelect}
		}
		s.w.List(&data)
	}
	return ok("Lsub completed.")
}
