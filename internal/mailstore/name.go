package mailstore

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
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
	bad := !utf8.ValidString(name) || len(EncodeName(name))+1 > maxName ||
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
	path = filepath.Join(s.root, "."+EncodeName(name))
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
	name, err := DecodeName(dir)
	if err != nil {
		name = dir
	}
	normal, err := normalName(name)
	return name, err == nil && normal == name && name != Inbox
}

// mailboxBase64 is the alphabet of RFC 3501 §5.1.3.
var mailboxBase64 = base64.NewEncoding("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,").WithPadding(base64.NoPadding)

// EncodeName writes a name in modified UTF-7 (RFC 3501 §5.1.3).
func EncodeName(name string) string {
	var b strings.Builder
	var run []rune
	flush := func() {
		if len(run) > 0 {
			var raw []byte
			for _, u := range utf16.Encode(run) {
				raw = append(raw, byte(u>>8), byte(u))
			}
			b.WriteString("&" + mailboxBase64.EncodeToString(raw) + "-")
			run = run[:0]
		}
	}
	for _, r := range name {
		if r < ' ' || r > '~' {
			run = append(run, r)
			continue
		}
		flush()
		b.WriteRune(r)
		if r == '&' {
			b.WriteByte('-')
		}
	}
	flush()
	return b.String()
}

// DecodeName reads a name in modified UTF-7. Only the one way to write a name is taken.
func DecodeName(s string) (string, error) {
	bad := fmt.Errorf("%w: %.60q is not modified UTF-7", ErrName, s)
	var b strings.Builder
	for rest := s; rest != ""; {
		plain, coded, found := strings.Cut(rest, "&")
		b.WriteString(plain)
		if !found {
			break
		}
		code, after, found := strings.Cut(coded, "-")
		if !found {
			return "", bad
		}
		if rest = after; code == "" {
			b.WriteByte('&')
			continue
		}
		raw, err := mailboxBase64.DecodeString(code)
		if err != nil || len(raw)%2 != 0 {
			return "", bad
		}
		units := make([]uint16, len(raw)/2)
		for i := range units {
			units[i] = uint16(raw[2*i])<<8 | uint16(raw[2*i+1])
		}
		b.WriteString(string(utf16.Decode(units)))
	}
	if name := b.String(); EncodeName(name) == s {
		return name, nil
	}
	return "", bad
}
