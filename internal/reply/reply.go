// Package reply is the SMTP reply: code, enhanced status code and text in one value that is also an error and carries its
// cause. Servers write it, the client reads it, the queue and the notices to senders keep it. Text that came from a peer
// is never trusted to be free of control characters.
package reply

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/emersion/go-smtp"

	"postrider/internal/line"
)

// Enhanced is an enhanced status code, class.subject.detail (RFC 3463).
type Enhanced = smtp.EnhancedCode

// Reply is what one side of an SMTP dialogue answers.
type Reply struct {
	Code     int
	Enhanced Enhanced // zero: none
	Text     string   // lines separated by \n
	Cause    error    // for the log; never sent
}

// New makes a reply whose enhanced code begins with the class of code.
func New(code, subject, detail int, text string) *Reply {
	return &Reply{Code: code, Enhanced: Enhanced{code / 100, subject, detail}, Text: text}
}

// With returns a copy that carries what led to it.
func (r *Reply) With(cause error) *Reply {
	c := *r
	c.Cause = cause
	return &c
}

// Withf returns a copy with another text.
func (r *Reply) Withf(format string, args ...any) *Reply {
	c := *r
	c.Text = fmt.Sprintf(format, args...)
	return &c
}

// Of finds the reply in err, or wraps err in otherwise, so that every error has an answer.
func Of(err error, otherwise *Reply) *Reply {
	var r *Reply
	if errors.As(err, &r) {
		return r
	}
	return otherwise.With(err)
}

// Error is the reply on one line.
func (r *Reply) Error() string {
	text := strings.ReplaceAll(Clean(r.Text), "\n", " ")
	if r.Enhanced == (Enhanced{}) {
		return strconv.Itoa(r.Code) + " " + text
	}
	return strconv.Itoa(r.Code) + " " + r.Status() + " " + text
}

// Unwrap returns the cause.
func (r *Reply) Unwrap() error { return r.Cause }

// Status is the enhanced code as text; where there is none, the one that the code stands for.
func (r *Reply) Status() string {
	e := r.Enhanced
	if e == (Enhanced{}) {
		e = Enhanced{r.Code / 100, 0, 0}
	}
	return strconv.Itoa(e[0]) + "." + strconv.Itoa(e[1]) + "." + strconv.Itoa(e[2])
}

// Positive says that the peer did what it was asked, or waits for more.
func (r *Reply) Positive() bool { return r.Code >= 200 && r.Code < 400 }

// Temporary says that the same may succeed later.
func (r *Reply) Temporary() bool { return r.Code >= 400 && r.Code < 500 }

// Permanent says that it never will.
func (r *Reply) Permanent() bool { return r.Code >= 500 }

// Append writes the reply in wire form, each line of its text with both codes (RFC 2034 §4).
func (r *Reply) Append(b []byte) []byte {
	text := Clean(r.Text)
	for {
		first, rest, more := strings.Cut(text, "\n")
		b = strconv.AppendInt(b, int64(r.Code), 10)
		if more {
			b = append(b, '-')
		} else {
			b = append(b, ' ')
		}
		if r.Enhanced != (Enhanced{}) {
			b = append(b, r.Status()...)
			b = append(b, ' ')
		}
		b = append(b, first...)
		b = append(b, "\r\n"...)
		if !more {
			return b
		}
		text = rest
	}
}

// Clean replaces control characters, but for line feeds, so that a text from outside can stand in a reply or a log.
func Clean(s string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' && c != '\n' || c >= 0x7f && c < 0xa0 {
			return '?'
		}
		return c
	}, strings.ToValidUTF8(s, "?"))
}

// Bounds of a reply that a peer sends; RFC 5321 §4.5.3.1.5 asks for 512 octets a line.
const (
	maxLine  = 4096
	maxLines = 128
	maxText  = 8192 // what is kept
)

// Read reads one reply, single or multi-line. All of it must come within the Timeout of r. After an error the stream is out
// of step: the connection is of no more use.
func Read(r *line.Reader) (*Reply, error) {
	if r.Timeout > 0 {
		r.Deadline = time.Now().Add(r.Timeout)
		defer func() { r.Deadline = time.Time{} }()
	}
	var rep Reply
	var text strings.Builder
	for n := 0; ; n++ {
		l, err := r.ReadLine(maxLine)
		if err != nil {
			return nil, fmt.Errorf("read reply: %w", err)
		}
		if n == maxLines {
			return nil, fmt.Errorf("read reply: more than %d lines", maxLines)
		}
		code, more, rest, ok := split(string(l))
		if !ok || n > 0 && code != rep.Code {
			return nil, fmt.Errorf("read reply: no reply line: %.80q", l)
		}
		rep.Code = code
		if e, tail, ok := cutEnhanced(rest, code); ok {
			rep.Enhanced, rest = e, tail
		}
		if n == 0 && !more {
			rep.Text = Clean(rest)
			return &rep, nil
		}
		if n > 0 && text.Len() < maxText {
			text.WriteByte('\n')
		}
		if text.Len() < maxText {
			text.WriteString(rest)
		}
		if !more {
			rep.Text = Clean(text.String())
			return &rep, nil
		}
	}
}

// split takes `250-text` apart.
func split(l string) (code int, more bool, rest string, ok bool) {
	if len(l) < 3 || len(l) > 3 && l[3] != ' ' && l[3] != '-' {
		return 0, false, "", false
	}
	for _, c := range []byte(l[:3]) {
		if c < '0' || c > '9' {
			return 0, false, "", false
		}
		code = code*10 + int(c-'0')
	}
	if code < 200 || code > 599 {
		return 0, false, "", false
	}
	if len(l) == 3 {
		return code, false, "", true
	}
	return code, l[3] == '-', l[4:], true
}

// cutEnhanced reads an enhanced code of the right class at the start of a text (RFC 2034 §4).
func cutEnhanced(s string, code int) (e Enhanced, rest string, ok bool) {
	word, rest, _ := strings.Cut(s, " ")
	if len(word) < len("2.0.0") || word[1] != '.' {
		return e, s, false
	}
	parts := strings.Split(word, ".")
	if len(parts) != 3 {
		return e, s, false
	}
	for i, p := range parts {
		n, err := strconv.Atoi(p)
		if err != nil || n < 0 || n > 999 || len(p) > 3 {
			return e, s, false
		}
		e[i] = n
	}
	return e, rest, e[0] == code/100
}
