package imapd

import (
	"fmt"
	"strings"
	"testing"
)

func TestAppend(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.options.MessageSize = 1000
	c := s.selected()
	c.dialogue(`
		C: a APPEND INBOX (\Seen $foo) "15-Jan-2024 10:00:00 +0000" {5+}
		C: hello
		S: * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $foo)
		S: * OK [PERMANENTFLAGS …
		S: * 1 EXISTS
		S: * 1 RECENT
		S: a OK [APPENDUID … 1] Append completed.
		C: b APPEND nix {5}
		S: b NO [TRYCREATE] Mailbox doesn't exist: nix
		C: c APPEND inbox {5}
		S: + OK
		C: world
		S: * 2 EXISTS
		S: * 2 RECENT
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
		C: xy (x
		S: h BAD …
		C: i FETCH 1:* (FLAGS INTERNALDATE BODY.PEEK[])
		S: * 1 FETCH (FLAGS (\Seen \Recent $foo) INTERNALDATE "15-Jan-2024 …" BODY[] {5}\r\nhello)
		S: * 2 FETCH (FLAGS (\Recent) INTERNALDATE "…" BODY[] {5}\r\nworld)
		S: i OK …
	`)
	if left := s.files("tmp/*"); len(left) > 0 {
		t.Error("left in tmp:", left)
	}
}

// TestMultiAppend has the dialogue of RFC 3502 §6.3.11, and commands of which nothing is kept since one message is wrong.
func TestMultiAppend(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.options.MessageSize = 1000
	c := s.connect()
	c.ok("CREATE saved-messages")
	c.dialogue(`
		C: a APPEND saved-messages (\Seen) {12}
		S: + OK
		C: Subject: one (\Seen) "7-Feb-1994 22:43:04 -0800" {12}
		S: + OK
		C: Subject: two {5+}
		C: three
		S: a OK [APPENDUID … 1:3] Append completed.
		C: b APPEND saved-messages {1+}
		C: x {1001+}
	`)
	c.send(strings.Repeat("x", 1001) + "\r\n")
	c.dialogue(`
		S: b NO [TOOBIG] Message is too large.
		C: c APPEND saved-messages {1}
		S: + OK
		C: x {1001}
		S: c NO [TOOBIG] Message is too large.
		C: d APPEND saved-messages {1+}
		C: x {0}
		S: d NO Can't save a zero byte message.
		C: e APPEND saved-messages {1+}
		C: x (\Seen {1+}
		C: x)
		S: e BAD …
		C: f APPEND saved-messages {1+}
		C: x (k1 bad]keyword) {1+}
		C: x
		S: f BAD …
		C: g APPEND nix {1+}
		C: x {1+}
		C: x
		S: g NO [TRYCREATE] …
		C: h SELECT saved-messages
		S: * FLAGS …
		S: * OK [PERMANENTFLAGS …
		S: * 3 EXISTS
	`)
	c.collect("h ")
	c.dialogue(`
		C: i FETCH 1:3 (FLAGS INTERNALDATE BODY.PEEK[])
		S: * 1 FETCH (FLAGS (\Seen \Recent) INTERNALDATE "…" BODY[] {12}\r\nSubject: one)
		S: * 2 FETCH (FLAGS (\Seen \Recent) INTERNALDATE "0…-Feb-1994 …" BODY[] {12}\r\nSubject: two)
		S: * 3 FETCH (FLAGS (\Recent) INTERNALDATE "…" BODY[] {5}\r\nthree)
	`)
}

// TestAppendCutOff: of a client that goes away nothing stays, wherever it was.
func TestAppendCutOff(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	const command = "a APPEND INBOX {5+}\r\nhello (\\Seen) CATENATE (TEXT {2+}\r\nbc) ~{1+}\r\ne\r\n"
	for end := range len(command) {
		c := s.connect()
		c.send(command[:end])
		c.hangUp()
	}
	c := s.connect()
	c.send(command + "b STATUS INBOX (MESSAGES)\r\n")
	c.expect("a OK [APPENDUID … 1:3] …", "* STATUS INBOX (MESSAGES 3)", "b OK …")
	if left := s.files("tmp/*"); len(left) > 0 {
		t.Error("left in tmp:", left)
	}
}

// TestAppendMany: a thousand messages need no thousand open files, one more is refused.
func TestAppendMany(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c := s.connect()
	c.send("a APPEND INBOX" + strings.Repeat(" {1+}\r\nx", 1000) + "\r\n")
	c.expect("a OK [APPENDUID … 1:1000] …")
	c.send("b APPEND INBOX" + strings.Repeat(" {1+}\r\nx", 1001) + "\r\nc STATUS INBOX (MESSAGES)\r\n")
	c.expect("b NO [LIMIT] …", "* STATUS INBOX (MESSAGES 1000)", "c OK …")
}

// TestAppendBinary: what comes as a literal8 can be read as it was (RFC 3516 §4.4).
func TestAppendBinary(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c := s.connect()
	const octets = "\x00\x01\n\r\r\n\x7f"
	message := "MIME-Version: 1.0\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: BINARY\r\n\r\n" + octets
	c.send(fmt.Sprintf("a APPEND INBOX ~{%d+}\r\n%s ~{%[1]d}\r\n", len(message), message))
	c.expect("+ OK")
	c.send(message + "\r\n")
	c.expect("a OK [APPENDUID … 1:2] …")
	c.ok("SELECT INBOX")
	c.send("b FETCH 1:2 (BINARY.SIZE[1] BINARY.PEEK[1] BODY.PEEK[])\r\n")
	for n := 1; n <= 2; n++ {
		c.expect(fmt.Sprintf("* %d FETCH (BINARY.SIZE[1] 7 BINARY[1] ~{7}\r\n%s BODY[] {%d}\r\n…\r\nContent-Transfer-Encoding: base64\r\n\r\nAAEKDQ0Kfw==\r\n)", n, octets, len(message)+7))
	}
	c.expect("b OK …")
	c.send("c APPEND INBOX ~{12+}\r\nA: b\r\n\r\nc\x00\r\n\r\nd FETCH 3 (BODY.PEEK[TEXT] BINARY.PEEK[1])\r\n")
	c.expect("* 3 EXISTS", "* 3 RECENT", "c OK …", "* 3 FETCH (BODY[TEXT] {4}\r\nc…\r\n BINARY[1] ~{4}\r\nc\x00\r\n)", "d OK …")
	long := "MIME-Version: 1.0\r\nContent-Transfer-Encoding: binary\r\n" + strings.Repeat("X: "+strings.Repeat("x", 1000)+"\r\n", 300) + "\r\n\x00"
	c.send(fmt.Sprintf("e APPEND INBOX ~{%d+}\r\n%s\r\n", len(long), long))
	c.expect("e NO [UNKNOWN-CTE] …")
}

func TestAppendLimit(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.options.MessageSize = 1000
	c := s.connect()
	c.dialogue(`
		C: a CAPABILITY
		S: * CAPABILITY … APPENDLIMIT=1000…
		S: a OK …
		C: b STATUS INBOX (MESSAGES APPENDLIMIT)
		S: * STATUS INBOX (MESSAGES 0 APPENDLIMIT 1000)
		S: b OK …
		C: c LIST "" INBOX RETURN (STATUS (APPENDLIMIT))
		S: * LIST …
		S: * STATUS INBOX (APPENDLIMIT 1000)
		S: c OK …
		C: d APPEND INBOX {1001}
		S: d NO [TOOBIG] …
	`)
	s.connect(func(o *Options) { o.MessageSize = 0 }).dialogue(`
		C: a CAPABILITY
		S: * CAPABILITY … APPENDLIMIT …
		S: a OK …
		C: b STATUS INBOX (APPENDLIMIT)
		S: * STATUS INBOX (APPENDLIMIT NIL)
		S: b OK …
	`)
}
