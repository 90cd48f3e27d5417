package line

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"strings"
	"testing"
	"time"
)

// pieces is a connection that delivers its input in pieces of n bytes.
type pieces struct {
	in string
	n  int
}

func (p *pieces) Read(b []byte) (int, error) {
	if p.in == "" {
		return 0, io.EOF
	}
	n := copy(b, p.in[:min(p.n, len(p.in))])
	p.in = p.in[n:]
	return n, nil
}

func (*pieces) SetReadDeadline(time.Time) error { return nil }

func reader(in string, n int) *Reader { return NewReader(&pieces{in, n}, 0) }

func TestReadLine(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 600)
	for _, n := range []int{1, 3, 100000} {
		r := reader("EHLO a\r\n\r\n"+long+"\r\nNOOP\r\nbad\nQUIT\r\na\rb\r\nrest", n)
		for i, want := range []struct {
			line string
			err  error
		}{{"EHLO a", nil}, {"", nil}, {"", ErrTooLong}, {"NOOP", nil}, {"", ErrBareEOL}, {"QUIT", nil}, {"", ErrBareEOL}} {
			got, err := r.ReadLine(512)
			if string(got) != want.line || !errors.Is(err, want.err) {
				t.Fatalf("pieces of %d, line %d: %q, %v; want %q, %v", n, i, got, err, want.line, want.err)
			}
		}
		var re *ReadError
		if _, err := r.ReadLine(512); !errors.As(err, &re) || !errors.Is(err, io.EOF) {
			t.Fatalf("unterminated line at the end: %v", err)
		}
	}
}

// TestSkippedLineEnds: what comes after a bare LF in an overlong line is no command.
func TestSkippedLineEnds(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		end string
		err error
	}{{"\r\n", ErrTooLong}, {"\n", ErrBareEOL}, {"\r", ErrBareEOL}} {
		for _, n := range []int{1, 7, 8192, 100000} {
			r := reader(strings.Repeat("x", 9000)+c.end+"MAIL FROM:<x@y>\r\n", n)
			if _, err := r.ReadLine(512); err != c.err {
				t.Errorf("line that ends in %q, pieces of %d: %v", c.end, n, err)
			}
		}
	}
}

// clocked is a connection that notes the deadlines that it is given.
type clocked struct {
	pieces
	deadlines []time.Time
}

func (c *clocked) SetReadDeadline(t time.Time) error {
	c.deadlines = append(c.deadlines, t)
	return nil
}

// TestPatience: a line that comes an octet at a time has one deadline, and a body's deadline grows with its octets only.
func TestPatience(t *testing.T) {
	t.Parallel()
	c := &clocked{pieces: pieces{in: "NOOP\r\n", n: 1}}
	r := NewReader(c, time.Minute)
	if _, err := r.ReadLine(512); err != nil {
		t.Fatal(err)
	}
	for _, d := range c.deadlines[1:] {
		if d.After(c.deadlines[0].Add(time.Second)) {
			t.Errorf("the deadline of a line moved by %v", d.Sub(c.deadlines[0]))
		}
	}
	c = &clocked{pieces: pieces{in: strings.Repeat("a\r\n", 1000) + ".\r\n", n: 3}}
	r = NewReader(c, time.Minute)
	if _, err := r.CopyDot(io.Discard, 1<<20); err != nil {
		t.Fatal(err)
	}
	if last := c.deadlines[len(c.deadlines)-1]; last.After(time.Now().Add(time.Minute + time.Second)) {
		t.Errorf("a body of 3,000 octets may take until %v", last)
	}
}

func TestReadLineGivesUp(t *testing.T) {
	t.Parallel()
	var re *ReadError
	if _, err := reader(strings.Repeat("x", 3*skipLimit), 4096).ReadLine(512); !errors.As(err, &re) || !errors.Is(err, ErrEndless) {
		t.Fatalf("endless line: %v", err)
	}
}

func TestDeadline(t *testing.T) {
	t.Parallel()
	c := &clocked{pieces: pieces{in: "250-a\r\n250 b\r\n", n: 1}}
	r := NewReader(c, time.Hour)
	r.Deadline = time.Now().Add(time.Minute)
	for range 2 {
		if _, err := r.ReadLine(512); err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range c.deadlines {
		if d.After(r.Deadline) {
			t.Errorf("waits until %v after the deadline", d.Sub(r.Deadline))
		}
	}
}

func TestBareLF(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 100} {
		r := reader("250-a\n250 b\r\n250\rc\r\r\n"+strings.Repeat("x", 9000)+"\n", n)
		r.BareLF = true
		for _, want := range []string{"250-a", "250 b", "250\rc"} {
			if got, err := r.ReadLine(512); err != nil || string(got) != want {
				t.Errorf("got %q, %v; want %q", got, err, want)
			}
		}
		if _, err := r.ReadLine(512); err == nil {
			t.Error("overlong line")
		}
	}
}

func TestCopyDot(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("y", 3*bufferSize)
	for _, c := range []struct {
		name, in, out string
		err           error
		rest          string
	}{
		{"plain", "a\r\nb\r\n.\r\nQUIT", "a\r\nb\r\n", nil, "QUIT"},
		{"empty", ".\r\n", "", nil, ""},
		{"stuffed", "..a\r\n...\r\n.b\r\n.\r\n", ".a\r\n..\r\nb\r\n", nil, ""},
		{"lf dot lf ends nothing", "a\r\n.\nMAIL\r\n.\r\n", "a\r\n", ErrBareEOL, ""},
		{"lf before dot", "a\n.\r\nb\r\n.\r\n", "", ErrBareEOL, ""},
		{"crlf dot cr", "a\r\n.\rb\r\n.\r\n", "a\r\n", ErrBareEOL, ""},
		{"cr cr lf dot crlf is the end", "a\r\r\n.\r\nQUIT", "", ErrBareEOL, "QUIT"},
		{"bare cr", "a\rb\r\n.\r\n", "", ErrBareEOL, ""},
		{"cr dot cr", "a\r.\r\r\n.\r\n", "", ErrBareEOL, ""},
		{"long line", long + "\r\n.\r\n", long + "\r\n", nil, ""},
		{"long line with dot", "." + long + "\r\n.\r\n", long + "\r\n", nil, ""},
		{"nul", "a\x00b\r\n.\r\n", "a\x00b\r\n", nil, ""},
	} {
		for _, n := range []int{1, 2, 5, 1 << 20} {
			r := reader(c.in, n)
			var out strings.Builder
			size, err := r.CopyDot(&out, 1<<20)
			rest, _ := io.ReadAll(io.MultiReader(bytes.NewReader(r.buf[r.r:r.w]), r.conn))
			if err != c.err || string(rest) != c.rest || out.String() != c.out || err == nil && size != int64(len(c.out)) {
				t.Errorf("%s, pieces of %d: %q, %d, %v, rest %q", c.name, n, out.String(), size, err, rest)
			}
		}
	}
}

func TestCopyDotTooBig(t *testing.T) {
	t.Parallel()
	r := reader(strings.Repeat("0123456789\r\n", 100)+".\r\nQUIT\r\n", 100)
	var out strings.Builder
	if n, err := r.CopyDot(&out, 500); err != ErrTooBig || n != 1200 || out.Len() > 500 {
		t.Fatalf("%d, %v, %d written", n, err, out.Len())
	}
	if l, err := r.ReadLine(512); string(l) != "QUIT" || err != nil {
		t.Fatalf("out of step: %q, %v", l, err)
	}
	var re *ReadError
	endless := strings.Repeat("x", 4*skipLimit)
	if _, err := reader(endless, 4096).CopyDot(io.Discard, 10); !errors.As(err, &re) {
		t.Fatalf("endless body: %v", err)
	}
	if _, err := reader("a\r\nMAIL FROM:<x@y>\r\n", 4096).CopyDot(io.Discard, 100); !errors.As(err, &re) {
		t.Fatalf("body cut off: %v", err)
	}
}

func TestChunks(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in           string
		err, end     error
		unterminated bool
	}{
		{"a\r\nb\r\n", nil, nil, false}, {"a\r\nb", nil, nil, true}, {"", nil, nil, false}, {"a\nb", ErrBareEOL, nil, true},
		{"a\rb", ErrBareEOL, nil, true}, {"a\r", nil, ErrBareEOL, false}, {"\n", ErrBareEOL, nil, true}, {"\r\r\n", ErrBareEOL, nil, false}, {"\r\n\r\n", nil, nil, false},
	} {
		for size := 1; size <= len(c.in)+1; size++ {
			var ch Chunks
			var bad error
			r := reader(c.in, 2)
			for left := len(c.in); left > 0; {
				n := min(size, left)
				if err := ch.Copy(r, io.Discard, int64(n), 100); err != nil {
					bad = err
				}
				left -= n
			}
			unterminated, err := ch.End()
			if bad != c.err || err != c.end || bad == nil && err == nil && unterminated != c.unterminated {
				t.Errorf("%q in chunks of %d: %v, %v, %v", c.in, size, bad, unterminated, err)
			}
		}
	}
}

var end = regexp.MustCompile(`(?s)^(?:(.*?)\r\n)??\.\r\n`)

// FuzzCopyDot compares with what RFC 5321 §4.1.1.4 says of a whole string: the first CRLF.CRLF ends the message.
func FuzzCopyDot(f *testing.F) {
	for _, s := range []string{"a\r\n.\r\n", ".\r\n", "..\r\n.\r\n", "a\n.\n\r\n.\r\n", "\r\r\n.\r\n", strings.Repeat("z", bufferSize) + "\r\n.\r\n"} {
		f.Add(s, 3)
	}
	f.Fuzz(func(t *testing.T, s string, n int) {
		if n < 1 || len(s) > 4*bufferSize {
			return
		}
		var out strings.Builder
		r := reader(s, n)
		_, err := r.CopyDot(&out, 1<<20)
		m := end.FindStringSubmatchIndex(s)
		var re *ReadError
		if m == nil {
			if !errors.As(err, &re) {
				t.Fatalf("%q has no end, but %v", s, err)
			}
			return
		}
		if errors.As(err, &re) {
			t.Fatalf("%q ends at %d, but %v", s, m[1], err)
		}
		body := ""
		if m[2] >= 0 {
			body = s[m[2]:m[3]] + "\r\n"
		}
		bare := strings.ContainsAny(strings.ReplaceAll(body, "\r\n", ""), "\r\n")
		if bare != (err == ErrBareEOL) {
			t.Fatalf("%q: %v", body, err)
		}
		if want := strings.ReplaceAll("\r\n"+body, "\r\n.", "\r\n")[2:]; err == nil && out.String() != want {
			t.Fatalf("%q: got %q, want %q", s, out.String(), want)
		}
	})
}

func BenchmarkCopyDot(b *testing.B) {
	msg := strings.Repeat("The quick brown fox jumps over the lazy dog, again and again and again.\r\n", 60) + ".\r\n"
	b.SetBytes(int64(len(msg)))
	p := &pieces{n: 1 << 20}
	r := NewReader(p, 0)
	for b.Loop() {
		p.in = msg
		if _, err := r.CopyDot(io.Discard, 1<<20); err != nil {
			b.Fatal(err)
		}
	}
}
