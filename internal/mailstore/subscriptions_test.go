package mailstore

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"postrider/internal/usertest"
)

// TestFirstSubscriptions: the first list is written once, whole, and not after one that is empty.
func TestFirstSubscriptions(t *testing.T) {
	t.Parallel()
	s := newStore(t, Options{})
	never := func() bool {
		t.Helper()
		never, err := s.NeverSubscribed()
		if err != nil {
			t.Fatal(err)
		}
		return never
	}
	first := func(names ...string) {
		t.Helper()
		if err := s.SubscribeFirst(t.Context(), names); err != nil {
			t.Fatal(err)
		}
	}
	if !never() {
		t.Error("an empty store has subscriptions")
	}
	first("Sent", "Trash")
	if never() {
		t.Error("the list does not count")
	}
	for _, name := range []string{"Sent", "Trash"} {
		if err := s.Subscribe(t.Context(), name, false); err != nil {
			t.Fatal(err)
		}
	}
	first("Sent")
	if names, err := s.Subscriptions(); err != nil || len(names) > 0 || never() {
		t.Error(names, err)
	}
	if left, err := s.names(); err != nil || len(left) > 0 {
		t.Error(left, err)
	}
}

func TestExists(t *testing.T) {
	t.Parallel()
	s := newStore(t, Options{})
	if err := s.Create("A.B"); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{"INBOX": true, "inbox": true, "A.B": true, "A": false, "B": false} {
		if got, err := s.Exists(name); got != want || err != nil {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	if _, err := s.Exists("a/b"); !errors.Is(err, ErrName) {
		t.Error(err)
	}
}

func TestKeywordsOfView(t *testing.T) {
	t.Parallel()
	s := newStore(t, Options{})
	appendTo(t, s, "INBOX", "x\r\n", 0, "one")
	b := openBox(t, s, "INBOX")
	before := *b.Keywords()
	if i := slices.Index(before[:], "one"); i < 0 || b.Messages()[0].Keywords != 1<<i {
		t.Error(before)
	}
	appendTo(t, s, "INBOX", "y\r\n", 0, "two")
	if *b.Keywords() != before {
		t.Error("the names changed without a Sync")
	}
	if syncBox(t, b); *b.Keywords() == before {
		t.Error("the names did not change")
	}
}

// TestSubscribeAppends: a name is a line more, unless the file is one to which none can be added.
func TestSubscribeAppends(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, before, after string }{
		{"none", "", "V\t2\n\nA\tB\n"},
		{"version 2", "V\t2\n\nSent\n", "V\t2\n\nSent\nA\tB\n"},
		{"no names", "V\t2\n\n", "V\t2\n\nA\tB\n"},
		{"kept as it is", "V\t2\n\n\nx\x01q\nSent\nSent\n", "V\t2\n\n\nx\x01q\nSent\nSent\nA\tB\n"},
		{"there already", "V\t2\n\nA\tB\n", "V\t2\n\nA\tB\n"},
		{"version 1", "Sent\n", "V\t2\n\nSent\nA\tB\n"},
		{"torn", "V\t2\n\nSent\nDra", "V\t2\n\nSent\nA\tB\n"},
		{"torn before a name", "V\t2", "V\t2\n\nA\tB\n"},
		{"never written", "V\t2\n\nSent\n\x00\x00\x00", "V\t2\n\nSent\nA\tB\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newStore(t, Options{})
			path := filepath.Join(s.root, subscriptionsFile)
			if tt.before != "" {
				write(t, path, tt.before)
			}
			if err := s.Subscribe(t.Context(), "A.B", true); err != nil {
				t.Fatal(err)
			}
			if got, err := os.ReadFile(path); err != nil || string(got) != tt.after {
				t.Errorf("%q, %v; want %q", got, err, tt.after)
			}
			if left, err := filepath.Glob(path + ".*"); err != nil || len(left) > 0 {
				t.Error(left, err)
			}
		})
	}
}

// TestSubscribeReadOnly: a file that may not be written is replaced.
func TestSubscribeReadOnly(t *testing.T) {
	t.Parallel()
	if !usertest.Run(t) {
		return
	}
	s := newStore(t, Options{})
	path := filepath.Join(s.root, subscriptionsFile)
	if err := os.WriteFile(path, []byte("V\t2\n\nSent\n"), 0o400); err != nil {
		t.Fatal(err)
	}
	if err := s.Subscribe(t.Context(), "A", true); err != nil {
		t.Fatal(err)
	}
	if names, err := s.Subscriptions(); err != nil || !slices.Equal(names, []string{"Sent", "A"}) {
		t.Error(names, err)
	}
}
