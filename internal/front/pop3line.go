package front

import (
	"bytes"
	"errors"
	"io"
	"strings"
)

// maxLine is the longest line of a POP3 client with its end, as in Dovecot, SASL messages included; RFC 2449 §4 asks for 255.
const maxLine = 2048

// maxSkip is how much of an overlong line is read before the client is given up.
const maxSkip = 64 << 10

// errLongLine leaves the reader behind the line.
var errLongLine = errors.New("line too long")

// lines reads lines. Those of people who type may end in a bare LF: a client that sends such has nothing to gain by it.
type lines struct {
	src   io.Reader
	flush func() error // called before each wait
	buf   [maxLine]byte
	r, w  int
}

// next returns a line without its end.
func (l *lines) next() (string, error) {
	seen := 0 // octets of the line in which its end is not
	for {
		if i := bytes.IndexByte(l.buf[l.r+seen:l.w], '\n'); i >= 0 {
			line := l.buf[l.r : l.r+seen+i]
			l.r += len(line) + 1
			return string(bytes.TrimSuffix(line, []byte("\r"))), nil
		}
		if l.r > 0 {
			copy(l.buf[:], l.buf[l.r:l.w])
			l.r, l.w = 0, l.w-l.r
		}
		seen = l.w
		if l.w == len(l.buf) {
			return "", l.skip()
		}
		if err := l.fill(); err != nil {
			return "", err
		}
	}
}

// skip reads an overlong line to its end.
func (l *lines) skip() error {
	for skipped := 0; skipped < maxSkip; {
		if i := bytes.IndexByte(l.buf[l.r:l.w], '\n'); i >= 0 {
			l.r += i + 1
			return errLongLine
		}
		skipped += l.w - l.r
		l.r, l.w = 0, 0
		if err := l.fill(); err != nil {
			return err
		}
	}
	return errEndless
}

// fill reads once more.
func (l *lines) fill() error {
	if err := l.flush(); err != nil {
		return err
	}
	n, err := l.src.Read(l.buf[l.w:])
	l.w += n
	switch {
	case n > 0:
		return nil
	case err == nil:
		return io.ErrNoProgress
	}
	return err
}

// ahead returns what was sent behind the last line, and forgets it.
func (l *lines) ahead() []byte {
	b := bytes.Clone(l.buf[l.r:l.w])
	l.r, l.w = 0, 0
	return b
}

// parseCommand takes a line apart: a keyword, in upper case, and what follows the one space behind it as it is, for a password
// may have spaces at both ends. It says no to what cannot be a command.
func parseCommand(line string) (keyword, argument string, ok bool) {
	keyword, argument, _ = strings.Cut(line, " ")
	if keyword == "" || strings.ContainsFunc(keyword, isNoLetter) || strings.ContainsFunc(argument, isControl) {
		return "", "", false
	}
	return strings.ToUpper(keyword), argument, true
}

func isNoLetter(r rune) bool { return (r|0x20 < 'a' || r|0x20 > 'z') && (r < '0' || r > '9') }

func isControl(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }
