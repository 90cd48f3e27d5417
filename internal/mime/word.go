package mime

import "bytes"

// DecodeWords gives the text of a field with its encoded words decoded (RFC 2047), in UTF-8. As in other readers of mail,
// they may stand anywhere and be of any length. White space alone in front of one is dropped. Where the charset is unknown,
// the octets stay as they are. The result is a part of value, or is added to dst, which is empty.
func DecodeWords(dst, value []byte) []byte {
	if !bytes.Contains(value, []byte("=?")) {
		return value
	}
	text := value // from the last word to here is plain
	for at := 0; at < len(text); {
		i := bytes.Index(text[at:], []byte("=?"))
		if i < 0 {
			break
		}
		at += i
		word, n := parseWord(text[at:])
		if n == 0 {
			at += len("=?")
			continue
		}
		if plain := text[:at]; len(bytes.TrimLeft(plain, " \t")) > 0 {
			dst = append(dst, plain...)
		}
		dst = word.appendText(dst)
		text, at = text[at+n:], 0
	}
	return append(dst, text...)
}

// encodedWord is `=?charset?encoding?text?=` in its parts.
type encodedWord struct {
	charset  []byte // perhaps with a language (RFC 2231 §5)
	encoding byte
	text     []byte
}

// parseWord reads the word that b begins with and tells its length, 0 if it is none.
func parseWord(b []byte) (w encodedWord, n int) {
	rest := b[len("=?"):]
	var encoding []byte
	var ok bool
	if w.charset, rest, ok = bytes.Cut(rest, []byte{'?'}); !ok {
		return w, 0
	}
	if encoding, rest, ok = bytes.Cut(rest, []byte{'?'}); !ok || len(encoding) == 0 {
		return w, 0
	}
	if w.text, rest, ok = bytes.Cut(rest, []byte{'?'}); !ok || len(rest) == 0 || rest[0] != '=' {
		return w, 0
	}
	w.encoding = encoding[0] &^ 0x20
	if w.encoding != 'Q' && w.encoding != 'B' {
		return w, 0
	}
	return w, len(b) - len(rest) + 1
}

// appendText adds the text, in UTF-8 where the charset is known.
func (w encodedWord) appendText(dst []byte) []byte {
	var octets []byte
	if w.encoding == 'B' {
		var d base64Decoder
		octets = d.flush(d.decode(nil, w.text))
	} else {
		octets = decodeQ(w.text)
	}
	charset, _, _ := bytes.Cut(w.charset, []byte{'*'})
	if e, known := Charset(string(charset)); known && e != nil {
		if decoded, err := e.NewDecoder().Bytes(octets); err == nil {
			octets = decoded
		}
	}
	return append(dst, octets...)
}

// decodeQ undoes the encoding Q (RFC 2047 §4.2). An equals sign that means nothing is itself.
func decodeQ(in []byte) []byte {
	out := make([]byte, 0, len(in))
	for i := 0; i < len(in); i++ {
		c := in[i]
		switch {
		case c == '_':
			c = ' '
		case c == '=' && i+2 < len(in) && isHex(in[i+1]) && isHex(in[i+2]):
			c = unhex(in[i+1])<<4 | unhex(in[i+2])
			i += 2
		}
		out = append(out, c)
	}
	return out
}
