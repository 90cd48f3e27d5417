// Package fault carries a panic from the goroutine that had it to where the session ends that it was for: a fault of the program
// is to end that session, and not the process with all others.
package fault

import (
	"fmt"
	"runtime/debug"
)

// Error is a panic.
type Error struct {
	Value any
	Stack []byte // of the goroutine that panicked
}

func (e *Error) Error() string { return fmt.Sprintf("internal error: %v", e.Value) }

// Guard returns the error of f or, if f panics, an *Error. Where that is what f panics with, it stays the same.
func Guard(f func() error) (err error) {
	defer func() {
		switch v := recover().(type) {
		case nil:
		case *Error:
			err = v
		default:
			err = &Error{v, debug.Stack()}
		}
	}()
	return f()
}
