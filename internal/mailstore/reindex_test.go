package mailstore

import (
	"os"
	"slices"
	"testing"
	"time"

	"postrider/internal/cache"
)

func TestReindex(t *testing.T) {
	t.Parallel()
	s := newStore(t, Options{})
	appendTo(t, s, Inbox, "A: b\r\n\r\nx\r\n", Seen)
	b := openBox(t, s, Inbox)
	age(t, b)
	syncBox(t, b)
	index, kept := s.root+"/"+indexFile, s.root+"/"+cache.FileName
	if got := problems(t, s.root); len(got) > 0 {
		t.Error(got)
	}
	write(t, index, "no index")
	write(t, kept, "no cache")
	if got := problems(t, s.root); !slices.Equal(got, []string{"postrider.index: unexpected EOF: it will be made anew"}) &&
		!slices.Equal(got, []string{"postrider.index: index cannot be used: it will be made anew"}) {
		t.Error(got)
	}
	fresh := openStore(t, s.root)
	if err := fresh.Reindex(t.Context(), Inbox); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(kept); err == nil {
		t.Error("the cache is still there")
	}
	if text := read(t, index); len(text) < headerSize {
		t.Errorf("index of %d octets", len(text))
	}
	if got := problems(t, s.root); len(got) > 0 {
		t.Error(got)
	}
	if err := fresh.Reindex(t.Context(), "none"); err == nil {
		t.Error("there is no such folder")
	}
}

// TestCheckIndex: an index that is believed has to say what is so.
func TestCheckIndex(t *testing.T) {
	t.Parallel()
	s := newStore(t, Options{})
	appendTo(t, s, Inbox, "A: b\r\n\r\nx\r\n", Seen)
	b := openBox(t, s, Inbox)
	age(t, b)
	syncBox(t, b)
	m := b.Messages()[0]
	for _, test := range []struct {
		uid   uint32
		name  string
		wrong bool
	}{{1, m.name, false}, {2, m.name, true}, {1, m.Base() + ":2,", true}} {
		found := 0
		c := &checker{ctx: t.Context(), report: func(string, string) { found++ }}
		c.index(s.root, map[string]uint32{m.Base(): test.uid}, map[string]string{m.Base(): s.root + "/cur/" + test.name})
		if test.wrong != (found == 1) {
			t.Errorf("%+v: %d", test, found)
		}
	}
}

func TestCheckCache(t *testing.T) {
	t.Parallel()
	s := newStore(t, Options{})
	appendTo(t, s, Inbox, "A: b\r\n\r\nx\r\n", 0) // 8 octets, 11 with CRLF
	base := openBox(t, s, Inbox).Messages()[0].Base()
	for wire, want := range map[int64]int{11: 0, -1: 0, 12: 1} {
		os.Remove(s.root + "/" + cache.FileName)
		batch := new(cache.Batch)
		batch.Add(&cache.Record{Base: base, Info: cache.Info{Size: 8, Wire: wire, Date: time.Unix(1, 0)}})
		if err := cache.Append(s.root+"/"+cache.FileName, batch); err != nil {
			t.Fatal(err)
		}
		if got := problems(t, s.root); len(got) != want {
			t.Error(wire, got)
		}
	}
}
