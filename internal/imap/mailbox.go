package imap

import (
	"errors"
	"strings"
	"unicode/utf8"

	"postrider/internal/mutf7"
)

var errMailbox = errors.New("invalid mailbox name")

// DecodeMailbox turns a mailbox name or pattern from the wire into UTF-8. INBOX is written so in any case. A name that is
// already UTF-8 is taken as it is, but for "&-": clients who see IMAP4rev2 announced send UTF-8 before they ENABLE it, and
// escape what modified UTF-7 escapes.
func DecodeMailbox(wire string) (string, error) {
	name := strings.ReplaceAll(wire, "&-", "&")
	if isASCII(wire) {
		var ok bool
		if name, ok = mutf7.Decode(wire); !ok {
			return "", errMailbox
		}
	}
	return checkMailbox(name)
}

// checkMailbox takes a name in UTF-8, in which "&" is a character as any other (RFC 6855 §3, 9051 §5.1).
func checkMailbox(name string) (string, error) {
	if !utf8.ValidString(name) || strings.ContainsFunc(name, isControl) {
		return "", errMailbox
	}
	if strings.EqualFold(name, "INBOX") {
		return "INBOX", nil
	}
	return name, nil
}

func isControl(c rune) bool { return c < ' ' || 0x7f <= c && c < 0xa0 }

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
