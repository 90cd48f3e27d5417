package mime

import "bytes"

// PlainAddress reads the address that nearly all fields begin with, `words <local@domain>`, `"words" <local@domain>` or
// local@domain alone, as ParseAddresses does, but without a copy of it. What follows is rest, empty or from a comma on. It is not ok
// if the field is not as simple as that.
func PlainAddress(value []byte) (words, address, rest []byte, ok bool) {
	value = bytes.TrimLeft(value, " \t")
	if n := plainSpec(value); n > 0 {
		return nil, value[:n], value[n:], follows(value[n:])
	}
	words, value, _ = bytes.Cut(value, []byte(" <"))
	words = plainWords(words)
	n := plainSpec(value)
	if len(words) == 0 || n == 0 || n == len(value) || value[n] != '>' {
		return nil, nil, nil, false
	}
	return words, value[:n], value[n+1:], follows(value[n+1:])
}

// follows says that an address may end before rest.
func follows(rest []byte) bool { return len(rest) == 0 || rest[0] == ',' }

// plainSpec is the length of the local@domain that b begins with, or 0.
func plainSpec(b []byte) int {
	local := plainAtoms(b)
	if local == 0 || local == len(b) || b[local] != '@' {
		return 0
	}
	domain := plainAtoms(b[local+1:])
	if domain == 0 {
		return 0
	}
	return local + 1 + domain
}

// plainAtoms is the length of the letters, digits and the like that b begins with, single dots between them.
func plainAtoms(b []byte) int {
	n := 0
	for n < len(b) && (isAtomText(b[n]) || b[n] == '.' && n > 0 && n+1 < len(b) && isAtomText(b[n-1]) && isAtomText(b[n+1])) {
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
		if !isAtomText(c) && (c != ' ' || i == 0 || b[i-1] == ' ') {
			return nil
		}
	}
	return bytes.TrimSuffix(b, []byte(" "))
}

// isAtomText accepts what stands for itself in a word.
func isAtomText(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z' || c >= 0x80 || c == '=' || c == '?' || c == '_' || c == '-' || c == '+' || c == '\''
}
