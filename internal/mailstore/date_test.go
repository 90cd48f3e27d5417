package mailstore

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"postrider/internal/cache"
)

// TestDate asks once for the date of a message whose name tells no sizes: the file, or the cache.
func TestDate(t *testing.T) {
	t.Parallel()
	s := newStore(t, Options{})
	first, later := time.Unix(1_600_000_000, 0), time.Unix(1_700_000_000, 0)
	b := openBox(t, s, "INBOX")
	write(t, s.root+"/new/1.a.host", "A: b\n\nx\n")
	write(t, s.root+"/new/2.b.host", "A: b\n\nx\n")
	var batch cache.Batch
	batch.Add(&cache.Record{Base: "2.b.host", Info: cache.Info{Size: 8, Wire: -1, Date: first}, Header: []byte("A: b\r\n\r\n")})
	if err := cache.Append(s.root+"/"+cache.FileName, &batch); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(s.root+"/new/1.a.host", first, first); err != nil {
		t.Fatal(err)
	}
	syncBox(t, b)
	b.Cache().Refresh()
	for range 2 {
		for _, m := range b.Messages() {
			if date, err := b.Date(t.Context(), m); err != nil || !date.Equal(first) {
				t.Errorf("%d: %v, %v", m.UID, date, err)
			}
			if _, ok := m.Known(); ok {
				t.Errorf("%d: sizes are known, too", m.UID)
			}
		}
		names, err := filepath.Glob(s.root + "/cur/*")
		if err != nil || len(names) != 2 {
			t.Fatal(names, err)
		}
		for _, name := range names {
			if err := os.Chtimes(name, later, later); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := b.StoreFlags(t.Context(), b.Messages(), AddFlags, Seen, nil); err != nil {
		t.Fatal(err)
	}
	if date, err := b.Date(t.Context(), b.Messages()[0]); err != nil || !date.Equal(first) {
		t.Errorf("under another name: %v, %v", date, err)
	}
}
