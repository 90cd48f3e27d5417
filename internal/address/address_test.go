package address

import (
	"strings"
	"testing"
)

func TestParsePath(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, want, rest string }{
		{"<>", "", ""},
		{"<> BODY=8BITMIME", "", " BODY=8BITMIME"},
		{"<alice@Example.ORG>", "alice@example.org", ""},
		{"<postmaster>", "postmaster", ""},
		{"<Alice.B@example.org> SIZE=1", "Alice.B@example.org", " SIZE=1"},
		{"<@a.example,@b.example:carol@c.example>", "carol@c.example", ""},
		{`<"a b"@example.org>`, `"a b"@example.org`, ""},
		{`<"a\"b\\"@example.org>`, `"a\"b\\"@example.org`, ""},
		{`<"plain"@example.org>`, "plain@example.org", ""},
		{`<"a>b@c"@example.org>x`, `"a>b@c"@example.org`, "x"},
		{`<""@example.org>`, `""@example.org`, ""},
		{"<a%b@example.org>", "a%b@example.org", ""},
		{"<b!a@example.org>", "b!a@example.org", ""},
		{"<u@[192.0.2.1]>", "u@[192.0.2.1]", ""},
		{"<u@[ipv6:2001:DB8::1]>", "u@[IPv6:2001:db8::1]", ""},
		{"<ü@bücher.example>", "ü@xn--bcher-kva.example", ""},
		{"<u@a_b.example>", "u@a_b.example", ""},
	} {
		a, rest, err := ParsePath(c.in)
		if err != nil || a.String() != c.want || rest != c.rest {
			t.Errorf("ParsePath(%q) = %q, %q, %v; want %q, %q", c.in, a, rest, err, c.want, c.rest)
		}
	}
	for _, in := range []string{
		"", "alice@example.org", "<alice@example.org", "<a..b@example.org>", "<.a@example.org>", "<a.@example.org>",
		"<a@b@c>", "<a b@example.org>", "<@example.org>", "<a@>", "<a@-x.example>", "<a@x..y>", "<a@x.>", `<"a@example.org>`,
		"<\"a\x00\"@example.org>", "<a@[1.2.3]>", "<a@[2001:db8::1]>", "<a@[IPv6:1.2.3.4]>", "<a@[>", "<@a.example:>", "<@a.example>",
		"<a\xff@example.org>", "<a@exa\rmple.org>", "<" + strings.Repeat("a", 300) + "@example.org>", "<a@" + strings.Repeat("a", 64) + ".org>", "< a@example.org>", "<a\u0085b@example.org>", "<\"a\u009fb\"@example.org>",
	} {
		if a, _, err := ParsePath(in); err == nil {
			t.Errorf("ParsePath(%q) = %q, want an error", in, a)
		}
	}
}

func TestSplitExtension(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, delims, user, ext string }{
		{"alice+lists", "+", "alice", "lists"}, {"alice", "+", "alice", ""}, {"+x", "+", "+x", ""},
		{"alice-a+b", "+-", "alice", "a+b"}, {"alice+x", "", "alice+x", ""}, {"alice+", "+", "alice", ""},
	} {
		if u, e := SplitExtension(c.in, c.delims); u != c.user || e != c.ext {
			t.Errorf("SplitExtension(%q, %q) = %q, %q", c.in, c.delims, u, e)
		}
	}
}

func FuzzParsePath(f *testing.F) {
	for _, s := range []string{"<>", "<alice@example.org> SIZE=1", `<"a\"b"@x.example>`, "<@a,@b:c@d>", "<u@[IPv6:::1]>", "<ü@ü.example>"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, _, err := ParsePath(s)
		if err != nil {
			return
		}
		b, rest, err := ParsePath("<" + a.String() + ">")
		if err != nil || rest != "" || a != b {
			t.Fatalf("%q: printed as %q, read back as %+v, %q, %v", s, a, b, rest, err)
		}
	})
}
