package mailq

import (
	"strings"
	"testing"
	"time"

	"postrider/internal/control"
)

func TestFilters(t *testing.T) {
	t.Parallel()
	now := time.Now()
	e := &control.Entry{
		ID: "b8bby5wdt90bpmfm", State: control.Deferred, Channel: "remote", Arrival: now.Add(-49 * time.Hour), Size: 2048, Sender: "Alice@example.org", UID: 1000,
		Recipients: []control.Recipient{
			{Address: "bob@mx.example.net", Relay: "mx.example.net[192.0.2.1]:25", Reply: "451 4.7.1 Greylisted"},
			{Address: "carol@xn--mller-kva.example", Orig: "list@example.org"},
		},
	}
	null := &control.Entry{State: control.Hold, Channel: "local", Arrival: now, UID: -1, Recipients: []control.Recipient{{Address: "postmaster"}}}
	torn := &control.Entry{State: control.Corrupt, Channel: "local", Arrival: now.Add(-time.Hour), UID: -1, Trouble: "envelope syntax"}
	for _, c := range []struct {
		option, value     string
		whole, null, torn bool
	}{
		{"sender", "alice@example.org", true, false, false},
		{"sender", "<alice@EXAMPLE.org>", true, false, false},
		{"sender", "@example.org", true, false, false},
		{"sender", "@xample.org", false, false, false},
		{"sender", "*@example.org", true, false, false},
		{"sender", "al*ce@*", true, false, false},
		{"sender", "alice", false, false, false},
		{"sender", "<>", false, true, false},
		{"sender", "mailer-daemon", false, true, false},
		{"sender", "*", true, false, false},
		{"recipient", "bob@mx.example.net", true, false, false},
		{"recipient", "list@example.org", true, false, false},
		{"recipient", "postmaster", false, true, false},
		{"recipient", "@müller.example", true, false, false},
		{"domain", "MX.example.net", true, false, false},
		{"domain", "@mx.example.net", true, false, false},
		{"domain", "example.net", false, false, false},
		{"domain", ".example.net", true, false, false},
		{"domain", "*.example.net", true, false, false},
		{"domain", "müller.example", true, false, false},
		{"domain", "example.org", false, false, false},
		{"user", "1000", true, false, false},
		{"user", "0", false, false, false},
		{"older", "2d", true, false, false},
		{"older", "3d", false, false, false},
		{"older", "30m", true, false, true},
		{"newer", "1h30m", false, true, true},
		{"larger", "1K", true, false, false},
		{"larger", "2048", false, false, false},
		{"smaller", "3k", true, true, true},
		{"state", "deferred,hold", true, true, false},
		{"state", "corrupt", false, false, true},
		{"channel", "local", false, true, true},
		{"reason", "greylist", true, false, false},
		{"reason", "SYNTAX", false, false, true},
		{"reason", "mx.example.net[", true, false, false},
	} {
		test, err := filters[c.option](c.value)
		if err != nil {
			t.Errorf("--%s %s: %v", c.option, c.value, err)
			continue
		}
		for entry, want := range map[*control.Entry]bool{e: c.whole, null: c.null, torn: c.torn} {
			if got := test(entry); got != want {
				t.Errorf("--%s %s: %t for %+v", c.option, c.value, got, entry)
			}
		}
	}
	for option, value := range map[string]string{"older": "2 days", "newer": "-1h", "larger": "1X", "smaller": "x", "state": "new", "channel": "both", "user": "no such user"} {
		if _, err := filters[option](value); err == nil {
			t.Errorf("--%s %s: no error", option, value)
		}
	}
}

func TestContaining(t *testing.T) {
	t.Parallel()
	e := &control.Entry{ID: "b8bby5wdt90bpmfm", Sender: "alice@example.org", Recipients: []control.Recipient{{Address: "bob@Example.net"}}}
	for want, parts := range map[bool][]string{true: {"Iby5", "IB8", "Salice", "S", "Rexample.NET", "Rbob@"}, false: {"Ix", "Sbob", "Ralice"}} {
		for _, p := range parts {
			test := Containing[p[0]](p[1:])
			if test(e) != want || Not(test)(e) == want {
				t.Errorf("%s: not %t", p, want)
			}
		}
	}
}

func FuzzWildcard(f *testing.F) {
	for _, s := range [][2]string{{"*", ""}, {"a*b*c", "axxbyyc"}, {"*@example.org", "a@example.org"}, {"a*a", "a"}, {"**", "x"}} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, pattern, s string) {
		got := wildcard(pattern)(s)
		if got && len(strings.ReplaceAll(strings.ToLower(pattern), "*", "")) > len(strings.ToLower(s)) {
			t.Fatalf("%q is like %q", s, pattern)
		}
		if !wildcard("*" + s + "*")("x" + s + "y") {
			t.Fatalf("%q is not in a text that holds it", s)
		}
		if !strings.Contains(pattern, "*") && got != (wildcard(s)(pattern) && !strings.Contains(s, "*")) {
			t.Fatalf("%q, %q: %t", pattern, s, got)
		}
	})
}
