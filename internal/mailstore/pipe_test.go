package mailstore

import (
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestPipes: nobody waits for what may never come through a pipe in the place of a file.
func TestPipes(t *testing.T) {
	t.Parallel()
	s := newStore(t, Options{})
	for _, name := range []string{modSeqFile, usesMark, metadataFile, indexFile} {
		if err := unix.Mkfifo(filepath.Join(s.root, name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		appendTo(t, s, Inbox, "a: b\n", 0)
		s.SetMetadata(t.Context(), Inbox, []MetadataEntry{{Name: SpecialUse, Value: "x"}})
	}()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatal("still waiting")
	}
}
