package mutf7

import (
	"testing"
	"unicode/utf8"
)

func TestNames(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, wire string }{
		{"", ""}, {"Sent", "Sent"}, {"R&D", "R&-D"}, {"Entwürfe", "Entw&APw-rfe"}, {"a ü", "a &APw-"}, {"ü&", "&APw-&-"},
		{"~peter/mail/台北/日本語", "~peter/mail/&U,BTFw-/&ZeVnLIqe-"}, {"&", "&-"}, {"😀", "&2D3eAA-"}, {"\n", "&AAo-"},
	}
	for _, test := range tests {
		if got := Encode(test.name); got != test.wire {
			t.Errorf("Encode(%q) = %q, want %q", test.name, got, test.wire)
		}
		if got, ok := Decode(test.wire); !ok || got != test.name {
			t.Errorf("Decode(%q) = %q, %t", test.wire, got, ok)
		}
	}
	for _, wire := range []string{"&", "&APw", "&AP-", "&2D0-", "&3gA-", "&2D3eAA", "&APw-&APw-", "&AP!-", "&APx-", "&AEE-", "ü", "\n", "\xff"} {
		if got, ok := Decode(wire); ok {
			t.Errorf("Decode(%q) = %q, want none", wire, got)
		}
	}
	if got := Encode("a\xff"); got != "a&,,0-" {
		t.Errorf("not UTF-8: %q", got)
	}
}

func FuzzNames(f *testing.F) {
	for _, seed := range []string{"INBOX", "Entw&APw-rfe", "&U,BTFw-/&ZeVnLIqe-", "R&-D", "&2D3eAA-", "&", "&AP-", "Größe", "\xff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if name, ok := Decode(s); ok && (!utf8.ValidString(name) || Encode(name) != s) {
			t.Fatalf("Decode(%q) = %q", s, name)
		}
		wire := Encode(s)
		for i := range len(wire) {
			if c := wire[i]; c < ' ' || c > '~' {
				t.Fatalf("Encode(%q) = %q", s, wire)
			}
		}
		if name, ok := Decode(wire); !ok || name != s && utf8.ValidString(s) {
			t.Fatalf("%q became %q, then %q", s, wire, name)
		}
	})
}
