package imapd

import (
	"strings"
	"testing"
)

func TestFolders(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c := s.connect(func(o *Options) { o.Folders = specials })
	c.dialogue(`
		C: b1 CREATE A.B.C
		S: b1 OK [MAILBOXID (…)] Create completed.
		C: b2 CREATE D.
		S: b2 OK [MAILBOXID (…)] Create completed.
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
		C: b8 CREATE X (USE (\All))
		S: b8 NO [USEATTR] …
		C: b9 CREATE "Gr&APYA3w-e &- Co"
		S: b9 OK [MAILBOXID (…)] Create completed.
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
		C: da LIST (SUBSCRIBED RECURSIVEMATCH) "" (A A.B.%)
		S: * LIST (\Subscribed) "." A.B.C
		S: da OK List completed.
		C: db LIST "" "&'*"
		S: db OK List completed.
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
	if err := s.store.Create("Drafts"); err != nil {
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
	c := s.selected()
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
