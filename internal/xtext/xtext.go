// Package xtext writes and reads xtext (RFC 3461 §4), the form in which values from outside stand in envelopes, in SMTP
// parameters and on the auth socket: no blank, no control character, no "=" or "+" survives unescaped.
package xtext

import (
	"errors"
	"strings"
	"unicode/utf8"
)

const hex = "0123456789ABCDEF"

// ErrSyntax is returned for text that no encoder would have written.
var ErrSyntax = errors.New("xtext: bad syntax")

// Append encodes s onto b. UTF-8 stays as it is (RFC 6533 §3); bytes that are not valid UTF-8 are escaped.
func Append(b []byte, s string) []byte {
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if c <= ' ' || c == '+' || c == '=' || c == 0x7f {
				b = append(b, '+', hex[c>>4], hex[c&15])
			} else {
				b = append(b, c)
			}
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 || r < 0xa0 {
			for ; n > 0; n-- {
				b = append(b, '+', hex[s[i]>>4], hex[s[i]&15])
				i++
			}
			continue
		}
		b = append(b, s[i:i+n]...)
		i += n
	}
	return b
}

// Encode returns s as xtext.
func Encode(s string) string { return string(Append(nil, s)) }

// Decode returns what the xtext s means.
func Decode(s string) (string, error) {
	if strings.IndexByte(s, '+') < 0 {
		return s, check(s)
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '+' {
			if err := check(s[i : i+1]); err != nil {
				return "", err
			}
			b.WriteByte(s[i])
			continue
		}
		if i+2 >= len(s) {
			return "", ErrSyntax
		}
		hi, lo := strings.IndexByte(hex, s[i+1]), strings.IndexByte(hex, s[i+2])
		if hi < 0 || lo < 0 {
			return "", ErrSyntax
		}
		b.WriteByte(byte(hi<<4 | lo))
		i += 2
	}
	return b.String(), nil
}

func check(s string) error {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c == '=' || c == 0x7f {
			return ErrSyntax
		}
	}
	return nil
}
