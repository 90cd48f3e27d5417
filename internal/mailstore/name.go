package mailstore

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"postrider/internal/mutf7"
)

// Separator stands between the parts of a folder's name, as in Maildir++.
const Separator = "."

// Inbox is the folder that is the Maildir itself.
const Inbox = "INBOX"

// maxName is what a filesystem takes as one name.
const maxName = 255

// normalName checks a folder's name (UTF-8, parts separated by dots) and writes INBOX as it is written.
func normalName(name string) (string, error) {
	if first, rest, more := strings.Cut(name, Separator); strings.EqualFold(first, Inbox) {
		name = Inbox
		if more {
			name += Separator + rest
		}
	}
	bad := !utf8.ValidString(name) || len(mutf7.Encode(name))+1 > maxName ||
		strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == '/' || r == 0x7f })
	for part := range strings.SplitSeq(name, Separator) {
		bad = bad || part == ""
	}
	if bad {
		return "", fmt.Errorf("%w: %.60q", ErrName, name)
	}
	return name, nil
}

// dir is the directory of a folder that may exist: as Dovecot names it, or else as Courier does, in UTF-8, if that directory is not
// another folder's.
func (s *Store) dir(name string) (path string, exists bool) {
	if name == Inbox {
		return s.root, true
	}
	path = filepath.Join(s.root, "."+mutf7.Encode(name))
	if isDir(path) {
		return path, true
	}
	if known, ok := folderName("." + name); ok && known == name {
		if plain := filepath.Join(s.root, "."+name); isDir(plain) {
			return plain, true
		}
	}
	return path, false
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// folderName is the name of the folder in a directory of the store; ok is false for one that is none.
func folderName(dir string) (name string, ok bool) {
	dir, ok = strings.CutPrefix(dir, ".")
	if !ok {
		return "", false
	}
	name, decodes := mutf7.Decode(dir)
	if !decodes {
		name = dir
	}
	normal, err := normalName(name)
	return name, err == nil && normal == name && name != Inbox
}
