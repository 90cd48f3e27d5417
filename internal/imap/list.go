package imap

var listOptions = map[string]ListOptions{
	"SUBSCRIBED":     ListSubscribed,
	"REMOTE":         ListRemote,
	"RECURSIVEMATCH": ListRecursiveMatch,
	"SPECIAL-USE":    ListSpecialUse,
	"CHILDREN":       ListChildren,
}

const (
	listSelections = ListSubscribed | ListRemote | ListRecursiveMatch | ListSpecialUse
	listReturns    = ListSubscribed | ListSpecialUse | ListChildren
)

func parseList(p *parser) Command {
	list := &List{}
	p.sp()
	if p.peek() == '(' {
		list.Extended = true
		p.list(func() { list.Select |= p.listOption(p.word(), listSelections) })
		if list.Select&ListRecursiveMatch != 0 && list.Select&(ListSubscribed|ListSpecialUse) == 0 {
			p.fail("RECURSIVEMATCH selects nothing by itself")
		}
		p.sp()
	}
	list.Reference = p.mailbox()
	p.sp()
	if p.peek() == '(' {
		list.Extended = true
		p.list(func() { list.Patterns = append(list.Patterns, p.pattern()) })
	} else {
		list.Patterns = []string{p.pattern()}
	}
	if p.more() {
		list.Extended = true
		if p.word() != "RETURN" {
			p.fail("expected RETURN")
		}
		p.sp()
		p.list(func() { p.listReturn(list) })
	}
	return list
}

func parseLSub(p *parser) Command {
	p.sp()
	reference := p.mailbox()
	p.sp()
	return &LSub{reference, p.pattern()}
}

// pattern reads a pattern. One that cannot be part of a name is none that a name matches, and no error.
func (p *parser) pattern() string {
	text := p.stringOr(isListChar)
	if name, err := p.r.mailboxName(text); err == nil {
		return name
	}
	return text
}

func (p *parser) listOption(name string, allowed ListOptions) ListOptions {
	option := listOptions[name] & allowed
	if option == 0 {
		p.fail("unknown option")
	}
	return option
}

func (p *parser) listReturn(list *List) {
	name := p.word()
	if name == "STATUS" {
		p.sp()
		list.Status |= p.statusItems()
		return
	}
	list.Return |= p.listOption(name, listReturns)
}

// statusNames are the items of STATUS in the order in which they are answered.
var statusNames = [...]struct {
	name string
	item StatusItems
}{
	{"MESSAGES", StatusMessages},
	{"RECENT", StatusRecent},
	{"UIDNEXT", StatusUIDNext},
	{"UIDVALIDITY", StatusUIDValidity},
	{"UNSEEN", StatusUnseen},
	{"SIZE", StatusSize},
	{"DELETED", StatusDeleted},
	{"HIGHESTMODSEQ", StatusHighestModSeq},
	{"DELETED-STORAGE", StatusDeletedStorage},
	{"MAILBOXID", StatusMailboxID},
	{"APPENDLIMIT", StatusAppendLimit},
}

func (p *parser) statusItems() (items StatusItems) {
	p.list(func() {
		name := p.word()
		for _, s := range statusNames {
			if s.name == name {
				items |= s.item
				return
			}
		}
		p.fail("unknown status item")
	})
	if items == 0 {
		p.fail("no status items")
	}
	return items
}

func parseStatus(p *parser) Command {
	status := &Status{Mailbox: p.nextMailbox()}
	p.sp()
	status.Items = p.statusItems()
	return status
}
