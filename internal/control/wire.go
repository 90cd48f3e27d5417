// Package control is the protocol of the control sockets (relay.ctl, local.ctl), by which mailq and sendmail -q list and
// steer the queue of a daemon. Anybody may connect to such a socket; who asks is the uid that the kernel names, and that
// decides what is shown. The daemon's side trusts nothing that it reads; it never uses a client's word as a file name.
//
// The protocol is lines of at most 8 KiB that end in LF: a verb and key=value words, values in xtext. The client asks, one
// request at a time:
//
//	list [id=ID]     messages; answered with message and to lines, then ok
//	flush [id=ID]    make messages due now; answered with ok
//
// and the daemon answers:
//
//	message id=… queue=… channel=… time=… size=… sender=… uid=… due=… attempts=… trouble=…
//	to address=… orig=… reason=…           a recipient of the message above, once for each that is not finished
//	ok count=N                             the request is done; without this line it is not
//	no reason=…                            refused: the request is unknown, or not allowed
//	later reason=…                         try again
//
// Keys that a reader does not know are ignored, absent ones are empty or zero.
package control

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"postrider/internal/xtext"
)

// MaxLine is the longest line in octets, with its LF.
const MaxLine = 8 << 10

// Bounds of a line: its pairs, and what is kept of a value that has no bound of its own, in octets.
const (
	maxPairs = 32
	maxText  = 1000
)

// ErrSyntax is wrapped by every error about a line that does not follow the grammar.
var ErrSyntax = errors.New("control protocol syntax")

// The verbs.
const (
	verbList    = "list"
	verbFlush   = "flush"
	verbMessage = "message"
	verbTo      = "to"
	verbOK      = "ok"
	verbNo      = "no"
	verbLater   = "later"
)

// line is one line taken apart.
type line struct {
	verb  string
	pairs map[string]string
}

func parseLine(s string) (line, error) {
	words := strings.Split(s, " ")
	if len(words) > maxPairs+1 {
		return line{}, fmt.Errorf("%w: more than %d words", ErrSyntax, maxPairs+1)
	}
	l := line{verb: words[0], pairs: make(map[string]string, len(words)-1)}
	if !lowerCase(l.verb) {
		return line{}, fmt.Errorf("%w: no verb", ErrSyntax)
	}
	for _, w := range words[1:] {
		key, text, ok := strings.Cut(w, "=")
		if !ok || !lowerCase(key) {
			return line{}, fmt.Errorf("%w: %.20q is no key=value", ErrSyntax, w)
		}
		if _, twice := l.pairs[key]; twice {
			return line{}, fmt.Errorf("%w: %s twice", ErrSyntax, key)
		}
		value, err := xtext.Decode(text)
		if err != nil || !utf8.ValidString(value) {
			return line{}, fmt.Errorf("%w: %s: bad value", ErrSyntax, key)
		}
		l.pairs[key] = value
	}
	return l, nil
}

func lowerCase(s string) bool {
	for i := range len(s) {
		if s[i] < 'a' || s[i] > 'z' {
			return false
		}
	}
	return s != ""
}

// appendPair writes ` key=value`, and nothing for an empty value.
func appendPair(b []byte, key, value string) []byte {
	if value == "" {
		return b
	}
	b = append(b, ' ')
	b = append(b, key...)
	b = append(b, '=')
	return xtext.Append(b, cut(value))
}

// cut shortens a value to maxText octets and makes it valid UTF-8, so that a line never exceeds MaxLine.
func cut(s string) string {
	if len(s) > maxText {
		s = s[:maxText]
	}
	return strings.ToValidUTF8(s, "")
}

// readLine reads one line. It returns io.EOF only between lines.
func readLine(r *bufio.Reader) (line, error) {
	b, err := r.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return line{}, fmt.Errorf("%w: line longer than %d octets", ErrSyntax, MaxLine)
	case err == io.EOF && len(b) > 0:
		return line{}, io.ErrUnexpectedEOF
	case err != nil:
		return line{}, err
	}
	return parseLine(string(b[:len(b)-1]))
}
