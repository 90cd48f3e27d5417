//go:build interop

package interop

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"postrider/test/suite"
)

// beside is a Maildir that both servers serve at the same time to several people, each of whom alone removes, copies and moves the
// messages of his own, and sets one keyword of his own on anybody's.
type beside struct {
	*turns
	until time.Time

	mu     sync.Mutex
	seeds  int
	given  map[besideUID]int // the seed of each UID ever seen
	tasks  int
	missed []string
}

// besideUID names a message for ever.
type besideUID struct{ validity, uid uint64 }

// besider is one of the people.
type besider struct {
	b    *beside
	id   int
	rng  *rand.Rand
	mine map[string]map[uint64]int             // the seeds of his messages, by folder and UID
	tags map[string]map[uint64]map[string]bool // what he did with his keyword, by folder and UID
}

var besideFolders = []string{"INBOX", "Archive", "Sent"}

const besidePeople = 6

// duration is that of an environment variable.
func duration(t *testing.T, name string, otherwise time.Duration) time.Duration {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	d, err := time.ParseDuration(text)
	must(t, err)
	return d
}

// besideReappeared is what Dovecot logs when it has listed a directory while another process, its own or ours, renamed a file there: for
// a while it has the file not at all, and then under another UID. It does so beside itself, too, and more often.
const besideReappeared = "Expunged message reappeared, giving a new UID"

// TestBeside has Dovecot and the suite serve one Maildir at the same time, for BESIDE (10m in the long run). Nothing is lost, no UID is
// given twice, and in the end both say the same.
func TestBeside(t *testing.T) {
	t.Parallel()
	b := &beside{turns: newTurns(t, besideReappeared), given: make(map[besideUID]int), until: time.Now().Add(duration(t, "BESIDE", 15*time.Second))}
	for side := range turnSides { // both know the folders
		c := b.dial(side)
		for _, folder := range besideFolders {
			c.Do("OK", "SELECT %q", folder)
		}
		c.Do("OK", "LOGOUT")
	}
	people, arrived := make([]*besider, besidePeople), make(map[string][]int)
	var wait sync.WaitGroup
	for i := range people {
		people[i] = &besider{b: b, id: i, rng: rand.New(rand.NewPCG(rand.Uint64(), 1)), mine: make(map[string]map[uint64]int), tags: make(map[string]map[uint64]map[string]bool)}
		for _, folder := range besideFolders {
			people[i].mine[folder], people[i].tags[folder] = make(map[uint64]int), make(map[uint64]map[string]bool)
		}
		wait.Go(people[i].live)
	}
	wait.Go(func() { b.deliveries(arrived) })
	wait.Wait()
	t.Logf("%d commands, %d messages", b.tasks, b.seeds)
	if !t.Failed() {
		b.agree(people, arrived)
	}
}

func (b *beside) dial(side int) *suite.Reader {
	r := b.s.DialReader(turnSides[side].prefix + "imaps")
	r.Do("OK", "LOGIN %q %q", b.user, suite.Password)
	return r
}

func (b *beside) over() bool { return time.Now().After(b.until) || b.t.Failed() }

func (b *beside) newSeed() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.seeds++
	return b.seeds
}

// saw notes which message a UID is.
func (b *beside) saw(where string, validity, uid uint64, seed int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	id := besideUID{validity, uid}
	if before, known := b.given[id]; known && before != seed {
		b.t.Errorf("%s: UID %d of %d was the message %d, and is now %d", where, uid, validity, before, seed)
	}
	b.given[id] = seed
}

// deliveries has another program put mail into all folders, which nobody removes.
func (b *beside) deliveries(arrived map[string][]int) {
	for i := 0; !b.over(); i++ {
		folder, seed := besideFolders[i%len(besideFolders)], b.newSeed()
		b.deliver(strings.TrimPrefix(folder, "INBOX"), seedMessage(seed))
		arrived[folder] = append(arrived[folder], seed)
		time.Sleep(50 * time.Millisecond)
	}
}

// live is one session after the other, with either server.
func (p *besider) live() {
	for !p.b.over() {
		side, folder := p.rng.IntN(2), pick(p.rng, besideFolders)
		c := p.b.dial(side)
		validity := toNumber(regexp.MustCompile(`\[UIDVALIDITY (\d+)\]`).FindStringSubmatch(c.Do("OK", "SELECT %q", folder))[1])
		for range 5 + p.rng.IntN(30) {
			if p.b.over() {
				break
			}
			p.act(c, fmt.Sprintf("%s in %s", turnSides[side].name, folder), folder, validity)
			p.b.mu.Lock()
			p.b.tasks++
			p.b.mu.Unlock()
		}
		c.Do("OK", "LOGOUT")
		c.Close()
	}
}

func (p *besider) act(c *suite.Reader, where, folder string, validity uint64) {
	own := slices.Sorted(maps.Keys(p.mine[folder]))
	n := p.rng.IntN(10)
	switch {
	case len(own) == 0 || n < 3 && len(own) < 60:
		p.append(c, where, folder)
	case n < 5:
		p.mark(c, where, folder, validity)
	case n == 5:
		p.copy(c, where, "COPY", folder, some(p.rng, own))
	case n == 6:
		p.copy(c, where, "MOVE", folder, some(p.rng, own))
	case n == 7:
		set := some(p.rng, own)
		c.Do("OK", `UID STORE %s +FLAGS.SILENT (\Deleted)`, uidSet(set))
		c.Do("OK", "UID EXPUNGE %s", uidSet(set))
		for _, uid := range set {
			p.forget(folder, uid)
		}
	default:
		p.b.look(c, where, validity)
	}
}

func (p *besider) forget(folder string, uid uint64) {
	delete(p.mine[folder], uid)
	delete(p.tags[folder], uid)
}

var appendUID = regexp.MustCompile(`\[APPENDUID (\d+) (\d+)\]`)

// miss notes that a server did not know a message that was there.
func (b *beside) miss(what string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.missed = append(b.missed, what)
}

func (p *besider) append(c *suite.Reader, where, folder string) {
	seed := p.b.newSeed()
	text := seedMessage(seed)
	code := appendUID.FindStringSubmatch(c.Do("OK", "APPEND %q {%d+}\r\n%s", folder, len(text), text))
	p.b.saw(where, toNumber(code[1]), toNumber(code[2]), seed)
	p.mine[folder][toNumber(code[2])] = seed
}

// mark changes flags of anybody's messages, and his own keyword on those of his own.
func (p *besider) mark(c *suite.Reader, where, folder string, validity uint64) {
	uids := p.b.look(c, where, validity)
	if len(uids) == 0 {
		return
	}
	c.Do("OK", `UID STORE %s %sFLAGS (\Flagged $Label%d)`, uidSet(some(p.rng, uids)), pick(p.rng, []string{"+", "-"}), 1+p.rng.IntN(5))
	how := pick(p.rng, []string{"+", "-"})
	set := some(p.rng, slices.Sorted(maps.Keys(p.mine[folder])))
	c.Do("OK", "UID STORE %s %sFLAGS (own%d)", uidSet(set), how, p.id)
	for _, uid := range set {
		p.tags[folder][uid] = map[string]bool{fmt.Sprint("own", p.id): how == "+"}
	}
}

func (p *besider) copy(c *suite.Reader, where, verb, from string, uids []uint64) {
	to := pick(p.rng, besideFolders)
	if to == from && verb == "MOVE" {
		return
	}
	answers := c.Do("OK", "UID %s %s %q", verb, uidSet(uids), to)
	var sources []uint64
	for _, code := range copied.FindAllStringSubmatch(answers, -1) {
		targets := uidList(code[3])
		for i, uid := range uidList(code[2]) {
			sources = append(sources, uid)
			p.b.saw(where, toNumber(code[1]), targets[i], p.mine[from][uid])
			p.mine[to][targets[i]] = p.mine[from][uid]
		}
	}
	if len(sources) < len(uids) {
		p.b.miss(fmt.Sprintf("%s: %s of %v: %s", where, verb, uids, answers))
	}
	if verb == "MOVE" {
		for _, uid := range sources {
			p.forget(from, uid)
		}
	}
}

var besideMail = regexp.MustCompile(`UID (\d+) BODY\[HEADER\.FIELDS \(MESSAGE-ID\)\] \{\d+\}\r\nMessage-ID: <seed\.(\d+)@`)

// look reads which messages are there.
func (b *beside) look(c *suite.Reader, where string, validity uint64) (uids []uint64) {
	for _, m := range besideMail.FindAllStringSubmatch(c.Finish(c.Begin("UID FETCH 1:* (UID BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])"), ""), -1) {
		uids = append(uids, toNumber(m[1]))
		b.saw(where, validity, toNumber(m[1]), int(toNumber(m[2])))
	}
	return uids
}

var besideFlags = regexp.MustCompile(`(?m)^\* \d+ FETCH \(UID (\d+) FLAGS \(([^)]*)\)\)$`)

// agree compares what both servers say with each other and with what was done. No message may be missing; as many as Dovecot said may be
// elsewhere.
func (b *beside) agree(people []*besider, arrived map[string][]int) {
	for _, folder := range besideFolders {
		var said [2]map[uint64]string
		for side := range turnSides {
			said[side] = b.flags(side, folder)
		}
		if !maps.Equal(said[0], said[1]) {
			b.t.Errorf("%s: Dovecot says\n%v\nand the suite\n%v", folder, said[0], said[1])
		}
		b.account(folder, b.seedsIn(folder), said[1], people, arrived[folder])
	}
	reappeared := strings.Count(b.p.log(), besideReappeared)
	b.t.Logf("%d messages not where they were expected; Dovecot gave %d a new UID", len(b.missed), reappeared)
	if len(b.missed) > 2*reappeared { // each may fail to be moved, and to be found
		b.t.Errorf("messages not where they were expected:\n%s", strings.Join(b.missed, "\n"))
	}
}

// seedsIn are the messages of a folder, by UID.
func (b *beside) seedsIn(folder string) map[uint64]int {
	c := b.dial(1)
	validity := toNumber(regexp.MustCompile(`\[UIDVALIDITY (\d+)\]`).FindStringSubmatch(c.Do("OK", "EXAMINE %q", folder))[1])
	seeds := make(map[uint64]int)
	for _, uid := range b.look(c, folder, validity) {
		seeds[uid] = b.given[besideUID{validity, uid}]
	}
	c.Do("OK", "LOGOUT")
	return seeds
}

// account finds all that has to be in a folder, and nothing else.
func (b *beside) account(folder string, there map[uint64]int, flags map[uint64]string, people []*besider, arrived []int) {
	left := make(map[int]int) // how often each message is there
	for _, seed := range there {
		left[seed]++
	}
	for _, p := range people {
		for uid, seed := range p.mine[folder] {
			if left[seed]--; left[seed] < 0 {
				b.t.Errorf("%s: the message %d is lost, once UID %d", folder, seed, uid)
			}
			if there[uid] == seed {
				p.checkTags(folder, uid, flags[uid])
			} else {
				b.miss(fmt.Sprintf("%s: UID %d is the message %d, not %d", folder, uid, there[uid], seed))
			}
		}
	}
	for _, seed := range arrived {
		if left[seed]--; left[seed] < 0 {
			b.t.Errorf("%s: the delivered message %d is lost", folder, seed)
		}
	}
	for seed, n := range left {
		for range n {
			b.miss(fmt.Sprintf("%s: the message %d is there, though it was removed", folder, seed))
		}
	}
}

func (p *besider) checkTags(folder string, uid uint64, flags string) {
	for tag, set := range p.tags[folder][uid] {
		if slices.Contains(strings.Fields(flags), tag) != set {
			p.b.t.Errorf("%s: UID %d: %s should be %t: %s", folder, uid, tag, set, flags)
		}
	}
}

// flags are those of a folder's messages, as one server has them.
func (b *beside) flags(side int, folder string) map[uint64]string {
	c := b.dial(side)
	c.Do("OK", "EXAMINE %q", folder)
	all := make(map[uint64]string)
	for _, m := range besideFlags.FindAllStringSubmatch(c.Do("OK", "UID FETCH 1:* (UID FLAGS)"), -1) {
		all[toNumber(m[1])] = changed("", '=', strings.Fields(strings.ReplaceAll(m[2], `\Recent`, "")))
	}
	c.Do("OK", "LOGOUT")
	return all
}
