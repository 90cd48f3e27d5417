package imapd

import (
	"strings"

	"postrider/internal/mailstore"
)

// maxPattern is how long a pattern may be: longer than any name, which a filesystem bounds.
const maxPattern = 1024

// pattern is the pattern of a LIST: "%" stands for anything within a part of a name, "*" for anything (RFC 3501 §6.3.8).
type pattern string

// newPattern joins reference and pattern, as Dovecot does; wildcards in a row are one.
func newPattern(reference, text string) pattern {
	var b strings.Builder
	run := byte(0)
	flush := func() {
		if run != 0 {
			b.WriteByte(run)
		}
		run = 0
	}
	for _, c := range []byte(reference + text) {
		switch {
		case c == '*':
			run = '*'
		case c == '%' && run == 0:
			run = '%'
		case c != '%':
			flush()
			b.WriteByte(c)
		}
	}
	flush()
	return pattern(b.String())
}

// matches says whether a name matches. INBOX, alone or as the first part, does so in any case. Time is the product of both
// lengths at most.
func (p pattern) matches(name string) bool {
	if len(p) > maxPattern {
		return false
	}
	fold := 0
	if name == mailstore.Inbox || strings.HasPrefix(name, mailstore.Inbox+string(separator)) {
		fold = len(mailstore.Inbox)
	}
	// reached[i] says that the first i octets of the pattern match what was seen of the name.
	reached, next := make([]bool, len(p)+1), make([]bool, len(p)+1)
	reached[0] = true
	p.skipWildcards(reached)
	for i := range len(name) {
		clear(next)
		for j := range len(p) {
			if !reached[j] {
				continue
			}
			switch c := p[j]; {
			case c == '*', c == '%' && name[i] != separator:
				next[j] = true
			case c == '%':
			case c == name[i], i < fold && upper(c) == name[i]:
				next[j+1] = true
			}
		}
		p.skipWildcards(next)
		reached, next = next, reached
	}
	return reached[len(p)]
}

// skipWildcards lets wildcards stand for nothing.
func (p pattern) skipWildcards(reached []bool) {
	for i := range len(p) {
		if reached[i] && (p[i] == '*' || p[i] == '%') {
			reached[i+1] = true
		}
	}
}

func upper(c byte) byte {
	if 'a' <= c && c <= 'z' {
		return c - 'a' + 'A'
	}
	return c
}

func anyMatches(patterns []pattern, name string) bool {
	for _, p := range patterns {
		if p.matches(name) {
			return true
		}
	}
	return false
}
