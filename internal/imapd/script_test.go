package imapd

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
)

// newScript is what two clients do, the same for the same seed.
func newScript(seed uint64) []step {
	g := &generator{rand.New(rand.NewPCG(seed, 0))}
	var steps []step
	for range 40 {
		if g.one(20) {
			steps = append(steps, step{})
			continue
		}
		client, command := g.IntN(clients), g.cased(g.command())
		if folderCommands.MatchString(command) {
			client = 0 // Dovecot's other process may have an old list
		}
		steps = append(steps, step{client, command})
	}
	return steps
}

var folderCommands = regexp.MustCompile(`(?i)^(CREATE|DELETE|RENAME|LIST|LSUB|SUBSCRIBE|UNSUBSCRIBE) `)

// generator makes commands that are mostly right.
type generator struct{ *rand.Rand }

// one is true once in n times.
func (g *generator) one(n int) bool { return g.IntN(n) == 0 }

func (g *generator) pick(from ...string) string { return from[g.IntN(len(from))] }

// but repeats next as long as it is something that is not wanted.
func (g *generator) but(not string, next func() string) string {
	for {
		if s := next(); !strings.EqualFold(strings.Trim(s, `"`), not) {
			return s
		}
	}
}

// some joins a few of what next makes.
func (g *generator) some(most int, next func() string) string {
	var list []string
	for range g.IntN(most) + 1 {
		list = append(list, next())
	}
	return strings.Join(list, " ")
}

// cased changes the case of a command's first words, now and then.
func (g *generator) cased(command string) string {
	if !g.one(8) {
		return command
	}
	word, rest, more := strings.Cut(command, " ")
	word = strings.ToLower(word)
	if more {
		word += " "
	}
	return word + rest
}

func (g *generator) command() string {
	switch g.IntN(34) {
	case 0, 1:
		return g.pick("SELECT ", "SELECT ", "SELECT ", "EXAMINE ") + g.pick("INBOX", "INBOX", g.mailbox())
	case 2:
		return g.pick("NOOP", "CHECK", "NOOP", "CLOSE", "UNSELECT", "EXPUNGE", "IDLE", "NAMESPACE", "BOGUS", "UID", "UID NOOP",
			"NOOP ", "ENABLE X")
	case 3:
		return g.pick("NOOP", "EXPUNGE")
	case 4, 5:
		return "CREATE " + g.mailbox()
	case 6, 7:
		return "DELETE " + g.mailbox()
	case 8, 9:
		return "RENAME " + g.pick("a", "a", "b", "a.b", "a.b.c", "INBOX.x", "none", "&-", "A") + " " + g.but("INBOX", g.mailbox) // which Dovecot does not do right
	case 10:
		return g.pick("SUBSCRIBE ", "SUBSCRIBE ", "UNSUBSCRIBE ") + g.pick("b", "INBOX", "inbox", "&-")
	case 11, 12:
		return g.list()
	case 13:
		return "LSUB " + g.reference() + " " + g.pattern()
	case 14, 15:
		return "STATUS " + g.mailbox() + " (" + g.some(4, func() string {
			return g.pick("MESSAGES", "UIDNEXT", "UIDVALIDITY", "UNSEEN", "RECENT", "messages", "SIZE", "X")
		}) + ")"
	case 16, 17:
		return "APPEND " + g.pick("INBOX", "INBOX", g.mailbox()) + g.appended()
	case 18, 19, 20, 21:
		return g.uid() + "STORE " + g.set() + " " + g.stored()
	case 22, 23:
		return g.uid() + g.pick("COPY ", "MOVE ") + g.set() + " " + g.pick("INBOX", "a", "b", g.mailbox())
	case 24:
		return "UID EXPUNGE " + g.set()
	case 25, 26, 27:
		return g.uid() + "SEARCH " + g.search()
	default:
		return g.uid() + "FETCH " + g.set() + " " + g.fetched()
	}
}

func (g *generator) uid() string { return g.pick("", "UID ") }

// mailbox is a name in one of the forms in which it can be sent.
func (g *generator) mailbox() string {
	name := g.pick("a", "a.b", "a.b.c", "b", "a", "a.b")
	if g.one(3) {
		name = g.pick("INBOX", "inbox", "A", "INBOX.x", "inbox.x", "&-", "R&-D", "Gr&APYA3w-e", "a&AOQ-b", "a.b.", "a.", "none")
	}
	if g.one(12) {
		name = g.pick("&", "&AP-", "&AGE-", "a..b", ".a", ".", "..", "", "a b", `q"q`, `b\s`, "a/b", "/a", "a*", "%", "(x)", "a]", "x{1",
			strings.Repeat("l", 200), strings.Repeat("l", 240), "new", "cur", "a\tb", "#x", "NIL", "b.&-.c", "INBOXx", "INBOX.")
	}
	return g.astring(name)
}

func (g *generator) astring(s string) string {
	if !strings.ContainsAny(s, " \"\\(){%*\tö") && s != "" && !g.one(4) {
		return s
	}
	switch g.IntN(6) {
	case 0:
		return fmt.Sprintf("{%d}\r\n%s", len(s), s)
	case 1:
		return fmt.Sprintf("{%d+}\r\n%s", len(s), s)
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

func (g *generator) set() string {
	if g.one(10) {
		return g.pick("0", "4294967295", "4294967296", "1:4294967295", "1:", ":1", "1::2", "1,*,2", "001", "-1", "a", "1:*:2", ",", "0:1", "0:*", "99:*", "*:99",
			"20:30", "30", "1,1,1", "2,1", "3:2,1")
	}
	if g.one(8) {
		return "$"
	}
	return g.pick("1", "2", "3", "1:3", "3:1", "*", "1:*", "*:1", "5:*", "2,4", "1:2,2:3", "1,3:4", "2:4", "*:4", "6", "7", "4:5")
}

func (g *generator) flag() string {
	if g.one(8) {
		return g.pick(`\Recent`, `\Foo`, `\`, `\*`, strings.Repeat("k", 49), "NIL", "Seen", "1", `\Seen\Deleted`, `""`)
	}
	return g.pick(`\Seen`, `\seen`, `\Deleted`, `\Deleted`, `\Flagged`, `\ANSWERED`, `\Draft`, "kw1", "KW1", "$Forwarded", "Junk")
}

func (g *generator) flags() string {
	var flags []string // of two spellings of one keyword Dovecot takes none
	for range g.IntN(3) + 1 {
		if f := g.flag(); !slices.ContainsFunc(flags, func(s string) bool { return strings.EqualFold(s, f) }) {
			flags = append(flags, f)
		}
	}
	list := strings.Join(flags, " ")
	switch g.IntN(16) {
	case 0:
		return "()"
	case 1:
		return list
	case 2:
		return "( " + list + " )"
	}
	return "(" + list + ")"
}

func (g *generator) stored() string {
	return g.pick("", "+", "-", "+", "-", "*") + g.pick("FLAGS", "FLAGS.SILENT", "flags", "Flags.Silent") + g.pick(" ", " ", " ", " ", " ", "  ", "") + g.flags()
}

func (g *generator) appended() string {
	args, plus := " ", ""
	switch g.IntN(4) {
	case 0: // may be wrong; then Dovecot takes a literal that it did not ask for as commands
		args += "(" + g.flag() + ") " + g.date() + " "
	case 1:
		args += `"15-Jun-2021 12:30:00 +0530" `
		plus = "+"
	case 2:
		args += `(\Seen $Forwarded) `
	}
	text := strings.ReplaceAll(someMail[g.IntN(len(someMail))], "\n", g.pick("\r\n", "\r\n", "\r\n", "\n"))
	if g.one(8) {
		text = g.pick("", "x", "\r\n", "\n", "a\rb", "Subject: x\r\n", "a: b\r\r\n\r\n")
	}
	return args + fmt.Sprintf("{%d%s}\r\n%s", len(text), plus, text)
}

func (g *generator) date() string {
	if g.one(4) {
		return g.pick(`"1-Jan-2020 00:00:00 +0000"`, `"01-Jan-2020 00:00:00"`, `"01-jan-2020 00:00:00 +0000"`,
			`""`, `"x"`,
			`"01-Jan-2020 00:00:00 +2400"`)
	}
	return g.pick(`" 1-Jan-2020 00:00:00 +0000"`, `"01-Jan-2020 00:00:00 +0100"`, `"31-Dec-2019 23:59:59 -0800"`, `"15-Jun-2021 12:30:00 +0530"`)
}

func (g *generator) fetched() string {
	if g.one(3) {
		return g.item()
	}
	var items []string // Dovecot answers once what is asked for twice
	for range g.IntN(4) + 1 {
		if item := g.item(); !slices.Contains(items, item) {
			items = append(items, item)
		}
	}
	return "(" + strings.Join(items, " ") + ")"
}

func (g *generator) item() string {
	if g.one(16) {
		return g.pick("", "X", "ALL", "FAST", "FULL", "BODY[", "BODY[]<>", "BODY[]<-1.2>", "BODY[HEADER.FIELDS ()]",
			"BODY[HEADER.FIELDS]", "BODY[MIME]", "BODY[1.]", "BODY.PEEK", "RFC822.PEEK", "BODY[1.2.3.4.5]", "BODY[TEXT.1]", "()",
			"BODY[]<4294967295.5>", "BODY[]<0.4294967295>", "BODY[]<1.2.3>")
	}
	return g.pick("UID", "FLAGS", "flags", "INTERNALDATE", "RFC822.SIZE", "ENVELOPE", "BODY", "BODYSTRUCTURE", "BODY[]", "BODY.PEEK[]", "BODY.PEEK[HEADER]", "BODY[TEXT]",
		"BODY.PEEK[1]", "BODY.PEEK[2.MIME]", "RFC822", "RFC822.HEADER", "RFC822.TEXT", "BODY.PEEK[]<0.10>", "BODY.PEEK[TEXT]<3.1000>", "BODY[]<10000.5>",
		"BODY.PEEK[HEADER.FIELDS (From SUBJECT)]", "FLAGS", "UID", "body.peek[text]")
}

func (g *generator) search() string {
	prefix := ""
	if g.one(4) {
		prefix = "RETURN (" + g.pick("", "MIN", "MAX", "ALL", "COUNT", "MIN MAX", "min COUNT", "ALL COUNT", "MIN MIN", "X", "SAVE", "SAVE", "SAVE MIN", "MAX SAVE", "SAVE MIN MAX",
			"SAVE COUNT", "SAVE ALL", "PARTIAL 1:2", "PARTIAL 2:9", "PARTIAL 3:2 COUNT", "PARTIAL 1:1 ALL", "PARTIAL 0:1") + ") "
	}
	if g.one(6) {
		prefix += "CHARSET " + g.pick("UTF-8", "utf-8", "US-ASCII", `"UTF-8"`, "ISO-8859-1", "X-NONE") + " "
	}
	// More than two keys Dovecot simplifies, often to something else; package search compares those with a plain evaluation.
	switch g.IntN(6) {
	case 0:
		return prefix + "NOT " + g.key()
	case 1:
		return prefix + "OR " + g.pick("SUBJECT one", "LARGER 90", "TEXT hello", "FROM b") + " " + g.pick("BODY second", "SMALLER 50", "2:3")
	case 2:
		return prefix + "(" + g.key() + ")"
	case 3:
		return prefix + g.key() + " " + g.pick("ALL", "1:*", "UID 1:*", "SMALLER 4000")
	}
	return prefix + g.key()
}

func (g *generator) key() string {
	if g.one(16) {
		return g.pick("", "X", "()", "NOT", "OR ALL", "UID", "BEFORE x", "LARGER -1", "LARGER 99999999999999999999", "( ALL )",
			"SINCE 1-Jan-20", "SINCE \"1-Jan-2020\"", "SMALLER 0", "ALL ALL", "SINCE 01-jan-2020", "BEFORE 1-Jan-1900", "SINCE 1-Jan-2100",
			"LARGER 0", "SUBJECT NIL", "MODSEQ")
	}
	switch g.IntN(11) {
	case 10:
		return g.pick("$", "$", "UID $", "YOUNGER 3600", "OLDER 3600", "YOUNGER 0", "OLDER 99999999999")
	case 0:
		return g.pick("1", "2:3", "*", "1:*", "*:2", "3,1", "1:3,5", "0", "6")
	case 1:
		return "UID " + g.set()
	case 2:
		return g.pick("KEYWORD ", "UNKEYWORD ") + g.pick("kw1", "KW1", "$Forwarded", "none", "Junk")
	case 3:
		return g.pick("BEFORE ", "ON ", "SINCE ", "SENTBEFORE ", "SENTON ", "SENTSINCE ") +
			g.pick("2-Oct-2026", "02-Oct-2026", "1-Jan-2020", "31-Dec-2019", "2-Nov-2026", "1-Nov-2026")
	case 4:
		return g.pick("LARGER ", "SMALLER ") + g.pick("0", "50", "100", "1000", "4294967296")
	case 5:
		return g.pick("SUBJECT ", "FROM ", "TO ", "BODY ", "TEXT ", "HEADER Subject ", "CC ", "HEADER X-None ", "HEADER From ") +
			g.astring(g.pick("one", "ONE", "hello", "", "example", "zw\xc3\xb6lf", "second", "a", "Date", "x y"))
	}
	return g.pick("ALL", "ANSWERED", "DELETED", "DRAFT", "FLAGGED", "SEEN", "UNANSWERED", "UNDELETED", "UNDRAFT", "UNFLAGGED", "UNSEEN", "seen", "Undeleted")
}

func (g *generator) reference() string {
	return g.pick(`""`, `""`, `""`, `""`, "a", "a.", "INBOX", "inbox.", `"%"`, "none", `"a.b"`)
}

func (g *generator) pattern() string {
	if g.one(12) {
		return g.pick("***", "%%%", "*%*", `"*a"`, "{1+}\r\n*", "*.", ".*", "..", "%.", ".%", "%x%", "i*", "I%.%", "inbo%", "a/%")
	}
	return g.pick(`""`, "*", "%", "a*", "a%", "a.%", "%.b", "*b", "%.%", "*.*", "a.b", "INBOX", "inbox", "INBOX*", "inbox%", "inbox.*", "Inbox.%", "%.x", "b", "a.*c", "*c", "%c", "*%", "%*", "a.%.c")
}

func (g *generator) list() string {
	options, patterns, results := "", g.pattern(), ""
	if g.one(4) {
		options = "(" + g.pick("", "SUBSCRIBED", "SUBSCRIBED RECURSIVEMATCH", "RECURSIVEMATCH", "REMOTE", "subscribed", "SUBSCRIBED REMOTE", "X", "SPECIAL-USE") + ") "
	}
	if g.one(6) {
		patterns = "(" + g.some(3, g.pattern) + ")"
	}
	if g.one(3) {
		results = " RETURN (" + g.pick("", "CHILDREN", "SUBSCRIBED", "SUBSCRIBED CHILDREN", "STATUS (MESSAGES UNSEEN)", "STATUS (UIDNEXT) CHILDREN", "X", "SPECIAL-USE", "STATUS ()", "STATUS") + ")"
	}
	return "LIST " + options + g.reference() + " " + patterns + results
}
