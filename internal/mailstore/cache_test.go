package mailstore

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"postrider/internal/cache"
)

// TestCacheIsTidied: records of messages that are gone go, when somebody closes a folder that is mostly those.
func TestCacheIsTidied(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	s, err := Open(root, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "cur", "1.a.h:2,"), []byte("a: b\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		var b cache.Batch
		for i := range 100 {
			base := "1." + string(rune('a'+i%26)) + ".h"
			b.Add(&cache.Record{Base: base, Info: cache.Info{Size: 5, Wire: 6, Date: time.Unix(1, 0)}, Header: make([]byte, 10_000)})
		}
		if err := cache.Append(filepath.Join(root, cache.FileName), &b); err != nil {
			t.Fatal(err)
		}
	}
	box, err := s.Open(t.Context(), Inbox, true)
	if err != nil {
		t.Fatal(err)
	}
	m := box.Messages()[0]
	box.Cache().Refresh()
	if i, ok := box.Known(m); !ok || i.Wire != 6 || i.Date.Unix() != 1 {
		t.Errorf("%+v, %v", i, ok)
	}
	box.Close()
	if info, err := os.Stat(filepath.Join(root, cache.FileName)); err != nil || info.Size() > 11_000 {
		t.Errorf("%v, %v", info, err)
	}
	c := cache.Open(filepath.Join(root, cache.FileName))
	defer c.Close()
	c.Refresh()
	if _, _, ok := c.Find(m.Base(), 5); !ok {
		t.Error("the record of the message is gone")
	}
}

// TestCacheDoesNotGrow: one session that brings, reads and removes messages leaves no more behind than any other.
func TestCacheDoesNotGrow(t *testing.T) {
	t.Parallel()
	s := newStore(t, Options{})
	box := openBox(t, s, Inbox)
	for range 40 {
		appendTo(t, s, Inbox, "a: b\n\nc\n", 0)
		syncBox(t, box)
		m := box.Messages()[0]
		box.Cache().Refresh()
		var b cache.Batch
		b.Add(&cache.Record{Base: m.Base(), Info: cache.Info{Size: m.Size(), Wire: -1}, Header: make([]byte, 60_000)})
		if err := box.Cache().Append(&b); err != nil {
			t.Fatal(err)
		}
		if err := box.Expunge(t.Context(), box.Messages()); err != nil {
			t.Fatal(err)
		}
		syncBox(t, box)
	}
	if info, err := os.Stat(filepath.Join(s.root, cache.FileName)); err != nil || info.Size() > 3<<19 {
		t.Errorf("%v, %v", info, err)
	}
}
