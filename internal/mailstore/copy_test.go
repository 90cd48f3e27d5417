package mailstore

import "testing"

// TestExpungeOfUndeleted: what another process has undeleted stays.
func TestExpungeOfUndeleted(t *testing.T) {
	t.Parallel()
	s := newStore(t, Options{})
	other, err := Open(s.root, Options{LockTimeout: s.opts.LockTimeout})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		appendTo(t, s, Inbox, "Subject: x\n\n", Deleted)
	}
	b, changed := openBox(t, s, Inbox), openBox(t, other, Inbox)
	if _, err := changed.StoreFlags(t.Context(), changed.Messages()[:1], RemoveFlags, Deleted, nil); err != nil {
		t.Fatal(err)
	}
	if err := b.ExpungeDeleted(t.Context(), b.Messages()[:2]); err != nil {
		t.Fatal(err)
	}
	if c := syncBox(t, b); len(c.Expunged) != 1 || show(b) != "1: 3:T" {
		t.Errorf("%+v, left %s", c, show(b))
	}
}

// TestCopyOfChanged copies and moves messages whose flags another process has changed since the view was made.
func TestCopyOfChanged(t *testing.T) {
	t.Parallel()
	s := newStore(t, Options{})
	other, err := Open(s.root, Options{LockTimeout: s.opts.LockTimeout})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		appendTo(t, s, Inbox, "Subject: x\n\n", Flagged, "old")
	}
	if err := s.Create("to"); err != nil {
		t.Fatal(err)
	}
	b, changed := openBox(t, s, Inbox), openBox(t, other, Inbox)
	if _, err := changed.StoreFlags(t.Context(), changed.Messages(), ReplaceFlags, Seen, []string{"new"}); err != nil {
		t.Fatal(err)
	}
	view := b.Messages()
	if _, err := b.Copy(t.Context(), view[:1], "to"); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Move(t.Context(), view[1:], "to"); err != nil {
		t.Fatal(err)
	}
	if got, want := show(openBox(t, s, "to")), "1:S[new] 2:S[new]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
