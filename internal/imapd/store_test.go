package imapd

import (
	"testing"
)

func TestStoreAndExpunge(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.deliverSome(6)
	c := s.selected()
	c.ok("SELECT INBOX") // nothing is \Recent any more
	c.dialogue(`
		C: a STORE 1:2 +FLAGS (\Seen $Kw)
		S: * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Kw)
		S: * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft $Kw \*)] Flags permitted.
		S: * 1 FETCH (FLAGS (\Seen $Kw))
		S: * 2 FETCH (FLAGS (\Seen $Kw))
		S: a OK Store completed.
		C: b STORE 1 +FLAGS.SILENT \Flagged
		S: b OK Store completed.
		C: c STORE 1 FLAGS ()
		S: * 1 FETCH (FLAGS ())
		S: c OK Store completed.
		C: d uid store 2 +Flags ($label1 \Answered)
		S: * FLAGS …
		S: * OK [PERMANENTFLAGS …
		S: * 2 FETCH (UID 2 FLAGS (\Answered \Seen $Kw $label1))
		S: d OK Store completed.
		C: e STORE 2 -FLAGS ($KW \Seen)
		S: * 2 FETCH (FLAGS (\Answered $label1))
		S: e OK Store completed.
		C: f STORE 7 +FLAGS (\Seen)
		S: f BAD Invalid messageset.
		C: g STORE 5:9 +FLAGS (\Seen)
		S: g BAD Invalid messageset.
		C: h UID STORE 7:9 +FLAGS (\Seen)
		S: h OK Store completed.
		C: i STORE 1 +FLAGS (\Foo)
		S: i BAD …
		C: j STORE 2:3 +FLAGS \Deleted
		S: * 2 FETCH (FLAGS (\Answered \Deleted $label1))
		S: * 3 FETCH (FLAGS (\Deleted))
		S: j OK Store completed.
		C: k UID EXPUNGE 3:*
		S: * 3 EXPUNGE
		S: k OK Expunge completed.
		C: l EXPUNGE
		S: * 2 EXPUNGE
		S: l OK Expunge completed.
		C: m STORE 4,2 +FLAGS.SILENT (\Deleted)
		S: m OK Store completed.
		C: n CLOSE
		S: n OK Close completed.
		C: o SELECT INBOX
		S: * FLAGS …
		S: * OK [PERMANENTFLAGS …
		S: * 2 EXISTS
		S: * 0 RECENT
		S: * OK [UNSEEN 1] First unseen.
		S: * OK [UIDVALIDITY …
		S: * OK [UIDNEXT 7] …
		S: * OK [MAILBOXID (…)] Mailbox ID
		S: * OK [HIGHESTMODSEQ …] Highest
		S: o OK …
		C: p STORE 1 +FLAGS.SILENT (\Deleted)
		S: p OK …
		C: q UNSELECT
		S: q OK Unselect completed.
		C: r STATUS INBOX (MESSAGES DELETED)
		S: * STATUS INBOX (MESSAGES 2 DELETED 1)
		S: r OK …
		C: s LOGOUT
		S: * BYE …
		S: s OK …
	`)
	if sum := c.ends(); sum.Deleted != 5 || sum.Expunged != 4 {
		t.Error(sum)
	}
}

func TestKeywordLimit(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.deliverSome(1)
	c := s.selected()
	for i := range 26 {
		c.ok("STORE 1 +FLAGS.SILENT (k%d)", i)
	}
	c.dialogue(`
		C: a STORE 1 +FLAGS (one.more)
		S: a NO [LIMIT] …
		C: b SELECT INBOX
		S: * OK [CLOSED] …
		S: * FLAGS (…k25)
		S: * OK [PERMANENTFLAGS (…k25)] Flags permitted.
		S: * 1 EXISTS
	`)
}

// TestSilentStore: silence is for what the client knows.
func TestSilentStore(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.deliverSome(2)
	c, other := s.selected(), s.selected()
	other.ok("STORE 1 +FLAGS.SILENT (\\Flagged work)")
	c.dialogue(`
		C: a STORE 1:2 +FLAGS.SILENT (\Seen)
		S: * FLAGS …
		S: * OK [PERMANENTFLAGS …
		S: * 1 FETCH (FLAGS (\Flagged \Seen \Recent work))
		S: a OK Store completed.
	`)
	other.dialogue(`
		C: b NOOP
		S: * 1 FETCH (FLAGS (\Flagged \Seen work))
		S: * 2 FETCH (FLAGS (\Seen))
		S: b OK NOOP completed.
		C: c STORE 2 -FLAGS.SILENT (\Seen)
		S: c OK …
		C: d STORE 2 +FLAGS.SILENT (\Deleted)
		S: d OK …
		C: e EXPUNGE
		S: * 2 EXPUNGE
		S: e OK …
	`)
	c.dialogue(`
		C: f NOOP
		S: * 2 EXPUNGE
		S: * 1 RECENT
		S: f OK …
	`)
}
