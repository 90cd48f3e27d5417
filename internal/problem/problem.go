// Package problem collects what is wrong with files that an administrator edits, so that all of it is reported at once,
// each with its file and line.
package problem

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Problem is one thing wrong in a file.
type Problem struct {
	File    string
	Line    int // from 1; 0 = the file as a whole
	Text    string
	Warning bool // worth saying, but the file is used
}

// String is `file:line: text`, the form that editors jump to.
func (p Problem) String() string {
	text := p.Text
	if p.Warning {
		text = "warning: " + text
	}
	switch {
	case p.File == "":
		return text
	case p.Line == 0:
		return p.File + ": " + text
	}
	return fmt.Sprintf("%s:%d: %s", p.File, p.Line, text)
}

// List is problems in the order in which they were found. As an error it is one problem per line.
type List []Problem

// Add appends an error.
func (l *List) Add(file string, line int, format string, args ...any) {
	*l = append(*l, Problem{File: file, Line: line, Text: fmt.Sprintf(format, args...)})
}

// Warn appends a warning.
func (l *List) Warn(file string, line int, format string, args ...any) {
	*l = append(*l, Problem{File: file, Line: line, Text: fmt.Sprintf(format, args...), Warning: true})
}

// Collect appends the problems in err: a List (also a wrapped one) as it is, any other error as a problem of file.
func (l *List) Collect(file string, err error) {
	if err == nil {
		return
	}
	if list, ok := errors.AsType[List](err); ok {
		*l = append(*l, list...)
		return
	}
	l.Add(file, 0, "%v", err)
}

// Sort orders by line, keeping the order of files as they were first met.
func (l List) Sort() {
	rank := make(map[string]int)
	for _, p := range l {
		if _, ok := rank[p.File]; !ok {
			rank[p.File] = len(rank)
		}
	}
	slices.SortStableFunc(l, func(a, b Problem) int {
		if a.File != b.File {
			return rank[a.File] - rank[b.File]
		}
		return a.Line - b.Line
	})
}

// Errors are the problems that are no warnings.
func (l List) Errors() List { return l.kind(false) }

// Warnings are the others.
func (l List) Warnings() List { return l.kind(true) }

func (l List) kind(warning bool) List {
	var out List
	for _, p := range l {
		if p.Warning == warning {
			out = append(out, p)
		}
	}
	return out
}

// Err is the errors as an error, nil when there are none.
func (l List) Err() error {
	if e := l.Errors(); len(e) > 0 {
		return e
	}
	return nil
}

func (l List) Error() string {
	var b strings.Builder
	for i, p := range l {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(p.String())
	}
	return b.String()
}
