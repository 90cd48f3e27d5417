package reply

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"postrider/internal/line"
)

type text struct{ io.Reader }

func (text) SetReadDeadline(time.Time) error { return nil }

func TestWire(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		r    *Reply
		want string
	}{
		{New(250, 0, 0, "ok"), "250 2.0.0 ok\r\n"},
		{&Reply{Code: 220, Text: "mail.example.org ESMTP"}, "220 mail.example.org ESMTP\r\n"},
		{New(554, 7, 1, "one\ntwo"), "554-5.7.1 one\r\n554 5.7.1 two\r\n"},
		{New(554, 7, 1, "evil\r\x00text"), "554 5.7.1 evil??text\r\n"},
	} {
		got := string(c.r.Append(nil))
		if got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
		back, err := Read(line.NewReader(text{strings.NewReader(got)}, 0))
		if err != nil || string(back.Append(nil)) != c.want {
			t.Errorf("%q read back as %+v, %v", got, back, err)
		}
	}
}

func TestOf(t *testing.T) {
	t.Parallel()
	later, no := New(451, 3, 0, "later"), New(550, 1, 1, "no")
	if r := Of(errors.Join(errors.New("x"), no), later); r != no || !r.Permanent() {
		t.Errorf("got %v", r)
	}
	cause := errors.New("disk full")
	if r := Of(cause, later); !errors.Is(r, cause) || !r.Temporary() || later.Cause != nil {
		t.Errorf("got %v", r)
	}
}

// clocked is a connection that delivers an octet at a time and notes the deadlines that it is given.
type clocked struct {
	io.Reader
	deadlines []time.Time
}

func (c *clocked) Read(b []byte) (int, error) { return c.Reader.Read(b[:1]) }

func (c *clocked) SetReadDeadline(t time.Time) error {
	c.deadlines = append(c.deadlines, t)
	return nil
}

// TestOneDeadline: a reply of many lines has no more time than one of a single line.
func TestOneDeadline(t *testing.T) {
	t.Parallel()
	c := &clocked{Reader: strings.NewReader(strings.Repeat("250-a\r\n", 100) + "250 b\r\n")}
	r := line.NewReader(c, time.Minute)
	if _, err := Read(r); err != nil {
		t.Fatal(err)
	}
	for _, d := range c.deadlines {
		if !d.Equal(c.deadlines[0]) {
			t.Fatalf("the deadline moved by %v", d.Sub(c.deadlines[0]))
		}
	}
	if !r.Deadline.IsZero() {
		t.Error("the deadline stays for what follows")
	}
}

func FuzzRead(f *testing.F) {
	for _, s := range []string{"250 ok\r\n", "250-a\r\n250 2.1.0 b\r\n", "250-a\r\n251 b\r\n", "42\r\n", "550 5.1.1\r\n", "250 999.1.1 x\r\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := Read(line.NewReader(text{strings.NewReader(s)}, 0))
		if err != nil {
			return
		}
		again, err := Read(line.NewReader(text{strings.NewReader(string(r.Append(nil)))}, 0))
		if err != nil || again.Code != r.Code {
			t.Fatalf("%q: %+v, then %+v, %v", s, r, again, err)
		}
	})
}
