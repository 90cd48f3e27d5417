package imapd

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// deliverHeaders delivers messages that are given as headers.
func (s *server) deliverHeaders(headers ...string) {
	for i, h := range headers {
		s.deliver("", fmt.Sprintf("%d.M1P1.h", 1000000+i), h+"\n\n"+strings.Repeat("body\n", 10-i))
	}
}

func TestSort(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.deliverHeaders(
		"Subject: Re: beta\nFrom: Zoe <anna@example.org>\nDate: Thu, 12 Mar 2020 10:00:00 +0100",
		"Subject: =?utf-8?q?=C3=84pfel?=\nFrom: berta@example.org\nTo: x@y\nDate: Thu, 12 Mar 2020 08:00:00 -0100",
		"Subject: alpha\nFrom: \"Adam\" <carl@example.org>\nDate: Wed, 11 Mar 2020 10:00:00 +0000",
		"Subject: beta\nCc: k@l",
	)
	c := s.connect()
	c.ok("SELECT INBOX")
	c.ok("STORE 3 +FLAGS.SILENT (\\Deleted)")
	c.dialogue(`
		C: a SORT (DATE) UTF-8 ALL
		S: * SORT 3 1 2 4
		S: a OK Sort completed.
		C: b SORT (REVERSE DATE) UTF-8 ALL
		S: * SORT 4 1 2 3
		S: b OK Sort completed.
		C: c SORT (SUBJECT) US-ASCII ALL
		S: * SORT 3 2 1 4
		S: c OK Sort completed.
		C: d SORT (SUBJECT REVERSE SIZE) US-ASCII 2:4
		S: * SORT 3 2 4
		S: d OK Sort completed.
		C: e SORT (FROM) UTF-8 FROM example
		S: * SORT 1 2 3
		S: e OK Sort completed.
		C: f SORT (DISPLAYFROM) UTF-8 NOT 4
		S: * SORT 3 2 1
		S: f OK Sort completed.
		C: g SORT (DATE) UTF-8 SUBJECT nothing
		S: * SORT
		S: g OK Sort completed.
		C: h SORT (DATE) X-UNKNOWN ALL
		S: h NO [BADCHARSET (US-ASCII UTF-8)] Unknown charset.
		C: i SORT (NOTHING) UTF-8 ALL
		S: i BAD …
		C: j SORT RETURN (MIN MAX COUNT ALL) (REVERSE SUBJECT) UTF-8 ALL
		S: * ESEARCH (TAG "j") MIN 1 MAX 3 ALL 1,4,2:3 COUNT 4
		S: j OK Sort completed.
		C: k SORT RETURN (SAVE PARTIAL 1:2) (SUBJECT) UTF-8 ALL
		S: * ESEARCH (TAG "k") PARTIAL (1:2 3,2)
		S: k OK Sort completed.
		C: l SEARCH $ UNDELETED
		S: * SEARCH 2
		S: l OK …
		C: m SORT RETURN () (SUBJECT) UTF-8 SUBJECT nothing
		S: * ESEARCH (TAG "m")
		S: m OK Sort completed.
		C: n EXPUNGE
		S: * 3 EXPUNGE
		S: * 3 RECENT
		S: n OK Expunge completed.
		C: o UID SORT (SUBJECT) UTF-8 ALL
		S: * SORT 2 1 4
		S: o OK Sort completed.
		C: p UID SORT RETURN (COUNT ALL) (ARRIVAL) UTF-8 $
		S: * ESEARCH (TAG "p") UID ALL 2 COUNT 1
		S: p OK Sort completed.
		C: q SORT (SUBJECT) UTF-8 MODSEQ 1
		S: * OK [HIGHESTMODSEQ …] …
		S: * SORT 2 1 3 (MODSEQ …)
		S: q OK Sort completed.
	`)
}

// TestThread has the example of RFC 5256 §4 of a parent that is not there, too.
func TestThread(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.deliverHeaders(
		"Message-ID: <1@x>\nSubject: one\nDate: 1 Jan 2020 10:00 +0000",
		"Message-ID: <2@x>\nSubject: Re: one\nDate: 2 Jan 2020 10:00 +0000\nIn-Reply-To: <1@x>",
		"Message-ID: <3@x>\nSubject: two\nDate: 3 Jan 2020 10:00 +0000\nReferences: <0@x>",
		"Message-ID: <4@x>\nSubject: three\nDate: 4 Jan 2020 10:00 +0000\nReferences: <0@x>",
		"Message-ID: <5@x>\nSubject: Re: one\nDate: 5 Jan 2020 10:00 +0000\nReferences: <1@x> <2@x>",
		"Subject: [list] one (fwd)\nDate: 6 Jan 2020 10:00 +0000",
	)
	c := s.connect()
	c.ok("SELECT INBOX")
	c.ok("STORE 1 +FLAGS.SILENT (\\Deleted)")
	c.dialogue(`
		C: a THREAD REFERENCES UTF-8 ALL
		S: * THREAD (1 (2 5)(6))((3)(4))
		S: a OK Thread completed.
		C: b THREAD REFS UTF-8 ALL
		S: * THREAD ((3)(4))(1 2 5)(6)
		S: b OK Thread completed.
		C: c THREAD ORDEREDSUBJECT UTF-8 ALL
		S: * THREAD (1 (2)(5)(6))(3)(4)
		S: c OK Thread completed.
		C: d THREAD REFERENCES UTF-8 UNDELETED
		S: * THREAD ((2 5)(6))((3)(4))
		S: d OK Thread completed.
		C: e THREAD REFERENCES UTF-8 SUBJECT nothing
		S: * THREAD
		S: e OK Thread completed.
		C: f THREAD OTHER UTF-8 ALL
		S: f BAD …
		C: g EXPUNGE
		S: * 1 EXPUNGE
		S: * 5 RECENT
		S: g OK Expunge completed.
		C: h UID THREAD REFERENCES UTF-8 3:*
		S: * THREAD (4)((5)(6))
		S: h OK Thread completed.
		C: i UID THREAD REFS X-UNKNOWN ALL
		S: i NO [BADCHARSET (US-ASCII UTF-8)] Unknown charset.
	`)
}

// TestSortGone sorts messages whose files others have removed.
func TestSortGone(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.deliverSome(40)
	c := s.connect()
	c.ok("SELECT INBOX")
	for _, file := range s.files("cur/100000*") {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
	got := c.ok("SORT (SUBJECT DATE) UTF-8 1:40")
	if len(got) == 0 || len(strings.Fields(got[0])) != 2+40 {
		t.Errorf("%q", got)
	}
}

// TestSortTooMuch: what headers bring into memory is bounded, also if the cache has the keys.
func TestSortTooMuch(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	header := "Subject: " + strings.Repeat("x", 500)
	s.deliverHeaders(header, header, header, header)
	c := s.connect(func(o *Options) { o.sorted = 1900 })
	c.ok("SELECT INBOX")
	c.ok("SORT (SUBJECT) UTF-8 1:2")
	c.ok("SORT (SUBJECT) UTF-8 3:4")
	for _, command := range []string{"SORT (SUBJECT) UTF-8 ALL", "THREAD REFERENCES UTF-8 ALL"} {
		if _, answer := c.do("%s", command); !strings.Contains(answer, "NO [LIMIT]") {
			t.Errorf("%s: %s", command, answer)
		}
	}
}

// TestSortAgain sorts without opening a file: another criterion as long as there is a cache.
func TestSortAgain(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.deliverHeaders("Subject: b\nDate: 1 Jan 2020", "Subject: a\nDate: 2 Jan 2020")
	c := s.connect()
	c.ok("SELECT INBOX")
	c.ok("SORT (SUBJECT) UTF-8 ALL")
	for _, file := range s.files("cur/*") {
		if err := os.WriteFile(file, []byte("Subject: x\n\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got := c.ok("SORT (REVERSE DATE) UTF-8 ALL"); got[0] != "* SORT 2 1" {
		t.Errorf("%q", got)
	}
	if err := os.Remove(s.file("postrider.cache")); err != nil {
		t.Fatal(err)
	}
	if got := c.ok("SORT (SUBJECT) UTF-8 ALL"); got[0] != "* SORT 2 1" {
		t.Errorf("%q", got)
	}
	if got := c.ok("SORT (FROM) UTF-8 ALL"); got[0] != "* SORT 1 2" {
		t.Errorf("%q", got)
	}
}

// TestSortCached: what one session read another one finds in the cache, but a header that is too large for it.
func TestSortCached(t *testing.T) {
	t.Parallel()
	for _, command := range []string{"SORT (SUBJECT) UTF-8 ALL", "SORT (DATE) UTF-8 ALL", "THREAD REFS UTF-8 ALL", "SEARCH SUBJECT a"} {
		s := newServer(t)
		s.deliverHeaders("Subject: b\nDate: 2 Jan 2020", "Subject: a\nDate: 1 Jan 2020", "Date: 3 Jan 2020\nX: "+strings.Repeat("x", 3<<20))
		c := s.connect()
		c.ok("SELECT INBOX")
		want := c.ok("%s", command)
		for _, file := range s.files("cur/100000[01]*") {
			if err := os.WriteFile(file, []byte("Subject: a\n\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		c = s.connect()
		c.ok("SELECT INBOX")
		if got := c.ok("%s", command); len(want) != 1 || !slices.Equal(got, want) {
			t.Errorf("%s: %q, not %q", command, got, want)
		}
	}
}
