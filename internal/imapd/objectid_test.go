package imapd

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"postrider/internal/dovecottest"
	"postrider/internal/mailstore"
	"postrider/internal/usertest"
)

var idOf = regexp.MustCompile(`(?:MAILBOX|EMAIL|THREAD)ID \(([A-Za-z0-9_-]{1,255})\)`)

// id is the one object identifier in lines that contain a text.
func id(t *testing.T, lines []string, text string) string {
	t.Helper()
	for _, line := range lines {
		if m := idOf.FindStringSubmatch(line); m != nil && strings.Contains(line, text) {
			return m[1]
		}
	}
	t.Fatalf("no identifier with %s in %q", text, lines)
	return ""
}

func TestMailboxID(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c := s.connect()
	_, answer := c.do("CREATE a")
	created := id(t, []string{answer}, "OK [MAILBOXID (")
	if got := id(t, c.ok("SELECT a"), "* OK [MAILBOXID"); got != created {
		t.Errorf("selected %s, created %s", got, created)
	}
	c.ok("RENAME a b")
	if got := id(t, c.ok("STATUS b (MESSAGES MAILBOXID)"), "* STATUS b (MESSAGES 0 MAILBOXID ("); got != created {
		t.Errorf("renamed %s, created %s", got, created)
	}
	if got := id(t, c.ok(`LIST "" b RETURN (STATUS (MAILBOXID))`), "* STATUS b"); got != created {
		t.Errorf("listed %s, created %s", got, created)
	}
	c.ok("DELETE b")
	_, answer = c.do("CREATE b")
	if again := id(t, []string{answer}, "OK"); again == created {
		t.Error("another mailbox has the same identifier")
	}
}

// TestEmailID follows a message through copies, a move and another session.
func TestEmailID(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.deliverSome(2)
	c := s.connect()
	c.ok("CREATE a")
	c.ok("SELECT INBOX")
	first, second := id(t, c.ok("FETCH 1 EMAILID"), "EMAILID"), id(t, c.ok("FETCH 2 (UID EMAILID)"), "EMAILID")
	if first == second {
		t.Error("two messages have the same identifier")
	}
	c.ok("COPY 1 a")
	c.ok("MOVE 1 a")
	c.ok("COPY 1 a")
	c = s.connect()
	c.ok("SELECT a")
	for seq, want := range []string{first, first, second} {
		if got := id(t, c.ok("FETCH %d EMAILID", seq+1), "EMAILID"); got != want {
			t.Errorf("message %d: %s, was %s", seq+1, got, want)
		}
	}
	found := c.ok("SEARCH EMAILID %s", first)
	if len(found) != 1 || found[0] != "* SEARCH 1 2" {
		t.Errorf("SEARCH EMAILID: %q", found)
	}
	if found := c.ok("SEARCH NOT EMAILID x"); found[0] != "* SEARCH 1 2 3" {
		t.Errorf("SEARCH NOT EMAILID: %q", found)
	}
}

// TestGUIDsOfDovecot: what Dovecot calls a message stays the same when we copy it, and our identifiers when it does.
func TestGUIDsOfDovecot(t *testing.T) {
	t.Parallel()
	dovecottest.Need(t, dovecottest.Admin)
	s := newServer(t)
	s.deliverSome(3)
	c := s.connect()
	c.ok("CREATE a")
	c.ok("CREATE b")
	c.ok("SELECT INBOX")
	ids := make([]string, 3)
	for i := range ids {
		ids[i] = id(t, c.ok("FETCH %d EMAILID", i+1), "EMAILID")
	}
	c.ok("COPY 1:2 a")
	usertest.Give(t, s.root)
	d := newDovecotUser(t, s.root, "")
	guids := func(mailbox string) []string {
		return strings.Fields(strings.TrimPrefix(d.admin(t, "fetch", "guid", "mailbox", mailbox, "all"), "guid\n"))
	}
	inbox, copied := guids("INBOX"), guids("a")
	if len(inbox) != 3 || strings.Join(copied, " ") != strings.Join(inbox[:2], " ") {
		t.Errorf("Dovecot's GUIDs: %q in INBOX, %q in the copy", inbox, copied)
	}
	d.admin(t, "copy", "b", "mailbox", "a", "1")
	d.admin(t, "copy", "b", "mailbox", "INBOX", "3")
	c.ok("SELECT b")
	for seq, want := range []string{ids[0], ids[2]} {
		if got := id(t, c.ok("FETCH %d EMAILID", seq+1), "EMAILID"); got != want {
			t.Errorf("Dovecot's copy %d: %s, was %s", seq+1, got, want)
		}
	}
}

func TestThreadID(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	long := strings.Repeat("x", 5000)
	for i, header := range []string{
		"Message-ID: <root@x>", "In-Reply-To: your mail <root@x>\nMessage-ID: <2@x>", "message-id:<3@x>\nREFERENCES:\n <root@x>\n <2@x>",
		"Message-ID: <4@x>", "Subject: none", "X-Long: " + long + "<root@x>\nReferences : <root@x>", "X: y\n\nReferences: <root@x>",
	} {
		s.deliver("", fmt.Sprintf("%d.M1P1.h", 1000000+i), header+"\n\ntext\n")
	}
	c := s.selected()
	root := id(t, c.ok("FETCH 1 THREADID"), "THREADID")
	for seq, same := range map[int]bool{2: true, 3: true, 4: false, 6: true} {
		if got := id(t, c.ok("FETCH %d (THREADID FLAGS)", seq), "THREADID"); (got == root) != same {
			t.Errorf("message %d: %s, the first %s", seq, got, root)
		}
	}
	for _, seq := range []int{5, 7} {
		if got := c.ok("FETCH %d THREADID", seq); got[0] != fmt.Sprintf("* %d FETCH (THREADID NIL)", seq) {
			t.Errorf("without a thread: %q", got)
		}
	}
	if found := c.ok("SEARCH THREADID %s", root); found[0] != "* SEARCH 1 2 3 6" {
		t.Errorf("SEARCH THREADID: %q", found)
	}
}

func TestSaveDate(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	saved := time.Date(2021, 5, 6, 12, 0, 0, 0, time.Local)
	s.deliver("", fmt.Sprintf("%d.M1P1.h", saved.Unix()), "a: b\n\n")
	c := s.selected()
	c.ok(`APPEND INBOX "01-Feb-2010 12:00:00 +0000" {8+}` + "\r\na: b\r\n\r\n")
	c.ok("COPY 1 INBOX")
	c.ok("NOOP")
	want := "* 1 FETCH (SAVEDATE \"" + saved.Format("02-Jan-2006 15:04:05 -0700") + "\")"
	if got := c.ok("FETCH 1 SAVEDATE"); got[0] != want {
		t.Errorf("got %q, want %q", got, want)
	}
	for command, want := range map[string]string{
		"SAVEDSINCE 1-May-2021 SAVEDBEFORE 1-Jun-2021":       "* SEARCH 1",
		"SAVEDON 6-May-2021":                                 "* SEARCH 1",
		"SAVEDSINCE " + saved.Format("2-Jan-2006"):           "* SEARCH 1 2 3",
		"NOT SAVEDBEFORE " + time.Now().Format("2-Jan-2006"): "* SEARCH 2 3",
		"SAVEDATESUPPORTED":                                  "* SEARCH 1 2 3",
		"BEFORE 1-Jan-2011":                                  "* SEARCH 2",
	} {
		if got := c.ok("SEARCH %s", command); got[0] != want {
			t.Errorf("SEARCH %s: %q, want %q", command, got, want)
		}
	}
}

// TestSaveDateOfNames: names that do not begin with a time leave it to the file's.
func TestSaveDateOfNames(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	for i, name := range []string{"1000000.M1.h", "word", "99999999999.M1.h", "99999999999999999999.h", "20260101"} {
		s.deliver("", name, fmt.Sprintf("a: %d\n\n", i))
	}
	c := s.selected()
	today := time.Now()
	if found := c.ok("SEARCH SAVEDSINCE %s", today.AddDate(0, 0, -1).Format("2-Jan-2006")); found[0] != "* SEARCH 1 2 3 4 5" {
		t.Errorf("%q", found)
	}
	if mailstore.ObjectID("a") == mailstore.ObjectID("b") {
		t.Error("identifiers do not differ")
	}
}
