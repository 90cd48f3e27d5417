package authd

import (
	"errors"
	"fmt"
	"io"
	"os"

	"postrider/internal/prompt"
)

// terminal is where `postrider user` reads and writes.
type terminal struct {
	in       io.Reader
	out, err io.Writer
}

// readLine returns the first line of standard input.
func (t terminal) readLine() (string, error) {
	s, err := prompt.Line(t.in)
	if err != nil {
		return "", fmt.Errorf("read password: %w", err)
	}
	return s, nil
}

// askPassword asks twice on the terminal, without echo.
func (t terminal) askPassword(name string) (string, error) {
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return "", fmt.Errorf("no terminal to ask for a password: use -stdin or -generate (%w)", err)
	}
	defer tty.Close()
	first, err := prompt.Ask(tty, "New password of "+name+": ")
	if err != nil {
		return "", err
	}
	second, err := prompt.Ask(tty, "Again: ")
	if err != nil {
		return "", err
	}
	if first != second {
		return "", errors.New("the passwords differ")
	}
	return first, nil
}
