package imapd

import "testing"

// TestUIDOnly has the examples of RFC 9586 §3.
func TestUIDOnly(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.deliverSome(4)
	c := s.connect()
	c.dialogue(`
		C: a ENABLE UIDONLY QRESYNC
		S: * ENABLED UIDONLY QRESYNC
		S: a OK Enabled.
		C: b SELECT INBOX (QRESYNC (1 2 1:4 (1 2)))
		S: b BAD [UIDREQUIRED] …
		C: c SELECT INBOX
		S: * FLAGS …
		S: * OK [PERMANENTFLAGS …
		S: * 4 EXISTS
		S: * 4 RECENT
		S: * OK [UIDVALIDITY …
		S: * OK [UIDNEXT 5] …
		S: * OK [MAILBOXID (…)] Mailbox ID
		S: * OK [HIGHESTMODSEQ …
		S: c OK …
		C: d FETCH 1 FLAGS
		S: d BAD [UIDREQUIRED] Message numbers are not used in this session.
		C: e STORE 1 +FLAGS (\Seen)
		S: e BAD [UIDREQUIRED] …
		C: f COPY 1 INBOX
		S: f BAD [UIDREQUIRED] …
		C: g SEARCH ALL
		S: g BAD [UIDREQUIRED] …
		C: h UID SEARCH OR SEEN (NOT 1:2)
		S: h BAD [UIDREQUIRED] …
		C: i UID SEARCH RETURN (SAVE) UID 3
		S: i OK …
		C: j UID STORE 1 +FLAGS.SILENT (\Deleted)
		S: * 1 UIDFETCH (MODSEQ (…))
		S: j OK …
		C: k UID EXPUNGE 1
		S: * VANISHED 1
		S: * 3 RECENT
		S: k OK [HIGHESTMODSEQ …
		C: l UID FETCH 2:3 FLAGS
		S: * 2 UIDFETCH (FLAGS (\Recent))
		S: * 3 UIDFETCH (FLAGS (\Recent))
		S: l OK …
		C: m UID FETCH 3 (UID BODY[TEXT])
		S: * 3 UIDFETCH (UID 3 BODY[TEXT] {17}\r\nbody number 002\r\n)
		S: * 3 UIDFETCH (FLAGS (\Seen \Recent) MODSEQ (…))
		S: m OK …
		C: n UID SEARCH $
		S: * SEARCH 3
		S: n OK …
	`)
}
