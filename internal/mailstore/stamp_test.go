package mailstore

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

func TestStamp(t *testing.T) {
	t.Parallel()
	const s = int64(time.Second)
	now := time.Unix(1000, 4_000_001)
	for _, tt := range []struct {
		name  string
		mtime int64
		young bool
	}{
		{"in the tick", now.UnixNano(), true},
		{"later than the clock", now.UnixNano() + 1, true},
		{"in the tick, kept as microseconds", now.UnixNano() - 1, true},
		{"before the tick", now.UnixNano() - int64(fineTime), false},
		{"seconds, the same", 1000 * s, true},
		{"seconds, the one before", 999 * s, true},
		{"seconds, long ago", 998 * s, false},
		{"hundredths, just now", 1000*s - int64(coarseTime), true},
	} {
		if got := stampOf(fileID{Mtime: tt.mtime}, now).Young; got != tt.young {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
	young := stamp{Young: true}
	if !young.stale(fileID{}, time.Unix(-10, 0)) || young.stale(fileID{}, time.Unix(1, 0)) || !young.stale(fileID{}, time.Unix(2, 0)) {
		t.Error("a young one is not stale when, and only when, it has been at rest, or the clock was set back")
	}
}

// TestNothingMissed makes files right before and after a listing: what is not in it shows by the time, or the stamp says that it may not.
func TestNothingMissed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	young := 0
	for i := range 2000 {
		if err := os.WriteFile(filepath.Join(dir, strconv.Itoa(2*i)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if i%50 == 0 {
			tick()
		}
		d, _, err := list(dir, kernelTime())
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, strconv.Itoa(2*i+1)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		id, err := statID(dir)
		if err != nil {
			t.Fatal(err)
		}
		if d.stamp.Young {
			young++
		} else if id == d.stamp.ID {
			t.Fatal("a file came after the listing, and nothing says so")
		}
		if err := errors.Join(os.Remove(filepath.Join(dir, strconv.Itoa(2*i))), os.Remove(filepath.Join(dir, strconv.Itoa(2*i+1)))); err != nil {
			t.Fatal(err) // a listing shall not take longer than a tick
		}
	}
	if young == 2000 {
		t.Error("all were young: nothing was tried")
	}
}
