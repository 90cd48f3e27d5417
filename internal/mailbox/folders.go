package mailbox

import (
	"fmt"
	"strings"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"postrider/internal/config"
	"postrider/internal/mailstore"
)

// maxRemote bounds the folders of another server.
const maxRemote = 50_000

// remote is a folder there, and the one here that it comes into.
type remote struct {
	name       string
	target     string
	subscribed bool
}

// listing is what another server says of its folders.
type listing struct {
	folders []*imap.ListData
	prefix  string          // of the user's own folders
	known   bool            // whether subscribed says it all
	names   map[string]bool // that are subscribed
}

// listFolders asks for all folders, and for the subscriptions if the server can tell them apart.
func listFolders(c *imapclient.Client) (*listing, error) {
	caps, err := c.Capability().Wait()
	if err != nil {
		return nil, err
	}
	l := &listing{names: make(map[string]bool)}
	if caps.Has(imap.CapNamespace) {
		data, err := c.Namespace().Wait()
		if err != nil {
			return nil, err
		}
		if len(data.Personal) > 0 {
			l.prefix = data.Personal[0].Prefix
		}
	}
	var options *imap.ListOptions
	if caps.Has(imap.CapSpecialUse) {
		options = &imap.ListOptions{ReturnSpecialUse: true}
	}
	if l.folders, err = collect(c.List("", "*", options)); err != nil {
		return nil, err
	}
	if l.known = caps.Has(imap.CapListExtended) || caps.Has(imap.CapIMAP4rev2); !l.known {
		return l, nil
	}
	subscribed, err := collect(c.List("", "*", &imap.ListOptions{SelectSubscribed: true}))
	for _, data := range subscribed {
		l.names[data.Mailbox] = true
	}
	return l, err
}

func collect(cmd *imapclient.ListCommand) (list []*imap.ListData, err error) {
	for data := cmd.Next(); data != nil; data = cmd.Next() {
		if list = append(list, data); len(list) > maxRemote {
			cmd.Close()
			return nil, localError{fmt.Errorf("the server has more than %d folders", maxRemote)}
		}
	}
	return list, cmd.Close()
}

// has says whether a folder has one of the attributes.
func has(data *imap.ListData, attrs ...imap.MailboxAttr) bool {
	for _, a := range data.Attrs {
		for _, b := range attrs {
			if strings.EqualFold(string(a), string(b)) {
				return true
			}
		}
	}
	return false
}

// plan says which folders are copied, and where to. Those that show mail of other folders are not: what \All and \Flagged have is
// elsewhere, too.
func plan(l *listing, special config.Folders) (plan []remote) {
	m := mapping{prefix: l.prefix, renamed: make(map[string]string), taken: make(map[string]bool)}
	for _, data := range l.folders {
		m.special(data, special)
	}
	for _, data := range l.folders {
		if has(data, imap.MailboxAttrNoSelect, imap.MailboxAttrNonExistent, imap.MailboxAttrAll, imap.MailboxAttrFlagged) {
			continue
		}
		plan = append(plan, remote{name: data.Mailbox, target: m.target(data), subscribed: !l.known || l.names[data.Mailbox]})
	}
	return plan
}

// mapping makes names for folders here.
type mapping struct {
	prefix  string            // that their names have there, and not here
	renamed map[string]string // names, there without prefix, of those with a special use
	taken   map[string]bool
}

// special notes the name here for a folder with a special use (RFC 6154).
func (m *mapping) special(data *imap.ListData, here config.Folders) {
	for attr, name := range map[imap.MailboxAttr]string{imap.MailboxAttrDrafts: here.Drafts, imap.MailboxAttrSent: here.Sent,
		imap.MailboxAttrJunk: here.Junk, imap.MailboxAttrTrash: here.Trash, imap.MailboxAttrArchive: here.Archive} {
		if name != "" && has(data, attr) && !m.taken[name] {
			m.renamed[m.local(data)] = name
			m.taken[name] = true
		}
	}
}

// target is the name here of a folder. Two folders there are never one here.
func (m *mapping) target(data *imap.ListData) string {
	local := m.local(data)
	if name, ok := m.renamed[local]; ok {
		return name
	}
	name := local
	for i := strings.LastIndex(local, mailstore.Separator); i > 0; i = strings.LastIndex(local[:i], mailstore.Separator) {
		if parent, ok := m.renamed[local[:i]]; ok {
			name = parent + local[i:]
			break
		}
	}
	unique := name
	for n := 2; m.taken[unique]; n++ {
		unique = fmt.Sprintf("%s~%d", name, n)
	}
	m.taken[unique] = true
	return unique
}

// local is the name without the prefix, in the form of names here: with their separator, and without what they cannot have.
func (m *mapping) local(data *imap.ListData) string {
	name := data.Mailbox
	if strings.EqualFold(name, mailstore.Inbox) {
		return mailstore.Inbox
	}
	if len(name) > len(m.prefix) && strings.EqualFold(name[:len(m.prefix)], m.prefix) {
		name = name[len(m.prefix):]
	}
	parts := []string{name}
	if data.Delim != 0 {
		parts = strings.Split(name, string(data.Delim))
	}
	for i, part := range parts {
		parts[i] = strings.Map(func(r rune) rune {
			if r < ' ' || r == 0x7f || r == '/' || r == '.' {
				return '_'
			}
			return r
		}, part)
		if part == "" {
			parts[i] = "_"
		}
	}
	return strings.Join(parts, mailstore.Separator)
}
