package imapd

import (
	"testing"
)

func TestCopyAndMove(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.deliverSome(6)
	c := s.connect(func(o *Options) { o.Folders = specials })
	c.ok("SELECT INBOX")
	c.dialogue(`
		C: a COPY 1:2 Sent
		S: a OK [COPYUID … 1:2 1:2] Copy completed.
		C: b COPY 1 nix
		S: b NO [TRYCREATE] Mailbox doesn't exist: nix
		C: c UID COPY 100 nix
		S: c OK No messages found.
		C: d COPY 1:7 Sent
		S: d BAD Invalid messageset.
		C: e UID COPY 6,4 Sent
		S: e OK [COPYUID … 4,6 3:4] Copy completed.
		C: f MOVE 2:3 Sent
		S: * OK [COPYUID … 2:3 5:6] Moved UIDs.
		S: * 3 EXPUNGE
		S: * 2 EXPUNGE
		S: * 4 RECENT
		S: f OK Move completed.
		C: g UID MOVE 100 Sent
		S: g OK No messages found.
		C: h UID MOVE 4 Trash
		S: * OK [COPYUID … 4 1] Moved UIDs.
		S: * 2 EXPUNGE
		S: * 3 RECENT
		S: h OK Move completed.
		C: i MOVE 1 nix
		S: i NO [TRYCREATE] …
		C: j COPY 1 INBOX
		S: * 4 EXISTS
		S: * 4 RECENT
		S: j OK [COPYUID … 1 7] Copy completed.
		C: k MOVE 2 INBOX
		S: * OK [COPYUID … 5 8] Moved UIDs.
		S: * 2 EXPUNGE
		S: * 4 EXISTS
		S: k OK Move completed.
		C: l STATUS Sent (MESSAGES)
		S: * STATUS Sent (MESSAGES 6)
		S: l OK …
		C: m EXAMINE INBOX
		S: * OK [CLOSED] …
		S: * FLAGS …
		S: * OK …
		S: * 4 EXISTS
		S: * 0 RECENT
		S: * OK [UNSEEN 1] …
		S: * OK [UIDVALIDITY …
		S: * OK [UIDNEXT 9] …
		S: * OK [MAILBOXID (…)] Mailbox ID
		S: * OK [HIGHESTMODSEQ …] Highest
		S: m OK …
		C: n MOVE 1 Sent
		S: n NO Mailbox is open read-only.
		C: o EXPUNGE
		S: o NO Mailbox is open read-only.
		C: p COPY 1 Sent
		S: p OK [COPYUID …] Copy completed.
		C: q LOGOUT
		S: * BYE …
		S: q OK …
	`)
	if sum := c.ends(); sum.Trashed != 1 || sum.Expunged != 4 {
		t.Error(sum)
	}
}

// TestMoveKeepsFlags: of what another process has set, too.
func TestMoveKeepsFlags(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.deliverSome(2)
	other := newServerAt(t, s.root).connect()
	c := s.connect()
	c.ok("CREATE to")
	c.ok("SELECT INBOX")
	other.ok("SELECT INBOX")
	other.ok("STORE 1:2 +FLAGS.SILENT (\\Seen work)")
	c.send("x UID MOVE 1 to\r\ny UID COPY 2 to\r\n")
	c.collect("y ")
	c.ok("SELECT to")
	c.dialogue(`
		C: a FETCH 1:2 FLAGS
		S: * 1 FETCH (FLAGS (\Seen \Recent work))
		S: * 2 FETCH (FLAGS (\Seen \Recent work))
		S: a OK …
	`)
}
