package imapd

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"postrider/internal/dovecottest"
)

// returning is a client that comes back again and again by QRESYNC, as one server has it.
type returning struct {
	validity string
	modSeq   uint64
	flags    map[int]string // by UID
}

// TestDovecotReturns has a client come back to Dovecot and to us while another one is at work: it must be told the same of both.
func TestDovecotReturns(t *testing.T) {
	t.Parallel()
	dovecottest.Need(t, dovecottest.IMAP)
	start := time.Now()
	for seed := range setting(os.Getenv("DOVECOT_SCRIPTS"), 20) {
		if time.Since(start) > 4*time.Second && os.Getenv("DOVECOT_SCRIPTS") == "" {
			return
		}
		returnTo(t, &generator{rand.New(rand.NewPCG(uint64(seed), 1))})
	}
}

func returnTo(t *testing.T, g *generator) {
	p := newPair(t)
	defer p.close()
	var sides [2]returning
	var script []string
	p.ask(0, "a", "UNSELECT")
	p.ask(0, "b", "ENABLE QRESYNC")
	for side := range sides {
		lines := p.exchange(side, "c", "SELECT INBOX")
		sides[side] = returning{validity(lines), modSeqs(lines)[0], make(map[int]string)}
		sides[side].take(p.exchange(side, "d", "UID FETCH 1:* FLAGS"))
	}
	for round := range 6 {
		if g.one(2) {
			p.ask(0, "e", "UNSELECT")
		}
		for range g.IntN(4) {
			script = append(script, p.change(g, round))
		}
		var told [2]string
		kind := g.IntN(4)
		script = append(script, fmt.Sprintf("%d: client 0 returns, %d", round, kind))
		for side := range sides {
			told[side] = p.comeBack(side, kind, &sides[side])
		}
		if told[0] != told[1] || !maps.Equal(sides[0].flags, sides[1].flags) {
			t.Fatalf("%s\nDovecot: %s\n%v\nours:    %s\n%v", strings.Join(script, "\n"), told[0], sides[0].flags, told[1], sides[1].flags)
		}
	}
}

// change is what the other client does.
func (p *pair) change(g *generator, round int) string {
	if g.one(4) {
		p.deliver("new", "")
		p.ask(1, "n", "NOOP")
		return "a message is delivered"
	}
	command := g.pick("UID STORE ", "UID STORE ", "UID STORE ") + g.pick("1", "2", "2:4", "5:7", "*", "1:*") + " " +
		g.pick("+FLAGS.SILENT (\\Flagged)", "-FLAGS (\\Flagged)", "FLAGS (\\Deleted)", "+FLAGS (\\Seen)", "FLAGS (kw1)")
	if g.one(3) {
		command = g.pick("EXPUNGE", "UID EXPUNGE 3:5", "UID MOVE 6:7 INBOX", "UID COPY 1:2 INBOX")
	}
	p.ask(1, fmt.Sprint("o", round), command)
	return command
}

// comeBack returns what the client is told; the mailbox may still be selected. The last kind is no return: the client changes what it
// takes to be unchanged.
func (p *pair) comeBack(side, kind int, r *returning) string {
	uids := slices.Sorted(maps.Keys(r.flags))
	known := strings.Trim(strings.ReplaceAll(fmt.Sprint(uids), " ", ","), "[]")
	command := fmt.Sprintf("SELECT INBOX (QRESYNC (%s %d))", r.validity, r.modSeq)
	if kind == 1 && known != "" {
		command = fmt.Sprintf("SELECT INBOX (QRESYNC (%s %d %s))", r.validity, r.modSeq, known)
	}
	var answer string
	if kind >= 2 {
		p.exchange(side, "f", "UNSELECT")
		p.exchange(side, "g", "SELECT INBOX")
		command = fmt.Sprintf("UID FETCH 1:* (FLAGS) (CHANGEDSINCE %d VANISHED)", r.modSeq)
	}
	if kind == 3 && known != "" {
		lines := p.exchange(side, "h", fmt.Sprintf("UID STORE %s (UNCHANGEDSINCE %d) +FLAGS.SILENT (\\Answered)", known, r.modSeq))
		answer = modifiedCode.FindString(last(lines))
	}
	lines := p.exchange(side, "i", command)
	vanished, changed := r.take(lines)
	p.exchange(side, "j", "NOOP")
	r.modSeq = max(r.modSeq, slices.Max(append(modSeqs(lines), modSeqs(p.exchange(side, "k", "STATUS INBOX (HIGHESTMODSEQ)"))...)))
	if kind == 1 {
		r.take(p.exchange(side, "l", "UID FETCH 1:* FLAGS")) // what is new
	}
	return fmt.Sprint(answer, " vanished ", vanished, " changed ", changed)
}

// take takes in what lines tell, and returns which of the known messages have gone and which have changed.
func (r *returning) take(lines []string) (vanished, changed []int) {
	for _, line := range lines {
		if m := vanishedLine.FindStringSubmatch(line); m != nil {
			for _, uid := range numbers(m[2]) {
				if _, known := r.flags[uid]; known {
					delete(r.flags, uid)
					vanished = append(vanished, uid)
				}
			}
		}
		uid, flags := uidItem.FindStringSubmatch(line), flagsItem.FindStringSubmatch(line)
		if uid != nil && flags != nil && fetchLine.MatchString(line) {
			r.flags[atoi(uid[1])] = sortedFlags(strings.ToLower(flags[1]))
			changed = append(changed, atoi(uid[1]))
		}
	}
	return vanished, slices.Compact(slices.Sorted(slices.Values(changed)))
}

// exchange sends a command of client 0 to one server.
func (p *pair) exchange(side int, tag, command string) []string {
	lines, err := p.peers[side][0].exchange(tag, command)
	if err != nil {
		p.t.Fatal(command, err)
	}
	return lines
}
