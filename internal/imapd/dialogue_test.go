package imapd

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

func TestLogin(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c := s.connect(func(o *Options) { o.Tag, o.Folders = "x1", specials })
	c.dialogue(`
		S: x1 OK [CAPABILITY IMAP4rev1 …LITERAL+…COMPRESS=DEFLATE] Logged in
		C: a1 CAPABILITY
		S: * CAPABILITY IMAP4rev1 SASL-IR ID ENABLE IDLE LITERAL+ NAMESPACE UIDPLUS MOVE UNSELECT CHILDREN LIST-EXTENDED LIST-STATUS SPECIAL-USE ESEARCH COMPRESS=DEFLATE
		S: a1 OK Capability completed.
		C: a2 NAMESPACE
		S: * NAMESPACE (("" ".")) NIL NIL
		S: a2 OK Namespace completed.
		C: a3 ID ("name" "OfflineIMAP" "version" "8.0.0")
		S: * ID ("name" "Postrider")
		S: a3 OK ID completed.
		C: a4 ENABLE UTF8=ACCEPT QRESYNC
		S: a4 OK Enabled.
		C: a5 LIST "" "*"
		S: * LIST (\HasNoChildren) "." INBOX
		S: * LIST (\HasNoChildren \Drafts) "." Drafts
		S: * LIST (\HasNoChildren \Sent) "." Sent
		S: * LIST (\HasNoChildren \Trash) "." Trash
		S: a5 OK List completed.
		C: a6 LSUB "" *
		S: * LSUB () "." Drafts
		S: * LSUB () "." Sent
		S: * LSUB () "." Trash
		S: a6 OK Lsub completed.
		C: a7 NOOP
		S: a7 OK NOOP completed.
		C: a8 LOGIN a b
		S: a8 BAD …
		C: a9 LOGOUT
		S: * BYE Logging out
		S: a9 OK Logout completed.
	`)
	if got := c.ends().String(); !like("Logged out in=… out=… deleted=0 expunged=0 trashed=0 hdr_count=0 hdr_bytes=0 body_count=0 body_bytes=0", got) {
		t.Error(got)
	}
	if lines := s.log.all(); lines != "" {
		t.Error("logged:", lines)
	}
}

func TestSelectAndFetch(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.deliverSome(3)
	c := s.connect()
	c.dialogue(`
		C: a EXAMINE INBOX
		S: * FLAGS (\Answered \Flagged \Deleted \Seen \Draft)
		S: * OK [PERMANENTFLAGS ()] Read-only mailbox.
		S: * 3 EXISTS
		S: * 3 RECENT
		S: * OK [UNSEEN 1] First unseen.
		S: * OK [UIDVALIDITY …] UIDs valid
		S: * OK [UIDNEXT 4] Predicted next UID
		S: a OK [READ-ONLY] Examine completed.
		C: b FETCH 1 BODY[TEXT]
		S: * 1 FETCH (BODY[TEXT] {17}\r\nbody number 000\r\n)
		S: b OK Fetch completed.
		C: c STORE 1 +FLAGS (\Seen)
		S: c NO Mailbox is open read-only.
		C: d SELECT INBOX
		S: * OK [CLOSED] Previous mailbox closed.
		S: * FLAGS (\Answered \Flagged \Deleted \Seen \Draft)
		S: * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft \*)] Flags permitted.
		S: * 3 EXISTS
		S: * 3 RECENT
		S: * OK [UNSEEN 1] First unseen.
		S: * OK [UIDVALIDITY …] UIDs valid
		S: * OK [UIDNEXT 4] Predicted next UID
		S: d OK [READ-WRITE] Select completed.
		C: e FETCH 1 BODY[TEXT]
		S: * 1 FETCH (FLAGS (\Seen \Recent) BODY[TEXT] {17}\r\nbody number 000\r\n)
		S: e OK Fetch completed.
		C: f UID FETCH 2 (BODY[TEXT])
		S: * 2 FETCH (UID 2 FLAGS (\Seen \Recent) BODY[TEXT] {17}\r\nbody number 001\r\n)
		S: f OK Fetch completed.
		C: g FETCH 1:3 (FLAGS BODY.PEEK[TEXT]<5.6>)
		S: * 1 FETCH (FLAGS (\Seen \Recent) BODY[TEXT]<5> {6}\r\nnumber)
		S: * 2 FETCH (FLAGS (\Seen \Recent) BODY[TEXT]<5> {6}\r\nnumber)
		S: * 3 FETCH (FLAGS (\Recent) BODY[TEXT]<5> {6}\r\nnumber)
		S: g OK Fetch completed.
		C: h UID FETCH 100:* FLAGS
		S: * 3 FETCH (UID 3 FLAGS (\Recent))
		S: h OK Fetch completed.
		C: i FETCH 3:4 FLAGS
		S: i BAD Invalid messageset.
		C: j UID FETCH 4:4294967295 FLAGS
		S: j OK Fetch completed.
		C: k FETCH 1:* (MODSEQ)
		S: k BAD …
	`)
	c.dialogue(`C: z LOGOUT
		S: * BYE …
		S: z OK …`)
	if sum := c.ends(); sum.BodyCount != 6 || sum.BodyOctets != 3*17+3*6 || sum.HeaderCount != 0 {
		t.Error(sum)
	}
}

func TestFolders(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c := s.connect(func(o *Options) { o.Folders = specials })
	c.dialogue(`
		C: b1 CREATE A.B.C
		S: b1 OK Create completed.
		C: b2 CREATE D.
		S: b2 OK Create completed.
		C: b3 CREATE INBOX
		S: b3 NO [ALREADYEXISTS] Mailbox already exists.
		C: b4 CREATE inbox.
		S: b4 NO [ALREADYEXISTS] Mailbox already exists.
		C: b5 CREATE a/b
		S: b5 NO [CANNOT] Invalid mailbox name.
		C: b6 CREATE "x..y"
		S: b6 NO [CANNOT] Invalid mailbox name.
		C: b7 CREATE ""
		S: b7 NO [CANNOT] Invalid mailbox name.
		C: b8 CREATE X (USE (\Trash))
		S: b8 NO [USEATTR] …
		C: b9 CREATE "Gr&APYA3w-e &- Co"
		S: b9 OK Create completed.
		C: c1 LIST "" "*"
		S: * LIST (\HasNoChildren) "." INBOX
		S: * LIST (\Noselect \HasChildren) "." A
		S: * LIST (\Noselect \HasChildren) "." A.B
		S: * LIST (\HasNoChildren) "." A.B.C
		S: * LIST (\HasNoChildren) "." D
		S: * LIST (\HasNoChildren \Drafts) "." Drafts
		S: * LIST (\HasNoChildren) "." "Gr&APYA3w-e &- Co"
		S: * LIST (\HasNoChildren \Sent) "." Sent
		S: * LIST (\HasNoChildren \Trash) "." Trash
		S: c1 OK List completed.
		C: c2 LIST "" "%" RETURN (CHILDREN)
		S: * LIST (\HasNoChildren) "." INBOX
		S: * LIST (\NonExistent \HasChildren) "." A
		S: * LIST (\HasNoChildren) "." D
		S: * LIST (\HasNoChildren) "." Drafts
		S: * LIST (\HasNoChildren) "." "Gr&APYA3w-e &- Co"
		S: * LIST (\HasNoChildren) "." Sent
		S: * LIST (\HasNoChildren) "." Trash
		S: c2 OK List completed.
		C: c3 LIST "A." %
		S: * LIST (\Noselect \HasChildren) "." A.B
		S: c3 OK List completed.
		C: c4 LIST "" ""
		S: * LIST (\Noselect) "." ""
		S: c4 OK List completed.
		C: c5 LIST sent-mail ""
		S: * LIST (\Noselect) "." ""
		S: c5 OK List completed.
		C: c6 LIST "" sent-mail
		S: c6 OK List completed.
		C: c7 LIST "In" "b%"
		S: * LIST (\HasNoChildren) "." INBOX
		S: c7 OK List completed.
		C: c8 LIST "" "Gr&APYA3w-e &- Co"
		S: * LIST (\HasNoChildren) "." "Gr&APYA3w-e &- Co"
		S: c8 OK List completed.
		C: d1 SUBSCRIBE A.B.C
		S: d1 OK Subscribe completed.
		C: d2 SUBSCRIBE nix
		S: d2 NO [NONEXISTENT] Mailbox doesn't exist: nix
		C: d3 LIST (SUBSCRIBED RECURSIVEMATCH) "" "%"
		S: * LIST (\NonExistent) "." A ("CHILDINFO" ("SUBSCRIBED"))
		S: * LIST (\Subscribed) "." Drafts
		S: * LIST (\Subscribed) "." Sent
		S: * LIST (\Subscribed) "." Trash
		S: d3 OK List completed.
		C: d4 LSUB "" "%"
		S: * LSUB (\Noselect) "." A
		S: * LSUB () "." Drafts
		S: * LSUB () "." Sent
		S: * LSUB () "." Trash
		S: d4 OK Lsub completed.
		C: d5 LIST (subscribed) "" "*" return (special-use)
		S: * LIST (\Subscribed) "." A.B.C
		S: * LIST (\Subscribed \Drafts) "." Drafts
		S: * LIST (\Subscribed \Sent) "." Sent
		S: * LIST (\Subscribed \Trash) "." Trash
		S: d5 OK List completed.
		C: d6 LIST (SPECIAL-USE) "" "*" RETURN (SUBSCRIBED)
		S: * LIST (\Subscribed \Drafts) "." Drafts
		S: * LIST (\Subscribed \Sent) "." Sent
		S: * LIST (\Subscribed \Trash) "." Trash
		S: d6 OK List completed.
		C: d7 LIST "" ("INBOX" "A.%") RETURN (STATUS (MESSAGES RECENT UNSEEN))
		S: * LIST () "." INBOX
		S: * STATUS INBOX (MESSAGES 0 RECENT 0 UNSEEN 0)
		S: * LIST (\NonExistent) "." A.B
		S: d7 OK List completed.
		C: d8 LIST (RECURSIVEMATCH) "" "*"
		S: d8 BAD …
		C: e1 RENAME D E
		S: e1 OK Rename completed.
		C: e2 RENAME nix E2
		S: e2 NO [NONEXISTENT] …
		C: e3 RENAME E E
		S: e3 NO [ALREADYEXISTS] …
		C: e4 RENAME E E.F
		S: e4 NO [CANNOT] …
		C: e5 RENAME E Sent
		S: e5 NO [ALREADYEXISTS] Mailbox already exists.
		C: e6 RENAME A Z
		S: e6 OK Rename completed.
		C: e7 DELETE Z.B.C
		S: e7 OK Delete completed.
		C: e8 DELETE inbox
		S: e8 NO [CANNOT] INBOX can't be deleted.
		C: e9 DELETE Z
		S: e9 NO [NONEXISTENT] …
		C: f1 LIST (SUBSCRIBED) "" A*
		S: * LIST (\NonExistent \Subscribed) "." A.B.C
		S: f1 OK List completed.
		C: f2 UNSUBSCRIBE A.B.C
		S: f2 OK Unsubscribe completed.
		C: f3 UNSUBSCRIBE A.B.C
		S: f3 OK Unsubscribe completed.
		C: f4 STATUS nix (MESSAGES)
		S: f4 NO [NONEXISTENT] Mailbox doesn't exist: nix
		C: f5 SELECT nix
		S: f5 NO [NONEXISTENT] Mailbox doesn't exist: nix
		C: f6 STATUS INBOX (MESSAGES RECENT UIDNEXT UIDVALIDITY UNSEEN SIZE)
		S: * STATUS INBOX (MESSAGES 0 RECENT 0 UIDNEXT 1 UIDVALIDITY … UNSEEN 0 SIZE 0)
		S: f6 OK Status completed.
	`)
}

// TestDeletedSpecialFolder: what the user deleted is not made again, and an attempt that was cut short is.
func TestDeletedSpecialFolder(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.options.Folders = specials
	if err := s.store.Create(t.Context(), "Drafts"); err != nil {
		t.Fatal(err)
	}
	c := s.connect()
	c.ok("NOOP")
	c.ok("DELETE Trash")
	c.ok("UNSUBSCRIBE Trash")
	c.hangUp()
	c = s.connect()
	got := strings.Join(c.ok(`LIST (SUBSCRIBED) "" *`), "\n")
	if want := "* LIST (\\Subscribed) \".\" Drafts\n* LIST (\\Subscribed) \".\" Sent"; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if dirs := s.files(".[A-Z]*"); len(dirs) != 2 {
		t.Error(dirs)
	}
}

func TestSelectedMailboxGoes(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c := s.connect()
	for _, script := range []string{`
		C: a CREATE A.B
		S: a OK …
	`, `
		C: b RENAME A Z
		S: * OK [CLOSED] Previous mailbox closed.
		S: b OK Rename completed.
		C: c FETCH 1 FLAGS
		S: c BAD …
		C: d RENAME Z A
		S: d OK …
	`, `
		C: e DELETE A.B
		S: * OK [CLOSED] Previous mailbox closed.
		S: e OK Delete completed.
		C: f CHECK
		S: f BAD …
		C: g CREATE A.B
		S: g OK …
	`, `
		C: h SELECT nix
		S: * OK [CLOSED] Previous mailbox closed.
		S: h NO [NONEXISTENT] …
		C: i UNSELECT
		S: i BAD …
	`} {
		c.dialogue(script)
		c.ok("SELECT A.B")
	}
	other := s.connect()
	other.ok("DELETE A.B")
	c.dialogue(`
		C: j NOOP
		S: * BYE IMAP session state is inconsistent, please relogin.
		S: j OK NOOP completed.
	`)
	if sum := c.ends(); sum.Reason != "IMAP session state is inconsistent, please relogin." {
		t.Error(sum)
	}
}

func TestRenameInbox(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.deliverSome(2)
	c := s.connect()
	c.ok("SELECT INBOX")
	c.dialogue(`
		C: a RENAME INBOX Old
		S: * 2 EXPUNGE
		S: * 1 EXPUNGE
		S: * 0 RECENT
		S: a OK Rename completed.
		C: b STATUS Old (MESSAGES)
		S: * STATUS Old (MESSAGES 2)
		S: b OK Status completed.
	`)
}

func TestStoreAndExpunge(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.deliverSome(6)
	c := s.connect()
	c.ok("SELECT INBOX")
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
	c := s.connect()
	c.ok("SELECT INBOX")
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
		S: j OK [COPYUID … 1 7] Copy completed.
		C: k MOVE 2 INBOX
		S: * OK [COPYUID … 5 8] Moved UIDs.
		S: * 2 EXPUNGE
		S: * 4 EXISTS
		S: * 2 RECENT
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
		S: i BAD …
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

// TestForeignChanges: other programs change the Maildir, and each command tells of it what it may.
func TestForeignChanges(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.deliverSome(6)
	c := s.connect()
	c.ok("SELECT INBOX")
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
		S: d NO [EXPUNGEISSUED] …
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
		S: g OK [COPYUID … 2 8] Some of the requested messages no longer exist.
	`)
	remove("1000004")
	c.dialogue(`
		C: h UID FETCH 5 (BODY.PEEK[TEXT])
		S: * 2 EXPUNGE
		S: h OK [EXPUNGEISSUED] Some of the requested messages no longer exist.
	`)
}

// TestSilentStore: silence is for what the client knows.
func TestSilentStore(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.deliverSome(2)
	c, other := s.connect(), s.connect()
	c.ok("SELECT INBOX")
	other.ok("SELECT INBOX")
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

func TestIdle(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.times.alive = 300 * time.Millisecond
	c := s.connect()
	c.dialogue(`
		C: a IDLE
		S: + idling
		S: * OK Still here
		C: DONE
		S: a OK Idle completed.
		C: b SELECT INBOX
		S: * FLAGS …
		S: * OK …
		S: * 0 EXISTS
		S: * 0 RECENT
		S: * OK [UIDVALIDITY …
		S: * OK [UIDNEXT 1] …
		S: b OK …
		C: c IDLE
		S: + idling
	`)
	s.deliver("", "1000001.M1.h", "Subject: x\n\nx\n")
	begin := time.Now()
	for line := c.line(); line != "* 1 EXISTS"; line = c.line() {
		if line != "* OK Still here" {
			t.Fatal(line)
		}
	}
	if took := time.Since(begin); took > time.Second {
		t.Errorf("EXISTS after %v", took)
	}
	c.send("DONE\r\nd STATUS INBOX (MESSAGES UNSEEN)\r\ne IDLE\r\nDONE\r\nf NOOP\r\n")
	c.expect("* 1 RECENT")
	if untagged, answer := c.collect("c "); !strings.HasPrefix(answer, "OK") {
		t.Fatal(untagged, answer)
	}
	c.expect("* STATUS INBOX (MESSAGES 1 UNSEEN 1)", "d OK …", "+ idling", "e OK Idle completed.", "f OK …")
	c.dialogue(`
		C: g IDLE
		S: + idling
		C: FOO
		S: g BAD Expected DONE.
		C: h NOOP
		S: h OK …
	`)
}

func TestIdleEnds(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		end    func(*server, *client)
		says   string
		reason string
	}{
		"shutdown": {func(_ *server, c *client) { c.stop() }, "* BYE Server shutting down.", "Server shutting down"},
		"timeout":  {func(*server, *client) {}, "* BYE Disconnected for inactivity.", "Inactivity - no input for 1 secs"},
		"deleted": {func(s *server, _ *client) {
			if err := s.store.Delete("A"); err != nil {
				s.t.Fatal(err)
			}
		}, "* BYE IMAP session state is inconsistent, please relogin.", "IMAP session state is inconsistent, please relogin."},
		"hung up": {func(_ *server, c *client) { c.conn.Close() }, "", "Connection closed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			c := s.connect(func(o *Options) {
				if name == "timeout" {
					o.IdleTimeout = time.Second
				}
			})
			c.ok("CREATE A")
			c.ok("SELECT A")
			c.send("a IDLE\r\n")
			c.expect("+ idling")
			test.end(s, c)
			if test.says != "" {
				c.expect(test.says)
			}
			if sum := c.ends(); sum.Reason != test.reason {
				t.Error(sum)
			}
		})
	}
}

func TestShutdownAndInactivity(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c := s.connect()
	c.ok("SELECT INBOX")
	c.stop()
	c.expect("* BYE Server shutting down.")
	if sum := c.ends(); sum.Reason != "Server shutting down" {
		t.Error(sum)
	}
	c = s.connect(func(o *Options) { o.IdleTimeout = 50 * time.Millisecond })
	c.expect("* BYE Disconnected for inactivity.")
	if sum := c.ends(); !strings.HasPrefix(sum.Reason, "Inactivity") {
		t.Error(sum)
	}
	c = s.connect(func(o *Options) { o.IdleTimeout = 50 * time.Millisecond })
	c.send("a APPEND INBOX {100+}\r\nhello")
	c.expect("* BYE Disconnected for inactivity.")
	if sum := c.ends(); !strings.HasPrefix(sum.Reason, "Inactivity") || len(s.files("cur/*")) > 0 || len(s.files("tmp/*")) > 0 {
		t.Error(sum, s.files("*/*"))
	}
}

func TestTooManyBadCommands(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c := s.connect()
	for i := range maxBad - 1 {
		c.dialogue(fmt.Sprintf("C: x%d FOO\nS: x%d BAD …", i, i))
	}
	c.ok("NOOP")
	for i := range maxBad {
		c.dialogue(fmt.Sprintf("C: y%d FETCH 1 FLAGS\nS: y%d BAD …", i, i))
	}
	c.expect("* BYE Too many invalid IMAP commands.")
	c.ends()
}

// TestRefusedSelect: whatever a SELECT fails of, nothing is selected then, unless it was no command at all.
func TestRefusedSelect(t *testing.T) {
	t.Parallel()
	c := newServer(t).connect()
	for _, name := range []string{"none", "&AGE-", "a..b"} {
		c.ok("SELECT INBOX")
		c.dialogue(fmt.Sprintf(`
			C: a SELECT %s
			S: * OK [CLOSED] …
			S: a NO …
			C: b CHECK
			S: b BAD …
		`, name))
	}
	c.ok("EXAMINE INBOX")
	c.dialogue(`
		C: c SELECT INBOX (X)
		S: c BAD …
		C: d CREATE &AGE-
		S: d NO …
		C: e CHECK
		S: e OK …
	`)
}

// TestFoldersOfSelected: a command that is refused does not close the mailbox.
func TestFoldersOfSelected(t *testing.T) {
	t.Parallel()
	c := newServer(t).connect()
	c.ok("CREATE a")
	c.ok("CREATE b")
	c.ok("SELECT a")
	c.dialogue(`
		C: a RENAME a b
		S: a NO [ALREADYEXISTS] …
		C: b RENAME a c.
		S: b NO …
		C: c RENAME INBOX. c
		S: c NO …
		C: d CHECK
		S: d OK …
		C: e RENAME a c
		S: * OK [CLOSED] …
		S: e OK …
		C: f CHECK
		S: f BAD …
	`)
}

// TestGoneByUID: a UID that nothing has any more is no error (RFC 3501 §6.4.8), and "*" is what the client knows.
func TestGoneByUID(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.deliverSome(3)
	c, other := s.connect(), s.connect()
	c.ok("SELECT INBOX")
	other.ok("SELECT INBOX")
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
		S: * 1 FETCH (FLAGS (\Seen work))
		S: * 2 FETCH (FLAGS (\Seen work))
		S: a OK …
	`)
}
