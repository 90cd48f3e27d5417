//go:build interop

package interop

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"postrider/test/suite"
)

// turns is a user whose one Maildir two servers serve, and what they have to say of it, by what was done.
type turns struct {
	*maildir
	s       *suite.Suite // knows the services of both
	user    string
	rng     *rand.Rand
	folders map[string]*turnFolder
	subs    map[string]bool
	given   map[[2]uint64]int // the seed of each UIDVALIDITY and UID ever seen
	seeds   int
	script  []string // what was done in this round
}

// turnFolder is what a folder has to hold.
type turnFolder struct {
	validity uint64 // 0: nobody said it yet
	last     uint64 // the largest UID given
	mails    map[uint64]turnMail
	coming   map[int]uint64 // the seeds of what was delivered and has no UID yet, with the largest UID at that time
}

// turnMail is a message as a client knows it.
type turnMail struct {
	seed  int
	flags string // sorted, in lower case, without \Recent
	date  int64
}

func newTurnFolder() *turnFolder {
	return &turnFolder{mails: make(map[uint64]turnMail), coming: make(map[int]uint64)}
}

// turnSides are the servers, and with which prefix their services are in Suite.Addr.
var turnSides = []struct{ name, prefix string }{{"Dovecot", "dovecot-"}, {"the suite", ""}}

// turnSpecials are the special folders, which both servers make by themselves.
var turnSpecials = []string{"INBOX", "Archive", "Drafts", "Junk", "Sent", "Trash"}

// turnNames are folders that come and go.
var turnNames = []string{"a", "a.b", "a.b.c", "a.d", "Entw&APwA3w-e", "Entw&APwA3w-e.&ZeVnLIqe-", "two words.(x)", "R&-D", "Sent.2026", "INBOX.under"}

// turnKeywords are as many as there are letters for them in the name of a file.
var turnKeywords = strings.Fields("$Forwarded $MDNSent NonJunk Junk $Label1 $Label2 $Label3 $Label4 $Label5 k10 k11 K12 k13 k14 k15 k16 " +
	"k17 k18 k19 k20 k21 k22 k23 k24 k25 last-one")

var turnFlags = []string{`\Answered`, `\Flagged`, `\Deleted`, `\Seen`, `\Draft`}

const turnDovecot = guiDovecot + `protocols = imap pop3
namespace inbox {
  mailbox Archive {
    auto = subscribe
    special_use = \Archive
  }
}
service pop3-login {
  inet_listener pop3 {
    port = 0
  }
  inet_listener pop3s {
    port = %[4]s
  }
}
`

var turnTrouble = regexp.MustCompile(`(Warning|Error|Fatal|Panic): `)

// newTurns starts Dovecot and the suite on the mail of one user.
func newTurns(t *testing.T) *turns {
	p := newPeer(t, "127.0.0.1", "postfix dovecot-core dovecot-imapd dovecot-pop3d",
		// A lock names a process and its host. This one's processes are in a namespace of their own, so its host has to be another one, too.
		"exec unshare --uts sh -c 'echo dovecot.test >/proc/sys/kernel/hostname; exec dovecot -F'", "dovecot.test")
	s := suite.New(t, suite.Options{IDs: suite.Separated(), Mail: p.dir + "/srv/mail", Daemons: []string{"authd", "imapd", "pop3d"}})
	s.Addr["dovecot-imaps"], s.Addr["dovecot-pop3s"] = p.addr, "127.0.0.1:"+freePort(t, "127.0.0.1")
	pop3s := (&mailServer{addr: s.Addr}).port("dovecot-pop3s")
	user := suite.Users[0]
	s.AddPassword(user)
	p.files["etc/dovecot/users"] = user + ":{PLAIN}" + suite.Password + "\n"
	p.files["etc/dovecot/dovecot.conf"] = fmt.Sprintf(turnDovecot, s.IDs.Mailbox, "0", p.port(), pop3s)
	p.files["etc/tls/suite-cert.pem"] = readFile(t, s.Dir+"/tls/cert.pem")
	p.files["etc/tls/suite-key.pem"] = readFile(t, s.Dir+"/tls/key.pem")
	s.StartAll()
	p.start()
	g := &turns{maildir: &maildir{t, s.Mailbox(user), s.IDs.Mailbox}, s: s, user: user, given: make(map[[2]uint64]int),
		folders: make(map[string]*turnFolder), subs: make(map[string]bool)}
	for _, name := range turnSpecials {
		g.folders[name] = newTurnFolder()
		g.subs[name] = name != "INBOX"
	}
	t.Cleanup(func() {
		for line := range strings.Lines(p.log()) {
			// A file that Dovecot moves away and back keeps its name.
			if turnTrouble.MatchString(line) && !strings.Contains(line, "Duplicate file entry") {
				t.Error("Dovecot: ", line)
			}
		}
		if t.Failed() {
			t.Logf("the last round:\n%s", strings.Join(g.script, "\n"))
		}
	})
	return g
}

// number is that of an environment variable.
func number(t *testing.T, name string, otherwise uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	must(t, err)
	return n
}

// TestTurns has Dovecot and the suite serve one Maildir, in turns and at the same time: TURNS rounds, after each of which both say
// the same of all the mail, and that is what was done. TURNS_SEED repeats a run.
func TestTurns(t *testing.T) {
	t.Parallel()
	g := newTurns(t)
	seed := number(t, "TURNS_SEED", rand.Uint64())
	t.Logf("TURNS_SEED=%d", seed)
	g.rng = rand.New(rand.NewPCG(seed, seed))
	c := g.login(g.rng.IntN(2))
	for _, name := range turnSpecials { // Dovecot makes a folder at its first use
		c.open("SELECT", name)
	}
	c.logout()
	for round := range number(t, "TURNS", 20) {
		g.script = []string{fmt.Sprint("round ", round)}
		if g.rng.IntN(3) == 0 {
			g.together()
		} else {
			g.turn()
		}
		g.compare()
		if t.Failed() {
			return
		}
	}
}

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

func (g *turns) note(format string, args ...any) {
	g.script = append(g.script, fmt.Sprintf(format, args...))
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

var (
	fetchUID   = regexp.MustCompile(`\bUID (\d+)`)
	fetchFlags = regexp.MustCompile(`\bFLAGS \(([^)]*)\)`)
	fetchDate  = regexp.MustCompile(`\bINTERNALDATE "([^"]*)"`)
	fetchSize  = regexp.MustCompile(`\bRFC822\.SIZE (\d+)`)
	fetchSeq   = regexp.MustCompile(`^\* (\d+) FETCH `)
	seedNumber = regexp.MustCompile(`^Message-ID: <seed\.(\d+)@`)
)

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

// turnStep is a command in a selected folder, and what comes of it.
type turnStep struct {
	command string
	done    func(answers string)
}

func (c *turnClient) do(s turnStep) { s.done(strings.Join(c.ask("%s", s.command), "\n")) }

// turn has one server serve a person for a while.
func (g *turns) turn() {
	g.t.Helper()
	c := g.login(g.rng.IntN(2))
	for range 4 + g.rng.IntN(10) {
		switch n := g.rng.IntN(20); {
		case n < 4:
			c.leave()
			c.tree()
		case n < 6:
			c.leave()
		case n < 8:
			g.arrive(g.anyFolder())
		case n == 8 && g.folders["INBOX"].validity != 0:
			g.turnPOP3(c.side)
		default:
			if c.folder == "" {
				c.open("SELECT", g.anyFolder())
			}
			c.ask("NOOP") // what was put into the folder is there now
			c.do(g.step(c.folder, slices.Sorted(maps.Keys(g.folders[c.folder].mails))))
		}
	}
	c.logout()
	if g.rng.IntN(3) == 0 {
		g.arrive(g.anyFolder())
	}
}

// leave closes the selected folder.
func (c *turnClient) leave() {
	c.g.t.Helper()
	if c.folder == "" {
		return
	}
	verb := []string{"CLOSE", "UNSELECT"}[c.g.rng.IntN(2)]
	c.ask("%s", verb)
	if verb == "CLOSE" {
		c.g.folders[c.folder].expunge(nil)
	}
	c.folder = ""
}

// expunge removes the messages with \Deleted, all or those among uids.
func (f *turnFolder) expunge(uids []uint64) {
	maps.DeleteFunc(f.mails, func(uid uint64, m turnMail) bool {
		return slices.Contains(strings.Fields(m.flags), `\deleted`) && (uids == nil || slices.Contains(uids, uid))
	})
}

func (g *turns) anyFolder() string {
	if g.rng.IntN(3) == 0 {
		return "INBOX"
	}
	return pick(g.rng, slices.Sorted(maps.Keys(g.folders)))
}

func pick[T any](rng *rand.Rand, list []T) T { return list[rng.IntN(len(list))] }

// some are at least one of a list, in its order.
func some[T any](rng *rand.Rand, list []T) (chosen []T) {
	most := 1 + rng.IntN(min(len(list), 6))
	if rng.IntN(8) == 0 {
		most = len(list)
	}
	indexes := rng.Perm(len(list))[:most]
	slices.Sort(indexes)
	for _, i := range indexes {
		chosen = append(chosen, list[i])
	}
	return chosen
}

// arrive has another program put a message into a folder.
func (g *turns) arrive(folder string) {
	g.t.Helper()
	if name := pick(g.rng, turnNames); g.rng.IntN(8) == 0 && g.folders[name] == nil && len(g.folders) < 14 {
		folder = name
		g.folders[name] = newTurnFolder()
	}
	f, seed := g.folders[folder], g.newSeed()
	f.coming[seed] = f.last
	g.note("%d is delivered to %q", seed, folder)
	if folder == "INBOX" {
		folder = ""
	}
	g.deliver(folder, seedMessage(seed))
}

func (g *turns) newSeed() int {
	g.seeds++
	return g.seeds
}

// tree changes the folders or subscriptions.
func (c *turnClient) tree() {
	g := c.g
	g.t.Helper()
	var ordinary, free []string
	for _, name := range slices.Sorted(maps.Keys(g.folders)) {
		if !slices.Contains(turnSpecials, name) {
			ordinary = append(ordinary, name)
		}
	}
	for _, name := range turnNames {
		if !slices.ContainsFunc(ordinary, func(o string) bool { return o == name || strings.HasPrefix(o, name+".") }) {
			free = append(free, name)
		}
	}
	switch n := g.rng.IntN(6); {
	case len(free) > 0 && (n < 2 || len(ordinary) < 3):
		name := pick(g.rng, free)
		c.ask("CREATE %q", name)
		g.folders[name] = newTurnFolder()
	case n == 2 || len(ordinary) > 9:
		name := pick(g.rng, ordinary)
		c.ask("DELETE %q", name)
		delete(g.folders, name)
	case n == 3 && len(free) > 0:
		c.rename(pick(g.rng, ordinary), pick(g.rng, free))
	case n == 4:
		name := pick(g.rng, ordinary)
		c.ask("SUBSCRIBE %q", name)
		g.subs[name] = true
	default:
		name := pick(g.rng, ordinary)
		c.ask("UNSUBSCRIBE %q", name)
		delete(g.subs, name)
	}
}

// rename renames a folder with those below it.
func (c *turnClient) rename(from, to string) {
	c.g.t.Helper()
	if strings.HasPrefix(to, from+".") {
		return
	}
	c.ask("RENAME %q %q", from, to)
	for _, name := range slices.Sorted(maps.Keys(c.g.folders)) {
		if below, ok := strings.CutPrefix(name+".", from+"."); ok {
			c.g.folders[strings.TrimSuffix(to+"."+below, ".")] = c.g.folders[name]
			delete(c.g.folders, name)
		}
	}
}

// turnPOP3 reads and removes mail by POP3.
func (g *turns) turnPOP3(side int) {
	g.t.Helper()
	r, numbers := g.loginPOP3(side)
	defer r.Close()
	f := g.folders["INBOX"]
	for _, uid := range slices.Sorted(maps.Keys(f.mails)) {
		m := f.mails[uid]
		n, there := numbers[uid]
		if !there {
			g.t.Errorf("%s: no UIDL of UID %d", turnSides[side].name, uid)
			continue
		}
		if g.rng.IntN(8) == 0 {
			r.POP("+OK", "RETR %d", n)
			if text := strings.Join(r.Dots(), "\r\n") + "\r\n"; text != seedMessage(m.seed) {
				g.t.Errorf("%s: message %d is %q", turnSides[side].name, m.seed, text)
			}
			m.flags = changed(m.flags, '+', []string{`\seen`})
			f.mails[uid] = m
			g.note("%s: RETR of UID %d", turnSides[side].name, uid)
		}
		if g.rng.IntN(8) == 0 {
			r.POP("+OK", "DELE %d", n)
			delete(f.mails, uid)
			g.note("%s: DELE of UID %d", turnSides[side].name, uid)
		}
	}
	r.POP("+OK", "QUIT")
}

// step makes up a command in a folder that uses only the given of its messages.
func (g *turns) step(folder string, uids []uint64) turnStep {
	n := g.rng.IntN(12)
	switch {
	case len(uids) == 0 || n < 2:
		return g.appendStep(folder)
	case n < 7:
		return g.storeStep(folder, some(g.rng, uids))
	case n == 7:
		return g.copyStep(folder, folder, "COPY", some(g.rng, uids))
	case n == 8:
		return g.copyStep(folder, g.anyFolder(), "COPY", some(g.rng, uids))
	case n == 9:
		if to := g.anyFolder(); to != folder {
			return g.copyStep(folder, to, "MOVE", some(g.rng, uids))
		}
	}
	return g.expungeStep(folder, uids)
}

func (g *turns) someFlags() []string {
	return append(some(g.rng, turnFlags), some(g.rng, turnKeywords)...)
}

func (g *turns) appendStep(folder string) turnStep {
	m := turnMail{seed: g.newSeed(), date: 1_000_000_000 + g.rng.Int64N(800_000_000)}
	date := time.Unix(m.date, 0).In(time.FixedZone("", 3600*(g.rng.IntN(24)-11))).Format("_2-Jan-2006 15:04:05 -0700")
	var flags []string
	if g.rng.IntN(2) == 0 {
		flags = g.someFlags()
		m.flags = changed("", '=', flags)
	}
	text := seedMessage(m.seed)
	return turnStep{fmt.Sprintf("APPEND %q (%s) %q {%d+}\r\n%s", folder, strings.Join(flags, " "), date, len(text), text), func(answers string) {
		code := regexp.MustCompile(`\[APPENDUID (\d+) (\d+)\]`).FindStringSubmatch(answers)
		if code == nil {
			g.t.Fatalf("no APPENDUID: %s", answers)
		}
		g.learn(folder, toNumber(code[1]))
		g.give(folder, toNumber(code[2]), m)
	}}
}

func (g *turns) storeStep(folder string, uids []uint64) turnStep {
	how, by := pick(g.rng, []byte("++-=")), g.someFlags()
	return turnStep{fmt.Sprintf("UID STORE %s %sFLAGS (%s)", uidSet(uids), strings.Trim(string(how), "="), strings.Join(by, " ")), func(string) {
		for _, uid := range uids {
			m := g.folders[folder].mails[uid]
			m.flags = changed(m.flags, how, by)
			g.folders[folder].mails[uid] = m
		}
	}}
}

func (g *turns) expungeStep(folder string, uids []uint64) turnStep {
	return turnStep{fmt.Sprintf("UID EXPUNGE %s", uidSet(uids)), func(string) { g.folders[folder].expunge(uids) }}
}

var copied = regexp.MustCompile(`\[COPYUID (\d+) ([\d:,]+) ([\d:,]+)\]`)

func (g *turns) copyStep(from, to, verb string, uids []uint64) turnStep {
	return turnStep{fmt.Sprintf("UID %s %s %q", verb, uidSet(uids), to), func(answers string) {
		var sources []uint64
		for _, code := range copied.FindAllStringSubmatch(answers, -1) {
			g.learn(to, toNumber(code[1]))
			targets := uidList(code[3])
			for i, uid := range uidList(code[2]) {
				sources = append(sources, uid)
				g.give(to, targets[i], g.folders[from].mails[uid])
				if verb == "MOVE" {
					delete(g.folders[from].mails, uid)
				}
			}
		}
		if slices.Sort(sources); !slices.Equal(sources, uids) {
			g.t.Errorf("%s of %v: %s", verb, uids, answers)
		}
	}}
}

// uidSet writes a set of UIDs.
func uidSet(uids []uint64) string {
	return strings.ReplaceAll(strings.Trim(fmt.Sprint(uids), "[]"), " ", ",")
}

// uidList reads a set of UIDs in its order.
func uidList(set string) (uids []uint64) {
	for part := range strings.SplitSeq(set, ",") {
		first, last, _ := strings.Cut(part, ":")
		for uid := toNumber(first); uid <= toNumber(cmp.Or(last, first)); uid++ {
			uids = append(uids, uid)
		}
	}
	return uids
}

// together has both servers serve one folder at the same time.
func (g *turns) together() {
	g.t.Helper()
	folder := g.anyFolder()
	if g.rng.IntN(2) == 0 {
		g.arrive(folder)
	}
	clients := []*turnClient{g.login(0), g.login(1)}
	for _, i := range g.rng.Perm(2) {
		clients[i].open("SELECT", folder)
	}
	for range 3 + g.rng.IntN(5) {
		var halves [2][]uint64
		for i, uid := range slices.Sorted(maps.Keys(g.folders[folder].mails)) {
			halves[i%2] = append(halves[i%2], uid)
		}
		switch n := g.rng.IntN(8); {
		case n == 0:
			g.arrive(folder)
		case n < 4: // at once, each with its own half
			steps := []turnStep{g.step(folder, halves[0]), g.step(folder, halves[1])}
			tags := []string{clients[0].tell(steps[0].command), clients[1].tell(steps[1].command)}
			for i, c := range clients {
				steps[i].done(strings.Join(c.hear(tags[i]), "\n"))
			}
		default:
			pick(g.rng, clients).do(g.step(folder, slices.Sorted(slices.Values(slices.Concat(halves[0], halves[1])))))
		}
		for _, i := range g.rng.Perm(2) {
			clients[i].settle()
		}
	}
	for _, c := range clients {
		c.logout()
	}
}

// settle waits until the selected folder is as it has to be. New mail and changes are told with a NOOP.
func (c *turnClient) settle() {
	c.g.t.Helper()
	var d string
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		c.ask("NOOP")
		if d = c.g.differs(c.folder, c.fetch()); d == "" {
			return
		}
		if time.Now().After(deadline) {
			break
		}
	}
	c.g.t.Fatalf("%s: in %q\n%s", turnSides[c.side].name, c.folder, d)
}

// TestTurnsMbsync has mbsync keep a copy of the mail. After it has asked the one server, there is nothing to do with the other.
func TestTurnsMbsync(t *testing.T) {
	t.Parallel()
	g := newTurns(t)
	mbsync, dir := need(t, "mbsync", "isync"), t.TempDir()
	there, near := &account{maildir: g.maildir, user: g.user}, &maildir{t, dir + "/near", os.Getuid()}
	must(t, os.Mkdir(dir+"/state", 0o700))
	for i, side := range turnSides {
		port := (&mailServer{addr: g.s.Addr}).port(side.prefix + "imaps")
		must(t, writeFile(fmt.Sprint(dir, "/", i), fmt.Sprintf(mbsyncConf, port, g.user, suite.Password, g.s.CA, near.root, dir+"/state")))
	}
	var before []string
	for round := range 4 {
		before = g.bothChange(near, round, before)
		with := func(side int) func(string) {
			return func(what string) {
				runs(t, "", mbsync, "-c", fmt.Sprint(dir, "/", side), "-a")
				alike(t, fmt.Sprintf("round %d, %s: %s", round, turnSides[side].name, what), there.contents(), near.contents())
			}
		}
		with(round % 2)("changes on both sides")
		noted := filesIn(t, dir+"/state")
		idle(there, near, with(1-round%2))
		if again := filesIn(t, dir+"/state"); again != noted {
			t.Errorf("round %d: mbsync noted\n%s\nand then\n%s", round, noted, again)
		}
		if t.Failed() {
			return
		}
	}
}

// bothChange puts mail into the user's Maildir and another one, changes some of what was put there before, and returns what it put.
func (g *turns) bothChange(near *maildir, round int, before []string) (texts []string) {
	g.t.Helper()
	for i := range 10 {
		texts = append(texts, seedMessage(100*round+i), seedMessage(100*round+50+i))
		g.deliver("", texts[2*i])
		near.deliver("", texts[2*i+1])
	}
	g.deliver(fmt.Sprint("there.", round), texts[0])
	near.deliver(fmt.Sprint("here.Gr&APwA3w-e", round), texts[0])
	if before != nil {
		g.mark("", before[0], "FS")
		near.mark("", before[1], "FRS")
		g.remove("", before[2])
		near.remove("", before[3])
	}
	return texts
}

// filesIn are the files of a directory with what is in them.
func filesIn(t *testing.T, dir string) string {
	t.Helper()
	var all strings.Builder
	entries, err := os.ReadDir(dir)
	must(t, err)
	for _, e := range entries {
		fmt.Fprintf(&all, "%s:\n%s\n", e.Name(), readFile(t, dir+"/"+e.Name()))
	}
	return all.String()
}
