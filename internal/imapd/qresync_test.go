package imapd

import (
	"os"
	"strconv"
	"strings"
	"testing"
)

func uintString(n uint64) string { return strconv.FormatUint(n, 10) }

// validity is the UIDVALIDITY that a SELECT told.
func validity(lines []string) string {
	for _, line := range lines {
		if m := validityCode.FindStringSubmatch(line); m != nil {
			return m[1]
		}
	}
	return ""
}

// behindSelect is what a SELECT told after the mod-sequence.
func behindSelect(lines []string) string {
	for i, line := range lines {
		if strings.HasPrefix(line, "* OK [HIGHESTMODSEQ") {
			return strings.Join(lines[i+1:], "; ")
		}
	}
	return "no HIGHESTMODSEQ"
}

func TestQResync(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.deliverSome(9)
	c, other := s.connect(), s.connect()
	lines := other.ok("SELECT INBOX")
	validity, began := validity(lines), lastModSeq(t, lines)
	c.dialogue(`
		C: a SELECT INBOX (QRESYNC (1 2))
		S: a BAD QRESYNC is not enabled.
		C: b ENABLE QRESYNC X-NONE
		S: * ENABLED QRESYNC
		S: b OK Enabled.
	`)
	other.ok("STORE 2,4:5,9 +FLAGS.SILENT (\\Deleted)")
	other.ok("EXPUNGE")
	other.ok("STORE 3 +FLAGS.SILENT (\\Flagged)") // UID 6
	back := func(rest, want string) {
		t.Helper()
		if got := behindSelect(c.ok("SELECT INBOX (QRESYNC (%s))", rest)); !like(want, got) {
			t.Errorf("%s:\ngot  %s\nwant %s", rest, got, want)
		}
	}
	since := validity + " " + uintString(began)
	const flagged = `* 3 FETCH (UID 6 FLAGS (\Flagged) MODSEQ (…))`
	back(since, "* VANISHED (EARLIER) 2,4:5,9; "+flagged)
	back(since+" 1:4", "* VANISHED (EARLIER) 2,4")
	back(since+" 3:6,9", "* VANISHED (EARLIER) 4:5,9; "+flagged)
	back(since+" 1:9 (1,3 1,3)", "* VANISHED (EARLIER) 2,4:5,9; "+flagged)
	back("1 "+uintString(began), "")
	// A state from before all that is remembered, and one of the future: all is told, but for what cannot have gone.
	const all = `…* 3 FETCH (UID 6 FLAGS (\Flagged) MODSEQ (…)); …* 5 FETCH …`
	back(validity+" 1", "* VANISHED (EARLIER) 2,4:5,9; "+all)
	back(validity+" 1 1:20 (1,3,5 1,6,8)", "* VANISHED (EARLIER) 9; "+all)
	back(validity+" 1 1:20 (1,3,4 1,6,8)", "* VANISHED (EARLIER) 9; "+all)
	back(validity+" 1 2:8", "* VANISHED (EARLIER) 2,4:5; "+all)
	back(validity+" 9000000000000000000 5:9", `* VANISHED (EARLIER) 5,9; * 3 FETCH (UID 6 …; * 5 FETCH …`)
	c.play(`
		C: c UID FETCH 1:* (FLAGS) (CHANGEDSINCE %d VANISHED)
		S: * VANISHED (EARLIER) 2,4:5,9
		S: * 3 FETCH (UID 6 FLAGS (\Flagged) MODSEQ (…))
		S: c OK Fetch completed.
		C: d UID FETCH 3:5 (FLAGS) (CHANGEDSINCE %d VANISHED)
		S: * VANISHED (EARLIER) 4:5
		S: d OK Fetch completed.
		C: e STORE 1:2 +FLAGS (\Deleted)
		S: * 1 FETCH (UID 1 FLAGS (\Deleted) MODSEQ (…))
		S: * 2 FETCH (UID 3 FLAGS (\Deleted) MODSEQ (…))
		S: e OK Store completed.
		C: f UID EXPUNGE 1
		S: * VANISHED 1
		S: f OK [HIGHESTMODSEQ …] Expunge completed.
		C: g EXPUNGE
		S: * VANISHED 3
		S: g OK [HIGHESTMODSEQ …] Expunge completed.
		C: h EXPUNGE
		S: h OK Expunge completed.
		C: i UID MOVE 6 INBOX
		S: * OK [COPYUID …
		S: * VANISHED 6
		S: * 3 EXISTS
		S: * 1 RECENT
		S: i OK [HIGHESTMODSEQ …] Move completed.
		C: j SEARCH ALL
		S: * SEARCH 1 2 3
		S: j OK Search completed.
	`, began, began)
	other.ok("UID STORE 7 +FLAGS.SILENT (\\Deleted)")
	other.ok("EXPUNGE")
	c.dialogue(`
		C: k FETCH 1:3 UID
		S: * 1 FETCH (UID 7)
		S: * 2 FETCH (UID 8)
		S: * 3 FETCH (UID 10)
		S: k OK Fetch completed.
		C: l NOOP
		S: * VANISHED 7
		S: * OK [HIGHESTMODSEQ …] Highest
		S: l OK NOOP completed.
		C: m CLOSE
		S: m OK Close completed.
	`)
}

// TestModSeqHeldBack: a client that is told a mod-sequence, but not yet of all before it, hears up to where it knows all.
func TestModSeqHeldBack(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.deliverSome(9)
	c, other := s.connect(), s.connect()
	c.ok("ENABLE QRESYNC")
	began := lastModSeq(t, c.ok("SELECT INBOX"))
	other.ok("SELECT INBOX")
	other.ok("STORE 2 +FLAGS.SILENT (\\Deleted)")
	c.ok("NOOP")
	other.ok("EXPUNGE")
	other.ok("STORE 3 +FLAGS.SILENT (\\Flagged)")
	c.dialogue(`
		C: a FETCH 1 UID
		S: * 1 FETCH (UID 1)
		S: * 4 FETCH (UID 4 FLAGS (\Flagged \Recent) MODSEQ (…))
		S: a OK [HIGHESTMODSEQ …] Fetch completed.
		C: b FETCH 4 MODSEQ
		S: * 4 FETCH (MODSEQ (…))
		S: b OK [HIGHESTMODSEQ …] Fetch completed.
		C: c FETCH 1 UID
		S: * 1 FETCH (UID 1)
		S: c OK Fetch completed.
		C: d NOOP
		S: * VANISHED 2
		S: * 8 RECENT
		S: * OK [HIGHESTMODSEQ …] Highest
		S: d OK NOOP completed.
	`)
	known := lastModSeq(t, c.ok("STATUS INBOX (HIGHESTMODSEQ)"))
	if known <= began {
		t.Fatal(known, began)
	}
	// While more commands wait, others' changes are not looked for.
	c.ok("NOOP")
	other.ok("UID STORE 5 +FLAGS.SILENT (\\Flagged)")
	c.send("e UID STORE 6 +FLAGS.SILENT (\\Seen)\r\nf UID STORE 7 (UNCHANGEDSINCE 1) +FLAGS.SILENT (\\Seen)\r\ng UID STORE 7 +FLAGS.SILENT (\\Seen)\r\n")
	c.expect("* 5 FETCH (UID 6 MODSEQ (…))", "e OK [HIGHESTMODSEQ "+uintString(known)+"] Store completed.",
		"* 6 FETCH (UID 7 …", "f OK [MODIFIED 7] Conditional store failed.",
		"* 6 FETCH (UID 7 MODSEQ (…))", "* 4 FETCH (UID 5 FLAGS (\\Flagged \\Recent) MODSEQ (…))", "g OK Store completed.")
}

// TestQResyncWhileIdle: who idles hears what has gone as UIDs, and where it stands then.
func TestQResyncWhileIdle(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.deliverSome(3)
	c := s.connect()
	c.ok("ENABLE QRESYNC")
	c.ok("SELECT INBOX")
	c.send("a IDLE\r\n")
	c.expect("+ idling")
	if err := os.Remove(s.file("cur/1000001.*")); err != nil {
		t.Fatal(err)
	}
	c.expect("* VANISHED 2", "* 2 RECENT", "* OK [HIGHESTMODSEQ …] Highest")
	c.send("DONE\r\n")
	c.expect("a OK Idle completed.")
}
