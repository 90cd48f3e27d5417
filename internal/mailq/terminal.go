package mailq

import (
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"postrider/internal/reply"
)

// output is where a message goes: as it is, or to a terminal without what could steer that.
func output(w io.Writer) io.Writer {
	if f, ok := w.(*os.File); ok && terminal(f) {
		return &harmless{w: checked{w}}
	}
	return checked{w}
}

func terminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// checked tells failures to write from those to read.
type checked struct{ io.Writer }

func (c checked) Write(p []byte) (int, error) {
	n, err := c.Writer.Write(p)
	if err != nil {
		err = &outputError{err}
	}
	return n, err
}

// harmless replaces control characters, and what is no UTF-8, in a text of any length; lines may end in CRLF and keep their tabs.
type harmless struct {
	w    io.Writer
	rest []byte // the begin of a character
}

func (h *harmless) Write(p []byte) (int, error) {
	text := append(h.rest, p...)
	end := len(text)
	for n := 1; n < utf8.UTFMax && n <= len(text); n++ {
		if utf8.RuneStart(text[len(text)-n]) {
			if !utf8.FullRune(text[len(text)-n:]) {
				end = len(text) - n
			}
			break
		}
	}
	h.rest = append([]byte(nil), text[end:]...)
	if _, err := h.w.Write(scrub(text[:end])); err != nil {
		return 0, err
	}
	return len(p), nil
}

// scrub does so for a text that ends with a whole character. What was cut off by the end of the message is not missed.
func scrub(text []byte) []byte {
	out := make([]byte, 0, len(text))
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		switch {
		case r == '\r': // of a line's end; one elsewhere would hide what stands before it
		case r == '\n' || r == '\t':
			out = append(out, byte(r))
		case r == utf8.RuneError && n == 1 || r < ' ' || r >= 0x7f && r < 0xa0:
			out = append(out, '?')
		default:
			out = append(out, text[:n]...)
		}
		text = text[n:]
	}
	return out
}

// clean makes a text fit for one line of a terminal.
func clean(s string) string { return strings.ReplaceAll(reply.Clean(s), "\n", " ") }
