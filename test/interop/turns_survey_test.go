//go:build interop

package interop

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// learn takes the UIDVALIDITY of a folder, which stays, and is no other folder's.
func (g *turns) learn(name string, validity uint64) {
	g.t.Helper()
	f := g.folders[name]
	for other, o := range g.folders {
		if o != f && o.validity == validity {
			g.t.Errorf("%q and %q have the UIDVALIDITY %d", name, other, validity)
		}
	}
	if f.validity == 0 {
		f.validity = validity
	}
	if f.validity != validity {
		g.t.Errorf("%q has the UIDVALIDITY %d, and had %d", name, validity, f.validity)
	}
}

// give puts a message into a folder under a UID that never was another one's.
func (g *turns) give(name string, uid uint64, m turnMail) {
	g.t.Helper()
	f := g.folders[name]
	if seed, used := g.given[[2]uint64{f.validity, uid}]; used {
		g.t.Errorf("%q: UID %d of UIDVALIDITY %d was the message %d, and is now %d", name, uid, f.validity, seed, m.seed)
	}
	g.given[[2]uint64{f.validity, uid}] = m.seed
	f.mails[uid], f.last = m, max(f.last, uid)
}

// differs says where a folder's messages are not as they have to be. The delivered among them get the UIDs by which they are first seen.
func (g *turns) differs(name string, mails map[uint64]turnMail) string {
	g.t.Helper()
	f := g.folders[name]
	for uid, m := range mails {
		if after, ok := f.coming[m.seed]; ok && f.mails[uid].seed == 0 && uid > after && m.flags == "" {
			delete(f.coming, m.seed)
			g.give(name, uid, m)
		}
	}
	var b strings.Builder
	for _, uid := range slices.Sorted(maps.Keys(f.mails)) {
		if m, there := mails[uid]; !there || m != f.mails[uid] {
			fmt.Fprintf(&b, "UID %d is %+v and not %+v\n", uid, m, f.mails[uid])
		}
	}
	for uid, m := range mails {
		if _, there := f.mails[uid]; !there {
			fmt.Fprintf(&b, "UID %d is %+v: nobody put it there\n", uid, m)
		}
	}
	for seed := range f.coming {
		fmt.Fprintf(&b, "the delivered message %d is not there\n", seed)
	}
	return b.String()
}

// compare reads all the mail from both servers.
func (g *turns) compare() {
	g.t.Helper()
	var said [2]string
	for _, side := range g.rng.Perm(2) {
		said[side] = g.survey(side)
		if g.t.Failed() {
			return
		}
	}
	if said[0] != said[1] {
		g.t.Errorf("Dovecot has the folders\n%s\nand the suite has\n%s", said[0], said[1])
	}
	for _, side := range g.rng.Perm(2) {
		g.surveyPOP3(side)
	}
}

// survey reads all the mail from one server, and returns what it says of the folders.
func (g *turns) survey(side int) string {
	g.t.Helper()
	c := g.login(side)
	defer c.logout()
	list, subs := c.list("LIST"), c.list("LSUB")
	var names, subscribed []string
	for i, line := range list {
		name, attributes, _ := strings.Cut(line, "\t")
		// Dovecot forgets that a folder with folders below it was deleted.
		if g.folders[name] == nil && g.above(name) && (turnSides[side].prefix != "" || strings.Contains(attributes, `\noselect`)) {
			list[i] = name + "\t\\noselect"
		} else {
			names = append(names, name)
		}
	}
	for _, line := range subs {
		name, _, _ := strings.Cut(line, "\t")
		subscribed = append(subscribed, name)
	}
	maps.DeleteFunc(g.subs, func(_ string, is bool) bool { return !is })
	if want := slices.Sorted(maps.Keys(g.folders)); !slices.Equal(names, want) {
		g.t.Errorf("%s has the folders %q and not %q", turnSides[side].name, list, want)
		return ""
	}
	if want := slices.Sorted(maps.Keys(g.subs)); !slices.Equal(subscribed, want) {
		g.t.Errorf("%s has the subscriptions %q and not %q", turnSides[side].name, subscribed, want)
	}
	for _, i := range g.rng.Perm(len(names)) {
		c.surveyFolder(names[i])
	}
	return strings.Join(list, "\n")
}

// above says whether a folder has folders below it.
func (g *turns) above(name string) bool {
	for folder := range g.folders {
		if strings.HasPrefix(folder, name+".") {
			return true
		}
	}
	return false
}

var listed = regexp.MustCompile(`^\* (?:LIST|LSUB) \(([^)]*)\) "\." (.*)$`)

// list are the answers to LIST or LSUB, sorted: name, tab, attributes.
func (c *turnClient) list(verb string) (lines []string) {
	c.g.t.Helper()
	for _, line := range c.ask(`%s "" *`, verb) {
		m := listed.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		name := m[2]
		if strings.HasPrefix(name, `"`) {
			name = regexp.MustCompile(`\\(.)`).ReplaceAllString(name[1:len(name)-1], "$1")
		}
		attributes := strings.Fields(strings.ToLower(m[1]))
		attributes = slices.DeleteFunc(attributes, func(a string) bool { return a == `\marked` || a == `\unmarked` })
		slices.Sort(attributes)
		lines = append(lines, name+"\t"+strings.Join(attributes, " "))
	}
	slices.Sort(lines)
	return lines
}

// surveyFolder reads a folder, which is as it has to be.
func (c *turnClient) surveyFolder(name string) {
	g, ours := c.g, turnSides[c.side].prefix == ""
	g.t.Helper()
	if ours {
		c.status(name)
	}
	verb := []string{"SELECT", "EXAMINE"}[g.rng.IntN(2)]
	validity, next := c.open(verb, name)
	g.learn(name, validity)
	if d := g.differs(name, c.fetch()); d != "" {
		g.t.Errorf("%s: in %q\n%s", turnSides[c.side].name, name, d)
	}
	if f := g.folders[name]; next != f.last+1 {
		g.t.Errorf("%s: %q has the UIDNEXT %d after %d", turnSides[c.side].name, name, next, f.last)
	}
	c.ask("UNSELECT")
	c.folder = ""
	if !ours { // what Dovecot remembers for this may be old until it has read the folder
		c.status(name)
	}
}

// status asks for the numbers of messages in a folder.
func (c *turnClient) status(name string) {
	c.g.t.Helper()
	f := c.g.folders[name]
	seen := 0
	for _, m := range f.mails {
		if slices.Contains(strings.Fields(m.flags), `\seen`) {
			seen++
		}
	}
	messages := len(f.mails) + len(f.coming)
	line := c.ask("STATUS %q (MESSAGES UNSEEN)", name)[0]
	if want := fmt.Sprintf("(MESSAGES %d UNSEEN %d)", messages, messages-seen); !strings.HasSuffix(line, want) {
		c.g.t.Errorf("%s: %s, but %s", turnSides[c.side].name, line, want)
	}
}

// surveyPOP3 reads the numbers and sizes of the messages in INBOX.
func (g *turns) surveyPOP3(side int) {
	g.t.Helper()
	r, numbers := g.loginPOP3(side)
	r.POP("+OK", "LIST")
	list := r.Dots()
	r.POP("+OK", "QUIT")
	mails := g.folders["INBOX"].mails
	var want []string
	for i, uid := range slices.Sorted(maps.Keys(mails)) {
		want = append(want, fmt.Sprint(i+1, " ", len(seedMessage(mails[uid].seed))))
		if numbers[uid] != i+1 {
			g.t.Errorf("%s: UID %d has the number %d, not %d", turnSides[side].name, uid, numbers[uid], i+1)
		}
	}
	if !slices.Equal(list, want) {
		g.t.Errorf("%s: LIST is %q, not %q", turnSides[side].name, list, want)
	}
}
