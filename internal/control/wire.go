// Package control is the protocol of the control sockets: relay.ctl and local.ctl, by which mailq and sendmail -q list and
// steer the queue of a daemon, imap.ctl and pop3.ctl, by which postrider who and kick list and end sessions. Anybody may
// connect to such a socket; who asks is the uid that the kernel names, and that decides what is shown and done. The daemon's
// side trusts nothing that it reads; it never uses a client's word as a file name.
//
// The protocol is lines of at most 8 KiB that end in LF: a verb and key=value words, values in xtext. The client asks, one
// request at a time:
//
//	list [id=ID] [for=steer]   messages, or with for=steer those that this user may steer; answered with message and to lines, then ok
//	flush [id=ID]              make messages due now; answered with ok
//	hold ids=ID,ID,…           at most 400: keep them; answered with a done or not line for each, then ok
//	release ids=…              let them go on
//	retry ids=…                make them due now
//	delete ids=…               remove them
//	cat id=ID                  the queue file as it is, to who may steer it; answered with data, then ok
//	who [id=NAME]              sessions, of a user or of that id; answered with session lines, then ok
//	kick id=NAME               end them; answered with ok
//
// and the daemon answers:
//
//	message id=… queue=… channel=… time=… size=… sender=… uid=… due=… attempts=… hop=… trouble=…
//	to address=… orig=… relay=… reply=… tried=…   a recipient of the message above, once for each that is not finished
//	done id=…                              it is on the disk
//	not id=… reason=…                      nothing was done
//	data size=N                            N octets follow
//	session id=… service=… user=… uid=… address=… tls=yes since=… pid=…
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

// Bounds of a line: its pairs, and what is kept of a value that has no bound of its own, in octets; MaxIDs is how many ids a
// request may name.
const (
	maxPairs = 32
	maxText  = 1000
	maxRelay = 256
	MaxIDs   = 400
)

// ErrSyntax is wrapped by every error about a line that does not follow the grammar.
var ErrSyntax = errors.New("control protocol syntax")

// The verbs.
const (
	verbList    = "list"
	verbFlush   = "flush"
	verbCat     = "cat"
	verbWho     = "who"
	verbKick    = "kick"
	verbMessage = "message"
	verbTo      = "to"
	verbDone    = "done"
	verbNot     = "not"
	verbData    = "data"
	verbSession = "session"
	verbOK      = "ok"
	verbNo      = "no"
	verbLater   = "later"
)

// forSteer as the value of for in a list request leaves out what the user may only look at.
const forSteer = "steer"

// line is one line taken apart.
type line struct {
	verb  string
	pairs []pair
}

type pair struct{ key, value string }

// find returns the value of a key, and whether there is one.
func (l line) find(key string) (string, bool) {
	for _, p := range l.pairs {
		if p.key == key {
			return p.value, true
		}
	}
	return "", false
}

// get returns the value of a key, or "".
func (l line) get(key string) string {
	value, _ := l.find(key)
	return value
}

func parseLine(s string) (line, error) {
	verb, rest, more := strings.Cut(s, " ")
	l := line{verb: verb}
	if !lowerCase(verb) {
		return line{}, fmt.Errorf("%w: no verb", ErrSyntax)
	}
	if more {
		l.pairs = make([]pair, 0, min(strings.Count(rest, " ")+1, maxPairs))
	}
	for more {
		var w string
		w, rest, more = strings.Cut(rest, " ")
		if len(l.pairs) == maxPairs {
			return line{}, fmt.Errorf("%w: more than %d words", ErrSyntax, maxPairs+1)
		}
		p, err := parsePair(w)
		if err != nil {
			return line{}, err
		}
		if _, twice := l.find(p.key); twice {
			return line{}, fmt.Errorf("%w: %s twice", ErrSyntax, p.key)
		}
		l.pairs = append(l.pairs, p)
	}
	return l, nil
}

func parsePair(word string) (pair, error) {
	key, text, ok := strings.Cut(word, "=")
	if !ok || !lowerCase(key) {
		return pair{}, fmt.Errorf("%w: %.20q is no key=value", ErrSyntax, word)
	}
	value, err := xtext.Decode(text)
	if err != nil || !utf8.ValidString(value) {
		return pair{}, fmt.Errorf("%w: %s: bad value", ErrSyntax, key)
	}
	return pair{key, value}, nil
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
