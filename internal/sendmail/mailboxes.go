package sendmail

import (
	"errors"
	"strings"

	"postrider/internal/address"
)

// mailbox is one address of a list, or what is wrong with it.
type mailbox struct {
	text    string
	address address.Address
	err     error
}

// mailboxes reads a list of addresses as people and programs write them, in a header or on the command line: with names,
// comments, groups and source routes (RFC 5322 §3.4 and §4.4), empty places, and names of local users without a domain.
func mailboxes(list string) []mailbox {
	s := scanner{in: list}
	s.run()
	return s.found
}

// scanner takes a list apart. Outside of <> it collects the characters that would make an address.
type scanner struct {
	in    string
	plain strings.Builder
	angle *string // what stood in <>
	blank bool    // white space or a comment since the last character
	found []mailbox
}

func (s *scanner) run() {
	for s.in != "" {
		c := s.in[0]
		switch c {
		case ' ', '\t', '\r', '\n':
			s.in, s.blank = s.in[1:], true
		case '(':
			s.in, s.blank = s.in[commentEnd(s.in):], true
		case ',', ';':
			s.in = s.in[1:]
			s.end()
		case ':': // the name of a group ends
			s.in = s.in[1:]
			s.plain.Reset()
			s.blank = false
		case '<':
			n := quotedUntil(s.in, '>')
			route := strings.TrimSuffix(s.in[1:n], ">")
			s.in, s.angle = s.in[n:], &route
		case '"':
			s.copy(stringEnd(s.in))
		case '[':
			s.copy(quotedUntil(s.in, ']'))
		case '\\': // \user: sendmail's way to say that no alias is wanted
			s.in = s.in[1:]
			if s.in != "" {
				s.copy(1)
			}
		default:
			s.copy(1)
		}
	}
	s.end()
}

// copy takes n bytes. A blank before them is kept, where it makes the address invalid, but not around @ and dots.
func (s *scanner) copy(n int) {
	if s.blank && s.plain.Len() > 0 {
		last := s.plain.String()[s.plain.Len()-1]
		if s.in[0] != '@' && s.in[0] != '.' && last != '@' && last != '.' {
			s.plain.WriteByte(' ')
		}
	}
	s.blank = false
	s.plain.WriteString(s.in[:n])
	s.in = s.in[n:]
}

var errEmpty = errors.New("empty address")

// end files the address that was collected.
func (s *scanner) end() {
	m := mailbox{text: s.plain.String()}
	switch {
	case s.angle != nil:
		m.text = strings.TrimSpace(*s.angle)
		m.address, m.err = parsePath(m.text)
	case m.text == "":
		return
	default:
		m.address, m.err = address.Parse(m.text)
	}
	if m.err == nil && m.address.IsNull() {
		m.err = errEmpty
	}
	s.found = append(s.found, m)
	s.plain.Reset()
	s.angle, s.blank = nil, false
}

func parsePath(text string) (address.Address, error) {
	a, rest, err := address.ParsePath("<" + text + ">")
	if err == nil && rest != "" {
		err = address.ErrSyntax
	}
	return a, err
}

// commentEnd is the length of the comment at the start of s, which may contain others.
func commentEnd(s string) int {
	depth := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return len(s)
}

// stringEnd is the length of the quoted string at the start of s.
func stringEnd(s string) int {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(s)
}

// quotedUntil is the length of s up to and including the first end that is not within quotes.
func quotedUntil(s string, end byte) int {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case end:
			return i + 1
		case '"':
			i += stringEnd(s[i:]) - 1
		}
	}
	return len(s)
}
