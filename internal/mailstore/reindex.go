package mailstore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// Reindex removes what is kept of a folder to save time and opens it once, which makes the index anew; sessions fill the cache. The
// mod-sequences are lost with it, so that clients ask for all flags once.
func (s *Store) Reindex(ctx context.Context, name string) error {
	f, err := s.openFolder(name)
	if err != nil {
		return fmt.Errorf("reindex: %w", err)
	}
	defer s.closeFolder(f)
	for _, path := range []string{s.index(f.dir, f.id).path, s.cachePath(f.dir, f.id)} {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("reindex %s: %w", name, err)
		}
	}
	b, err := s.Open(ctx, name, true)
	if b != nil {
		b.Close()
	}
	if err != nil {
		return fmt.Errorf("reindex: %w", err)
	}
	return nil
}
