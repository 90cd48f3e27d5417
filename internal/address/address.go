// Package address parses and prints mail addresses and SMTP paths (RFC 5321 §4.1.2, RFC 6531 §3.3). It trusts nothing:
// its input comes from the network, from headers and from users' files.
package address

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// Limits in octets. A local part of 64 is what every host must accept (RFC 5321 §4.5.3.1.1); bounce addresses of mailing
// lists are often longer, so only the whole path is bounded tightly.
const (
	MaxPath   = 512
	MaxLocal  = 255
	MaxDomain = 255
)

// Address is a mailbox. Local is the local part as it is meant, without quoting. Domain is a lower-case A-label domain, an
// address literal in brackets, or empty for a name still to be qualified. The zero Address is the null reverse-path.
type Address struct {
	Local, Domain string
}

// ErrSyntax is wrapped by every error of this package.
var ErrSyntax = errors.New("address syntax")

func syntax(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrSyntax, fmt.Sprintf(format, args...))
}

// domains maps U-labels to A-labels as a client would look them up (RFC 5891 §5), but lets underscores and other
// ASCII that is in use pass to our own check.
var domains = idna.New(idna.MapForLookup(), idna.Transitional(false), idna.StrictDomainName(false))

// Parse reads `local@domain`, or a bare local part, which leaves Domain empty.
func Parse(s string) (Address, error) {
	a, rest, err := parseMailbox(s)
	if err != nil {
		return Address{}, err
	}
	if rest != "" {
		return Address{}, syntax("unexpected %.20q after the address", rest)
	}
	return a, nil
}

// ParsePath reads `<path>` at the start of s and returns what follows it. A source route is dropped (RFC 5321 §4.1.2,
// appendix C); `<>` is the null path.
func ParsePath(s string) (a Address, rest string, err error) {
	if !strings.HasPrefix(s, "<") {
		return a, s, syntax("a path begins with <")
	}
	s = s[1:]
	if strings.HasPrefix(s, ">") {
		return a, s[1:], nil
	}
	if strings.HasPrefix(s, "@") {
		if s, err = dropRoute(s); err != nil {
			return a, s, err
		}
	}
	a, rest, err = parseMailbox(s)
	if err != nil {
		return Address{}, rest, err
	}
	if !strings.HasPrefix(rest, ">") {
		return Address{}, rest, syntax("a path ends with >")
	}
	return a, rest[1:], nil
}

// dropRoute skips `@a,@b:`.
func dropRoute(s string) (string, error) {
	for {
		end := strings.IndexAny(s, ",:")
		if end < 0 || !strings.HasPrefix(s, "@") {
			return s, syntax("bad source route")
		}
		if _, err := Domain(s[1:end]); err != nil {
			return s, err
		}
		more := s[end] == ','
		if s = s[end+1:]; !more {
			return s, nil
		}
	}
}

func parseMailbox(s string) (Address, string, error) {
	if !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return r >= 0x80 && r < 0xa0 }) {
		return Address{}, s, syntax("invalid UTF-8 or a control character")
	}
	var a Address
	var err error
	rest := s
	if strings.HasPrefix(s, `"`) {
		a.Local, rest, err = quotedString(s)
	} else {
		a.Local, rest, err = dotString(s)
	}
	if err != nil {
		return Address{}, s, err
	}
	if len(a.Local) > MaxLocal {
		return Address{}, s, syntax("local part longer than %d octets", MaxLocal)
	}
	if !strings.HasPrefix(rest, "@") {
		return a, rest, nil
	}
	rest = rest[1:]
	end := len(rest)
	if strings.HasPrefix(rest, "[") {
		if end = strings.IndexByte(rest, ']') + 1; end == 0 {
			return Address{}, s, syntax("unterminated address literal")
		}
	} else if i := strings.IndexAny(rest, "> \t,;"); i >= 0 {
		end = i
	}
	if a.Domain, err = Domain(rest[:end]); err != nil {
		return Address{}, s, err
	}
	return a, rest[end:], nil
}

// dotString reads Dot-string: atoms joined by single dots (RFC 5321 §4.1.2; UTF-8 by RFC 6531 §3.3).
func dotString(s string) (local, rest string, err error) {
	i := 0
	for i < len(s) && (s[i] == '.' || isAtext(s[i])) {
		i++
	}
	local = s[:i]
	if local == "" {
		return "", s, syntax("empty local part")
	}
	if local[0] == '.' || local[i-1] == '.' || strings.Contains(local, "..") {
		return "", s, syntax("misplaced dot in %.64q", local)
	}
	return local, s[i:], nil
}

// quotedString reads Quoted-string and returns what it means.
func quotedString(s string) (local, rest string, err error) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			return b.String(), s[i+1:], nil
		case c == '\\':
			if i++; i == len(s) || s[i] < ' ' || s[i] > '~' {
				return "", s, syntax("bad escape in a quoted local part")
			}
			b.WriteByte(s[i])
		case c < ' ' || c == 0x7f:
			return "", s, syntax("control character in a quoted local part")
		default:
			b.WriteByte(c)
		}
		if b.Len() > MaxLocal {
			return "", s, syntax("local part longer than %d octets", MaxLocal)
		}
	}
	return "", s, syntax("unterminated quoted local part")
}

func isAtext(c byte) bool {
	return c >= 0x80 || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
		strings.IndexByte("!#$%&'*+-/=?^_`{|}~", c) >= 0
}

// Domain checks a domain or address literal and returns its canonical form: lower-case A-labels, or `[192.0.2.1]`,
// `[IPv6:2001:db8::1]`.
func Domain(s string) (string, error) {
	if strings.HasPrefix(s, "[") {
		return literal(s)
	}
	if s == "" || len(s) > MaxDomain {
		return "", syntax("bad domain length")
	}
	d := s
	if !plainDomain(s) {
		var err error
		if d, err = domains.ToASCII(s); err != nil {
			return "", syntax("domain %.64q: %v", s, err)
		}
	}
	if len(d) > MaxDomain {
		return "", syntax("bad domain length")
	}
	for label := range strings.SplitSeq(d, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return "", syntax("bad domain %.64q", s)
		}
		for i := range len(label) {
			if c := label[i]; !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_') {
				return "", syntax("bad domain %.64q", s)
			}
		}
	}
	return d, nil
}

// plainDomain says that a domain is already in the form that the IDNA mapping would give it.
func plainDomain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c >= 0x80 || 'A' <= c && c <= 'Z' {
			return false
		}
	}
	return !strings.HasPrefix(s, "xn--") && !strings.Contains(s, ".xn--")
}

// literal canonicalises an address literal (RFC 5321 §4.1.3).
func literal(s string) (string, error) {
	if len(s) < 3 || s[len(s)-1] != ']' {
		return "", syntax("bad address literal")
	}
	text := s[1 : len(s)-1]
	v6 := len(text) > 5 && strings.EqualFold(text[:5], "IPv6:")
	if v6 {
		text = text[5:]
	}
	ip, err := netip.ParseAddr(text)
	if err != nil || ip.Zone() != "" || ip.Is4() == v6 {
		return "", syntax("bad address literal %.64q", s)
	}
	return Literal(ip), nil
}

// Literal writes an IP address as an address literal.
func Literal(ip netip.Addr) string {
	if ip = ip.Unmap(); ip.Is4() {
		return "[" + ip.String() + "]"
	}
	return "[IPv6:" + ip.String() + "]"
}

// IsNull says that this is the null reverse-path.
func (a Address) IsNull() bool { return a == Address{} }

// IsASCII says that the address can be sent without SMTPUTF8.
func (a Address) IsASCII() bool {
	for i := range len(a.Local) {
		if a.Local[i] >= 0x80 {
			return false
		}
	}
	return true
}

// String writes the address with the quoting that it needs; the null address is "".
func (a Address) String() string {
	local := a.Local
	if !a.IsNull() && needsQuotes(local) {
		local = quote(local)
	}
	if a.Domain == "" {
		return local
	}
	return local + "@" + a.Domain
}

func needsQuotes(local string) bool {
	if local == "" || local[0] == '.' || local[len(local)-1] == '.' || strings.Contains(local, "..") {
		return true
	}
	for i := range len(local) {
		if c := local[i]; c != '.' && !isAtext(c) {
			return true
		}
	}
	return false
}

func quote(local string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(local) {
		if c := local[i]; c == '"' || c == '\\' {
			b.WriteByte('\\')
		}
		b.WriteByte(local[i])
	}
	b.WriteByte('"')
	return b.String()
}

// Key is the address as tables are searched for it: local parts of this host are case-insensitive.
func (a Address) Key() string {
	a.Local = strings.ToLower(a.Local)
	return a.String()
}

// SplitExtension cuts `user+extension` at the first of delims; a delimiter at the very start does not count.
func SplitExtension(local, delims string) (user, ext string) {
	if i := strings.IndexAny(local, delims); i > 0 && delims != "" {
		return local[:i], local[i+1:]
	}
	return local, ""
}
