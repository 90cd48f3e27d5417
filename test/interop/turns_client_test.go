//go:build interop

package interop

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"postrider/test/suite"
)

// turnClient is one connection by IMAP.
type turnClient struct {
	*suite.Reader
	g      *turns
	side   int
	folder string // selected; "" = none
	exists int    // messages in it, by the server's untagged answers
}

func (g *turns) login(side int) *turnClient {
	g.t.Helper()
	c := &turnClient{Reader: g.s.DialReader(turnSides[side].prefix + "imaps"), g: g, side: side}
	c.ask("LOGIN %q %q", g.user, suite.Password)
	return c
}

func (c *turnClient) logout() {
	c.g.t.Helper()
	c.ask("LOGOUT")
	c.Close()
}

// ask is a command that may only fail for a message that is just gone, and its answers, each with its literals.
func (c *turnClient) ask(format string, args ...any) []string {
	c.g.t.Helper()
	return c.hear(c.tell(fmt.Sprintf(format, args...)))
}

func (c *turnClient) tell(command string) (tag string) {
	c.g.t.Helper()
	first, _, _ := strings.Cut(command, "\r\n")
	c.g.note("%s: %s", turnSides[c.side].name, first)
	return c.Begin("%s", command)
}

var counted = regexp.MustCompile(`^\* (\d+) (EXISTS|EXPUNGE)$`)

func (c *turnClient) hear(tag string) (lines []string) {
	c.g.t.Helper()
	for {
		line := c.Answer()
		lines = append(lines, line)
		if m := counted.FindStringSubmatch(line); m != nil {
			if m[2] == "EXPUNGE" {
				c.exists--
			} else {
				c.exists = int(toNumber(m[1]))
			}
		}
		if state, ok := strings.CutPrefix(line, tag+" "); ok {
			if !strings.HasPrefix(state, "OK") && !strings.HasPrefix(state, "NO [EXPUNGEISSUED]") {
				c.g.t.Fatalf("%s: %s", c.g.script[len(c.g.script)-1], state)
			}
			return lines
		}
	}
}

func toNumber(digits string) uint64 {
	n, _ := strconv.ParseUint(digits, 10, 64)
	return n
}

// open selects a folder by SELECT or EXAMINE, and returns UIDVALIDITY and UIDNEXT.
func (c *turnClient) open(verb, folder string) (validity, next uint64) {
	c.g.t.Helper()
	all := strings.Join(c.ask("%s %q", verb, folder), "\n")
	c.folder = folder
	code := func(name string) uint64 {
		m := regexp.MustCompile(`\[` + name + ` (\d+)\]`).FindStringSubmatch(all)
		if m == nil {
			c.g.t.Fatalf("no %s of %q:\n%s", name, folder, all)
		}
		return toNumber(m[1])
	}
	return code("UIDVALIDITY"), code("UIDNEXT")
}

// fetch is what the server says of all messages of the selected folder: nothing, when one of them is gone and it has not told so yet.
func (c *turnClient) fetch() map[uint64]turnMail {
	c.g.t.Helper()
	mails, last, exists := make(map[uint64]turnMail), uint64(0), c.exists
	lines := c.ask("UID FETCH 1:* (FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[])")
	if strings.Contains(lines[len(lines)-1], "[EXPUNGEISSUED]") {
		return nil
	}
	for _, line := range lines {
		head, literal, whole := strings.Cut(line, "BODY[] {")
		if !whole {
			continue
		}
		length, text, _ := strings.Cut(literal, "}\r\n")
		body := text[:toNumber(length)]
		head += text[len(body):]
		part := func(r *regexp.Regexp) string { return append(r.FindStringSubmatch(head), "", "")[1] }
		date, err := time.Parse("_2-Jan-2006 15:04:05 -0700", part(fetchDate))
		must(c.g.t, err)
		flags := strings.Fields(strings.ReplaceAll(part(fetchFlags), `\Recent`, ""))
		m, uid := turnMail{seedOf(body), changed("", '=', flags), date.Unix()}, toNumber(part(fetchUID))
		if m.seed == 0 || part(fetchSize) != length || uid <= last || part(fetchSeq) != fmt.Sprint(len(mails)+1) {
			c.g.t.Errorf("%s has in %q after UID %d:\n%s", turnSides[c.side].name, c.folder, last, line)
		}
		mails[uid], last = m, uid
	}
	if len(mails) != exists {
		c.g.t.Errorf("%s has %d messages in %q, and said that there are %d", turnSides[c.side].name, len(mails), c.folder, exists)
	}
	return mails
}

// seedOf is the number of a seedMessage, 0 for all else.
func seedOf(text string) int {
	if m := seedNumber.FindStringSubmatch(text); m != nil && seedMessage(int(toNumber(m[1]))) == text {
		return int(toNumber(m[1]))
	}
	return 0
}

// changed is a set of flags after STORE +FLAGS, -FLAGS, or FLAGS (=).
func changed(flags string, how byte, by []string) string {
	set := make(map[string]bool)
	if how != '=' {
		for _, f := range strings.Fields(flags) {
			set[f] = true
		}
	}
	for _, f := range by {
		if how == '-' {
			delete(set, strings.ToLower(f))
		} else {
			set[strings.ToLower(f)] = true
		}
	}
	return strings.Join(slices.Sorted(maps.Keys(set)), " ")
}

// loginPOP3 begins a session, and returns the UIDL, by UID.
func (g *turns) loginPOP3(side int) (r *suite.Reader, numbers map[uint64]int) {
	g.t.Helper()
	r = g.s.DialReader(turnSides[side].prefix + "pop3s")
	r.POP("+OK", "USER %s", g.user)
	r.POP("+OK", "PASS %s", suite.Password)
	r.POP("+OK", "UIDL")
	numbers = make(map[uint64]int)
	for _, line := range r.Dots() {
		var n int
		var uid uint64
		fmt.Sscanf(line, "%d %08x", &n, &uid)
		if line != fmt.Sprintf("%d %08x%08x", n, uid, g.folders["INBOX"].validity) {
			g.t.Errorf("%s: UIDL %q", turnSides[side].name, line)
		}
		numbers[uid] = n
	}
	return r, numbers
}
