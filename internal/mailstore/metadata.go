package mailstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"postrider/internal/maildir"
)

// Files of entries (RFC 5464), one "name TAB value" in a line, the names in order and in lower case, values with Dovecot's escapes.
const (
	metadataFile    = "postrider.metadata"        // of a folder, in its directory
	serverMetadata  = "postrider.server-metadata" // of the server, in the root
	usesMark        = "postrider.specialuse"      // empty, in the root: a folder may have a use of the user's own choice
	metadataVersion = "postrider-metadata 1"
	maxMetadata     = 4 << 20 // octets of a file
)

// SpecialUse is the entry that says what a folder is for (RFC 6154 §5.4).
const SpecialUse = "/private/specialuse"

// Limits of the entries of a folder, and of the server.
const (
	MaxMetadataValue   = 16 << 10 // octets
	maxMetadataEntries = 100
)

// Errors of SetMetadata that a session answers in its own way.
var (
	ErrMetadataSize  = errors.New("metadata value is too large")
	ErrMetadataCount = errors.New("too many metadata entries")
)

// metadataPath is the file of a folder's entries; "" is the server.
func (s *Store) metadataPath(name string) (string, error) {
	if name == "" {
		return filepath.Join(s.root, serverMetadata), nil
	}
	name, err := normalName(name)
	if err != nil {
		return "", err
	}
	dir, exists := s.dir(name)
	if !exists {
		return "", ErrNoFolder
	}
	return filepath.Join(dir, metadataFile), nil
}

// Metadata returns the entries of a folder; of the server, if the name is empty.
func (s *Store) Metadata(name string) (map[string]string, error) {
	path, err := s.metadataPath(name)
	if err != nil {
		return nil, fmt.Errorf("metadata of %s: %w", name, err)
	}
	entries, err := readMetadata(path)
	if err != nil {
		return nil, fmt.Errorf("metadata of %s: %w", name, err)
	}
	return entries, nil
}

func readMetadata(path string) (map[string]string, error) {
	f, _, err := maildir.Open(path, os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return map[string]string{}, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return parseMetadata(f)
}

// parseMetadata passes over what is no entry, and what is beyond the limits.
func parseMetadata(r io.Reader) (map[string]string, error) {
	entries := make(map[string]string)
	lines := newLineReader(io.LimitReader(r, maxMetadata))
	for first := true; ; first = false {
		line, err := lines.next()
		switch {
		case err == io.EOF:
			return entries, nil
		case err == errLongLine:
			continue
		case err != nil:
			return nil, err
		case first && line != metadataVersion:
			return nil, fmt.Errorf("unknown version %.40q", line)
		case first:
			continue
		}
		name, value, ok := strings.Cut(line, "\t")
		if ok && strings.HasPrefix(name, "/") && len(entries) < maxMetadataEntries {
			if value = tabUnescapes.Replace(value); len(value) <= MaxMetadataValue {
				entries[name] = value
			}
		}
	}
}

func formatMetadata(entries map[string]string) string {
	var b strings.Builder
	b.WriteString(metadataVersion + "\n")
	for _, name := range slices.Sorted(maps.Keys(entries)) {
		b.WriteString(name + "\t" + tabEscapes.Replace(entries[name]) + "\n")
	}
	return b.String()
}

// MetadataEntry is what SetMetadata does with an entry: it gets a value, or goes. The name is in lower case, without control
// characters.
type MetadataEntry struct {
	Name, Value string
	Remove      bool
}

// SetMetadata changes entries of a folder, of the server if the name is empty: all of them, or none.
func (s *Store) SetMetadata(ctx context.Context, name string, changes []MetadataEntry) error {
	path, err := s.metadataPath(name)
	if err == nil {
		err = s.setMetadata(ctx, path, changes)
	}
	if err != nil {
		return fmt.Errorf("set metadata of %s: %w", name, diskError(err))
	}
	return nil
}

func (s *Store) setMetadata(ctx context.Context, path string, changes []MetadataEntry) error {
	if err := s.markUses(changes); err != nil {
		return err
	}
	lock, err := takeDotlock(ctx, path+".lock", s.opts.LockTimeout)
	if errors.Is(err, fs.ErrNotExist) {
		return ErrNoFolder
	}
	if err != nil {
		return err
	}
	defer lock.release()
	entries, err := readMetadata(path)
	if err == nil {
		err = applyMetadata(entries, changes)
	}
	if err == nil {
		_, err = lock.write(path, formatMetadata(entries))
	}
	return err
}

func applyMetadata(entries map[string]string, changes []MetadataEntry) error {
	for _, c := range changes {
		switch {
		case c.Remove:
			delete(entries, c.Name)
		case len(c.Value) > MaxMetadataValue:
			return ErrMetadataSize
		default:
			entries[c.Name] = c.Value
		}
	}
	if len(entries) > maxMetadataEntries {
		return ErrMetadataCount
	}
	return nil
}

// markUses has SpecialUses look into the folders from now on.
func (s *Store) markUses(changes []MetadataEntry) error {
	if !slices.ContainsFunc(changes, func(c MetadataEntry) bool { return c.Name == SpecialUse && !c.Remove }) {
		return nil
	}
	f, err := os.OpenFile(filepath.Join(s.root, usesMark), os.O_WRONLY|os.O_CREATE|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

// SpecialUses returns the entry SpecialUse of the folders that have it. Where no folder was ever given one this is a system call.
func (s *Store) SpecialUses() (map[string]string, error) {
	if _, err := os.Lstat(filepath.Join(s.root, usesMark)); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	names, err := s.names()
	if err != nil {
		return nil, fmt.Errorf("special uses: %w", err)
	}
	uses := make(map[string]string)
	for _, name := range names {
		if entries, err := s.Metadata(name); err == nil && entries[SpecialUse] != "" {
			uses[name] = entries[SpecialUse]
		}
	}
	return uses, nil
}
