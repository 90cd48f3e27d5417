package filelock

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestTake(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lock")
	first, err := Take(t.Context(), path, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Take(t.Context(), path, 0); !errors.Is(err, ErrLocked) {
		t.Error("taken twice:", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Take(ctx, path, time.Hour); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	taken := make(chan error)
	go func() {
		f, err := Take(t.Context(), path, time.Minute)
		if err == nil {
			err = f.Close()
		}
		taken <- err
	}()
	first.Close()
	if err := <-taken; err != nil {
		t.Error("after it was given back:", err)
	}
}

// TestBeside has several share a lock, and none of them beside one who wants it alone.
func TestBeside(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	lock := func(exclusive bool) (*os.File, error) {
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f, Lock(t.Context(), f, exclusive, 0)
	}
	a, errA := lock(false)
	b, errB := lock(false)
	if errA != nil || errB != nil {
		t.Error("two beside each other:", errA, errB)
	}
	if _, err := lock(true); !errors.Is(err, ErrLocked) {
		t.Error("alone beside others:", err)
	}
	a.Close()
	b.Close()
	if _, err := lock(true); err != nil {
		t.Error("alone:", err)
	}
	if _, err := lock(false); !errors.Is(err, ErrLocked) {
		t.Error("beside one who is alone:", err)
	}
}

// TestPlaces: nothing but a file is locked, and what cannot be locked is no lock.
func TestPlaces(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Symlink("lock", dir+"/link"); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]error{"link": unix.ELOOP, "none/lock": unix.ENOENT, ".": unix.EISDIR} {
		if f, err := Take(t.Context(), dir+"/"+name, 0); !errors.Is(err, want) {
			t.Errorf("%s: %v, %v", name, f, err)
		}
	}
}
