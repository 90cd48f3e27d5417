package sortkey

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"postrider/internal/imap"
)

func keyOf(header string) Key {
	key, _ := NewMaker().Append(nil, []byte(header))
	return Key(key)
}

func TestKey(t *testing.T) {
	t.Parallel()
	k := keyOf("From: =?utf-8?q?J=C3=B6rg?= <joe@example.org>, b@c\r\nDATE: Thu, 12 Mar 2020 10:00:00 +0100\r\n" +
		"Subject: Re: =?iso-8859-1?q?Gr=FC?=\r\n =?iso-8859-1?q?=DFe?=  \r\n\t aus K\xc3\xb6ln (fwd)\r\nTo: list: a@b;\r\n" +
		"Cc: \"x y\"@example.net\r\nMessage-ID: <1@x>\r\nIn-Reply-To: <0@x>\r\nSubject: second\r\n\r\nFrom: body\r\n")
	for _, c := range []struct{ name, got, want string }{
		{"subject", k.Subject(), "GRU\u0308ßE AUS KO\u0308LN"}, {"from", k.Text(imap.SortFrom), "JOE"}, {"to", k.Text(imap.SortTo), "LIST"},
		{"cc", k.Text(imap.SortCc), "X Y"}, {"displayfrom", k.Text(imap.SortDisplayFrom), "JO\u0308RG"},
		{"displayto", k.Text(imap.SortDisplayTo), "LIST"},
	} {
		if c.got != c.want {
			t.Errorf("%s: %q, not %q", c.name, c.got, c.want)
		}
	}
	if id, ok := k.ID(); !ok || id != keyOf("Message-Id: <1@x>\n").must(t) || !k.Reply() || k.References() != 1 || k.Reference(0) != keyOf("Message-Id: <0@x>\n").must(t) {
		t.Error(id, ok, k.Reply(), k.References())
	}
	for _, empty := range []Key{"", keyOf(""), keyOf("\nSubject: x\n"), keyOf("Subject:\nFrom: \nDate: x\nTo:\nMessage-ID: x\nReferences: <>\n\n")} {
		_, id := empty.ID()
		if id || empty.Reply() || empty.Subject()+empty.Text(imap.SortTo)+empty.Text(imap.SortCc) != "" || empty.References() > 0 {
			t.Errorf("%q", empty)
		}
	}
	if k := keyOf("From: a@b\n"); k.Text(imap.SortFrom) != "A" || k.Text(imap.SortDisplayFrom) != "A@B" {
		t.Errorf("%q", k)
	}
}

func (k Key) must(t *testing.T) uint64 {
	t.Helper()
	id, ok := k.ID()
	if !ok {
		t.Fatal("no identifier")
	}
	return id
}

func TestParse(t *testing.T) {
	t.Parallel()
	long := "Subject: " + strings.Repeat("ä", 40000) + "\nFrom: " + strings.Repeat("ö", 500) + "@x\nReferences:" + strings.Repeat("\n <a@b>", 9000) + "\n\n"
	for _, header := range []string{"", long, "Subject: x\nMessage-ID: <a@b>\nReferences: <c@d> <e@f>\nTo: a\n"} {
		k := keyOf(header)
		if again, err := Parse(string(k)); err != nil || again != k || len(k) > MaxSize {
			t.Errorf("%d octets, %v", len(k), err)
		}
		for i := range len(k) {
			if _, err := Parse(string(k[:i])); err == nil && i > 0 {
				t.Errorf("the first %d of %d octets are a key", i, len(k))
			}
		}
	}
	if k := keyOf(long); k.References() != MaxReferences || len(k.Subject()) > MaxSubject || len(k.Subject()) < MaxSubject-3 {
		t.Error(k.References(), len(k.Subject()))
	}
}

// TestRoot: of many references the first one is kept, and the last.
func TestRoot(t *testing.T) {
	t.Parallel()
	root := keyOf("Message-ID: <0@x>\n").must(t)
	many := "References:"
	for i := range 3 * MaxReferences {
		many += fmt.Sprintf("\n <%d@x>", i)
	}
	for _, header := range []string{"Message-ID: <0@x>\n", "Message-ID: <1@x>\nIn-Reply-To: you <0@x>\n", "References: <0@x> <1@x>\nIn-Reply-To: <1@x>\n", many + "\n"} {
		if got, ok := keyOf(header).Root(); got != root || !ok {
			t.Errorf("%.60q: %d, %v", header, got, ok)
		}
	}
	k := keyOf(many + "\n")
	last := keyOf(fmt.Sprintf("Message-ID: <%d@x>\n", 3*MaxReferences-1)).must(t)
	if n := k.References(); n != MaxReferences || k.Reference(n-1) != last {
		t.Errorf("%d references", n)
	}
	for _, none := range []Key{"", keyOf("Subject: x\n"), keyOf("References: x\nMessage-ID: <x>\n")} {
		if _, ok := none.Root(); ok {
			t.Errorf("%q", none)
		}
	}
}

func TestSent(t *testing.T) {
	t.Parallel()
	ten := time.Date(2020, 3, 12, 10, 0, 0, 0, time.UTC).Unix()
	for header, want := range map[string]Sent{
		"DATE: Thu, 12 Mar 2020\r\n 10:00:00 +0100\r\nDate: x\r\n\r\n": {ten, 3600, true},
		"Subject: x\nDate: 12 Mar 2020 10:00 -0030\n":                  {ten, -1800, true},
		"Date: tomorrow\nDate: 12 Mar 2020 10:00\n\n":                  {},
		"Subject: x\n\nDate: 12 Mar 2020 10:00\n":                      {},
		"": {},
	} {
		_, got := NewMaker().Append(nil, []byte(header))
		if got != want || got.Unix() != want.Written-int64(want.Zone) {
			t.Errorf("%q: %+v, not %+v", header, got, want)
		}
	}
}

// FuzzParse checks that what is taken for a key can be asked for all, and is of bounded size.
func FuzzParse(f *testing.F) {
	f.Add(string(keyOf("Subject: x\nFrom: a <b@c>\nMessage-ID: <a@b>\nReferences: <c@d> <e@f>\nDate: 1 Jan 2020\n")))
	f.Add("")
	f.Fuzz(func(t *testing.T, b string) {
		k, err := Parse(b)
		if err != nil {
			return
		}
		k.ID()
		for i := range k.References() {
			k.Reference(i)
		}
		texts := 0
		for _, by := range []imap.SortKey{imap.SortCc, imap.SortDisplayFrom, imap.SortDisplayTo, imap.SortFrom, imap.SortSubject, imap.SortTo} {
			texts += len(k.Text(by))
		}
		if len(k) > MaxSize || texts > len(k) {
			t.Errorf("%q", b)
		}
	})
}

// FuzzHeader makes keys of anything.
func FuzzHeader(f *testing.F) {
	f.Add([]byte("Subject: =?utf-8?q?x=C3=9F?=\r\n y\r\nFrom: a <b@c>\r\nReferences: <c@d>\r\n <e@f>\r\nDate: 1 Jan 2020\r\n\r\n"))
	f.Fuzz(func(t *testing.T, header []byte) {
		m := NewMaker()
		k, sent := m.Append(nil, header)
		if again, sentAgain := m.Append(nil, header); string(again) != string(k) || sent != sentAgain {
			t.Errorf("%q at %v, then %q at %v", k, sent, again, sentAgain)
		}
		if _, err := Parse(string(k)); err != nil {
			t.Errorf("%q of %q", k, header)
		}
	})
}

// FuzzReferences checks that identifiers are found however many there are, and that they are of what is between "<" and ">".
func FuzzReferences(f *testing.F) {
	f.Add([]byte("<a@b> <\"c d\"@[1.2]> (x <) < e @ f\n > <<g@h> <@>"))
	f.Fuzz(func(t *testing.T, body []byte) {
		ids := appendIDs(nil, body, len(body)+1)
		if most := strings.Count(string(body), ">"); len(ids) > most {
			t.Errorf("%d of %q", len(ids), body)
		}
		behind := appendIDs(nil, append([]byte("<first@id>"), body...), len(body)+1)
		if len(behind) != len(ids)+1 {
			t.Errorf("%d behind another, %d alone: %q", len(behind), len(ids), body)
		}
	})
}

func TestReferences(t *testing.T) {
	t.Parallel()
	hash := func(s string) uint64 {
		p := idParser{}
		p.begin()
		for i := range len(s) {
			p.add(s[i])
		}
		return p.hash
	}
	for in, want := range map[string][]string{
		"":                              nil,
		"a@b":                           nil,
		"<a@b>":                         {"a@b"},
		"x <a@b>, y <c@d>":              {"a@b", "c@d"},
		"<a@b><c@d>":                    {"a@b", "c@d"},
		"<ab> <c@d>":                    {"c@d"},
		"<a@b":                          nil,
		"<a <c@d>":                      {"c@d"},
		"< a@\r\n b >":                  {"a@b"},
		`<"a"@b> <"a\"b>"@c>`:           {"a@b", `a"b>@c`},
		`<"a@b> <c@d>`:                  {"c@d"},
		"<a@[1.2.3.4]>":                 {"a@1.2.3.4["},
		"<(x) a@b> <c@d>":               {"c@d"},
		"(<a@b>) <c@d>":                 {"a@b", "c@d"},
		"<a@[b> <c@d>":                  {"c@d"},
		"Your message of today <a@b> .": {"a@b"},
	} {
		got := appendIDs(nil, []byte(in), 100)
		if len(got) != len(want) {
			t.Errorf("%q: %d, not %q", in, len(got), want)
			continue
		}
		for i := range want {
			if got[i] != hash(want[i]) {
				t.Errorf("%q: %d is not %q", in, i, want[i])
			}
		}
	}
}

// TestHostileReferences has what a simple implementation would read again and again.
func TestHostileReferences(t *testing.T) {
	t.Parallel()
	start := time.Now()
	for _, s := range []string{"<", `<"`, "<(", "<[", `<"\`, "<a@b>", "<a", "<()", `<""`, "<(("} {
		appendIDs(nil, []byte(strings.Repeat(s, maxBody/len(s))), maxBody)
	}
	if spent := time.Since(start); spent > 5*time.Second {
		t.Errorf("took %v", spent)
	}
}

func BenchmarkAppend(b *testing.B) {
	header := []byte("Return-Path: <alice@example.org>\r\nReceived: from mx.example.org (mx.example.org [192.0.2.1])\r\n" +
		"\tby mail.example.net with ESMTPS id 0123456789abcdef;\r\n\tThu, 12 Mar 2020 10:00:00 +0100\r\n" +
		"From: Alice Example <alice@example.org>\r\nTo: Bob <bob@example.net>, c@d\r\nDate: Thu, 12 Mar 2020 10:00:00 +0100\r\n" +
		"Subject: Re: [list] =?utf-8?Q?Gr=C3=BC=C3=9Fe?= number 5\r\nMessage-ID: <5@example.org>\r\n" +
		"References: <1@example.org> <2@example.org>\r\n <3@example.org>\r\nMIME-Version: 1.0\r\n\r\n")
	m := NewMaker()
	var key []byte
	b.ReportAllocs()
	for b.Loop() {
		key, _ = m.Append(key[:0], header)
	}
}
