package mime

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
)

// node is an element of a parenthesised list: a list, a string, or an atom (NIL or a number).
type node struct {
	list   []node
	text   string
	isList bool
	isAtom bool
}

var errGrammar = errors.New("grammar")

// parseNode reads one element as a client would.
func parseNode(b []byte) (node, []byte, error) {
	switch {
	case len(b) == 0:
		return node{}, nil, fmt.Errorf("%w: end", errGrammar)
	case b[0] == '(':
		return parseList(b[1:])
	case b[0] == '"':
		return parseQuoted(b[1:])
	case b[0] == '{':
		size, rest, ok := bytes.Cut(b[1:], []byte("}\r\n"))
		n, err := strconv.Atoi(string(size))
		if !ok || err != nil || n > len(rest) || bytes.IndexByte(rest[:n], 0) >= 0 {
			return node{}, nil, fmt.Errorf("%w: literal %.20q", errGrammar, b)
		}
		return node{text: string(rest[:n])}, rest[n:], nil
	}
	i := 0
	for i < len(b) && b[i] != ' ' && b[i] != ')' && b[i] != '(' {
		i++
	}
	n := node{text: string(b[:i]), isAtom: true}
	if _, err := strconv.ParseUint(n.text, 10, 63); err != nil && n.text != "NIL" {
		return n, nil, fmt.Errorf("%w: atom %.20q", errGrammar, b)
	}
	return n, b[i:], nil
}

func parseList(b []byte) (node, []byte, error) {
	n := node{isList: true}
	for len(b) > 0 && b[0] != ')' {
		if len(n.list) > 0 {
			if b[0] == ' ' {
				b = b[1:]
			} else if !n.list[len(n.list)-1].isList || b[0] != '(' {
				return n, nil, fmt.Errorf("%w: no space at %.20q", errGrammar, b)
			}
		}
		e, rest, err := parseNode(b)
		if err != nil {
			return n, nil, err
		}
		n.list, b = append(n.list, e), rest
	}
	if len(b) == 0 || len(n.list) == 0 {
		return n, nil, fmt.Errorf("%w: list", errGrammar)
	}
	return n, b[1:], nil
}

func parseQuoted(b []byte) (node, []byte, error) {
	var text []byte
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			return node{text: string(text)}, b[i+1:], nil
		case c == '\\' && i+1 < len(b) && (b[i+1] == '"' || b[i+1] == '\\'):
			i++
			text = append(text, b[i])
		case c == '\\' || c == '\r' || c == '\n' || c == 0 || c >= 0x80:
			return node{}, nil, fmt.Errorf("%w: quoted %q", errGrammar, b[:i+1])
		default:
			text = append(text, c)
		}
	}
	return node{}, nil, fmt.Errorf("%w: open quote", errGrammar)
}

func (n node) isNil() bool    { return n.isAtom && n.text == "NIL" }
func (n node) isString() bool { return !n.isList && !n.isAtom }
func (n node) isNumber() bool { return n.isAtom && n.text != "NIL" }
func (n node) nstring() bool  { return n.isString() || n.isNil() }

func (n node) params() bool {
	if n.isNil() {
		return true
	}
	for _, e := range n.list {
		if !e.isString() {
			return false
		}
	}
	return n.isList && len(n.list)%2 == 0
}

func (n node) envelope() bool {
	if len(n.list) != 10 {
		return false
	}
	for i, e := range n.list {
		switch {
		case i >= 2 && i <= 7:
			if !e.isNil() && !e.addresses() {
				return false
			}
		case !e.nstring():
			return false
		}
	}
	return true
}

func (n node) addresses() bool {
	for _, a := range n.list {
		if len(a.list) != 4 {
			return false
		}
		for _, s := range a.list {
			if !s.nstring() {
				return false
			}
		}
	}
	return n.isList
}

// body is the grammar of RFC 3501 §9, `body`.
func (n node) body(extended bool) bool {
	l := n.list
	if len(l) < 2 {
		return false
	}
	if !l[0].isList {
		return single(l, extended)
	}
	for len(l) > 0 && l[0].isList {
		if !l[0].body(extended) {
			return false
		}
		l = l[1:]
	}
	if len(l) == 0 || !l[0].isString() {
		return false
	}
	if !extended {
		return len(l) == 1
	}
	return len(l) == 5 && l[1].params() && extension(l[2:])
}

func single(l []node, extended bool) bool {
	if len(l) < 7 || !l[0].isString() || !l[1].isString() || !l[2].params() || !l[3].nstring() || !l[4].nstring() ||
		!l[5].isString() || !l[6].isNumber() {
		return false
	}
	kind, sub := l[0].text, l[1].text
	l = l[7:]
	if equalFold(kind, "message") && equalFold(sub, "rfc822") {
		if len(l) < 3 || !l[0].envelope() || !l[1].body(extended) || !l[2].isNumber() {
			return false
		}
		l = l[3:]
	} else if equalFold(kind, "text") {
		if len(l) == 0 || !l[0].isNumber() {
			return false
		}
		l = l[1:]
	}
	if !extended {
		return len(l) == 0
	}
	return len(l) == 4 && l[0].nstring() && extension(l[1:])
}

// extension is disposition, language, location.
func extension(l []node) bool {
	disposition := l[0].isNil() || len(l[0].list) == 2 && l[0].list[0].isString() && l[0].list[1].params()
	language := l[1].nstring()
	if l[1].isList {
		language = true
		for _, e := range l[1].list {
			language = language && e.isString()
		}
	}
	return disposition && language && l[2].nstring()
}

// check tells what is wrong with the answers for a tree.
func check(root *Part) error {
	for _, extended := range []bool{false, true} {
		b := AppendBodyStructure(nil, root, extended)
		n, rest, err := parseNode(b)
		if err != nil || len(rest) > 0 || !n.body(extended) {
			return fmt.Errorf("body structure %.500q: %w", b, errors.Join(err, errGrammar))
		}
	}
	b := AppendEnvelope(nil, root.Envelope)
	n, rest, err := parseNode(b)
	if err != nil || len(rest) > 0 || !n.envelope() {
		return fmt.Errorf("envelope %.500q: %w", b, errors.Join(err, errGrammar))
	}
	return nil
}
