package imap

// Notify is NOTIFY (RFC 5465); without groups it is NOTIFY NONE.
type Notify struct {
	Status bool // STATUS responses first
	Groups []NotifyGroup
}

// NotifyGroup is mailboxes, and the events that a client is to hear of in them.
type NotifyGroup struct {
	Filter    NotifyFilter
	Mailboxes []string // of NotifySubtree and NotifyMailboxes
	Events    NotifyEvents
	Fetch     []FetchItem // of each new message in the selected mailbox
}

// NotifyFilter says which mailboxes a group is about (RFC 5465 §6).
type NotifyFilter uint8

// The filters.
const (
	NotifySelected NotifyFilter = iota + 1
	NotifySelectedDelayed
	NotifyInboxes
	NotifyPersonal
	NotifySubscribed
	NotifySubtree
	NotifyMailboxes
)

var notifyFilters = map[string]NotifyFilter{
	"SELECTED": NotifySelected, "SELECTED-DELAYED": NotifySelectedDelayed, "INBOXES": NotifyInboxes, "PERSONAL": NotifyPersonal,
	"SUBSCRIBED": NotifySubscribed, "SUBTREE": NotifySubtree, "MAILBOXES": NotifyMailboxes,
}

// NotifyEvents is a set of events (RFC 5465 §5).
type NotifyEvents uint8

// The events that are supported.
const (
	MessageNew NotifyEvents = 1 << iota
	MessageExpunge
	FlagChange
	MailboxName
	SubscriptionChange

	// MessageEvents are those of messages; the others are of names.
	MessageEvents = MessageNew | MessageExpunge | FlagChange
)

var notifyEvents = map[string]NotifyEvents{
	"MESSAGENEW": MessageNew, "MESSAGEEXPUNGE": MessageExpunge, "FLAGCHANGE": FlagChange, "MAILBOXNAME": MailboxName,
	"SUBSCRIPTIONCHANGE": SubscriptionChange,
}

// Response codes of NOTIFY. CodeBadEvent has the events that are supported.
const (
	CodeBadEvent             Code = "BADEVENT (MessageNew MessageExpunge FlagChange MailboxName SubscriptionChange)"
	CodeNotificationOverflow Code = "NOTIFICATIONOVERFLOW"
)

// maxNotifyGroups and maxNotifyNames bound what each change of a mailbox is compared with.
const (
	maxNotifyGroups = 32
	maxNotifyNames  = 256
)

func parseNotify(p *parser) Command {
	n := &Notify{}
	p.sp()
	switch p.word() {
	case "NONE":
		return n
	case "SET":
	default:
		p.fail("expected SET or NONE")
	}
	p.sp()
	if p.peek() != '(' {
		if p.word() != "STATUS" {
			p.fail("expected an event group")
		}
		n.Status = true
		p.sp()
	}
	for more, names := true, 0; more; more = p.more() {
		g := p.notifyGroup()
		names += len(g.Mailboxes)
		if n.Groups = append(n.Groups, g); len(n.Groups) > maxNotifyGroups || names > maxNotifyNames {
			p.refuse(NO, CodeNotificationOverflow, "too many mailboxes")
		}
	}
	if n.selected() > 1 {
		p.fail("several groups for the selected mailbox")
	}
	return n
}

func (n *Notify) selected() (groups int) {
	for _, g := range n.Groups {
		if g.Filter.Selected() {
			groups++
		}
	}
	return groups
}

// Selected says whether a group is about the selected mailbox.
func (f NotifyFilter) Selected() bool { return f == NotifySelected || f == NotifySelectedDelayed }

func (p *parser) notifyGroup() (g NotifyGroup) {
	p.expect('(')
	if g.Filter = notifyFilters[p.word()]; g.Filter == 0 {
		p.fail("unknown mailbox filter")
	}
	p.sp()
	if g.Filter == NotifySubtree || g.Filter == NotifyMailboxes {
		if p.peek() == '(' {
			p.list(func() { g.Mailboxes = append(g.Mailboxes, p.mailbox()) })
		} else {
			g.Mailboxes = []string{p.mailbox()}
		}
		p.sp()
	}
	if p.peek() == '(' {
		p.notifyEvents(&g)
	} else if p.word() != "NONE" {
		p.fail("expected events or NONE")
	}
	p.expect(')')
	if why := g.wrong(); why != "" {
		p.fail(why)
	}
	return g
}

// notifyEvents reads events; what is to be fetched of a new message stands behind MessageNew, in parentheses.
func (p *parser) notifyEvents(g *NotifyGroup) {
	p.list(func() {
		if p.peek() == '(' && g.Events == MessageNew && g.Fetch == nil {
			p.list(func() { g.Fetch = append(g.Fetch, p.fetchItem(p.word())) })
			if len(g.Fetch) == 0 || len(g.Fetch) > maxSections {
				p.fail("bad list of data items")
			}
			return
		}
		event := notifyEvents[p.word()]
		if event == 0 {
			p.refuse(NO, CodeBadEvent, "unsupported event")
		}
		g.Events |= event
	})
	if g.Events == 0 {
		p.fail("no events")
	}
}

// wrong says what is not allowed of a group (RFC 5465 §5.1-5.3, §6.1).
func (g *NotifyGroup) wrong() string {
	both := g.Events & (MessageNew | MessageExpunge)
	switch {
	case both != 0 && both != MessageNew|MessageExpunge:
		return "MessageNew and MessageExpunge go together"
	case g.Events&FlagChange != 0 && both == 0:
		return "FlagChange needs MessageNew and MessageExpunge"
	case g.Filter.Selected() && g.Events&^MessageEvents != 0:
		return "event is not one of the selected mailbox"
	case !g.Filter.Selected() && g.Fetch != nil:
		return "only of the selected mailbox can data items be sent"
	}
	return ""
}
