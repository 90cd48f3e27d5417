package pop3d

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"postrider/internal/mailstore"
)

// lockFile is empty and stays; other programs take no notice of it.
const lockFile = "postrider.pop3"

// takeLock takes the lock of a mailbox, or returns ErrInUse.
func takeLock(maildir string) (*os.File, error) {
	f, err := mailstore.TryLock(filepath.Join(maildir, lockFile))
	switch {
	case errors.Is(err, mailstore.ErrLocked):
		return nil, ErrInUse
	case err != nil:
		return nil, fmt.Errorf("lock mailbox: %w", err)
	}
	return f, nil
}
