package imapd

import (
	"testing"
)

func TestSearch(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.deliverSome(12)
	c := s.connect()
	c.ok("SELECT INBOX")
	c.ok("STORE 2:3 +FLAGS.SILENT (\\Flagged $kw)")
	c.ok("STORE 1 +FLAGS.SILENT (\\Deleted)")
	c.ok("EXPUNGE")
	c.dialogue(`
		C: a SEARCH FLAGGED
		S: * SEARCH 1 2
		S: a OK Search completed.
		C: b UID SEARCH KEYWORD $KW
		S: * SEARCH 2 3
		S: b OK Search completed.
		C: c SEARCH 5:99
		S: * SEARCH 5 6 7 8 9 10 11
		S: c OK Search completed.
		C: d UID SEARCH SUBJECT s1
		S: * SEARCH 2 12
		S: d OK Search completed.
		C: e UID SEARCH RETURN (ALL) OR HEADER SUBJECT s5 HEADER FROM s5
		S: * ESEARCH (TAG "e") UID ALL 6
		S: e OK Search completed.
		C: f SEARCH RETURN (MIN MAX COUNT) BODY "number 00"
		S: * ESEARCH (TAG "f") MIN 1 MAX 9 COUNT 9
		S: f OK Search completed.
		C: g SEARCH CHARSET FOO SUBJECT x
		S: g NO [BADCHARSET (US-ASCII UTF-8)] Unknown charset.
		C: h SEARCH RECENT UNANSWERED UNDELETED UNSEEN 1
		S: * SEARCH 1
		S: h OK …
		C: i SEARCH MODSEQ 5
		S: * OK [HIGHESTMODSEQ …
		S: * SEARCH 1 2 3 4 5 6 7 8 9 10 11 (MODSEQ …)
		S: i OK …
		C: j SEARCH SUBJECT nothing
		S: * SEARCH
		S: j OK …
		C: k SEARCH SUBJECT {2}
		S: + OK
		C: s1
		S: * SEARCH 1 11
		S: k OK …
	`)
}
