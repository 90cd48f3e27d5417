package envelope

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"postrider/internal/address"
	"postrider/internal/xtext"
)

// Bounds of what is read.
const (
	MaxLine       = 8 << 10  // octets of an envelope line
	MaxSize       = 32 << 20 // octets of an envelope
	MaxRecipients = 100_000
	maxWords      = 32 // parameters of a line
	maxExtra      = 64 // lines of a later version
)

// ErrBlank is a line 1 that was never filled in: the message was not accepted.
var ErrBlank = errors.New("envelope: line 1 is blank")

// ErrSyntax is wrapped by every other error of this package.
var ErrSyntax = errors.New("envelope syntax")

func syntax(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrSyntax, fmt.Sprintf(format, args...))
}

// ParseLine1 reads the first Line1Size octets of a queue file.
func ParseLine1(b []byte) (Line1, error) {
	var l Line1
	if len(b) < Line1Size {
		if len(bytes.Trim(b, " \n\x00")) == 0 {
			return l, ErrBlank
		}
		return l, syntax("short line 1")
	}
	b = b[:Line1Size]
	if len(bytes.Trim(b, " \n\x00")) == 0 {
		return l, ErrBlank
	}
	f := strings.Split(string(b[:Line1Size-1]), " ")
	if len(f) != 5 || b[Line1Size-1] != '\n' || f[0] != Magic {
		return l, syntax("line 1 is not that of a queue file")
	}
	id, ok := strings.CutPrefix(f[1], "id=")
	if !ok || !ValidID(id) {
		return l, syntax("bad id in line 1")
	}
	l.ID = id
	var err error
	if l.Size, err = fixed(f[2], "size=", 12); err != nil {
		return l, err
	}
	if l.Env, err = fixed(f[3], "env=", 12); err != nil {
		return l, err
	}
	hex, ok := strings.CutPrefix(f[4], "crc32c=")
	crc, err := strconv.ParseUint(hex, 16, 32)
	if !ok || err != nil || len(hex) != 8 || strings.ToLower(hex) != hex {
		return l, syntax("bad crc32c in line 1")
	}
	l.CRC = uint32(crc)
	if l.Env < int64(Line1Size) || l.Env > MaxSize {
		return l, syntax("env=%d is out of range", l.Env)
	}
	return l, nil
}

func fixed(s, prefix string, width int) (int64, error) {
	digits, ok := strings.CutPrefix(s, prefix)
	n, err := strconv.ParseUint(digits, 10, 63)
	if !ok || err != nil || len(digits) != width || digits[0] == '+' {
		return 0, syntax("bad %s in line 1", prefix)
	}
	return int64(n), nil
}

// Alphabet is that of queue ids: digits and consonants, so that no id spells a word.
const Alphabet = "0123456789bcdfghjklmnpqrstvwxyz"

// ValidID says that s has the form of a queue id.
func ValidID(s string) bool {
	if len(s) != IDLength {
		return false
	}
	for i := range len(s) {
		if strings.IndexByte(Alphabet, s[i]) < 0 {
			return false
		}
	}
	return true
}

// Parse reads the lines between line 1 and the message; b ends with the empty line.
func Parse(id string, b []byte) (*Envelope, error) {
	e := &Envelope{ID: id, UID: NoUID}
	seen := make(map[string]bool, 4)
	for n := 2; ; n++ {
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			return nil, syntax("line %d: no end of the envelope", n)
		}
		if i > MaxLine {
			return nil, syntax("line %d: longer than %d octets", n, MaxLine)
		}
		l := string(b[:i])
		b = b[i+1:]
		if l == "" {
			break
		}
		if err := e.parseLine(l, n, seen); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
	}
	if len(b) > 0 {
		return nil, syntax("%d octets between the envelope and the message", len(b))
	}
	for _, key := range []string{"from", "origin", "time"} {
		if !seen[key] {
			return nil, syntax("no %s line", key)
		}
	}
	if len(e.To) == 0 {
		return nil, syntax("no recipient")
	}
	return e, nil
}

func (e *Envelope) parseLine(l string, n int, seen map[string]bool) (err error) {
	if !utf8.ValidString(l) || strings.ContainsFunc(l, isControl) {
		return syntax("control character or invalid UTF-8")
	}
	key, value, ok := strings.Cut(l, ": ")
	if !ok {
		return syntax("no key")
	}
	if key == "to" {
		return e.parseRecipient(value, n)
	}
	switch key {
	case "from", "client", "origin", "time":
		if seen[key] {
			return syntax("second %s line", key)
		}
		seen[key] = true
	}
	switch key {
	case "from":
		e.From, err = parseSender(value)
	case "client":
		e.Client, err = parseClient(value)
	case "origin":
		err = e.parseOrigin(value)
	case "time":
		e.Time, err = parseTime(value)
	default:
		if len(e.Extra) == maxExtra {
			return syntax("more than %d unknown lines", maxExtra)
		}
		e.Extra = append(e.Extra, l)
	}
	return err
}

func (e *Envelope) parseRecipient(s string, n int) error {
	if len(e.To) == MaxRecipients {
		return syntax("more than %d recipients", MaxRecipients)
	}
	a, rest, err := address.ParsePath(s)
	if err != nil {
		return err
	}
	if a.IsNull() {
		return syntax("null recipient")
	}
	r := Recipient{Addr: a, Line: n}
	err = params(rest, func(key, value string) (bool, error) {
		switch key {
		case "via":
			r.Via = Via(value)
		case "notify":
			r.Notify = strings.SplitN(value, ",", 4)
			return true, oneOf(r.Notify, "never", "success", "failure", "delay")
		case "orcpt":
			r.ORcpt = value
		case "orig":
			var err error
			r.Orig, err = address.Parse(value)
			return true, err
		default:
			return false, nil
		}
		return true, nil
	}, &r.Extra)
	if err == nil && r.Via != Local && r.Via != Remote {
		err = syntax("via=%q", r.Via)
	}
	e.To = append(e.To, r)
	return err
}

func parseSender(s string) (f Sender, err error) {
	var rest string
	if f.Addr, rest, err = address.ParsePath(s); err != nil {
		return f, err
	}
	err = params(rest, func(key, value string) (bool, error) {
		switch key {
		case "ret":
			f.Ret = value
			return true, oneOf([]string{value}, "full", "hdrs")
		case "envid":
			f.EnvID = value
		case "body":
			f.Body = value
			return true, oneOf([]string{value}, "7bit", "8bitmime")
		case "smtputf8":
			f.SMTPUTF8 = true
		case "requiretls":
			f.RequireTLS = true
		default:
			return false, nil
		}
		return true, nil
	}, &f.Extra)
	return f, err
}

func parseClient(s string) (c Client, err error) {
	name, rest, _ := strings.Cut(s, " ")
	if c.Name, err = xtext.Decode(name); err != nil {
		return c, err
	}
	if ip, tail, ok := strings.Cut(rest, "]"); ok && strings.HasPrefix(ip, "[") {
		if c.IP, err = netip.ParseAddr(ip[1:]); err != nil {
			return c, syntax("bad client address")
		}
		rest = tail
	} else if rest != "" {
		rest = " " + rest
	}
	err = params(rest, func(key, value string) (bool, error) {
		switch key {
		case "helo":
			c.Helo = value
		case "proto":
			c.Proto = value
		case "auth":
			c.Auth = value
		case "tls":
			c.TLS = value
		}
		return true, nil
	}, nil)
	return c, err
}

func (e *Envelope) parseOrigin(s string) error {
	word, rest, more := strings.Cut(s, " ")
	e.Origin = Origin(word)
	switch e.Origin {
	case OriginDSN, OriginAuth, OriginLocal, OriginNet, OriginMX:
	default:
		return syntax("origin %q", word)
	}
	if !more {
		return nil
	}
	return params(" "+rest, func(key, value string) (bool, error) {
		switch key {
		case "uid":
			n, err := strconv.ParseUint(value, 10, 32)
			if err != nil {
				return true, syntax("bad uid")
			}
			e.UID = int64(n)
		case "parent":
			if !ValidID(value) {
				return true, syntax("bad parent")
			}
			e.Parent = value
		case "hold":
			e.Hold = value
		case "score":
			e.Score = value
		}
		return true, nil
	}, nil)
}

// oneOf refuses words that are not in a list.
func oneOf(words []string, list ...string) error {
	for _, w := range words {
		if !slices.Contains(list, w) {
			return syntax("%.20q is none of %v", w, list)
		}
	}
	return nil
}

// params reads ` key=value` words; what known does not know goes to extra.
func params(s string, known func(key, value string) (bool, error), extra *[]string) error {
	for n := 0; s != ""; n++ {
		if s[0] != ' ' || n == maxWords {
			return syntax("no parameter, or too many, at %.20q", s)
		}
		end := strings.IndexByte(s[1:], ' ') + 1
		if end == 0 {
			end = len(s)
		}
		word := s[1:end]
		s = s[end:]
		key, enc, _ := strings.Cut(word, "=")
		if key == "" {
			return syntax("empty parameter")
		}
		value, err := xtext.Decode(enc)
		if err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		if strings.ContainsFunc(value, isControl) || !utf8.ValidString(value) {
			return syntax("%s: control character", key)
		}
		ok, err := known(key, value)
		if err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		if !ok && extra != nil {
			*extra = append(*extra, word)
		}
	}
	return nil
}

func isControl(r rune) bool { return r < ' ' || r >= 0x7f && r < 0xa0 }

func parseTime(s string) (time.Time, error) {
	sec, frac, ok := strings.Cut(s, ".")
	n, err := strconv.ParseUint(sec, 10, 40)
	if !ok || err != nil || len(frac) != 6 {
		return time.Time{}, syntax("bad time")
	}
	us, err := strconv.ParseUint(frac, 10, 32)
	if err != nil {
		return time.Time{}, syntax("bad time")
	}
	return time.UnixMicro(int64(n)*1e6 + int64(us)), nil
}
