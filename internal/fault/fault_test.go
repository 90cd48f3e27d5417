package fault

import (
	"errors"
	"io"
	"strings"
	"testing"
)

func TestGuard(t *testing.T) {
	t.Parallel()
	if err := Guard(func() error { return io.EOF }); err != io.EOF {
		t.Errorf("%v", err)
	}
	err := Guard(func() error { panic("at once") })
	var inner *Error
	if !errors.As(err, &inner) || inner.Value != "at once" || !strings.Contains(string(inner.Stack), "fault_test.go") {
		t.Fatalf("%v", err)
	}
	if outer := Guard(func() error { panic(inner) }); outer != inner {
		t.Errorf("%v", outer)
	}
}
