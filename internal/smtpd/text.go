package smtpd

import (
	"strings"
	"unicode/utf8"
)

// isText says that s is UTF-8 without control characters.
func isText(s string) bool {
	for _, c := range s {
		if c < ' ' || c >= 0x7f && c < 0xa0 || c == utf8.RuneError {
			return false
		}
	}
	return true
}

// isAtom says that s is an atom (RFC 5321 §4.1.2) in ASCII.
func isAtom(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(`()<>[]:;@\,."`, c) >= 0 {
			return false
		}
	}
	return s != ""
}
