package imap

import (
	"errors"
	"io"
	"math"
	"net/url"
	"strconv"
	"strings"
)

// URL is the address of a message, or of a section of one, on this server (RFC 5092 §6, §7).
type URL struct {
	Mailbox     string // "" is the selected one
	UIDValidity uint32 // 0 if it is not given
	UID         uint32
	Section     Section
	Partial     *Partial // a Count of math.MaxInt64 is all that is there
}

var errURL = errors.New("invalid IMAP URL")

// ParseURL reads "/INBOX;UIDVALIDITY=1/;UID=20/;SECTION=1.2/;PARTIAL=0.1024", or that without mailbox, and what stands for
// the octets that %xx means. The URL of another server is an error.
func ParseURL(text string) (*URL, error) {
	path, params, ok := cutFold(text, ";UID=")
	if !ok {
		return nil, errURL
	}
	u := &URL{}
	if path != "" && !u.readMailbox(path) {
		return nil, errURL
	}
	for i, param := range strings.Split(params, "/;") {
		if i == 0 {
			u.UID, ok = urlNumber(param)
		} else if name, value, found := strings.Cut(param, "="); !found {
			ok = false
		} else if strings.EqualFold(name, "SECTION") && i == 1 {
			ok = u.readSection(value)
		} else if strings.EqualFold(name, "PARTIAL") && u.Partial == nil {
			ok = u.readPartial(value)
		} else {
			ok = false
		}
		if !ok {
			return nil, errURL
		}
	}
	return u, nil
}

// cutFold is strings.Cut that ignores the case of ASCII letters.
func cutFold(s, sep string) (before, after string, found bool) {
	for i := 0; i+len(sep) <= len(s); i++ {
		if strings.EqualFold(s[i:i+len(sep)], sep) {
			return s[:i], s[i+len(sep):], true
		}
	}
	return s, "", false
}

// readMailbox reads /name;UIDVALIDITY=n/.
func (u *URL) readMailbox(path string) bool {
	path, ok := strings.CutSuffix(path, "/")
	if path = strings.TrimPrefix(path, "/"); !ok || path == "" || strings.HasPrefix(path, "/") {
		return false
	}
	path, validity, found := cutFold(path, ";UIDVALIDITY=")
	if found {
		if u.UIDValidity, ok = urlNumber(validity); !ok {
			return false
		}
	}
	name, ok := unescape(path)
	if !ok || strings.ContainsAny(path, ";?#") || strings.Contains(path, "://") {
		return false
	}
	var err error
	u.Mailbox, err = checkMailbox(name)
	return err == nil && u.Mailbox != ""
}

func unescape(s string) (string, bool) {
	text, err := url.PathUnescape(s)
	return text, err == nil && !strings.ContainsFunc(text, func(c rune) bool { return c < ' ' || c == 0x7f })
}

func urlNumber(s string) (uint32, bool) {
	n, err := strconv.ParseUint(s, 10, 32)
	return uint32(n), err == nil && n > 0 && isDigit(s[0])
}

// readSection reads what stands in the brackets of BODY[...].
func (u *URL) readSection(value string) bool {
	text, ok := unescape(value)
	if !ok || text == "" {
		return false
	}
	r := NewReader(strings.NewReader("["+text+"]\n"), NewWriter(io.Discard))
	p := parser{r: r, left: r.Limits.Line}
	u.Section = p.section()
	p.end()
	return p.err == nil
}

// readPartial reads offset.count or offset.
func (u *URL) readPartial(value string) bool {
	offset, count, counted := strings.Cut(value, ".")
	from, err := strconv.ParseUint(offset, 10, 63)
	u.Partial = &Partial{Offset: int64(from), Count: math.MaxInt64}
	if err == nil && counted {
		var n uint64
		n, err = strconv.ParseUint(count, 10, 63)
		u.Partial.Count = int64(n)
	}
	return err == nil && u.Partial.Count != 0
}
