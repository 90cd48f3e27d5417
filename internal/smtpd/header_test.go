package smtpd

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"postrider/internal/address"
)

func testCompletion() *completion {
	return &completion{origin: "example.test", date: "DATE", messageID: "<ID>",
		author: func() address.Address { return address.Address{Local: "alice", Domain: "example.test"} }}
}

func TestUnqualified(t *testing.T) {
	t.Parallel()
	for _, c := range [][2]string{
		{"alice", "alice@o"},
		{" alice, bob ,carol@x", " alice@o, bob@o ,carol@x"},
		{"Alice <alice>", "Alice <alice@o>"},
		{`"A, B" <alice>, "<c>" <d>`, `"A, B" <alice@o>, "<c>" <d@o>`},
		{"alice (a comment, bob)", "alice@o (a comment, bob)"},
		{"(x (nested \\) y)) alice", "(x (nested \\) y)) alice@o"},
		{"friends: alice, bob@x, C <c>;, dave", "friends: alice@o, bob@x, C <c@o>;, dave@o"},
		{"undisclosed-recipients:;", "undisclosed-recipients:;"},
		{"alice,\r\n\tbob,\r\n carol\r\n", "alice@o,\r\n\tbob@o,\r\n carol@o\r\n"},
		{"a.b.c", "a.b.c@o"},
		{"<@a,@b:alice@c>", "<@a,@b:alice@c>"},
		{"J\u00fcrgen <j\u00fcrgen>", "J\u00fcrgen <j\u00fcrgen@o>"},
		{"", ""}, {",", ","}, {" \r\n", " \r\n"}, {"<>", "<>"},
		// not touched
		{"John Smith", "John Smith"},
		{`"john smith"`, `"john smith"`},
		{`<"john">`, `<"john">`},
		{"host!user", "host!user"}, {"a%b", "a%b"}, {"=?utf-8?Q?x?=", "=?utf-8?Q?x?="},
		{"a..b", "a..b"}, {".a", ".a"},
		{"alice <", "alice <"}, {"alice >", "alice >"}, {"bob, (open", "bob, (open"}, {`bob, "open`, `bob, "open`},
		{"<a> <b>", "<a> <b>"}, {"<<a>>", "<<a>>"}, {"a: b", "a: b"}, {"a; b", "a; b"}, {"a: b: c;", "a: b: c;"},
		{"bob, a\\b", "bob, a\\b"}, {"bob, a@[1.2.3.4", "bob, a@[1.2.3.4"},
		{"user @ host", "user @ host"},
	} {
		c0 := completion{origin: "o"}
		left := maxCompleted
		if got := string(c0.qualify(nil, []byte(c[0]), &left)); got != c[1] {
			t.Errorf("%q: %q, want %q", c[0], got, c[1])
		}
	}
	left := 2
	if got := string((&completion{origin: "o"}).qualify(nil, []byte("a,b,c"), &left)); got != "a,b,c" {
		t.Errorf("beyond the bound: %q", got)
	}
}

// scan passes a message through a header in pieces of n octets.
func scan(msg string, n int, c *completion) (string, *header, error) {
	var out bytes.Buffer
	h := newHeader(&out, 3, c)
	for len(msg) > 0 {
		k := min(n, len(msg))
		if _, err := h.Write([]byte(msg[:k])); err != nil {
			return out.String(), h, err
		}
		msg = msg[k:]
	}
	err := h.Close()
	return out.String(), h, err
}

func TestHeader(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 3*maxHeldLine)
	const added = "Date: DATE\r\nMessage-ID: <ID>\r\n"
	for _, c := range []struct {
		in, net, sub string
		id           string
	}{
		{"A: b\r\n\r\ntext\r\n", "A: b\r\n\r\ntext\r\n", "A: b\r\nFrom: alice@example.test\r\n" + added + "\r\ntext\r\n", ""},
		{"text\r\nA: b\r\n", "\r\ntext\r\nA: b\r\n", "From: alice@example.test\r\n" + added + "\r\ntext\r\nA: b\r\n", ""},
		{" folded from nothing\r\n", "\r\n folded from nothing\r\n", "From: alice@example.test\r\n" + added + "\r\n folded from nothing\r\n", ""},
		{"", "", "From: alice@example.test\r\n" + added, ""},
		{"\r\n", "\r\n", "From: alice@example.test\r\n" + added + "\r\n", ""},
		{"From x y\r\nA: b\r\n", "From x y\r\nA: b\r\n", "A: b\r\nFrom: alice@example.test\r\n" + added, ""},
		{"From: x@y\r\nDATE : 1\r\nMessage-Id:\r\n\t<2>\r\n\r\n", "From: x@y\r\nDATE : 1\r\nMessage-Id:\r\n\t<2>\r\n\r\n",
			"From: x@y\r\nDATE : 1\r\nMessage-Id:\r\n\t<2>\r\n\r\n", "<2>"},
		{"Message-ID: <1>\r\nMessage-ID: <2>\r\nA: " + long + "\r\nTo: bob\r\nFrom: x\r\nDate: 1\r\n\r\nb", "", "Message-ID: <1>\r\nMessage-ID: <2>\r\nA: " + long +
			"\r\nTo: bob@example.test\r\nFrom: x@example.test\r\nDate: 1\r\n\r\nb", "<1>"},
		{long + "\r\n", "\r\n" + long + "\r\n", "From: alice@example.test\r\n" + added + "\r\n" + long + "\r\n", ""},
	} {
		if c.net == "" {
			c.net = c.in
		}
		for _, n := range []int{1, 2, 7, 4096, 1 << 20} {
			got, h, err := scan(c.in, n, nil)
			if err != nil || got != c.net || h.messageID != c.id {
				t.Errorf("%.80q by %d: %.200q, %q, %v", c.in, n, got, h.messageID, err)
			}
			got, _, err = scan(c.in, n, testCompletion())
			if err != nil || got != c.sub {
				t.Errorf("%.80q by %d: %.200q, %v\nwant %.200q", c.in, n, got, err, c.sub)
			}
		}
	}
}

func TestHugeHeader(t *testing.T) {
	t.Parallel()
	msg := strings.Repeat("To: bob\r\n", maxBlock/8) + "\r\nbody\r\n"
	got, h, err := scan(msg, 1000, testCompletion())
	if err != nil || got != msg || h.block != nil {
		t.Errorf("%v, %d octets of %d", err, len(got), len(msg))
	}
}

func TestHops(t *testing.T) {
	t.Parallel()
	if _, _, err := scan(strings.Repeat("Received: x\r\n", 3)+"\r\n", 5, nil); err != nil {
		t.Error(err)
	}
	if _, _, err := scan(strings.Repeat("RECEIVED: x\r\n", 4)+"\r\n", 5, nil); !errors.Is(err, error(errHops)) {
		t.Error(err)
	}
}

// FuzzHeader checks that pieces make no difference, that nothing is lost, and that the text is never changed.
func FuzzHeader(f *testing.F) {
	f.Add("From: alice, \"b\" <c>\r\nTo: x: a, b;\r\n (c)\r\n\r\nTo: text\r\n", uint8(3))
	f.Add("From a\r\n\r\n", uint8(1))
	f.Fuzz(func(t *testing.T, msg string, n uint8) {
		for _, c := range []*completion{nil, testCompletion()} {
			whole, _, err1 := scan(msg, len(msg)+1, c)
			pieces, _, err2 := scan(msg, int(n)+1, c)
			if (err1 == nil) != (err2 == nil) || err1 == nil && whole != pieces {
				t.Fatalf("%q by %d:\n%q, %v\n%q, %v", msg, n, whole, err1, pieces, err2)
			}
			if err1 != nil {
				continue
			}
			if c == nil && strings.ReplaceAll(whole, "\r\n", "") != strings.ReplaceAll(msg, "\r\n", "") {
				t.Fatalf("%q became %q", msg, whole)
			}
			if _, text, ok := strings.Cut(msg, "\r\n\r\n"); ok && !strings.HasSuffix(whole, text) {
				t.Fatalf("%q: text lost: %q", msg, whole)
			}
		}
	})
}
