package problem

import (
	"errors"
	"fmt"
	"testing"
)

func TestList(t *testing.T) {
	t.Parallel()
	var l List
	l.Warn("b", 9, "odd")
	l.Add("a", 7, "bad %s", "key")
	l.Add("b", 3, "worse")
	l.Add("", 0, "no file")
	l.Sort()
	const want = "b:3: worse\nb:9: warning: odd\na:7: bad key\nno file"
	if got := l.Error(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if n, w := len(l.Errors()), len(l.Warnings()); n != 3 || w != 1 {
		t.Errorf("%d errors, %d warnings", n, w)
	}
	if err := l.Warnings().Err(); err != nil {
		t.Errorf("warnings alone are the error %v", err)
	}
}

func TestCollect(t *testing.T) {
	t.Parallel()
	var l List
	l.Collect("f", nil)
	l.Collect("f", fmt.Errorf("load: %w", List{{File: "g", Line: 2, Text: "x"}}))
	l.Collect("f", errors.New("y"))
	if got, want := l.Error(), "g:2: x\nf: y"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
