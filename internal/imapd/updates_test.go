package imapd

import (
	"os"
	"testing"
)

// TestForeignChanges: other programs change the Maildir, and each command tells of it what it may.
func TestForeignChanges(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.deliverSome(6)
	c := s.selected()
	c.ok("SELECT INBOX")
	remove := func(name string) {
		t.Helper()
		if err := os.Remove(s.file("cur/" + name + "*")); err != nil {
			t.Fatal(err)
		}
	}
	remove("1000002")
	c.dialogue(`
		C: a FETCH 1:3 (BODY.PEEK[TEXT])
		S: * 1 FETCH (BODY[TEXT] {17}\r\nbody number 000\r\n)
		S: * 2 FETCH (BODY[TEXT] {17}\r\nbody number 001\r\n)
		S: a OK [EXPUNGEISSUED] Some of the requested messages no longer exist.
		C: a FETCH 3 (BODY.PEEK[TEXT])
		S: a NO [EXPUNGEISSUED] Some of the requested messages no longer exist.
		C: b FETCH 3:4 FLAGS
		S: * 3 FETCH (FLAGS ())
		S: * 4 FETCH (FLAGS ())
		S: b OK Fetch completed.
		C: c SEARCH ALL
		S: * SEARCH 1 2 3 4 5 6
		S: c OK …
		C: d STORE 2:3 +FLAGS (\Seen)
		S: * 2 FETCH (FLAGS (\Seen))
		S: d OK [EXPUNGEISSUED] …
		C: e UID FETCH 4 FLAGS
		S: * 4 FETCH (UID 4 FLAGS ())
		S: * 3 EXPUNGE
		S: e OK …
	`)
	remove("1000000")
	name := s.file("cur/1000001*")
	if err := os.Rename(name, name+"F"); err != nil {
		t.Fatal(err)
	}
	s.deliver("", "1000009.M1.h", "x\n")
	c.dialogue(`
		C: f CHECK
		S: * 1 EXPUNGE
		S: * 5 EXISTS
		S: * 1 RECENT
		S: * 1 FETCH (FLAGS (\Flagged \Seen))
		S: f OK Check completed.
	`)
	remove("1000003")
	c.dialogue(`
		C: g COPY 1:2 INBOX
		S: * 2 EXPUNGE
		S: * 5 EXISTS
		S: * 2 RECENT
		S: g OK [COPYUID … 2 8] Some of the requested messages no longer exist.
	`)
	remove("1000004")
	c.dialogue(`
		C: h UID FETCH 5 (BODY.PEEK[TEXT])
		S: * 2 EXPUNGE
		S: h OK [EXPUNGEISSUED] Some of the requested messages no longer exist.
	`)
}

// TestGoneByUID: a UID that nothing has any more is no error (RFC 3501 §6.4.8), and "*" is what the client knows.
func TestGoneByUID(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.deliverSome(3)
	c, other := s.selected(), s.selected()
	other.ok("STORE 2 +FLAGS.SILENT (\\Deleted)")
	other.ok("EXPUNGE")
	c.dialogue(`
		C: a UID STORE 2:3 +FLAGS (\Deleted)
		S: * 3 FETCH (UID 3 FLAGS (\Deleted \Recent))
		S: * 2 EXPUNGE
		S: * 2 RECENT
		S: a OK …
	`)
	other.ok("APPEND INBOX (\\Deleted) {1+}\r\nx")
	c.dialogue(`
		C: b UID EXPUNGE 3:*
		S: * 3 EXISTS
		S: * 2 EXPUNGE
		S: * 1 RECENT
		S: b OK …
		C: c UID SEARCH ALL
		S: * SEARCH 1 4
		S: c OK …
		C: d STORE 1 FLAGS (\Recent)
		S: d BAD …
		C: e APPEND INBOX (\Seen \recent) {1}
		S: e BAD …
		C: f LIST "" % RETURN (STATUS ())
		S: f BAD …
		C: g LSUB "" ""
		S: g OK …
	`)
}
