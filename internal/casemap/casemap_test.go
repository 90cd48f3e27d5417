package casemap

import (
	"bytes"
	"testing"
	"unicode/utf8"
)

func TestAppend(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, want string }{
		{"", ""},
		{"Hello, World", "HELLO, WORLD"},
		{"Grüße", "GRU\u0308ßE"},
		{"ǆ", "Dz\u030c"}, // ǅ: what a decomposition brings keeps its case
		{"각", "\u1100\u1161\u11a8"},
		{"a\xff\xfe\xfdb\xe2\x82", "A\ufffdB\ufffd"},
		{"½", "1\u20442"},
	} {
		if got := string(Append([]byte("x"), []byte(c.text))); got != "x"+c.want {
			t.Errorf("%q: %+q, not %+q", c.text, got, c.want)
		}
	}
}

func TestCache(t *testing.T) {
	t.Parallel()
	var c Cache
	for range 2 {
		for r := range rune(0x3000) {
			if got := c.Of(r); !bytes.Equal(got, appendRune(nil, r)) {
				t.Fatalf("%U: %q", r, got)
			}
		}
	}
}

// FuzzAppend checks that a casemap is UTF-8, and that a text in upper case has the same one where it is ASCII.
func FuzzAppend(f *testing.F) {
	f.Add([]byte("Grüße aus Köln\xff\xe2\x82각ﬁ"))
	f.Fuzz(func(t *testing.T, text []byte) {
		got := Append(nil, text)
		if !utf8.Valid(got) || len(got) > 40*len(text) {
			t.Errorf("%q: %q", text, got)
		}
		if up := bytes.Map(func(r rune) rune {
			if 'a' <= r && r <= 'z' {
				r -= 'a' - 'A'
			}
			return r
		}, text); !bytes.Equal(Append(nil, up), got) {
			t.Errorf("%q: %q", text, got)
		}
	})
}
