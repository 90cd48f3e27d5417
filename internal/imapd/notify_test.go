package imapd

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// add appends a small message.
func (c *client) add(mailbox string) {
	c.t.Helper()
	c.ok("APPEND %s {8+}\r\na: b\r\n\r\n", mailbox)
}

func TestNotifySyntax(t *testing.T) {
	t.Parallel()
	c := newServer(t).connect()
	for command, want := range map[string]string{
		"NONE":                "OK",
		"SET (selected NONE)": "OK",
		"SET (SELECTED (messagenew messageexpunge flagchange))":                                                        "OK",
		"SET STATUS (personal (MessageNew MessageExpunge)) (selected-delayed (MessageNew (uid flags) MessageExpunge))": "OK",
		"SET (mailboxes INBOX (MailboxName)) (subtree (a \"b c\") (SubscriptionChange))":                               "OK",
		"SET (personal (MessageNew))":                      "BAD",
		"SET (personal (MessageExpunge FlagChange))":       "BAD",
		"SET (personal (FlagChange))":                      "BAD",
		"SET (selected (MailboxName))":                     "BAD",
		"SET (selected NONE) (selected-delayed NONE)":      "BAD",
		"SET (personal (MessageNew (uid) MessageExpunge))": "BAD",
		"SET (personal ())":                                "BAD",
		"SET (nobody (MailboxName))":                       "BAD",
		"SET":                                              "BAD",
		"ADD (personal NONE)":                              "BAD",
		"SET (personal (AnnotationChange))":                "NO [BADEVENT (MessageNew MessageExpunge FlagChange MailboxName SubscriptionChange)]",
		"SET (selected (MessageNew MessageExpunge MailboxMetadataChange Extra))": "NO [BADEVENT (",
		"SET (mailboxes (" + strings.Repeat("a ", 300) + ") (MailboxName))":      "NO [NOTIFICATIONOVERFLOW]",
	} {
		if _, answer := c.do("NOTIFY %s", command); !strings.HasPrefix(answer, want) {
			t.Errorf("NOTIFY %s: %s", command, answer)
		}
	}
}

// TestNotifySelected hears of the selected mailbox between commands.
func TestNotifySelected(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.deliverSome(2)
	c, other := s.selected(), s.selected()
	c.ok("NOTIFY SET (selected (MessageNew (uid body.peek[header.fields (subject)]) MessageExpunge FlagChange))")
	other.ok("STORE 1 +FLAGS.SILENT (\\Flagged)")
	c.expect(`* 1 FETCH (FLAGS (\Flagged \Recent))`)
	s.deliver("", "1000009.M1P1.h", "Subject: new\n\ntext\n")
	c.expect("* 3 EXISTS", "* 3 FETCH (UID 3 BODY[HEADER.FIELDS (SUBJECT)] {16}\r\nSubject: new\r\n\r\n)", "* 3 RECENT")
	other.ok("STORE 2 +FLAGS.SILENT (\\Deleted)")
	c.expect(`* 2 FETCH (FLAGS (\Deleted \Recent))`)
	other.ok("EXPUNGE")
	c.expect("* 2 EXPUNGE")
	c.expect("* 2 RECENT")
	c.ok("NOTIFY NONE")
	other.ok("STORE 1 -FLAGS.SILENT (\\Flagged)")
	c.send("a NOOP\r\n")
	c.expect(`* 1 FETCH (FLAGS (\Recent))`, "a OK …")
}

// TestNotifyDelayed keeps the numbers until a command allows other ones.
func TestNotifyDelayed(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.deliverSome(3)
	c, other := s.selected(), s.selected()
	c.ok("NOTIFY SET (selected-delayed (MessageNew MessageExpunge))")
	other.ok("STORE 1 +FLAGS.SILENT (\\Deleted)")
	other.ok("EXPUNGE")
	s.deliver("", "1000009.M1P1.h", "Subject: new\n\ntext\n")
	c.expect("* 4 EXISTS", "* 4 RECENT")
	c.send("a NOOP\r\n")
	c.expect("* 1 EXPUNGE", "* 3 RECENT", "a OK …")
}

// TestNotifyOthers hears of folders that are not selected.
func TestNotifyOthers(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c, other := s.connect(), s.connect()
	c.ok("CREATE a")
	c.ok("CREATE b.c")
	c.ok("CREATE d")
	c.dialogue(`
		C: a NOTIFY SET STATUS (mailboxes d NONE) (subtree b (MessageNew MessageExpunge FlagChange)) (personal (MessageNew MessageExpunge))
		S: * STATUS INBOX (MESSAGES 0 UIDNEXT 1 UIDVALIDITY …)
		S: * STATUS a (MESSAGES 0 UIDNEXT 1 UIDVALIDITY …)
		S: * STATUS b.c (MESSAGES 0 UIDNEXT 1 UIDVALIDITY … UNSEEN 0 HIGHESTMODSEQ …)
		S: a OK …
	`)
	other.add("d")
	other.add("a")
	c.expect("* STATUS a (MESSAGES 1 UIDNEXT 2 UIDVALIDITY …)")
	other.add("b.c")
	c.expect("* STATUS b.c (MESSAGES 1 UIDNEXT 2 UIDVALIDITY … UNSEEN 1 HIGHESTMODSEQ …)")
	other.ok("SELECT b.c")
	other.ok("STORE 1 +FLAGS (\\Seen)")
	c.expect("* STATUS b.c (MESSAGES 1 UIDNEXT 2 UIDVALIDITY … UNSEEN 0 HIGHESTMODSEQ …)")
	s.deliver("", "1000009.M1P1.h", "Subject: new\n\ntext\n")
	c.expect("* STATUS INBOX (MESSAGES 1 UIDNEXT 2 UIDVALIDITY …)")
	other.ok("STORE 1 +FLAGS (\\Deleted)")
	c.expect("* STATUS b.c (MESSAGES 1 …)")
	other.ok("EXPUNGE")
	c.expect("* STATUS b.c (MESSAGES 0 …)")
	c.ok("SELECT a")
	c.send("i IDLE\r\n")
	c.expect("+ idling")
	other.add("b.c")
	c.expect("* STATUS b.c (MESSAGES 1 …)")
	c.send("DONE\r\n")
	c.expect("i OK …")
	other.add("a") // which is selected, and of which it asked nothing
	c.send("u UNSELECT\r\n")
	for line := c.line(); line != "u OK Unselect completed."; line = c.line() {
		if strings.HasPrefix(line, "* STATUS a") {
			t.Errorf("of the selected mailbox: %s", line)
		}
	}
	other.add("a")
	c.expect("* STATUS a (MESSAGES …")
}

// TestNotifyNames hears of folders and subscriptions that come and go.
func TestNotifyNames(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c, other := s.connect(), s.connect()
	c.ok("NOTIFY SET (personal (MailboxName SubscriptionChange MessageNew MessageExpunge))")
	c.ok("CREATE own") // which it knows
	other.ok("CREATE new")
	c.expect(`* LIST (\HasNoChildren) "." new`, "* STATUS new (MESSAGES 0 …")
	other.ok("SUBSCRIBE new")
	c.expect(`* LIST (\Subscribed \HasNoChildren) "." new`)
	other.ok("UNSUBSCRIBE new")
	c.expect(`* LIST (\HasNoChildren) "." new`)
	other.ok("RENAME new newer")
	c.expect(`* LIST (\HasNoChildren) "." newer ("OLDNAME" (new))`, "* STATUS newer …")
	other.add("newer")
	c.expect("* STATUS newer (MESSAGES 1 …")
	other.ok("DELETE newer")
	c.expect(`* LIST (\NonExistent) "." newer`)
	other.add("own")
	c.expect("* STATUS own (MESSAGES 1 …")
}

// TestNotifySubscribed goes with the subscriptions.
func TestNotifySubscribed(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c, other := s.connect(), s.connect()
	c.ok("CREATE a")
	c.ok("CREATE b")
	c.ok("SUBSCRIBE a")
	c.ok("NOTIFY SET (subscribed (MessageNew MessageExpunge))")
	other.add("b")
	other.add("a")
	c.expect("* STATUS a (MESSAGES 1 …")
	c.ok("SUBSCRIBE b")
	other.add("b")
	c.expect("* STATUS b (MESSAGES 2 …")
}

// TestNotifyOverflow: what cannot be watched is not promised.
func TestNotifyOverflow(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	for i := range maxObserved {
		for _, sub := range []string{"cur", "new", "tmp"} {
			if err := os.MkdirAll(filepath.Join(s.root, fmt.Sprintf(".f%d", i), sub), 0o700); err != nil {
				t.Fatal(err)
			}
		}
	}
	c := s.connect()
	if _, answer := c.do("NOTIFY SET (personal (MessageNew MessageExpunge))"); !strings.HasPrefix(answer, "NO [NOTIFICATIONOVERFLOW]") {
		t.Error(answer)
	}
	c.ok("NOTIFY SET (mailboxes (INBOX f1) (MessageNew MessageExpunge))")
	s.deliver("", "1000009.M1P1.h", "Subject: new\n\ntext\n")
	c.expect("* STATUS INBOX (MESSAGES 1 …")
	c.ok("NOTIFY NONE")
	s.deliver("", "1000010.M1P1.h", "Subject: new\n\ntext\n")
	if lines := c.ok("NOOP"); len(lines) != 0 {
		t.Errorf("%q", lines)
	}
}
