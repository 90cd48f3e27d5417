package pop3d

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// refusal is an answer that says no. Too many in a row end the session.
type refusal string

func (r refusal) Error() string { return string(r) }

// parseCommand cuts a line into a keyword in capitals and its arguments (RFC 1939 §3).
func parseCommand(line []byte) (verb, args string) {
	keyword, rest, _ := bytes.Cut(line, []byte{' '})
	return string(bytes.ToUpper(keyword)), string(bytes.Trim(rest, " "))
}

// parseNumber reads the number of a message of n, and returns its index.
func parseNumber(arg string, n int) (int, error) {
	k, err := parseCount(arg)
	switch {
	case err != nil:
		return 0, refusal("Invalid message number: " + shown(arg))
	case k == 0 || k > int64(n):
		return 0, refusal(fmt.Sprintf("There's no message %d.", k))
	}
	return int(k - 1), nil
}

// parseCount reads decimal digits; what is larger than an int64 is the largest.
func parseCount(s string) (int64, error) {
	if strings.Trim(s, "0123456789") != "" || s == "" {
		return 0, strconv.ErrSyntax
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return math.MaxInt64, nil
	}
	return n, nil
}

// shown is what a client said, short and harmless in an answer.
func shown(s string) string { return fmt.Sprintf("%+.40q", s) }
