package sortkey

import (
	"bytes"

	"postrider/internal/mime"
)

// address gives the mailbox of the first address of a field, and its name or, without one, the address. A group is its
// name.
func (m *Maker) address(field int) (mailbox, name []byte) {
	value := m.unfolded(field)
	if words, address, at := plainAddress(value); at > 0 {
		if len(words) == 0 {
			return address[:at], address
		}
		return address[:at], orElse(mime.DecodeWords(nil, words), address)
	}
	list := mime.ParseAddresses(value, 1)
	if len(list) == 0 || list[0].Mailbox == nil {
		return nil, nil
	}
	a := list[0]
	mailbox, address := []byte(*a.Mailbox), []byte(*a.Mailbox)
	if a.Domain != nil {
		address = append(append(address, '@'), *a.Domain...)
	}
	if a.Name != nil {
		name = mime.DecodeWords(nil, []byte(*a.Name))
	}
	return mailbox, orElse(name, address)
}

func orElse(name, address []byte) []byte {
	if len(name) > 0 {
		return name
	}
	return address
}

// plainAddress reads the address that nearly all fields begin with, `words <local@domain>`, `"words" <local@domain>` or
// local@domain alone, as package mime does, but without a copy of it. at is where the "@" is in the address, 0 if the field is
// not as simple as that.
func plainAddress(value []byte) (words, address []byte, at int) {
	value = bytes.TrimLeft(value, " \t")
	if n := plainAtoms(value); n > 0 && n < len(value) && value[n] == '@' {
		end := n + 1 + plainAtoms(value[n+1:])
		if end > n+1 && (end == len(value) || value[end] == ',') {
			return nil, value[:end], n
		}
		return nil, nil, 0
	}
	words, rest, found := bytes.Cut(value, []byte(" <"))
	n := plainAtoms(rest)
	if !found || n == 0 || n == len(rest) || rest[n] != '@' {
		return nil, nil, 0
	}
	end := n + 1 + plainAtoms(rest[n+1:])
	if end == n+1 || end == len(rest) || rest[end] != '>' || end+1 < len(rest) && rest[end+1] != ',' {
		return nil, nil, 0
	}
	if words = plainWords(words); len(words) == 0 {
		return nil, nil, 0
	}
	return words, rest[:end], n
}

// plainAtoms is the length of the letters, digits and the like that b begins with, single dots between them.
func plainAtoms(b []byte) int {
	n := 0
	for n < len(b) && (isPlain(b[n]) || b[n] == '.' && n > 0 && n+1 < len(b) && isPlain(b[n-1]) && isPlain(b[n+1])) {
		n++
	}
	return n
}

// plainWords is words with one space between them, or what is between quotes; nil if it is neither.
func plainWords(b []byte) []byte {
	if n := len(b) - 1; n > 0 && b[0] == '"' && b[n] == '"' {
		if bytes.ContainsAny(b[1:n], "\"\\\r\n\x00") {
			return nil
		}
		return b[1:n]
	}
	for i, c := range b {
		if !isPlain(c) && (c != ' ' || i == 0 || b[i-1] == ' ') {
			return nil
		}
	}
	return bytes.TrimSuffix(b, []byte(" "))
}

// isPlain accepts what stands for itself in a word.
func isPlain(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z' || c >= 0x80 || c == '=' || c == '?' || c == '_' || c == '-' || c == '+' || c == '\''
}
