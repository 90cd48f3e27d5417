//go:build interop

package interop

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"postrider/test/suite"
)

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
	for round := range int(number(t, "TURNS_MBSYNC", 4)) {
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
