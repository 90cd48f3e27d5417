package sendmail

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestText(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 3*pieceSize)
	for _, c := range []struct {
		name, in, out string
		dots          bool
	}{
		{"lf", "a\nb\n", "a\r\nb\r\n", true},
		{"crlf", "a\r\nb\r\n", "a\r\nb\r\n", true},
		{"mixed", "a\nb\r\nc\r\r\n", "a\r\nb\r\nc\r\n", true},
		{"no end", "a\nb", "a\r\nb\r\n", true},
		{"cr at the end", "a\r", "a\r\n", true},
		{"bare cr", "a\rb\rc\n\rd\n", "a b c\r\n d\r\n", true},
		{"empty", "", "", true},
		{"empty line", "\n", "\r\n", true},
		{"dot", "a\n.\nb\n", "a\r\n", true},
		{"dot crlf", "a\r\n.\r\nb\r\n", "a\r\n", true},
		{"dot at the end", "a\n.", "a\r\n", true},
		{"dot ignored", "a\n.\nb\n", "a\r\n.\r\nb\r\n", false},
		{"dots", "a\n..\n.b\n", "a\r\n..\r\n.b\r\n", true},
		{"from lines", "From bob Mon\n>From x\n>>From y\nSubject: x\nFrom me\n", "Subject: x\r\nFrom me\r\n", true},
		{"from field", "From: bob\n", "From: bob\r\n", true},
		{"long", long + "\n", long + "\r\n", true},
		{"long with dot", long + "\n.\n", long + "\r\n", true},
		{"long ends in dot", long + ".\nb\n", long + ".\r\nb\r\n", true},
		{"a piece ends in a dot", long + ".", long + ".\r\n", true},
		{"cr where a piece ends", long[:pieceSize-1] + "\r\nb\n", long[:pieceSize-1] + "\r\nb\r\n", true},
		{"bare cr where a piece ends", long[:pieceSize-1] + "\rb\n", long[:pieceSize-1] + " b\r\n", true},
		{"the last cr where a piece ends", long[:pieceSize-1] + "\r", long[:pieceSize-1] + "\r\n", true},
		{"exactly a piece", long[:pieceSize], long[:pieceSize] + "\r\n", true},
		{"nul and 8 bit", "a\x00\xff\n", "a\x00\xff\r\n", true},
	} {
		for _, r := range []io.Reader{strings.NewReader(c.in), iotest.OneByteReader(strings.NewReader(c.in)), iotest.DataErrReader(strings.NewReader(c.in))} {
			got, err := io.ReadAll(&wire{text: newText(r, c.dots)})
			if err != nil || string(got) != c.out {
				t.Errorf("%s: got %.60q (%d), %v; want %.60q (%d)", c.name, got, len(got), err, c.out, len(c.out))
			}
		}
	}
}

func TestTextReadError(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	_, err := io.ReadAll(&wire{text: newText(io.MultiReader(strings.NewReader("a\nhalf"), iotest.ErrReader(broken)), true)})
	if !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

// FuzzText: what goes out is lines that end in CRLF, without other CRs and LFs.
func FuzzText(f *testing.F) {
	f.Add("a\r\nb\n\rc", true)
	f.Add("From x\n.\n", true)
	f.Add(".\r\r\n\r", false)
	f.Fuzz(func(t *testing.T, s string, dots bool) {
		got, err := io.ReadAll(&wire{text: newText(iotest.HalfReader(strings.NewReader(s)), dots)})
		if err != nil {
			t.Fatal(err)
		}
		out := string(got)
		if out != "" && !strings.HasSuffix(out, "\r\n") || strings.ContainsAny(strings.ReplaceAll(out, "\r\n", ""), "\r\n") {
			t.Fatalf("%q became %q", s, out)
		}
		if dots && (strings.HasPrefix(out, ".\r\n") || strings.Contains(out, "\r\n.\r\n")) {
			t.Fatalf("%q: a dot got through: %q", s, out)
		}
	})
}

func TestHeader(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, in      string
		fields, begun string
		from          bool
		to            []string
		rest          string
	}{
		{"plain", "To: bob\nSubject: x\n\nbody\n", "To: bob\r\nSubject: x\r\n", "", false, []string{" bob"}, "body\r\n"},
		{"bcc", "To: a\nBcc: b,\n c\ncc: d\nFrom: e\n\n", "To: a\r\ncc: d\r\nFrom: e\r\n", "", true, []string{" a", " b,\r\n c\r\n", " d"}, ""},
		{"resent", "To: a\nResent-To: b\nResent-Bcc: c\nBcc: d\n\n", "To: a\r\nResent-To: b\r\n", "", false, []string{" b", " c"}, ""},
		{"mailbox fields", "Return-Path: <x>\nContent-Length: 5\nSubject: y\n\n", "Subject: y\r\n", "", false, nil, ""},
		{"folded", "Subject: a\n\tb\n c\n\nx", "Subject: a\r\n\tb\r\n c\r\n", "", false, nil, "x\r\n"},
		{"no header", "hello: world\nno header line\nx: y\n", "hello: world\r\n", "no header line\r\n", false, nil, "x: y\r\n"},
		{"only body", "hello\nworld\n", "", "hello\r\n", false, nil, "world\r\n"},
		{"indented body", " hello\n", "", " hello\r\n", false, nil, ""},
		{"empty", "", "", "", false, nil, ""},
		{"empty line", "\nbody", "", "", false, nil, "body\r\n"},
		{"no body", "To: a", "To: a\r\n", "", false, []string{" a"}, ""},
		{"blank before colon", "To : a\nBcc\t: b\n\n", "To : a\r\n", "", false, []string{" a", " b"}, ""},
		{"bad name", "a b: c\n", "", "a b: c\r\n", false, nil, ""},
		{"no name", ": c\n", "", ": c\r\n", false, nil, ""},
		{"long line", "X: " + strings.Repeat("y", 2*pieceSize) + "\nTo: a\n\n", "X: " + strings.Repeat("y", 2*pieceSize) + "\r\nTo: a\r\n", "", false, []string{" a"}, ""},
		{"long body line", strings.Repeat("y", pieceSize) + "z\nb", "", strings.Repeat("y", pieceSize), false, nil, "z\r\nb\r\n"},
	} {
		text := newText(strings.NewReader(c.in), true)
		h, err := readHeader(text)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		rest, _ := io.ReadAll(&wire{text: text})
		var to []string
		for i, d := range h.destinations() {
			if i < len(c.to) && !strings.HasSuffix(c.to[i], "\n") {
				d = strings.TrimSuffix(d, "\r\n")
			}
			to = append(to, d)
		}
		if string(h.fields) != c.fields || string(h.begun) != c.begun || h.from != c.from || strings.Join(to, "|") != strings.Join(c.to, "|") || string(rest) != c.rest {
			t.Errorf("%s: fields %.80q, begun %.80q, from %t, to %q, rest %.80q", c.name, h.fields, h.begun, h.from, to, rest)
		}
	}
}

func TestHeaderBound(t *testing.T) {
	t.Parallel()
	for name, in := range map[string]string{
		"one line":   "X: " + strings.Repeat("y", 2*maxHeader) + "\n\n",
		"many lines": strings.Repeat("X: y\n", maxHeader/5) + "\n",
		"one field":  "X: y\n" + strings.Repeat(" y\n", maxHeader/3) + "\n",
	} {
		if _, err := readHeader(newText(strings.NewReader(in), true)); !errors.Is(err, errHeaderSize) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzHeader: header and rest are the message, but for the fields that are dropped; Bcc never gets through.
func FuzzHeader(f *testing.F) {
	for _, s := range []string{"To: a\nBcc: b\n c\n\nbody", "x\n", "Resent-Bcc: q\n\n", " \n", "Bcc:b\nBcc :c\n\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if len(s) > maxHeader/2 {
			return
		}
		text := newText(strings.NewReader(s), false)
		h, err := readHeader(text)
		if err != nil {
			t.Fatal(err)
		}
		for l := range strings.SplitSeq(string(h.fields), "\r\n") {
			if name := fieldName([]byte(l)); name == "bcc" || name == "resent-bcc" {
				t.Fatalf("%q: %q got through", s, l)
			}
		}
		whole, _ := io.ReadAll(&wire{text: newText(strings.NewReader(s), false)})
		rest, err := io.ReadAll(&wire{text: text})
		if err != nil || !strings.HasSuffix(string(whole), string(h.begun)+string(rest)) {
			t.Fatalf("%q: %q + %q is no end of %q", s, h.begun, rest, whole)
		}
	})
}
