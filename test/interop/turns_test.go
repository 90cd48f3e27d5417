//go:build interop

package interop

import (
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
	p       *peer
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

// newTurns starts Dovecot and the suite on the mail of one user. What Dovecot may complain of is given; all else in its log is an error.
func newTurns(t *testing.T, known ...string) *turns {
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
	g := &turns{p: p, maildir: &maildir{t, s.Mailbox(user), s.IDs.Mailbox}, s: s, user: user, given: make(map[[2]uint64]int),
		folders: make(map[string]*turnFolder), subs: make(map[string]bool)}
	for _, name := range turnSpecials {
		g.folders[name] = newTurnFolder()
		g.subs[name] = name != "INBOX"
	}
	t.Cleanup(func() {
		for line := range strings.Lines(p.log()) {
			// A file that Dovecot moves away and back keeps its name.
			if turnTrouble.MatchString(line) && !containsAny(line, append(known, "Duplicate file entry")) {
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

func (g *turns) note(format string, args ...any) {
	g.script = append(g.script, fmt.Sprintf(format, args...))
}

var (
	fetchUID   = regexp.MustCompile(`\bUID (\d+)`)
	fetchFlags = regexp.MustCompile(`\bFLAGS \(([^)]*)\)`)
	fetchDate  = regexp.MustCompile(`\bINTERNALDATE "([^"]*)"`)
	fetchSize  = regexp.MustCompile(`\bRFC822\.SIZE (\d+)`)
	fetchSeq   = regexp.MustCompile(`^\* (\d+) FETCH `)
	seedNumber = regexp.MustCompile(`^Message-ID: <seed\.(\d+)@`)
)

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

func containsAny(text string, parts []string) bool {
	return slices.ContainsFunc(parts, func(part string) bool { return strings.Contains(text, part) })
}
