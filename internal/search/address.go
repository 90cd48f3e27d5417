package search

import (
	"bytes"
	"slices"
	"strings"

	"postrider/internal/mime"
)

// maxAddresses is how many addresses of a field are searched in the form that a client shows. All are searched as they
// stand.
const maxAddresses = 1000

func isAddressField(name string) bool {
	return slices.ContainsFunc([]string{"From", "To", "Cc", "Bcc"}, func(f string) bool { return strings.EqualFold(f, name) })
}

// marks are what the other form of a plain address may have where the value has none.
const marks = "\"\\<>"

// isPlainAddress says that a value is one address, in ASCII, whose other form is the same but for marks.
func isPlainAddress(value []byte) bool {
	_, _, rest, ok := mime.PlainAddress(value)
	return ok && len(rest) == 0 && bytes.IndexByte(value, '"') < 0 && asciiPrefix(value) == len(value)
}

// addressForm adds an address list, written anew, to b: `Name <mailbox@domain>, …`, without comments and needless quotes.
func addressForm(b, value []byte) []byte {
	separator, group := "", false
	for _, a := range mime.ParseAddresses(value, maxAddresses) {
		switch {
		case a.Domain != nil:
			b = append(b, separator...)
			b = appendAddress(b, a)
			separator = ", "
		case group:
			b = append(b, ';')
			separator, group = ", ", false
		default:
			b = append(b, separator...)
			b = append(appendPhrase(b, deref(a.Mailbox), "!#$%&'*+-/=?^_`{|}~"), ": "...)
			separator, group = "", true
		}
	}
	return b
}

func appendAddress(b []byte, a mime.Address) []byte {
	const atext = "!#$%&'*+-/=?^_`{|}~"
	if a.Name != nil {
		b = append(appendPhrase(b, *a.Name, atext), ' ')
	}
	b = append(b, '<')
	if a.Route != nil {
		b = append(append(b, *a.Route...), ':')
	}
	b = appendPhrase(b, deref(a.Mailbox), atext+".")
	return append(append(append(b, '@'), *a.Domain...), '>')
}

// appendPhrase adds a string, quoted unless it is an encoded word or all letters, digits, 8-bit octets and others allowed.
func appendPhrase(b []byte, s, others string) []byte {
	plain := func(c byte) bool {
		return c >= 0x80 || '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z' || strings.IndexByte(others, c) >= 0
	}
	i := 0
	for i < len(s) && plain(s[i]) {
		i++
	}
	if s != "" && i == len(s) || strings.Contains(s, "=?") {
		return append(b, s...)
	}
	b = append(b, '"')
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' || s[i] == '\'' {
			b = append(b, '\\')
		}
		b = append(b, s[i])
	}
	return append(b, '"')
}

func deref(v mime.Value) string {
	if v == nil {
		return ""
	}
	return *v
}
