package resolver

import (
	"errors"
	"fmt"
)

// The two kinds of error that lookups return.
var (
	// ErrNotFound: the name does not exist (NXDOMAIN), or is none that could.
	ErrNotFound = errors.New("name not found")
	// ErrTemporary: the DNS cannot be asked at the moment, or its answer makes no sense.
	ErrTemporary = errors.New("temporary failure of the DNS")
)

// failure is an error of one of the two kinds. Its text is fit for a log and a bounce: printable, on one line.
type failure struct {
	kind  error
	text  string
	cause error // or nil
}

func notFound(format string, args ...any) error {
	return &failure{kind: ErrNotFound, text: fmt.Sprintf(format, args...)}
}

func temporary(cause error, format string, args ...any) error {
	return &failure{kind: ErrTemporary, text: fmt.Sprintf(format, args...), cause: cause}
}

func (f *failure) Error() string { return f.text }

// Unwrap gives the kind and the cause.
func (f *failure) Unwrap() []error {
	if f.cause == nil {
		return []error{f.kind}
	}
	return []error{f.kind, f.cause}
}

func isTemporary(err error) bool { return errors.Is(err, ErrTemporary) }
