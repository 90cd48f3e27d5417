// Package prompt asks for passwords, on a terminal or from a file, and bounds them.
package prompt

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

// Line reads a password up to the end of its line.
func Line(r io.Reader) (string, error) {
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

// Ask reads one line with the echo off, and puts it back on also when it is interrupted.
func Ask(tty *os.File, text string) (string, error) {
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
	io.WriteString(tty, text)
	defer io.WriteString(tty, "\n")
	type result struct {
		line string
		err  error
	}
	done := make(chan result, 1)
	go func() {
		line, err := Line(tty)
		done <- result{line, err}
	}()
	select {
	case r := <-done:
		return r.line, r.err
	case <-interrupted:
		return "", errors.New("interrupted")
	}
}
