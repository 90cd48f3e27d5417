package authd

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"

	"golang.org/x/sys/unix"

	"postrider/internal/password"
)

// terminal is where `postrider user` reads and writes.
type terminal struct {
	in       io.Reader
	out, err io.Writer
}

// readLine returns the first line of standard input.
func (t terminal) readLine() (string, error) {
	s, err := firstLine(t.in)
	if err != nil {
		return "", fmt.Errorf("read password: %w", err)
	}
	return s, nil
}

// firstLine reads a password up to the end of its line.
func firstLine(r io.Reader) (string, error) {
	line, err := bufio.NewReader(io.LimitReader(r, password.MaxPassword+2)).ReadString('\n')
	if err != nil && err != io.EOF {
		return "", err
	}
	line = strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
	switch {
	case line == "":
		return "", errors.New("empty")
	case len(line) > password.MaxPassword:
		return "", fmt.Errorf("longer than %d octets", password.MaxPassword)
	case strings.Contains(line, "\x00"):
		return "", errors.New("NUL in it")
	}
	return line, nil
}

// askPassword asks twice on the terminal, without echo.
func (t terminal) askPassword(name string) (string, error) {
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return "", fmt.Errorf("no terminal to ask for a password: use -stdin or -generate (%w)", err)
	}
	defer tty.Close()
	first, err := ask(tty, "New password of "+name+": ")
	if err != nil {
		return "", err
	}
	second, err := ask(tty, "Again: ")
	if err != nil {
		return "", err
	}
	if first != second {
		return "", errors.New("the passwords differ")
	}
	return first, nil
}

// ask reads one line with the echo off, and puts it back on also when it is interrupted.
func ask(tty *os.File, prompt string) (string, error) {
	fd := int(tty.Fd())
	old, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return "", fmt.Errorf("terminal: %w", err)
	}
	quiet := *old
	quiet.Lflag &^= unix.ECHO
	quiet.Lflag |= unix.ICANON | unix.ISIG
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	defer signal.Stop(interrupted)
	if err := unix.IoctlSetTermios(fd, unix.TCSETSF, &quiet); err != nil {
		return "", fmt.Errorf("terminal: %w", err)
	}
	defer unix.IoctlSetTermios(fd, unix.TCSETSF, old)
	io.WriteString(tty, prompt)
	defer io.WriteString(tty, "\n")
	type result struct {
		line string
		err  error
	}
	done := make(chan result, 1)
	go func() {
		line, err := firstLine(tty)
		done <- result{line, err}
	}()
	select {
	case r := <-done:
		return r.line, r.err
	case <-interrupted:
		return "", errors.New("interrupted")
	}
}
