package mime

import (
	"bufio"
	"bytes"
)

// skip takes what of a body is in the buffer and before the next line that may be a boundary: most of most messages.
func (s *scanner) skip(in *bufio.Reader) {
	if _, err := in.Peek(1); err != nil {
		return
	}
	text, _ := in.Peek(in.Buffered())
	if n := s.plain(text); n > 0 {
		s.pass(text[:n])
		in.Discard(n)
	}
}

// plain is how many octets of text are before such a line: whole lines, where boundaries may come at all.
func (s *scanner) plain(text []byte) int {
	if len(s.bounds) == 0 {
		return len(text)
	}
	last := bytes.LastIndexByte(text, '\n') + 1 // what follows may be the start of one
	if !s.inLine && text[0] == '-' {
		return 0
	}
	for at := 0; at < last; {
		next := bytes.IndexByte(text[at:last], '-')
		if next < 0 {
			return last
		}
		if at += next; at > 0 && text[at-1] == '\n' {
			return at
		}
		end := bytes.IndexByte(text[at:last], '\n')
		if at += end + 1; at < len(text) && text[at] == '-' {
			return at
		}
	}
	return last
}

// pass goes on over text of a body, of any number of lines.
func (s *scanner) pass(text []byte) {
	end := bytes.LastIndexByte(text, '\n')
	if end >= 0 {
		if start := bytes.LastIndexByte(text[:end], '\n') + 1; start > 0 {
			m := meter{at: s.at, cr: s.cr}
			m.add(text[:start])
			s.at, s.cr, s.inLine = m.at, false, false
			text, end = text[start:], end-start
		}
		s.advance(text[:end+1])
	}
	if rest := text[end+1:]; len(rest) > 0 {
		s.advance(rest)
	}
}
