package imapd

import (
	"fmt"
	"testing"
)

func TestSelectAndFetch(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.deliverSome(3)
	c := s.connect()
	c.dialogue(`
		C: a EXAMINE INBOX
		S: * FLAGS (\Answered \Flagged \Deleted \Seen \Draft)
		S: * OK [PERMANENTFLAGS ()] Read-only mailbox.
		S: * 3 EXISTS
		S: * 3 RECENT
		S: * OK [UNSEEN 1] First unseen.
		S: * OK [UIDVALIDITY …] UIDs valid
		S: * OK [UIDNEXT 4] Predicted next UID
		S: * OK [MAILBOXID (…)] Mailbox ID
		S: * OK [HIGHESTMODSEQ …] Highest
		S: a OK [READ-ONLY] Examine completed.
		C: b FETCH 1 BODY[TEXT]
		S: * 1 FETCH (BODY[TEXT] {17}\r\nbody number 000\r\n)
		S: b OK Fetch completed.
		C: c STORE 1 +FLAGS (\Seen)
		S: c NO Mailbox is open read-only.
		C: d SELECT INBOX
		S: * OK [CLOSED] Previous mailbox closed.
		S: * FLAGS (\Answered \Flagged \Deleted \Seen \Draft)
		S: * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft \*)] Flags permitted.
		S: * 3 EXISTS
		S: * 3 RECENT
		S: * OK [UNSEEN 1] First unseen.
		S: * OK [UIDVALIDITY …] UIDs valid
		S: * OK [UIDNEXT 4] Predicted next UID
		S: * OK [MAILBOXID (…)] Mailbox ID
		S: * OK [HIGHESTMODSEQ …] Highest
		S: d OK [READ-WRITE] Select completed.
		C: e FETCH 1 BODY[TEXT]
		S: * 1 FETCH (FLAGS (\Seen \Recent) BODY[TEXT] {17}\r\nbody number 000\r\n)
		S: e OK Fetch completed.
		C: f UID FETCH 2 (BODY[TEXT])
		S: * 2 FETCH (UID 2 FLAGS (\Seen \Recent) BODY[TEXT] {17}\r\nbody number 001\r\n)
		S: f OK Fetch completed.
		C: g FETCH 1:3 (FLAGS BODY.PEEK[TEXT]<5.6>)
		S: * 1 FETCH (FLAGS (\Seen \Recent) BODY[TEXT]<5> {6}\r\nnumber)
		S: * 2 FETCH (FLAGS (\Seen \Recent) BODY[TEXT]<5> {6}\r\nnumber)
		S: * 3 FETCH (FLAGS (\Recent) BODY[TEXT]<5> {6}\r\nnumber)
		S: g OK Fetch completed.
		C: h UID FETCH 100:* FLAGS
		S: * 3 FETCH (UID 3 FLAGS (\Recent))
		S: h OK Fetch completed.
		C: i FETCH 3:4 FLAGS
		S: i BAD Invalid messageset.
		C: j UID FETCH 4:4294967295 FLAGS
		S: j OK Fetch completed.
		C: k FETCH 1:* (MODSEQ)
		S: * OK [HIGHESTMODSEQ …] Highest
		S: * 1 FETCH (MODSEQ (…))
		S: * 2 FETCH (MODSEQ (…))
		S: * 3 FETCH (MODSEQ (…))
		S: k OK …
	`)
	c.dialogue(`C: z LOGOUT
		S: * BYE …
		S: z OK …`)
	if sum := c.ends(); sum.BodyCount != 6 || sum.BodyOctets != 3*17+3*6 || sum.HeaderCount != 0 {
		t.Error(sum)
	}
}

// TestRefusedSelect: whatever a SELECT fails of, nothing is selected then, unless it was no command at all.
func TestRefusedSelect(t *testing.T) {
	t.Parallel()
	c := newServer(t).connect()
	for _, name := range []string{"none", "&AGE-", "a..b"} {
		c.ok("SELECT INBOX")
		c.dialogue(fmt.Sprintf(`
			C: a SELECT %s
			S: * OK [CLOSED] …
			S: a NO …
			C: b CHECK
			S: b BAD …
		`, name))
	}
	c.ok("EXAMINE INBOX")
	c.dialogue(`
		C: c SELECT INBOX (X)
		S: c BAD …
		C: d CREATE &AGE-
		S: d NO …
		C: e CHECK
		S: e OK …
	`)
}
