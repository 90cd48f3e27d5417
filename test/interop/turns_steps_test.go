//go:build interop

package interop

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"time"
)

// turnStep is a command in a selected folder, and what comes of it.
type turnStep struct {
	command string
	done    func(answers string)
}

func (c *turnClient) do(s turnStep) { s.done(strings.Join(c.ask("%s", s.command), "\n")) }

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
