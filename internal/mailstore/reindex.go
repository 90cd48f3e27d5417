package mailstore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// disposable are the files of a folder that only save time.
var disposable = []string{"postrider.index", "postrider.cache"}

// Reindex removes what is kept of a folder to save time and opens it once, which makes what is needed anew.
func (s *Store) Reindex(ctx context.Context, name string) error {
	f, err := s.openFolder(name)
	if err != nil {
		return fmt.Errorf("reindex: %w", err)
	}
	defer s.closeFolder(f)
	for _, file := range disposable {
		if err := os.Remove(f.path(file)); err != nil && !errors.Is(err, fs.ErrNotExist) {
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
