package imapd

import (
	"testing"
	"time"
)

// TestMessageLimit has a limit of three messages (RFC 9738 §3).
func TestMessageLimit(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.deliverSome(9)
	c := s.connect(func(o *Options) { o.limit = 3 })
	c.ok("SELECT INBOX")
	c.ok("CREATE a")
	c.dialogue(`
		C: a FETCH 1:6 (UID)
		S: * 4 FETCH (UID 4)
		S: * 5 FETCH (UID 5)
		S: * 6 FETCH (UID 6)
		S: a OK [MESSAGELIMIT 3 4] Done for some messages only.
		C: b FETCH 1:3 (UID)
		S: * 1 FETCH (UID 1)
		S: * 2 FETCH (UID 2)
		S: * 3 FETCH (UID 3)
		S: b OK Fetch completed.
		C: c FETCH 1:* (UID) (PARTIAL -2:-3)
		S: * 7 FETCH (UID 7)
		S: * 8 FETCH (UID 8)
		S: c OK Fetch completed.
		C: d FETCH 1:* (UID) (PARTIAL 1:4)
		S: d NO [MESSAGELIMIT 3] Too many messages for one command.
		C: d1 SORT (ARRIVAL) US-ASCII ALL
		S: d1 NO [MESSAGELIMIT 3] …
		C: d2 THREAD REFERENCES US-ASCII 1:4
		S: d2 NO [MESSAGELIMIT 3] …
		C: e SEARCH ALL
		S: * SEARCH 7 8 9
		S: e OK [MESSAGELIMIT 3 7] …
		C: f UID SEARCH UIDBEFORE 7 UIDAFTER 2
		S: * SEARCH 4 5 6
		S: f OK [MESSAGELIMIT 3 4] …
		C: g STORE 1:9 +FLAGS (\Deleted)
		S: * 7 FETCH (FLAGS (\Deleted \Recent))
		S: * 8 FETCH (FLAGS (\Deleted \Recent))
		S: * 9 FETCH (FLAGS (\Deleted \Recent))
		S: g OK [MESSAGELIMIT 3 7] …
		C: h UID STORE 1:9 (UNCHANGEDSINCE 1) +FLAGS (\Deleted)
		S: * OK [HIGHESTMODSEQ …
		S: * 7 FETCH (UID 7 FLAGS (\Deleted \Recent) MODSEQ (…))
		S: * 8 FETCH (UID 8 FLAGS (\Deleted \Recent) MODSEQ (…))
		S: * 9 FETCH (UID 9 FLAGS (\Deleted \Recent) MODSEQ (…))
		S: * NO [MESSAGELIMIT 3 7] Too many messages for one command.
		S: h OK [MODIFIED 7:9] Conditional store failed.
		C: i COPY 1:4 a
		S: i NO [MESSAGELIMIT 3] Too many messages for one command.
		C: j MOVE 1:4 a
		S: * OK [COPYUID … 2:4 1:3] Moved UIDs.
		S: * 4 EXPUNGE
		S: * 3 EXPUNGE
		S: * 2 EXPUNGE
		S: * 6 RECENT
		S: j OK [MESSAGELIMIT 3 2] …
		C: k STORE 1 +FLAGS.SILENT (\Deleted)
		S: * 1 FETCH (MODSEQ (…))
		S: k OK …
		C: l UID EXPUNGE 1:*
		S: * 6 EXPUNGE
		S: * 5 EXPUNGE
		S: * 4 EXPUNGE
		S: * 3 RECENT
		S: l OK [MESSAGELIMIT 3 7] …
		C: m UID EXPUNGE 1:*
		S: * 1 EXPUNGE
		S: * 2 RECENT
		S: m OK Expunge completed.
	`)
}

// TestPartialFetch pages through what has changed (RFC 9394 §3.3).
func TestPartialFetch(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.deliverSome(6)
	c := s.connect()
	since := lastModSeq(t, c.ok("SELECT INBOX (CONDSTORE)"))
	c.ok("STORE 1,3:5 +FLAGS.SILENT (\\Seen)")
	c.play(`
		C: a UID FETCH 1:* (UID) (PARTIAL 2:3 CHANGEDSINCE %d)
		S: * 3 FETCH (UID 3 MODSEQ (…))
		S: * 4 FETCH (UID 4 MODSEQ (…))
		S: a OK Fetch completed.
		C: b UID FETCH 1:* (UID) (CHANGEDSINCE %d PARTIAL -1:-1)
		S: * 5 FETCH (UID 5 MODSEQ (…))
		S: b OK Fetch completed.
		C: c UID FETCH 1:* (UID) (PARTIAL 7:9)
		S: c OK Fetch completed.
	`, since, since)
}

// TestProgress: who waits for a SEARCH hears how far it is (RFC 9585).
func TestProgress(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.times.silence = time.Nanosecond
	s.deliverSome(3)
	c := s.selected()
	c.dialogue(`
		C: a SEARCH BODY nothing
		S: * OK [INPROGRESS ("a" …
	`)
	if _, answer := c.collect("a "); !like("OK …", answer) {
		t.Error(answer)
	}
	c.dialogue(`
		C: b]c SEARCH BODY nothing
		S: * OK [INPROGRESS (NIL …
	`)
}
