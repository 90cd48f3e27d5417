package imapd

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"postrider/internal/dovecottest"
)

// TestDovecotSort and TestDovecotThread put the same commands to Dovecot and to a session of this package, each with a copy of
// some hundred messages whose headers are as odd as they come. DOVECOT_FIRST says the seed of the first mailbox,
// DOVECOT_SCRIPTS how many there are. The answers differ, and so the messages have none of it, in this:
//
//   - An encoded word in an unknown charset is decoded all the same, as SEARCH does; Dovecot leaves it as it is.
//   - A day without a valid time is that day's midnight, as RFC 5256 §2.2 says; Dovecot takes the time of arrival. A zone of one
//     letter is UTC (RFC 5322 §4.3).
//   - After "<a@b <c@d>" the identifier is that between the last "<" and ">"; Dovecot takes all for one.
//   - An identifier with a comment inside is none; Dovecot takes some.
//   - Domain literals are domains: "<a@[192.0.2.1]>" is an identifier, to Dovecot it is none.
//   - A key has bounds: of 65 references the second, of a base subject what is beyond 512 octets does not count.
func TestDovecotSort(t *testing.T) {
	t.Parallel()
	keys := []string{"ARRIVAL", "CC", "DATE", "DISPLAYFROM", "DISPLAYTO", "FROM", "SIZE", "SUBJECT", "TO"}
	var commands []string
	for i, key := range keys {
		commands = append(commands, "SORT ("+key+") UTF-8 ALL", "UID SORT (REVERSE "+key+") UTF-8 ALL",
			"SORT ("+key+" REVERSE "+keys[(i+4)%len(keys)]+") UTF-8 20:90 SUBJECT l",
			"SORT RETURN (MIN MAX COUNT) (REVERSE "+key+" DATE) US-ASCII UNSEEN", "SORT RETURN () ("+key+") UTF-8 SUBJECT l")
	}
	compareSorted(t, commands)
}

func TestDovecotThread(t *testing.T) {
	t.Parallel()
	var commands []string
	for _, algorithm := range []string{"REFERENCES", "REFS", "ORDEREDSUBJECT"} {
		commands = append(commands, "THREAD "+algorithm+" UTF-8 ALL", "UID THREAD "+algorithm+" UTF-8 10:70",
			"THREAD "+algorithm+" US-ASCII SUBJECT l", "UID THREAD "+algorithm+" UTF-8 FROM alice")
	}
	compareSorted(t, commands)
}

func compareSorted(t *testing.T, commands []string) {
	dovecottest.Need(t, dovecottest.IMAP)
	first := setting(os.Getenv("DOVECOT_FIRST"), 1)
	for seed := first; seed < first+setting(os.Getenv("DOVECOT_SCRIPTS"), 3); seed++ {
		p := newSortPair(t, uint64(seed), 150)
		for i, command := range commands {
			tag := fmt.Sprintf("s%d", i)
			d, o := p.answers(t, 0, tag, command), p.answers(t, 1, tag, command)
			if d != o {
				t.Errorf("seed %d: %s\nDovecot %s\nours    %s", seed, command, d, o)
			}
		}
		p.close()
	}
}

// newSortPair is a pair of servers with one client each.
func newSortPair(t *testing.T, seed uint64, messages int) *pair {
	p := &pair{t: t}
	for i := range p.roots {
		p.roots[i] = p.maildir()
	}
	g := &sortedMail{generator{rand.New(rand.NewPCG(seed, 0))}}
	for i := range messages {
		arrived := time.Date(2026, 10, 1, 0, i*7919%1000, 0, 0, time.UTC) // in an order of their own
		p.put(fmt.Sprintf("cur/%d.M1P1.h:2,%s", 1000000000+i, []string{"", "S"}[i%2]), g.message(i), arrived)
	}
	for side, peer := range []*peer{p.dovecot(), p.ours()} {
		for i := range clients {
			p.peers[side][i] = peer
		}
		p.answers(t, side, "s", "SELECT INBOX")
	}
	return p
}

// answers are those to a command of one side, without their texts.
func (p *pair) answers(t *testing.T, side int, tag, command string) string {
	t.Helper()
	lines, err := p.peers[side][0].exchange(tag, command)
	if err != nil {
		t.Fatalf("%s: %v", command, err)
	}
	for i, line := range lines {
		lines[i] = strings.TrimRight(line, " ") // Dovecot: "* THREAD " where there is none
		if strings.HasPrefix(line, tag) {
			lines[i] = strings.Join(strings.Fields(line)[:2], " ")
		}
	}
	return strings.Join(lines, "\n")
}

// sortedMail makes messages.
type sortedMail struct{ generator }

func (g *sortedMail) message(i int) string {
	var b strings.Builder
	field := func(name, body string) {
		if !g.one(15) {
			b.WriteString(g.cased(name+": ") + body + "\n")
		}
	}
	field("From", g.address())
	field("To", g.address())
	field("Cc", g.address())
	field("Date", g.sent())
	field("Subject", g.subject())
	field("Message-ID", g.id(g.near(i)))
	if g.one(4) {
		field("In-Reply-To", "Your message of today "+g.id(g.near(i))+g.pick("", " of someone", g.id(i)))
	} else if !g.one(4) {
		refs := g.some(5, func() string { return g.id(g.near(i)) + g.pick("", "", "\n", "\n\t", "\n  (c)") })
		field("References", strings.TrimRight(refs, "\n\t "))
	}
	return b.String() + "\n" + strings.Repeat("x\n", g.IntN(100))
}

// near is the number of a message that was not long ago, mostly this one.
func (g *sortedMail) near(i int) int {
	if g.one(2) {
		return i
	}
	return max(0, i+g.IntN(12)-10)
}

func (g *sortedMail) id(n int) string {
	if g.one(12) {
		return g.pick("<>", "<x>", "x@y", fmt.Sprintf("< m%d @ x>", n), fmt.Sprintf(`<"m%d"@x>`, n), fmt.Sprintf("<m%d@\n x>", n),
			fmt.Sprintf("(c) <m%d@x> y", n), `<"a b"@c>`)
	}
	return fmt.Sprintf("<m%d@x>", n)
}

func (g *sortedMail) address() string {
	mailbox := g.pick("alice", "Alice", "bob", "j.doe", `"quoted one"`, "zoe", "a+b")
	switch g.IntN(12) {
	case 0:
		return g.pick("", "undisclosed-recipients:;", "list: a@b, c@d;", "=?utf-8?q?list?=: a@b;", "nobody", "<>", "<@route:a@b>", "@", "a@", "(c)", "\"x\"",
			"first, second@x", "=?utf-8?b?w4RkYQ==?=", "a b c")
	case 1:
		return mailbox + "@example.org (" + g.pick("Comment", "=?utf-8?q?Z=C3=B6?=") + ")"
	case 2:
		return mailbox + "@example.org, other@example.net"
	case 3, 4, 5:
		return g.pick("Adam", "=?utf-8?q?=C3=84da?=", "=?iso-8859-1?q?=E4del?=", "\"Quoted, Name\"", "Berta B.", "ädel", "=?x-none?q?x?=", "z") + " <" + mailbox + "@" + g.pick("a", "b") + ".org>"
	}
	return mailbox + "@" + g.pick("example.org", "example.net")
}

func (g *sortedMail) sent() string {
	if g.one(12) {
		return g.pick("", "yesterday", "32 Jan 2020 10:00 +0000", "Jan 1 2020 10:00:00", "1 Foo 2020 10:00:00 +0000")
	}
	return fmt.Sprintf("%s%d %s %s %02d:%02d%s%s", g.pick("", "Thu, ", "(c) Fri, "), 1+g.IntN(28), g.pick("Jan", "feb", "March", "DEC"),
		g.pick("2020", "2021", "19", "99"), g.IntN(24), g.IntN(60), g.pick("", ":07", ":59"),
		g.pick(" +0000", " +0100", " -0830", " GMT", " EST", " PDT", " (c) +0200", "", " +9", " XYZ"))
}

func (g *sortedMail) subject() string {
	if g.one(20) {
		return g.pick("", " ", "re:", "[x]", "(fwd)", "[fwd:]", "[x] [y]")
	}
	base := g.pick("hello", "Hello", "world", "hello  world", "äpfel", "=?utf-8?q?=C3=84pfel?=", "=?iso-8859-1?q?=E4pfel?=", "zebra", "e", "one [two] three",
		"long\n\tfolded", "=?utf-8?q?enc?=\n =?utf-8?q?oded?=", "ﬁne", "fine", "straße", "STRASSE", "re hello", "été", "e\u0301te\u0301")
	for range g.IntN(4) {
		base = fmt.Sprintf(g.pick("Re: %s", "re:%s", "Fwd: %s", "FW :%s", "[list] %s", "[list]%s", "re[2]: %s", "%s (fwd)", "[fwd: %s]", "[Fwd: %s] (FWD)",
			"=?utf-8?q?Re=3A?= %s", "[a] [b] re: %s", "RE [x] : %s", "Aw: %s", "%s "), base)
	}
	return base
}
