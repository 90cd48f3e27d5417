package mailstore

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestModSeq(t *testing.T) {
	t.Parallel()
	s := newStore(t, Options{})
	for range 4 {
		appendTo(t, s, "INBOX", "x\r\n", 0)
	}
	b, other := openBox(t, s, "INBOX"), openBox(t, s, "INBOX")
	began := b.HighestModSeq()
	first, second, third := b.Messages()[0], b.Messages()[1], b.Messages()[2]
	if _, err := other.StoreFlags(t.Context(), other.Messages()[1:2], AddFlags, Flagged, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := other.StoreFlags(t.Context(), other.Messages()[2:3], RemoveFlags, Flagged, nil); err != nil {
		t.Fatal(err) // changes nothing
	}
	now, modified, err := b.StoreUnchanged(t.Context(), b.Messages()[:3], began, AddFlags, Seen, nil)
	if err != nil || len(now) != 2 || len(modified) != 1 || modified[0].UID != second.UID || modified[0].Flags != Flagged {
		t.Fatalf("changed %v, not %v, %v", now, modified, err)
	}
	if now[0].ModSeq <= modified[0].ModSeq || modified[0].ModSeq <= began || b.HighestModSeq() != now[0].ModSeq {
		t.Errorf("mod-sequences %d, %d, %d; highest %d", began, modified[0].ModSeq, now[0].ModSeq, b.HighestModSeq())
	}
	if err := os.Remove(b.folder.filePath(b.current(first))); err != nil {
		t.Fatal(err)
	}
	if err := b.Expunge(t.Context(), []*Message{b.current(third)}); err != nil {
		t.Fatal(err)
	}
	before := b.HighestModSeq()
	if _, err := b.Sync(t.Context(), All); err != nil {
		t.Fatal(err)
	}
	if uids, ok := b.Vanished(before); !ok || len(uids) != 2 || uids[0] != first.UID || uids[1] != third.UID {
		t.Errorf("gone since then: %d, %t", uids, ok)
	}
	if uids, ok := b.Vanished(b.HighestModSeq()); !ok || len(uids) != 0 {
		t.Errorf("gone since now: %d, %t", uids, ok)
	}
	if _, ok := b.Vanished(0); ok {
		t.Error("what went before the folder was first seen is known")
	}
}

// TestModSeqWithoutChange: a file that moves from new to cur, or is looked at again, is not changed.
func TestModSeqWithoutChange(t *testing.T) {
	t.Parallel()
	s := newStore(t, Options{})
	appendTo(t, s, "INBOX", "x\r\n", 0)
	b := openBox(t, s, "INBOX")
	before := b.HighestModSeq()
	b.folder.cur.stamp = stamp{}
	if _, err := b.Sync(t.Context(), All); err != nil {
		t.Fatal(err)
	}
	if b.HighestModSeq() != before {
		t.Error("looking again changed the mod-sequence")
	}
	if err := os.Rename(b.folder.filePath(b.Messages()[0]), filepath.Join(t.TempDir(), "elsewhere")); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	b.folder.cur.stamp = stamp{}
	if _, err := b.Sync(t.Context(), All); err != nil {
		t.Fatal(err)
	}
	if b.HighestModSeq() <= before {
		t.Error("a message went, and the mod-sequence stayed")
	}
}

// TestForgetVanished: of too many messages that went the oldest are forgotten, and it is known since when all are remembered.
func TestForgetVanished(t *testing.T) {
	t.Parallel()
	var s state
	for i := range uint32(maxVanished + 10) {
		s.vanished = append(s.vanished, vanished{uid: i + 1, modSeq: uint64(10_000 - i)}) // those that came last went first
	}
	s.forgetVanished()
	if len(s.vanished) != maxVanished {
		t.Errorf("%d are remembered", len(s.vanished))
	}
	oldest := s.vanished[0]
	for _, v := range s.vanished {
		if v.modSeq < oldest.modSeq {
			oldest = v
		}
	}
	if oldest.uid != maxVanished || s.vanishedAll != oldest.modSeq-1 {
		t.Errorf("the oldest is %+v, all since %d", oldest, s.vanishedAll)
	}
	before := s.vanishedAll
	if s.forgetVanished(); len(s.vanished) != maxVanished || s.vanishedAll != before {
		t.Error("some are forgotten though there is room")
	}
}
