package mailbox

import (
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"postrider/internal/mailstore"
	"postrider/internal/usertest"
)

// TestMain lets a test run the command as a process of its own, which can be killed.
func TestMain(m *testing.M) {
	if os.Getenv("MAILBOX_TEST_CHILD") != "" {
		os.Exit(Main(os.Args[1:]))
	}
	os.Exit(m.Run())
}

// child is `postrider mailbox` in a process of its own.
func child(t testing.TB, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), "MAILBOX_TEST_CHILD=1")
	cmd.Dir = "/"
	return cmd
}

// runChild runs it to its end.
func runChild(t testing.TB, args ...string) (out string, status int) {
	t.Helper()
	cmd := child(t, args...)
	b, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return string(b), cmd.ProcessState.ExitCode()
}

// newMaildir is an empty directory for mail.
func newMaildir(t testing.TB) string {
	t.Helper()
	root := filepath.Join(t.TempDir(), "Maildir")
	if err := os.Mkdir(root, 0o700); err != nil {
		t.Fatal(err)
	}
	usertest.Give(t, root)
	return root
}

func openStore(t testing.TB, root string) *mailstore.Store {
	t.Helper()
	s, err := mailstore.Open(root, mailstore.Options{LockTimeout: 20 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// fill puts n messages into a folder, no two alike.
func fill(t testing.TB, s *mailstore.Store, folder string, from, n int) {
	t.Helper()
	if ok, err := s.Exists(folder); err == nil && !ok {
		if err := s.Create(folder); err != nil {
			t.Fatal(err)
		}
	}
	a, err := s.Append(folder)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	for i := from; i < from+n; i++ {
		m, err := a.Create(mailstore.Flags(i%32), [][]string{nil, {"$Label1"}, {"work", "$Forwarded"}}[i%3], time.Unix(1_000_000_000+int64(i)*1001, 0))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(m, "Subject: %s %d\r\n\r\n%s", folder, i, strings.Repeat("a line of the text\r\n", i%50))
	}
	if _, _, err := a.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// dump is what a store has: for each folder its messages, as date, flags, keywords and a hash of the text.
func dump(t testing.TB, s *mailstore.Store) map[string][]string {
	t.Helper()
	folders, err := s.List()
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string][]string)
	for _, f := range folders {
		if !f.NoSelect {
			all[f.Name] = messages(t, s, f.Name)
		}
	}
	return all
}

func messages(t testing.TB, s *mailstore.Store, folder string) (list []string) {
	t.Helper()
	box, err := s.Open(t.Context(), folder, true)
	if err != nil {
		t.Fatal(err)
	}
	defer box.Close()
	for _, m := range box.Messages() {
		file, err := box.OpenMessage(t.Context(), m)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(file)
		info, errStat := file.Stat()
		file.Close()
		if err != nil || errStat != nil {
			t.Fatal(err, errStat)
		}
		names := box.KeywordNames(m.Keywords)
		slices.Sort(names)
		list = append(list, fmt.Sprintf("%d %05b %v %.8x", info.ModTime().Unix(), m.Flags, names, sha256.Sum256(text)))
	}
	return list
}

// wantSame compares the messages of two folders, in order.
func wantSame(t testing.TB, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %d messages, want %d\ngot  %.2000v\nwant %.2000v", what, len(got), len(want), strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
