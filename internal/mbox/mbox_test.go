package mbox

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// readAll reads a file as one line for each message: offset, date, status, keywords, text.
func readAll(t *testing.T, r *Reader) (list []string) {
	t.Helper()
	for {
		m, err := r.Next()
		if err == io.EOF {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(m)
		if err != nil {
			t.Fatal(err)
		}
		date := ""
		if !m.Date.IsZero() {
			date = m.Date.UTC().Format(time.DateTime)
		}
		if m.Internal {
			date = "internal"
		}
		list = append(list, fmt.Sprintf("%d %s %s%q %q", m.Offset, date, m.Status, m.Keywords, text))
	}
}

const from = "From a@b.example Thu Jan  1 10:00:00 1998 +0000\n"

func TestReader(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		text string
		want []string
	}{
		"empty":       {"\n\n", nil},
		"one":         {from + "A: b\n\nx\n", []string{`0 1998-01-01 10:00:00 [] "A: b\n\nx\n"`}},
		"two":         {from + "A: b\n\nx\n\n" + from + "\ny\n\n", []string{`0 1998-01-01 10:00:00 [] "A: b\n\nx\n"`, `57 1998-01-01 10:00:00 [] "\ny\n"`}},
		"empty lines": {from + "A: b\n\n\n\nx\n\n\n" + from + "\n\n", []string{`0 1998-01-01 10:00:00 [] "A: b\n\n\n\nx\n\n"`, `60 1998-01-01 10:00:00 [] "\n"`}},
		"only header": {from + "A: b\n\n" + from + "C: d\n", []string{`0 1998-01-01 10:00:00 [] "A: b\n"`, `54 1998-01-01 10:00:00 [] "C: d\n"`}},
		"nothing":     {from + "\n" + from, []string{`0 1998-01-01 10:00:00 [] ""`, `49 1998-01-01 10:00:00 [] ""`}},
		"CRLF":        {"From a Thu Jan  1 10:00 1998 +0000\r\nA: b\r\n\r\nx\r\n\r\nFrom b\r\n", []string{`0 1998-01-01 10:00:00 [] "A: b\r\n\r\nx\r\n\r\nFrom b\r\n"`}},
		"quoted":      {from + "\n>From x\n>>From y\n> From z\nFrom w\n\nFrom nobody\n", []string{`0 1998-01-01 10:00:00 [] "\nFrom x\n>From y\n> From z\nFrom w\n\nFrom nobody\n"`}},
		"no newline":  {from + "A: b\n\nx", []string{`0 1998-01-01 10:00:00 [] "A: b\n\nx"`}},
		"no date":     {"From a\nA: b\n", []string{`0  [] "A: b\n"`}},
		"length":      {from + "Content-Length: 9999\nA: b\n\nx\n\n" + from, []string{`0 1998-01-01 10:00:00 [] "A: b\n\nx\n"`, `78 1998-01-01 10:00:00 [] ""`}},
		"status": {from + "Status: RO\nX-Status:  AF\nA: b\nX-Keywords: one\n two\n three   \nX-UID: 7\nX-IMAP: 1 2\n\nStatus: x\n",
			[]string{`0 internal ROAF["one"] "A: b\n\nStatus: x\n"`}},
		"pseudo": {from + "X-IMAP: 1 2 \nSubject: internal\n\nx\n\n" + from + "X-IMAP: 1\nB: c\n",
			[]string{`0 internal [] "Subject: internal\n\nx\n"`, `83 1998-01-01 10:00:00 [] "B: c\n"`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, src := range []io.Reader{strings.NewReader(test.text), iotest.OneByteReader(strings.NewReader(test.text))} {
				r := NewReader(src, 0)
				got := readAll(t, r)
				if strings.Join(got, "\n") != strings.Join(test.want, "\n") {
					t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(test.want, "\n"))
				}
				if r.Offset() != int64(len(test.text)) {
					t.Error("offset", r.Offset())
				}
			}
		})
	}
}

func TestPlain(t *testing.T) {
	t.Parallel()
	r := NewReader(strings.NewReader(from+"\n>From x\n>>From y\n"), 0)
	r.Plain = true
	if got := readAll(t, r); len(got) != 1 || !strings.HasSuffix(got[0], `"\nFrom x\n>>From y\n"`) {
		t.Error(got)
	}
}

// TestResume: a reader can begin at the offset of any message, and not between.
func TestResume(t *testing.T) {
	t.Parallel()
	text := from + "A: 1\n\nx\n\n" + from + "A: 2\n\n" + from + "A: 3\n\n"
	whole := readAll(t, NewReader(strings.NewReader(text), 0))
	r := NewReader(strings.NewReader(text), 0)
	for i := range whole {
		at := r.Offset()
		rest := readAll(t, NewReader(strings.NewReader(text[at:]), at))
		if strings.Join(rest, "\n") != strings.Join(whole[i:], "\n") {
			t.Error(i, at, rest)
		}
		if _, err := r.Next(); err != nil {
			t.Fatal(err)
		}
		if i == 0 { // the rest of it is passed over
			if _, err := r.Next(); err != nil {
				t.Fatal(err)
			}
			if r.Offset() <= at {
				t.Error(r.Offset())
			}
			break
		}
	}
	for _, at := range []int{3, len(from)} {
		if _, err := NewReader(strings.NewReader(text[at:]), 0).Next(); !errors.Is(err, ErrFormat) {
			t.Error(at, err)
		}
	}
}

func TestDates(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"From a Sat Jan  3 01:05:34 1996 -0500":       "1996-01-03 06:05:34",
		"From a Wed Jan  3 01:05:34 -0500 1996":       "1996-01-03 06:05:34",
		"From \"a b\"@c Wed Jan 13 01:05 1996 +0000":  "1996-01-13 01:05:00",
		"From a  Wed Jan  3 01:05:34 1996 UTC":        "1996-01-03 01:05:34",
		"From a Wed Jan  3 01:05:34 1996 remote from": "",
		"From a": "", "From ": "", "from a Wed Jan  3 01:05:34 1996": "",
		"From a Wed Jan 33 01:05:34 1996": "", "From Wed Jan": "",
	} {
		at, ok := fromLine([]byte(line + "\n"))
		if got := at.UTC().Format(time.DateTime); ok != (want != "") || ok && got != want {
			t.Errorf("%s: %s, %v", line, got, ok)
		}
	}
}

func TestLongLines(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 100_000)
	text := from + "A: " + long + "\n\n" + long + "From a\n" + long + "\n\n" + from
	r := NewReader(strings.NewReader(text), 0)
	m, err := r.Next()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(m); err != nil || string(got) != text[len(from):len(text)-len(from)-1] {
		t.Error(len(got), err)
	}
	header := from + strings.Repeat("Status: R\nB: "+long+"\n", 4)
	m, err = NewReader(strings.NewReader(header), 0).Next()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(m); err != nil || len(m.Status) != 3 || !strings.HasSuffix(string(got), "Status: R\nB: "+long+"\n") {
		t.Error(m.Status, len(got), err)
	}
	m, err = NewReader(strings.NewReader(from+strings.Repeat("Status: R\nX-Keywords: a b\n", 100_000)), 0).Next()
	if err != nil || len(m.Status) > maxHeader/len("Status: R\n") || len(m.Keywords) > maxHeader/len("a b\n") {
		t.Error(len(m.Status), len(m.Keywords), err)
	}
}

// FuzzReader: what was written as mboxrd is read as it was, and no file makes a reader fail or lose its place.
func FuzzReader(f *testing.F) {
	f.Add("A: b\n\nFrom x\n>From y\n", "\n\n")
	f.Add("Status: R\n\nx", from)
	f.Fuzz(func(t *testing.T, one, two string) {
		var b strings.Builder
		for _, text := range []string{one, two} {
			b.WriteString(from)
			for line := range strings.Lines("\n" + text) { // no header, of which lines are taken
				if strings.HasPrefix(strings.TrimLeft(line, ">"), "From ") {
					b.WriteByte('>')
				}
				b.WriteString(line)
			}
			if text != "" && !strings.HasSuffix(text, "\n") {
				b.WriteByte('\n')
			}
			b.WriteByte('\n')
		}
		r := NewReader(strings.NewReader(b.String()), 0)
		for _, text := range []string{one, two} {
			if !strings.HasSuffix(text, "\n") && text != "" {
				text += "\n"
			}
			m, err := r.Next()
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(m)
			if err != nil || string(got) != "\n"+text {
				t.Fatalf("%q became %q, %v", text, got, err)
			}
		}
		r = NewReader(strings.NewReader(one), 0)
		for {
			if _, err := r.Next(); err != nil {
				break
			}
		}
		if r.Offset() > int64(len(one)) {
			t.Fatal(r.Offset())
		}
	})
}
