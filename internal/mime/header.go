package mime

import (
	"bytes"
	"iter"
	"strings"
)

// HeaderLen is the length of the header that octets begin with, its blank line included; -1 if that is not among them.
func HeaderLen(b []byte) int {
	if len(b) > 0 && isBlank(b[:lineLen(b)]) {
		return lineLen(b)
	}
	end := -1
	if i := bytes.Index(b, []byte("\n\n")); i >= 0 {
		end = i + len("\n\n")
		b = b[:i]
	}
	if i := bytes.Index(b, []byte("\n\r\n")); i >= 0 {
		end = i + len("\n\r\n")
	}
	return end
}

// Fields gives the fields of a header, which ends with its blank line or where the octets end: the name as it stands, and
// the body with the line ends of its folds, without the last one and without the white space after the colon. Lines that are
// no field are left out. Nothing is copied.
func Fields(header []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(name, body []byte) bool) {
		for len(header) > 0 && !isBlank(header[:lineLen(header)]) {
			n := fieldLen(header)
			name, body, ok := fieldName(header[:n])
			if ok && !yield(name, trimBody(body)) {
				return
			}
			header = header[n:]
		}
	}
}

// FieldsNamed gives the bodies of the fields of a name, as Fields does. A name with white space or a colon is that of no field.
func FieldsNamed(header []byte, name string) iter.Seq[[]byte] {
	return func(yield func(body []byte) bool) {
		if name == "" || strings.ContainsAny(name, ": \t\r\n") {
			return
		}
		for len(header) > 0 {
			n := lineLen(header)
			line := header[:n]
			if isBlank(line) {
				return
			}
			if line[0]|0x20 == name[0]|0x20 && hasName(line, name) {
				n = fieldLen(header)
				if _, body, ok := fieldName(header[:n]); ok && !yield(trimBody(body)) {
					return
				}
			}
			header = header[n:]
		}
	}
}

// hasName says that a line begins with a name, in any case, and a colon.
func hasName(line []byte, name string) bool {
	if len(line) <= len(name) || !strings.EqualFold(string(line[:len(name)]), name) {
		return false
	}
	rest := bytes.TrimLeft(line[len(name):], " \t")
	return len(rest) > 0 && rest[0] == ':'
}

// lineLen is the length of the first line with its end.
func lineLen(b []byte) int {
	if i := bytes.IndexByte(b, '\n'); i >= 0 {
		return i + 1
	}
	return len(b)
}

// fieldLen is that of the first line and of those that go on with it.
func fieldLen(b []byte) int {
	n := lineLen(b)
	for n < len(b) && (b[n] == ' ' || b[n] == '\t') {
		n += lineLen(b[n:])
	}
	return n
}

func trimBody(body []byte) []byte {
	body = bytes.TrimSuffix(bytes.TrimSuffix(body, []byte("\n")), []byte("\r"))
	if len(body) > 0 && (body[0] == ' ' || body[0] == '\t') {
		body = body[1:]
	}
	return body
}

// Unfold gives the body of a field on one line: a line end and the white space after it become a space. The result is body,
// or is added to dst, which is empty.
func Unfold(dst, body []byte) []byte {
	for {
		i := bytes.IndexByte(body, '\n')
		if i < 0 {
			break
		}
		dst = append(append(dst, bytes.TrimSuffix(body[:i], []byte("\r"))...), ' ')
		body = body[min(i+2, len(body)):]
	}
	if len(dst) == 0 {
		return body
	}
	return append(dst, body...)
}
