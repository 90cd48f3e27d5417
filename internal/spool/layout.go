package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Init makes the spool's directories for one uid: tests, make run, a container. With separate uids the package does it
// (tmpfiles.d), since no daemon may.
func Init(root string) error {
	for _, d := range []struct {
		name string
		mode uint32
	}{{"", 0o755}, {"stage", 0o2700}, {"remote", 0o711}, {"remote/new", 0o1730}, {"local", 0o711}, {"local/new", 0o1730}} {
		path := filepath.Join(root, d.name)
		if err := os.Mkdir(path, 0o700); err != nil {
			if errors.Is(err, fs.ErrExist) {
				continue
			}
			return fmt.Errorf("make spool: %w", err)
		}
		if err := unix.Chmod(path, d.mode); err != nil {
			return fmt.Errorf("make spool: chmod %s: %w", path, err)
		}
	}
	return nil
}
