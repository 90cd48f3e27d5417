package mailstore

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"postrider/internal/maildir"
)

const validityFile = "dovecot-uidvalidity"

// maxValidityTries bounds the contest with others who take a number at the same time.
const maxValidityTries = 100

// nextValidity takes a UIDVALIDITY for a folder: larger than above, than every one that was taken from these files, and not
// less than now. dovecot-uidvalidity has the last in hex, and so has the name of an empty file; renaming that is what makes
// the number ours.
func (s *Store) nextValidity(above uint32) (uint32, error) {
	path := filepath.Join(s.root, validityFile)
	for tries := range maxValidityTries {
		last := s.validity.Load() // if its mark is still there, nobody has taken another
		marks := []string{markOf(path, last)}
		if tries > 0 || last == 0 {
			var err error
			if last, marks, err = s.lastValidity(path); err != nil {
				return 0, fmt.Errorf("take a UIDVALIDITY: %w", err)
			}
		}
		next := max(uint64(max(last, above))+1, uint64(time.Now().Unix()))
		if next > math.MaxUint32 {
			return 0, errors.New("take a UIDVALIDITY: there is none left")
		}
		taken, err := takeValidity(path, marks, uint32(next))
		if err != nil {
			return 0, fmt.Errorf("take a UIDVALIDITY: %w", diskError(err))
		}
		if taken {
			s.validity.Store(uint32(next))
			return uint32(next), writeValidity(path, uint32(next))
		}
	}
	return 0, fmt.Errorf("take a UIDVALIDITY: %w", ErrLocked)
}

// lastValidity returns the largest number in either form, and the names that carry one.
func (s *Store) lastValidity(path string) (last uint32, marks []string, err error) {
	f, _, err := maildir.Open(path, os.O_RDONLY)
	if err == nil {
		var b [8]byte
		io.ReadFull(f, b[:])
		f.Close()
		n, _ := strconv.ParseUint(string(b[:]), 16, 32) // one that is torn counts as 0; the marks decide
		last = uint32(n)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return 0, nil, err
	}
	err = eachName(s.root, func(name string) {
		hex, ok := strings.CutPrefix(name, validityFile+".")
		n, err := strconv.ParseUint(hex, 16, 32)
		if ok && len(hex) == 8 && err == nil {
			marks = append(marks, filepath.Join(s.root, name))
			last = max(last, uint32(n))
		}
	})
	return last, marks, err
}

// markOf is the file whose name says that a number is taken.
func markOf(path string, n uint32) string { return fmt.Sprintf("%s.%08x", path, n) }

// takeValidity renames a mark to the next number, or makes the first.
func takeValidity(path string, marks []string, next uint32) (taken bool, err error) {
	mark := markOf(path, next)
	if len(marks) == 0 {
		f, err := os.OpenFile(mark, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o444)
		if errors.Is(err, fs.ErrExist) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		return true, f.Close()
	}
	err = os.Rename(marks[0], mark)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil // another was quicker
	}
	if err == nil {
		for _, m := range marks[1:] {
			os.Remove(m) // smaller or equal ones say nothing
		}
	}
	return err == nil, err
}

func writeValidity(path string, n uint32) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return diskError(err)
	}
	defer f.Close()
	_, err = f.WriteAt(fmt.Appendf(nil, "%08x", n), 0)
	return diskError(err)
}
