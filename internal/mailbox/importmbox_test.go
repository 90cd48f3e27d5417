package mailbox

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"postrider/internal/usertest"
)

const fromLine = "From a@b.example Thu Jan  1 10:00:00 1998 +0000\n"

// mboxFile is a file with n messages, no two alike.
func mboxFile(t testing.TB, n int) string {
	t.Helper()
	var b strings.Builder
	for i := range n {
		at := time.Unix(1_000_000_000+int64(i), 0).UTC()
		fmt.Fprintf(&b, "From a %s +0000\nSubject: %d\nStatus: %s\nX-Status: %s\nX-Keywords: %s\n\n>From me\n%s\n", at.Format(time.ANSIC), i,
			[]string{"RO", "O"}[i%2], []string{"", "AF", "T", "D"}[i%4], []string{"", "work $Label1"}[i%2], strings.Repeat("text\n", i%100))
	}
	path := filepath.Join(t.TempDir(), "mbox")
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestImportMbox(t *testing.T) {
	t.Parallel()
	to, file := newMaildir(t), mboxFile(t, 250)
	args := []string{"import", "mbox", "-maildir", to, file, "Old.Mail"}
	if out, status := runChild(t, args...); status != exitOK || out != "250 messages imported into Old.Mail, 0 were there\n" {
		t.Fatal(status, out)
	}
	list := messages(t, openStore(t, to), "Old.Mail")
	for i, want := range []string{"1000000000 01000 [] ", "1000000001 00011 [$Label1 work] ", "1000000002 11000 [] ", "1000000003 00100 [$Label1 work] "} {
		if !strings.HasPrefix(list[i], want) {
			t.Errorf("%q, want %q", list[i], want)
		}
	}
	wantFirst(t, to)
	if out, status := runChild(t, args...); status != exitOK || out != "0 messages imported into Old.Mail, 250 were there\n" {
		t.Error("a second time:", status, out)
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(f, fromLine+"X-IMAP: no header of the first message\n\nnew\n\n")
	f.Close()
	if out, status := runChild(t, args...); status != exitOK || out != "1 messages imported into Old.Mail, 250 were there\n" {
		t.Error("what is new:", status, out)
	}
	if n := len(messages(t, openStore(t, to), "Old.Mail")); n != 251 {
		t.Error(n)
	}
	if err := os.WriteFile(file, []byte(fromLine+"\nother\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, status := runChild(t, args...); status != exitIO || !strings.Contains(out, "to import all of it once more") {
		t.Error("another file:", status, out)
	}
}

// wantFirst looks at the text of the first message.
func wantFirst(t *testing.T, to string) {
	t.Helper()
	names, err := filepath.Glob(to + "/.Old.Mail/cur/*,S=20,W=23:2,S")
	if err != nil || len(names) != 1 {
		t.Fatal(names, err)
	}
	if text, err := os.ReadFile(names[0]); err != nil || string(text) != "Subject: 0\n\nFrom me\n" {
		t.Errorf("%q, %v", text, err)
	}
}

func TestImportMboxKilled(t *testing.T) {
	t.Parallel()
	const n = 500
	to, whole, file := newMaildir(t), newMaildir(t), mboxFile(t, n)
	args := []string{"import", "mbox", "-maildir", to, file, "INBOX"}
	for kill := 1; kill < n; kill += 30 + rand.IntN(100) {
		killAfter(t, child(t, args...), to, kill)
	}
	if out, status := runChild(t, args...); status != exitOK {
		t.Fatal(out)
	}
	if out, status := runChild(t, "import", "mbox", "-maildir", whole, file, "INBOX"); status != exitOK {
		t.Fatal(out)
	}
	got, want := messages(t, openStore(t, to), "INBOX"), messages(t, openStore(t, whole), "INBOX")
	slices.Sort(got) // a file that has no UID yet gets one in the order of the names
	slices.Sort(want)
	wantSame(t, "INBOX", got, want)
}

func TestKeywordsWithoutRoom(t *testing.T) {
	t.Parallel()
	to, file := newMaildir(t), filepath.Join(t.TempDir(), "mbox")
	text := fromLine + "X-Keywords: bad(word) "
	for i := range 30 {
		text += fmt.Sprint(" k", i)
	}
	if err := os.WriteFile(file, []byte(text+"\n\nx\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, status := runChild(t, "import", "mbox", "-maildir", to, file, "INBOX")
	if status != exitWrong || strings.Count(out, "was left out") != 5 || !strings.Contains(out, "1 messages imported") {
		t.Error(status, out)
	}
}

func TestCommandLine(t *testing.T) {
	t.Parallel()
	none := filepath.Join(t.TempDir(), "none")
	for line, want := range map[string]int{
		"":                                      exitUsage,
		"frob":                                  exitUsage,
		"import":                                exitUsage,
		"import maildir x":                      exitUsage,
		"checks":                                exitUsage,
		"check x -maildir " + none:              exitUsage,
		"check -frob":                           exitUsage,
		"check -maildir " + none:                exitIO,
		"reindex -maildir " + none:              exitIO,
		"import mbox -maildir " + none + " x":   exitUsage,
		"import mbox -maildir /tmp /none INBOX": exitIO,
		"import imap -c /none a b":              exitConfig,
		"import imap -password-file /none a b":  exitIO,
		"import imap -maildir " + none + " a":   exitUsage,
	} {
		line = strings.Replace(line, "import imap -", "import imap -maildir "+none+" -", 1)
		var out, errs bytes.Buffer
		if got := run(t.Context(), strings.Fields(line), &out, &errs); got != want || errs.Len() == 0 {
			t.Errorf("%q: %d, want %d: %s", line, got, want, errs.String())
		}
	}
}

func TestCheckAndReindex(t *testing.T) {
	t.Parallel()
	root := newMaildir(t)
	fill(t, openStore(t, root), "A.B", 0, 2)
	usertest.Give(t, root)
	if out, status := runChild(t, "check", "-sizes", "-maildir", root); status != exitOK || out != "" {
		t.Error(status, out)
	}
	before := dump(t, openStore(t, root))
	usertest.Give(t, root)
	if out, status := runChild(t, "reindex", "-maildir", root); status != exitOK || out != "" {
		t.Error(status, out)
	}
	if out, status := runChild(t, "reindex", "-maildir", root, "A.B", "none"); status != exitWrong || !strings.Contains(out, "none") {
		t.Error(status, out)
	}
	wantSame(t, "A.B", messages(t, openStore(t, root), "A.B"), before["A.B"])
	usertest.Give(t, root)
	if err := os.WriteFile(root+"/.A.B/cur/\x1b[2J\n:2,", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	out, status := runChild(t, "check", "-maildir", root)
	if status != exitWrong || strings.Count(out, "\n") != 2 || strings.Contains(out, "\x1b") {
		t.Errorf("%d %q", status, out)
	}
}

// TestNoOwner: root's mail is nobody's.
func TestNoOwner(t *testing.T) {
	t.Parallel()
	if err := becomeOwner("/"); err == nil {
		t.Error("the tool works as root")
	}
	if err := becomeOwner("/etc/passwd"); err == nil {
		t.Error("a file is no Maildir")
	}
}

// TestOwner: root becomes the owner of the Maildir.
func TestOwner(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("only root can become another user, which is what this test looks at")
	}
	root := newMaildir(t)
	file := mboxFile(t, 1) // which only root can read
	if out, status := runChild(t, "import", "mbox", "-maildir", root, file, "INBOX"); status != exitOK {
		t.Fatal(out)
	}
	names, err := filepath.Glob(root + "/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if uid := ownerOf(t, name); uid != usertest.Nobody {
			t.Errorf("%s belongs to %d", name, uid)
		}
	}
}

// TestOwnersGroup: root's group is nobody's either.
func TestOwnersGroup(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("this test has a Maildir whose group is root's, and only root can give it that")
	}
	root := newMaildir(t)
	if err := os.Chown(root, -1, 0); err != nil {
		t.Fatal(err)
	}
	if out, status := runChild(t, "import", "mbox", "-maildir", root, mboxFile(t, 1), "INBOX"); status != exitOK {
		t.Fatal(out)
	}
	info, err := os.Stat(root + "/cur")
	if err != nil || info.Sys().(*syscall.Stat_t).Gid == 0 {
		t.Errorf("made with root's group: %v", err)
	}
	const unknown = 54321
	if err := os.Chown(root, unknown, 0); err != nil {
		t.Fatal(err)
	}
	if out, status := runChild(t, "check", "-maildir", root); status == exitOK || !strings.Contains(out, "its group is root's") {
		t.Errorf("%d %s", status, out)
	}
}

// TestLinks: what a user can put in the way of root leads to nothing of others.
func TestLinks(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("this test has files that root can read and the user cannot, whom only root can become")
	}
	const other = usertest.Nobody - 1
	secret, home := mboxFile(t, 1), t.TempDir()
	his, hers := filepath.Join(home, "Maildir"), newMaildir(t)
	for name, to := range map[string]string{"link": secret, "dir": filepath.Dir(secret), "Maildir": hers} {
		if err := os.Symlink(to, filepath.Join(home, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Link(secret, filepath.Join(home, "name")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"link", "dir/mbox", "name"} {
		out, status := runChild(t, "import", "mbox", "-maildir", hers, filepath.Join(home, name), "INBOX")
		if status != exitIO || !strings.Contains(out, "permission denied") {
			t.Errorf("%s: %d %s", name, status, out)
		}
	}
	if err := os.Lchown(home, other, other); err != nil {
		t.Fatal(err)
	}
	if out, status := runChild(t, "check", "-maildir", his); status != exitIO || !strings.Contains(out, "leads to mail of uid") {
		t.Errorf("%d %s", status, out)
	}
}
