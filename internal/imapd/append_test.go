package imapd

import (
	"strings"
	"testing"
)

func TestAppend(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.options.MessageSize = 1000
	c := s.connect()
	c.ok("SELECT INBOX")
	c.dialogue(`
		C: a APPEND INBOX (\Seen $foo) "15-Jan-2024 10:00:00 +0000" {5+}
		C: hello
		S: * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $foo)
		S: * OK [PERMANENTFLAGS …
		S: * 1 EXISTS
		S: a OK [APPENDUID … 1] Append completed.
		C: b APPEND nix {5}
		S: b NO [TRYCREATE] Mailbox doesn't exist: nix
		C: c APPEND inbox {5}
		S: + OK
		C: world
		S: * 2 EXISTS
		S: c OK [APPENDUID … 2] Append completed.
		C: d APPEND INBOX {0}
		S: d NO Can't save a zero byte message.
		C: e APPEND INBOX {1001}
		S: e NO [TOOBIG] Message is too large.
		C: f APPEND INBOX {1001+}
	`)
	c.send(strings.Repeat("x", 1001) + "\r\n")
	c.dialogue(`
		S: f NO [TOOBIG] Message is too large.
		C: g APPEND nix (\Seen) {6+}
		C: g x
		C: NO
		S: g NO [TRYCREATE] …
		C: h APPEND INBOX {2+}
		C: xy {3+}
		C: abc
		S: h BAD …
		C: i FETCH 1:* (FLAGS INTERNALDATE BODY.PEEK[])
		S: * 1 FETCH (FLAGS (\Seen $foo) INTERNALDATE "15-Jan-2024 …" BODY[] {5}\r\nhello)
		S: * 2 FETCH (FLAGS () INTERNALDATE "…" BODY[] {5}\r\nworld)
		S: i OK …
	`)
	if left := s.files("tmp/*"); len(left) > 0 {
		t.Error("left in tmp:", left)
	}
}
