package table

import (
	"iter"
	"strings"
	"unicode/utf8"

	"postrider/internal/problem"
)

// Bounds of a table.
const (
	maxFile     = 64 << 20 // bytes
	maxLine     = 1 << 20  // bytes of a line with its continuation lines
	maxEntries  = 2_000_000
	maxMembers  = 10_000 // of one alias or virtual address
	maxProblems = 100    // reported of one file
)

// reading is the state of parsing one table.
type reading struct {
	path     string
	problems problem.List
	entries  int
}

func (r *reading) fail(line int, format string, args ...any) {
	r.problems.Add(r.path, line, format, args...)
}

// full says that a bound of the whole table is reached; it has been reported then.
func (r *reading) full(line int) bool {
	if r.entries++; r.entries > maxEntries {
		r.fail(line, "more than %d entries; the rest is ignored", maxEntries)
		return true
	}
	return len(r.problems) >= maxProblems
}

// lines yields the lines of text that are neither blank nor a comment, with their numbers. If continued, a line that
// begins with white space belongs to the one before, also across comments and blank lines (aliases(5)).
func (r *reading) lines(text string, continued bool) iter.Seq2[int, string] {
	return func(yield func(int, string) bool) {
		first, logical := 0, []string(nil)
		flush := func() bool {
			if logical == nil {
				return true
			}
			line := strings.Join(logical, " ")
			logical = nil
			return !r.usable(first, line) || yield(first, line) && !r.full(first)
		}
		number := 0
		for raw := range strings.SplitSeq(text, "\n") {
			number++
			line := strings.TrimSpace(raw)
			if line == "" || line[0] == '#' {
				continue
			}
			if indented := raw[0] == ' ' || raw[0] == '\t'; continued && indented {
				if logical == nil {
					r.fail(number, "begins with white space, but there is no line to continue")
					continue
				}
				logical = append(logical, line)
				continue
			}
			if !flush() {
				return
			}
			first, logical = number, append(logical, line)
		}
		flush()
	}
}

// usable refuses lines that are too long or no text.
func (r *reading) usable(number int, line string) bool {
	switch {
	case len(line) > maxLine:
		r.fail(number, "longer than %d bytes", maxLine)
	case !utf8.ValidString(line):
		r.fail(number, "invalid UTF-8")
	case strings.ContainsFunc(line, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }):
		r.fail(number, "control character")
	default:
		return true
	}
	return false
}
