package imap

import (
	"encoding/base64"
	"errors"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

var errMailbox = errors.New("invalid mailbox name")

// base64M is modified base64 (RFC 3501 §5.1.3).
var base64M = base64.NewEncoding("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,").
	WithPadding(base64.NoPadding).Strict()

// DecodeMailbox turns a mailbox name or pattern from the wire into UTF-8. INBOX is written so in any case. A name that is
// already UTF-8 is taken as it is; of modified UTF-7 only the one right form of a name is accepted, so that two names on
// the wire are never one.
func DecodeMailbox(wire string) (string, error) {
	name := wire
	if isASCII(wire) {
		var ok bool
		if name, ok = decodeUTF7(wire); !ok || EncodeMailbox(name) != wire {
			return "", errMailbox
		}
	}
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

func decodeUTF7(wire string) (string, bool) {
	if strings.IndexByte(wire, '&') < 0 {
		return wire, true
	}
	var name strings.Builder
	for {
		plain, rest, shifted := strings.Cut(wire, "&")
		name.WriteString(plain)
		if !shifted {
			return name.String(), true
		}
		code, rest, ended := strings.Cut(rest, "-")
		if !ended {
			return "", false
		}
		if code == "" {
			name.WriteByte('&')
		} else if !decodeShifted(&name, code) {
			return "", false
		}
		wire = rest
	}
}

// decodeShifted writes what stands between "&" and "-".
func decodeShifted(name *strings.Builder, code string) bool {
	raw, err := base64M.DecodeString(code)
	if err != nil || len(raw)%2 != 0 {
		return false
	}
	for i := 0; i < len(raw); i += 2 {
		c := rune(raw[i])<<8 | rune(raw[i+1])
		if utf16.IsSurrogate(c) {
			if i+3 >= len(raw) {
				return false
			}
			c = utf16.DecodeRune(c, rune(raw[i+2])<<8|rune(raw[i+3]))
			if c == utf8.RuneError {
				return false
			}
			i += 2
		}
		name.WriteRune(c)
	}
	return true
}

// EncodeMailbox returns the name in modified UTF-7. What is not UTF-8 becomes U+FFFD.
func EncodeMailbox(name string) string { return string(appendUTF7(nil, name)) }

func appendUTF7(b []byte, name string) []byte {
	for len(name) > 0 {
		n := strings.IndexFunc(name, isShifted)
		if n < 0 {
			n = len(name)
		}
		for i := range n {
			if b = append(b, name[i]); name[i] == '&' {
				b = append(b, '-')
			}
		}
		name = name[n:]
		n = strings.IndexFunc(name, func(c rune) bool { return !isShifted(c) })
		if n < 0 {
			n = len(name)
		}
		b = appendShifted(b, name[:n])
		name = name[n:]
	}
	return b
}

func isShifted(c rune) bool { return c < ' ' || c > '~' }

func appendShifted(b []byte, text string) []byte {
	if text == "" {
		return b
	}
	var raw []byte
	for _, c := range text {
		if hi, lo := utf16.EncodeRune(c); hi != utf8.RuneError {
			raw = append(raw, byte(hi>>8), byte(hi), byte(lo>>8), byte(lo))
		} else {
			raw = append(raw, byte(c>>8), byte(c))
		}
	}
	b = append(b, '&')
	b = base64M.AppendEncode(b, raw)
	return append(b, '-')
}
