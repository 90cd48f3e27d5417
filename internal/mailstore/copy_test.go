package mailstore

import (
	"errors"
	"io/fs"
	"os"
	"testing"
	"time"
)

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

// TestCopyBytes is what a copy is where there can be no link: all of it, with its date, or nothing.
func TestCopyBytes(t *testing.T) {
	t.Parallel()
	s := newStore(t, Options{})
	if err := s.Create("to"); err != nil {
		t.Fatal(err)
	}
	from, arrived := s.root+"/cur/1.a.host:2,S", time.Unix(1_700_000_000, 123_000)
	write(t, from, "Subject: x\n\n")
	if err := os.Chtimes(from, arrived, arrived); err != nil {
		t.Fatal(err)
	}
	dst := openBox(t, s, "to").folder
	if err := dst.copyBytes(from, "2.b.host:2,S"); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(dst.path("cur/2.b.host:2,S"))
	if err != nil || string(text) != "Subject: x\n\n" {
		t.Errorf("%q, %v", text, err)
	}
	if info, err := os.Stat(dst.path("cur/2.b.host:2,S")); err != nil || !info.ModTime().Equal(arrived) {
		t.Error(info, err)
	}
	if err := dst.copyBytes(s.root+"/cur/gone", "3.c.host:2,"); !errors.Is(err, fs.ErrNotExist) {
		t.Error("of a file that has gone:", err)
	}
	if err := os.Mkdir(dst.path("cur/4.d.host:2,"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := dst.copyBytes(from, "4.d.host:2,"); err == nil {
		t.Error("copied over a directory")
	}
	if left, err := os.ReadDir(dst.path("tmp")); err != nil || len(left) > 0 {
		t.Error("left in tmp:", left, err)
	}
}
