package mailstore

import (
	"errors"
	"slices"
	"testing"
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
	if err := s.Create(t.Context(), "A.B"); err != nil {
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
