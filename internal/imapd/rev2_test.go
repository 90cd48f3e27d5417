package imapd

import "testing"

func TestRev2(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.deliverSome(3)
	c := s.connect(func(o *Options) { o.Folders = specials })
	c.dialogue(`
		C: a ENABLE imap4rev2
		S: * ENABLED IMAP4rev2
		S: a OK Enabled.
		C: b SELECT INBOX
		S: * FLAGS (\Answered \Flagged \Deleted \Seen \Draft)
		S: * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft \*)] Flags permitted.
		S: * 3 EXISTS
		S: * OK [UIDVALIDITY …] UIDs valid
		S: * OK [UIDNEXT 4] Predicted next UID
		S: * OK [MAILBOXID (…)] Mailbox ID
		S: * OK [HIGHESTMODSEQ …] Highest
		S: * LIST () "." INBOX
		S: b OK [READ-WRITE] Select completed.
		C: c FETCH 1 (FLAGS BODY[TEXT])
		S: * 1 FETCH (FLAGS (\Seen) BODY[TEXT] {17}\r\nbody number 000\r\n)
		S: c OK …
		C: d SEARCH UNSEEN
		S: * ESEARCH (TAG "d") ALL 2:3
		S: d OK …
		C: e UID SEARCH SUBJECT nothing
		S: * ESEARCH (TAG "e") UID
		S: e OK …
		C: f SEARCH OR SEEN (NOT NEW)
		S: f BAD …
		C: f2 UID SORT (ARRIVAL) UTF-8 OLD
		S: f2 BAD …
		C: f3 THREAD REFERENCES UTF-8 RECENT
		S: f3 BAD …
		C: g STATUS INBOX (RECENT)
		S: g BAD …
		C: h STATUS INBOX (MESSAGES UNSEEN DELETED SIZE)
		S: * STATUS INBOX (MESSAGES 3 UNSEEN 2 SIZE 96 DELETED 0)
		S: h OK …
		C: i FETCH 1 RFC822
		S: i BAD …
		C: j CREATE "Entwürfe"
		S: j OK …
		C: k CREATE &A
		S: k OK …
		C: l LIST "" (E* &*)
		S: * LIST () "." &A
		S: * LIST () "." "Entwürfe"
		S: l OK …
		C: m RENAME "Entwürfe" "ü.b"
		S: * LIST () "." "ü.b" ("OLDNAME" ("Entwürfe"))
		S: m OK …
		C: n SELECT Drafts
		S: * OK [CLOSED] …
		S: * FLAGS …
		S: * OK [PERMANENTFLAGS …
		S: * 0 EXISTS
		S: * OK [UIDVALIDITY …
		S: * OK [UIDNEXT 1] …
		S: * OK [MAILBOXID (…)] Mailbox ID
		S: * OK [HIGHESTMODSEQ …
		S: * LIST (\Drafts) "." Drafts
		S: n OK [READ-WRITE] Select completed.
		C: o LIST "" "*" RETURN (STATUS (RECENT))
		S: o BAD …
	`)
	s.connect().dialogue(`
		C: a LIST "" "*b"
		S: * LIST (\HasNoChildren) "." &APw-.b
		S: a OK List completed.
	`)
}

// TestRev2Updates: nobody is told what is \Recent.
func TestRev2Updates(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c := s.connect()
	c.ok("ENABLE IMAP4rev2")
	c.ok("SELECT INBOX")
	s.deliverSome(2)
	c.dialogue(`
		C: a NOOP
		S: * 2 EXISTS
		S: a OK NOOP completed.
		C: b STORE 1:2 +FLAGS (\Deleted)
		S: * 1 FETCH (FLAGS (\Deleted))
		S: * 2 FETCH (FLAGS (\Deleted))
		S: b OK Store completed.
		C: c EXPUNGE
		S: * 2 EXPUNGE
		S: * 1 EXPUNGE
		S: c OK Expunge completed.
	`)
}
