// Package mutf7 is modified UTF-7, in which names of mailboxes go over the wire of IMAP and stand in a Maildir++ (RFC 3501
// §5.1.3). Of all the ways to write a name only one is taken, so that two spellings are never one mailbox.
package mutf7

import (
	"encoding/base64"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// modified is base64 with a comma for the slash, and without padding.
var modified = base64.NewEncoding("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,").
	WithPadding(base64.NoPadding)

func isDirect(c rune) bool  { return ' ' <= c && c <= '~' }
func isShifted(c rune) bool { return !isDirect(c) }

// isPlain says that a name is written as it is.
func isPlain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '&' {
			return false
		}
	}
	return true
}

// Encode writes a name. What is not UTF-8 in it becomes U+FFFD.
func Encode(name string) string {
	if isPlain(name) {
		return name
	}
	var b strings.Builder
	for name != "" {
		direct, rest := cut(name, isShifted)
		b.WriteString(strings.ReplaceAll(direct, "&", "&-"))
		shifted, rest := cut(rest, isDirect)
		if shifted != "" {
			b.WriteString("&" + modified.EncodeToString(appendUTF16(nil, shifted)) + "-")
		}
		name = rest
	}
	return b.String()
}

// cut divides s in front of the first character of a class.
func cut(s string, class func(rune) bool) (before, rest string) {
	if i := strings.IndexFunc(s, class); i >= 0 {
		return s[:i], s[i:]
	}
	return s, ""
}

func appendUTF16(b []byte, s string) []byte {
	for _, c := range s {
		if hi, lo := utf16.EncodeRune(c); hi != utf8.RuneError {
			b = append(b, byte(hi>>8), byte(hi), byte(lo>>8), byte(lo))
		} else {
			b = append(b, byte(c>>8), byte(c))
		}
	}
	return b
}

// Decode reads a name; ok is false for what Encode writes of none.
func Decode(wire string) (name string, ok bool) {
	if isPlain(wire) {
		return wire, true
	}
	var b strings.Builder
	for rest := wire; rest != ""; {
		plain, coded, shifted := strings.Cut(rest, "&")
		b.WriteString(plain)
		if !shifted {
			break
		}
		code, after, ended := strings.Cut(coded, "-")
		if !ended {
			return "", false
		}
		if rest = after; code == "" {
			b.WriteByte('&')
			continue
		}
		raw, err := modified.DecodeString(code)
		if err != nil || len(raw)%2 != 0 {
			return "", false
		}
		units := make([]uint16, len(raw)/2)
		for i := range units {
			units[i] = uint16(raw[2*i])<<8 | uint16(raw[2*i+1])
		}
		b.WriteString(string(utf16.Decode(units)))
	}
	if name = b.String(); Encode(name) != wire {
		return "", false
	}
	return name, true
}
