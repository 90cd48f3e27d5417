package imapd

import "testing"

// TestReplace has the dialogues of RFC 8508.
func TestReplace(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.deliverSome(3)
	s.options.MessageSize = 1000
	c := s.connect()
	c.ok("CREATE Drafts")
	c.dialogue(`
		C: a REPLACE 1 INBOX {1}
		S: a BAD …
	`)
	c.ok("SELECT INBOX")
	c.dialogue(`
		C: b REPLACE 2 INBOX (\Seen \Draft) {5}
		S: + OK
		C: hello
		S: * OK [APPENDUID … 4] Replacement Message ready
		S: * 2 EXPUNGE
		S: * 3 EXISTS
		S: b OK Replace completed.
		C: c FETCH 3 (UID FLAGS BODY.PEEK[])
		S: * 3 FETCH (UID 4 FLAGS (\Seen \Draft…) BODY[] {5}\r\nhello)
		S: c OK …
		C: d UID REPLACE 4 Drafts {1+}
		C: x
		S: * OK [APPENDUID … 1] Replacement Message ready
		S: * 3 EXPUNGE
		S: * 2 RECENT
		S: d OK Replace completed.
		C: e UID REPLACE 4 Drafts {1+}
		C: x
		S: e NO [NONEXISTENT] No such message.
		C: f REPLACE 3 Drafts {1+}
		C: x
		S: f BAD …
		C: g REPLACE * nix {1}
		S: g NO [TRYCREATE] …
		C: h REPLACE * Drafts {1001}
		S: h NO [TOOBIG] …
		C: i REPLACE 1 Drafts {1+}
		C: x {1+}
		C: y
		S: i BAD …
		C: j REPLACE 1 Drafts CATENATE (URL ";UID=9")
		S: j NO [BADURL ;UID=9] …
		C: k REPLACE 1 INBOX CATENATE (URL ";UID=1/;SECTION=TEXT" TEXT {3+}
		C: new)
		S: * OK [APPENDUID … 5] Replacement Message ready
		S: * 1 EXPUNGE
		S: * 2 EXISTS
		S: k OK Replace completed.
	`)
	c.ok("EXAMINE INBOX")
	c.dialogue(`
		C: l REPLACE 1 INBOX {1}
		S: l NO …
		C: m STATUS Drafts (MESSAGES)
		S: * STATUS Drafts (MESSAGES 1)
		S: m OK …
	`)
	c.ok("ENABLE QRESYNC")
	c.ok("SELECT INBOX")
	c.dialogue(`
		C: n REPLACE 1 Drafts {1+}
		C: x
		S: * OK [APPENDUID … 2] Replacement Message ready
		S: * VANISHED 3
	`)
}
