package search

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"postrider/internal/casemap"
	"postrider/internal/mime"
)

func newText(n *needle) *text {
	t := &text{maps: &casemap.Cache{}}
	t.begin(n)
	return t
}

func TestText(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text, needle string
		found        bool
	}{
		{"Hello World", "o w", true},
		{"hello world", "WORLD", true},
		{"aaaaaaaaab", "aaab", true},
		{"abababac", "ababac", true},
		{"abcabcab", "abcabd", false},
		{"Café", "cafe", true},
		{"cafe\u0301", "CAFÉ", true},
		{"cafes", "cafés", false},
		{"Привет", "пРИВЕТ", true},
		{"각", "\u1100\u1161\u11a8", true},
		{"ﬁne ½", "FINE 1⁄2", true},
		{"ΣΊΣΥΦΟΣ", "σίσυφος", true},
		{"a\xff\xfe\xfdb", "a\ufffdb", true},
		{"a\xe2\x82b", "a\ufffdb", true},
		{"ß", "ss", false},
	} {
		n := newNeedle(c.needle)
		for size := 1; size <= len(c.text); size++ {
			x, found := newText(n), false
			for piece := range pieces([]byte(c.text), size) {
				found = found || x.read(piece)
			}
			if found != c.found {
				t.Errorf("%q in %q, pieces of %d: %v", c.needle, c.text, size, found)
			}
		}
	}
}

func pieces(b []byte, size int) func(func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for len(b) > 0 {
			n := min(size, len(b))
			if !yield(b[:n:n]) {
				return
			}
			b = b[n:]
		}
	}
}

// TestLinear searches what makes a search slow that looks back.
func TestLinear(t *testing.T) {
	t.Parallel()
	haystack := bytes.Repeat([]byte{'a'}, 2<<20)
	for _, needle := range []string{strings.Repeat("a", 1<<15) + "b", "b" + strings.Repeat("a", 1<<15), strings.Repeat("ab", 1<<14)} {
		start := time.Now()
		if newText(newNeedle(needle)).read(haystack) {
			t.Error("found")
		}
		if d := time.Since(start); d > 5*time.Second { // milliseconds; a minute if it were not linear
			t.Error("took", d)
		}
	}
}

// TestRecoder cuts text in several charsets anywhere.
func TestRecoder(t *testing.T) {
	t.Parallel()
	const want = "ascii, Grüße äöü; привет; 日本語 テスト; end of it"
	for _, name := range []string{"utf-16", "utf-16le", "gb18030", "iso-2022-jp", "shift_jis", "euc-jp", "iso-8859-15", "koi8-r", "big5"} {
		e, known := mime.Charset(name)
		if !known {
			t.Fatal(name)
		}
		text := want
		encoded, err := e.NewEncoder().String(text)
		for err != nil { // leave out what the charset does not have
			_, size := lastForeign(text)
			text = text[:size] + strings.TrimLeftFunc(text[size:], func(r rune) bool { return r >= 0x80 })
			encoded, err = e.NewEncoder().String(text)
		}
		for size := 1; size < 20; size++ {
			x := newText(newNeedle(text))
			c := newRecoder(e, make([]byte, 64))
			found := false
			for piece := range pieces([]byte(encoded), size) {
				found = found || c.read(piece, x)
			}
			if !found {
				t.Errorf("%s, pieces of %d: %q not found", name, size, text)
			}
		}
	}
}

// lastForeign gives the place of the last run of characters that are not ASCII.
func lastForeign(s string) (string, int) {
	end := strings.LastIndexFunc(s, func(r rune) bool { return r >= 0x80 })
	start := end
	for start > 0 && s[start-1] >= 0x80 {
		start--
	}
	return s[start:], start
}

func TestDay(t *testing.T) {
	t.Parallel()
	const length = 24 * 60 * 60
	east, west := time.FixedZone("", 2*60*60), time.FixedZone("", -2*60*60)
	for seconds, want := range map[int64][3]int64{ // in UTC, east and west of it
		0: {0, 0, -1}, -1: {-1, 0, -1}, length - 1: {0, 1, 0}, length: {1, 1, 0}, -length: {-1, -1, -2}, 18333*length + length/2: {18333, 18333, 18333},
	} {
		at := time.Unix(seconds, 0)
		if got := [3]int64{dayOf(seconds), day(at.In(east)), day(at.In(west))}; got != want || day(at.UTC()) != got[0] {
			t.Errorf("%d: %v, not %v", seconds, got, want)
		}
	}
}

func TestAddressForm(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"a@b":                               "<a@b>",
		"Alice <a@b> , c@d (Carol)":         "Alice <a@b>, Carol <c@d>",
		`John Doe <"j d"@b>`:                `"John Doe" <"j d"@b>`,
		"=?utf-8?q?x?= y <a@b>":             "=?utf-8?q?x?= y <a@b>",
		"friends: a@b, c@d;, e@f":           "friends: <a@b>, <c@d>;, <e@f>",
		"undisclosed-recipients:;":          "undisclosed-recipients: ;",
		`"O'Neil \"x\"" <o@n>`:              `"O\'Neil \"x\"" <o@n>`,
		"@route.example:a@b":                "",
		"<@route.example:a@b>":              "<@route.example:a@b>",
		strings.Repeat("a@b, ", 2000) + "z": "",
	} {
		got := string(addressForm(nil, []byte(in)))
		if want != "" && got != want {
			t.Errorf("%q: %q, not %q", in, got, want)
		}
		if n := len(mime.ParseAddresses([]byte(got), 2*maxAddresses)); n > maxAddresses {
			t.Errorf("%q: %d addresses", in, n)
		}
	}
}
