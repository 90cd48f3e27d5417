package imapd

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

var modSeqItem = regexp.MustCompile(`MODSEQ \(?(\d+)`)

// modSeqs are the mod-sequences that some lines tell.
func modSeqs(lines []string) (list []uint64) {
	for _, line := range lines {
		for _, m := range modSeqItem.FindAllStringSubmatch(line, -1) {
			n, _ := strconv.ParseUint(m[1], 10, 64)
			list = append(list, n)
		}
	}
	return list
}

// lastModSeq is the last of them.
func lastModSeq(t *testing.T, lines []string) uint64 {
	t.Helper()
	list := modSeqs(lines)
	if len(list) == 0 {
		t.Fatalf("no mod-sequence in %q", lines)
	}
	return list[len(list)-1]
}

// play is dialogue with mod-sequences: each %d of the script stands for one of them.
func (c *client) play(script string, modSeqs ...any) {
	c.t.Helper()
	c.dialogue(fmt.Sprintf(script, modSeqs...))
}

func TestCondStore(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.deliverSome(3)
	c, other := s.connect(), s.connect()
	highest := lastModSeq(t, c.ok("SELECT INBOX"))
	other.ok("SELECT INBOX")
	c.dialogue(`
		C: a STORE 1 +FLAGS (\Seen)
		S: * 1 FETCH (FLAGS (\Seen \Recent))
		S: a OK Store completed.
	`) // it has not asked for mod-sequences yet
	c.play(`
		C: b STORE 2 (UNCHANGEDSINCE %d) +FLAGS.SILENT (\Flagged)
		S: * OK [HIGHESTMODSEQ …] Highest
		S: * 2 FETCH (MODSEQ (…))
		S: b OK Store completed.
		C: c STORE 1:3 (UNCHANGEDSINCE %d) +FLAGS (\Deleted)
		S: * 3 FETCH (FLAGS (\Deleted \Recent) MODSEQ (…))
		S: * 1 FETCH (FLAGS (\Seen \Recent) MODSEQ (…))
		S: * 2 FETCH (FLAGS (\Flagged \Recent) MODSEQ (…))
		S: c OK [MODIFIED 1:2] Conditional store failed.
		C: d UID STORE 2 (UNCHANGEDSINCE 0) FLAGS ()
		S: * 2 FETCH (UID 2 FLAGS (\Flagged \Recent) MODSEQ (…))
		S: d OK [MODIFIED 2] Conditional store failed.
		C: d2 UID STORE 2 (UNCHANGEDSINCE 9000000000000000000) FLAGS ()
		S: * 2 FETCH (UID 2 FLAGS (\Flagged \Recent) MODSEQ (…))
		S: d2 OK [MODIFIED 2] Conditional store failed.
		C: e STORE 2 +FLAGS.SILENT (\Flagged)
		S: e OK Store completed.
	`, highest, highest)
	now := modSeqs(c.ok("FETCH 1:3 MODSEQ"))
	if len(now) != 3 || !(highest < now[0] && now[0] < now[1] && now[1] < now[2]) {
		t.Fatal(highest, now)
	}
	c.play(`
		C: f FETCH 1:* (FLAGS) (CHANGEDSINCE %d)
		S: * 2 FETCH (FLAGS (\Flagged \Recent) MODSEQ (%d))
		S: * 3 FETCH (FLAGS (\Deleted \Recent) MODSEQ (%d))
		S: f OK Fetch completed.
		C: g SEARCH MODSEQ "/flags/\\draft" all %d
		S: * SEARCH 2 3 (MODSEQ %d)
		S: g OK Search completed.
		C: h SEARCH RETURN (MIN COUNT) MODSEQ %d
		S: * ESEARCH (TAG "h") MIN 1 COUNT 3 MODSEQ %d
		S: h OK …
		C: i UID SEARCH RETURN (MIN) MODSEQ %d
		S: * ESEARCH (TAG "i") UID MIN 1 MODSEQ %d
		S: i OK …
		C: j SEARCH MODSEQ %d SEEN
		S: * SEARCH
		S: j OK …
	`, now[0], now[1], now[2], now[1], now[2], highest, now[2], highest, now[0], now[1])
	other.ok("STORE 2 -FLAGS.SILENT (\\Flagged)")
	c.play(`
		C: k FETCH 2 (FLAGS) (CHANGEDSINCE %d)
		S: * 2 FETCH (FLAGS (\Recent) MODSEQ (…))
		S: * 2 FETCH (FLAGS (\Recent) MODSEQ (…))
		S: k OK Fetch completed.
		C: l FETCH 2 BODY[TEXT]
		S: * 2 FETCH (BODY[TEXT] {17}\r\nbody number 001\r\n)
		S: * 2 FETCH (FLAGS (\Seen \Recent) MODSEQ (…))
		S: l OK Fetch completed.
		C: m UID FETCH 1:* (FLAGS) (CHANGEDSINCE 1 VANISHED)
		S: m BAD QRESYNC is not enabled.
	`, now[1])
	if got := lastModSeq(t, c.ok("STATUS INBOX (HIGHESTMODSEQ)")); got <= now[2] {
		t.Error(got, now)
	}
}

// TestModifiedAndGone is the example of RFC 7162 §3.1.3 in which another session has removed some messages.
func TestModifiedAndGone(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.deliverSome(4)
	c, other := s.connect(), s.connect()
	highest := lastModSeq(t, c.ok("SELECT INBOX (CONDSTORE)"))
	other.ok("SELECT INBOX")
	other.ok("STORE 4 +FLAGS.SILENT (\\Deleted)")
	other.ok("EXPUNGE")
	other.ok("STORE 2 +FLAGS.SILENT (\\Answered)")
	c.play(`
		C: a STORE 1:4 (UNCHANGEDSINCE %d) +FLAGS.SILENT (\Seen)
		S: * 1 FETCH (MODSEQ (…))
		S: * 3 FETCH (MODSEQ (…))
		S: * 2 FETCH (FLAGS (\Answered \Recent) MODSEQ (…))
		S: * OK [HIGHESTMODSEQ …] Highest
		S: a NO [MODIFIED 2] Some of the requested messages no longer exist.
		C: b NOOP
		S: * 4 EXPUNGE
		S: * 3 RECENT
		S: b OK NOOP completed.
	`, highest)
}

// TestSavedResult has the examples of RFC 5182 §2.
func TestSavedResult(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.deliverSome(12)
	c := s.selected()
	c.dialogue(`
		C: a FETCH $ FLAGS
		S: a OK …
		C: b SEARCH RETURN (SAVE) SUBJECT s1
		S: b OK Search completed.
		C: c FETCH $ (UID)
		S: * 2 FETCH (UID 2)
		S: * 12 FETCH (UID 12)
		S: c OK …
		C: d STORE 1 +FLAGS.SILENT (\Deleted)
		S: d OK …
		C: e EXPUNGE
		S: * 1 EXPUNGE
		S: * 11 RECENT
		S: e OK …
		C: f FETCH $ (UID)
		S: * 1 FETCH (UID 2)
		S: * 11 FETCH (UID 12)
		S: f OK …
		C: g UID SEARCH RETURN (SAVE MIN) 3:5
		S: * ESEARCH (TAG "g") UID MIN 4
		S: g OK …
		C: h SEARCH NOT $ 1:4
		S: * SEARCH 1 2 4
		S: h OK …
		C: i UID SEARCH UID $
		S: * SEARCH 4
		S: i OK …
		C: j SEARCH RETURN (SAVE PARTIAL -1:-3 COUNT) ALL
		S: * ESEARCH (TAG "j") PARTIAL (-1:-3 9:11) COUNT 11
		S: j OK …
		C: k SEARCH RETURN (SAVE PARTIAL -1:-3) ALL
		S: * ESEARCH (TAG "k") PARTIAL (-1:-3 9:11)
		S: k OK …
		C: l UID STORE $ +FLAGS.SILENT (\Deleted)
		S: l OK …
		C: m UID EXPUNGE $
		S: * 11 EXPUNGE
		S: * 10 EXPUNGE
		S: * 9 EXPUNGE
		S: * 8 RECENT
		S: m OK …
		C: n COPY $ INBOX
		S: n OK …
		C: o SEARCH RETURN (SAVE) CHARSET FOO SUBJECT x
		S: o NO [BADCHARSET …
		C: p SEARCH $
		S: * SEARCH
		S: p OK …
	`)
	if lines := c.ok("SEARCH RETURN (PARTIAL 5:9) SUBJECT nothing"); !strings.HasSuffix(lines[0], "PARTIAL (5:9 NIL)") {
		t.Error(lines)
	}
}
