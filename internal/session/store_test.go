package session

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"postrider/internal/mailstore"
	"postrider/internal/session/handover"
)

// TestIdleStores: who comes back finds the store, unless the Maildir or the settings are others, or too many came meanwhile.
func TestIdleStores(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	var s stores
	visit := func(name string, quota int64) *mailstore.Store {
		t.Helper()
		home := filepath.Join(root, name)
		store, give, err := s.take(&Request{Session: handover.Session{Home: home, Maildir: home + "/Maildir", Quota: quota}}, root)
		if err != nil {
			t.Fatal(err)
		}
		give()
		return store
	}
	visit("alice", 0) // which makes her Maildir
	first := visit("alice", 0)
	if visit("alice", 0) != first {
		t.Error("another store for who comes back")
	}
	if visit("alice", 1000) == first {
		t.Error("the same store in spite of a quota")
	}
	if err := os.Rename(root+"/alice/Maildir", root+"/alice/Old"); err != nil {
		t.Fatal(err)
	}
	visit("alice", 0)
	second := visit("alice", 0)
	if second == first {
		t.Error("the same store for another Maildir")
	}
	for i := range maxIdle {
		visit(strconv.Itoa(i), 0)
	}
	if visit("alice", 0) == second || len(s.idle) != maxIdle || len(s.all) != maxIdle {
		t.Errorf("%d stores are kept", len(s.idle))
	}
}
