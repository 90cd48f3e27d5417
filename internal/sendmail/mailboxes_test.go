package sendmail

import (
	"strings"
	"testing"
)

func TestMailboxes(t *testing.T) {
	t.Parallel()
	for list, want := range map[string]string{
		"bob":                                   "bob",
		" bob@example.org ":                     "bob@example.org",
		"a@x, b@y,,c@z,":                        "a@x b@y c@z",
		"Bob <bob@x>":                           "bob@x",
		`"Smith, Bob" <bob@x>, carol`:           "bob@x carol",
		"bob@x (Bob, the (only) one), b@y":      "bob@x b@y",
		"(comment) bob (more) @ x . org":        "bob@x.org",
		"friends: a@x, b@y;, c@z":               "a@x b@y c@z",
		"undisclosed-recipients:;":              "",
		"undisclosed-recipients: ;":             "",
		"<@relay,@other:bob@x>":                 "bob@x",
		`"bob jones"@x`:                         `"bob jones"@x`,
		`"a,b"@x, "c\"d"@y`:                     `"a,b"@x "c\"d"@y`,
		"bob@[192.0.2.1], c@[IPv6:2001:db8::1]": "bob@[192.0.2.1] c@[IPv6:2001:db8::1]",
		`\bob`:                                  "bob",
		"=?utf-8?q?B=C3=B6b?= <b@x>":            "b@x",
		"Müller <mueller@x>, jürgen@x":          "mueller@x jürgen@x",
		"Bob Smith":                             `!"Bob Smith"`,
		"a b@x":                                 `!"a b@x"`,
		"a@b@c":                                 `!"a@b@c"`,
		"<>":                                    `!""`,
		"bob@":                                  `!"bob@"`,
		"a@x\r\n\tb@y":                          `!"a@x b@y"`,
		"a@x,\r\n\tb@y":                         "a@x b@y",
		"<bob@x":                                "bob@x",
		`"unterminated`:                         `!"\"unterminated"`,
		"(unterminated":                         "",
		"a@x <b@y> (c)":                         "b@y",
		"<a@x> <b@y>":                           "b@y",
		"":                                      "",
		"|/bin/sh":                              "|/bin/sh",
		"bob@x;carol@y":                         "bob@x carol@y",
		"mailto:bob@x":                          "bob@x",
		"<bob@x\r\nDATA>":                       `!"bob@x\r\nDATA"`,
	} {
		var got []string
		for _, m := range mailboxes(list) {
			if m.err != nil {
				got = append(got, "!"+strings.ReplaceAll(strings.ReplaceAll(quoted(m.text), "\r", `\r`), "\n", `\n`))
			} else {
				got = append(got, m.address.String())
			}
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("%q: got %s, want %s", list, s, want)
		}
	}
}

func quoted(s string) string { return `"` + strings.ReplaceAll(s, `"`, `\"`) + `"` }

// FuzzMailboxes: no address has anything in it that could end the command or the field that it is put in.
func FuzzMailboxes(f *testing.F) {
	for _, s := range []string{"a@x, b@y", `"q\"" <a@x> (c)`, "g: a;", "<@r:a@x>", "((", `\`, "a@[x", `"`, "<\"a>\"@x>"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, m := range mailboxes(s) {
			if m.err == nil && (m.address.IsNull() || strings.ContainsAny(m.address.String(), "\r\n\x00")) {
				t.Fatalf("%q: %q", s, m.address)
			}
		}
	})
}
