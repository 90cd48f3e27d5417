package search

import (
	"bytes"
	"strings"

	"postrider/internal/mime"
)

// matchField says whether a field of a header has the text, or is there at all if n is nil.
func (r *reader) matchField(header []byte, name string, n *needle) bool {
	for body := range mime.FieldsNamed(header, name) {
		if n == nil {
			return true
		}
		value := mime.Unfold(r.unfolded[:0], body)
		if r.matchValue(value, n) || r.matchForm(name, value, n) {
			return true
		}
	}
	return false
}

func (r *reader) matchValue(value []byte, n *needle) bool {
	r.text.begin(n)
	return r.text.read(mime.DecodeWords(r.decoded[:0], value))
}

// matchForm looks for the text in the other form that the value of some fields is searched in.
func (r *reader) matchForm(name string, value []byte, n *needle) bool {
	var form []byte
	switch {
	case isAddressField(name):
		if n.noMarks && isPlainAddress(value) {
			return false
		}
		r.form = addressForm(r.form[:0], value[:min(len(value), maxPiece)])
		form = r.form
	case strings.EqualFold(name, "Subject"):
		form = compressSpace(value)
	}
	return len(form) > 0 && r.matchValue(form, n)
}

// compressSpace gives a value with each run of white space as one space, or nothing where that changes nothing.
func compressSpace(value []byte) []byte {
	if !bytes.Contains(value, []byte("  ")) && bytes.IndexByte(value, '\t') < 0 {
		return nil
	}
	return bytes.Join(bytes.FieldsFunc(value, func(r rune) bool { return r == ' ' || r == '\t' }), []byte{' '})
}
