package maildir

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// MountFile is in the root of mail that lies on a mount, and says which mount that is.
const MountFile = ".mailstore-id"

// ErrNotMounted says that mail would be put where none belongs.
var ErrNotMounted = errors.New("mail is not mounted here")

// CheckMount says whether the first line of root's MountFile is id: the filesystem on which mail lies is there. An empty id asks for
// nothing.
func CheckMount(root, id string) error {
	if id == "" {
		return nil
	}
	path := filepath.Join(root, MountFile)
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotMounted, err)
	}
	defer f.Close()
	line, err := bufio.NewReader(io.LimitReader(f, 1024)).ReadString('\n')
	if err != nil && err != io.EOF {
		return fmt.Errorf("%w: %w", ErrNotMounted, err)
	}
	if line = strings.TrimRight(line, "\r\n"); line != id {
		return fmt.Errorf("%w: %s says %.80q", ErrNotMounted, path, line)
	}
	return nil
}
