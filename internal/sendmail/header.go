package sendmail

import (
	"bytes"
	"errors"
	"io"
	"strings"
)

// maxHeader bounds the header of a message, in octets.
const maxHeader = 1 << 20

var errHeaderSize = errors.New("the message's header is larger than 1 MiB")

// header is the header of a message, and what was read beyond it.
type header struct {
	fields     []byte // as they are to be sent
	begun      []byte // the start of the body, if no empty line came before it
	from       bool   // there is a From field
	recipients []string
	resent     []string // from Resent- fields, which replace the others if there are any
	isResent   bool
}

// dropped are the fields that are not sent: Bcc must not be seen, the others belong to a mailbox that the message lay in.
var dropped = map[string]bool{"bcc": true, "resent-bcc": true, "return-path": true, "content-length": true}

// readHeader reads up to the empty line, or up to the first line that is no header line and so begins the body.
func readHeader(t *text) (*header, error) {
	h := &header{}
	total := 0
	var field []byte // the field that may still be continued, in wire form
	for {
		line, whole, err := t.next()
		if err == io.EOF {
			h.take(field)
			return h, nil
		}
		if err != nil {
			return nil, err
		}
		if len(line) == 0 && whole {
			h.take(field)
			return h, nil
		}
		folded := line[0] == ' ' || line[0] == '\t'
		if folded && field == nil || !folded && fieldName(line) == "" {
			h.take(field)
			h.begun = append(h.begun, line...)
			if whole {
				h.begun = append(h.begun, "\r\n"...)
			}
			return h, nil
		}
		if !folded {
			h.take(field)
			field = []byte{}
		}
		start := len(field)
		if field, err = restOfLine(t, field, line, whole); err != nil {
			return nil, err
		}
		if total += len(field) - start; total > maxHeader {
			return nil, errHeaderSize
		}
	}
}

// restOfLine appends a line, whose first piece is there, to field.
func restOfLine(t *text, field, piece []byte, whole bool) ([]byte, error) {
	field = append(field, piece...)
	for !whole {
		var err error
		if piece, whole, err = t.next(); err != nil {
			return nil, err
		}
		if field = append(field, piece...); len(field) > maxHeader {
			return nil, errHeaderSize
		}
	}
	return append(field, "\r\n"...), nil
}

// fieldName is the name of the field that begins in this line, in lower case, or "" (RFC 5322 §2.2; blanks before the
// colon are obsolete syntax, §4.5).
func fieldName(line []byte) string {
	i := bytes.IndexByte(line, ':')
	if i < 0 {
		return ""
	}
	name := bytes.TrimRight(line[:i], " \t")
	for _, c := range name {
		if c <= ' ' || c > '~' {
			return ""
		}
	}
	return strings.ToLower(string(name))
}

// take files a complete field.
func (h *header) take(field []byte) {
	name := fieldName(field)
	if name == "" {
		return
	}
	_, value, _ := strings.Cut(string(field), ":")
	switch name {
	case "from":
		h.from = true
	case "to", "cc", "bcc":
		h.recipients = append(h.recipients, value)
	case "resent-to", "resent-cc", "resent-bcc":
		h.isResent = true
		h.resent = append(h.resent, value)
	}
	if !dropped[name] {
		h.fields = append(h.fields, field...)
	}
}

// destinations are the values of the fields that name recipients.
func (h *header) destinations() []string {
	if h.isResent {
		return h.resent
	}
	return h.recipients
}
