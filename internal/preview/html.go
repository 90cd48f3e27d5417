package preview

import (
	markup "html"
	"strings"
)

// html is the text that an HTML part shows: no tags, comments, styles or scripts, and nothing that is quoted.
func html(text string) string {
	var own, quoted words
	quotes := 0
	for text != "" && !own.full() {
		shown, rest, found := strings.Cut(text, "<")
		to := &own
		if quotes > 0 {
			to = &quoted
		}
		to.add(markup.UnescapeString(shown))
		if !found {
			break
		}
		var tag string
		if tag, text = cutTag(rest); tag == "" {
			to.add("<")
			continue
		}
		switch tag {
		case "blockquote":
			quotes++
		case "/blockquote":
			quotes = max(0, quotes-1)
		}
		if !inline[strings.TrimPrefix(tag, "/")] {
			own.space()
			quoted.space()
		}
		if unseen[tag] {
			text = skipElement(text, tag)
		}
	}
	if own.count == 0 && quoted.count > 0 {
		return ">" + quoted.text(Max-1)
	}
	return own.text(Max)
}

// inline are elements between which no space is.
var inline = map[string]bool{
	"a": true, "abbr": true, "b": true, "big": true, "code": true, "em": true, "font": true, "i": true, "mark": true, "s": true, "small": true,
	"span": true, "strike": true, "strong": true, "sub": true, "sup": true, "tt": true, "u": true, "wbr": true,
}

// unseen are elements of which nothing is shown.
var unseen = map[string]bool{"head": true, "script": true, "style": true, "template": true, "title": true, "noscript": true, "svg": true}

// cutTag takes a tag, a comment or a declaration, whose "<" is already taken, and gives its name in lower case, with the slash of
// one that ends an element. "" says that it is none: the "<" is text.
func cutTag(s string) (name, rest string) {
	if strings.HasPrefix(s, "!--") {
		_, rest, _ = strings.Cut(s[len("!--"):], "-->")
		return "!--", rest
	}
	n := 0
	for n < len(s) && (s[n] == '/' && n == 0 || isNameByte(s[n])) {
		n++
	}
	if n == 0 || s[:n] == "/" || '0' <= s[0] && s[0] <= '9' {
		return "", s
	}
	name = strings.ToLower(s[:n])
	return name, s[tagEnd(s, n):]
}

func isNameByte(c byte) bool {
	return 'a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9' || c == '!' || c == '?' || c == ':' || c == '-'
}

// tagEnd is where a tag ends: behind the ">" that is not in quotes.
func tagEnd(s string, from int) int {
	quote := byte(0)
	for i := from; i < len(s); i++ {
		switch c := s[i]; {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == '>':
			return i + 1
		}
	}
	return len(s)
}

// skipElement goes behind the end of an element.
func skipElement(s, name string) string {
	for {
		_, rest, found := strings.Cut(s, "</")
		if !found {
			return ""
		}
		n := len(name)
		if len(rest) >= n && strings.EqualFold(rest[:n], name) && (len(rest) == n || !isNameByte(rest[n])) {
			return rest[tagEnd(rest, n):]
		}
		s = rest
	}
}
