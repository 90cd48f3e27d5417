package imap

import (
	"testing"
	"unicode/utf8"

	"postrider/internal/mutf7"
)

func TestMailboxNames(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, wire string }{
		{"", ""}, {"Sent", "Sent"}, {"INBOX", "INBOX"}, {"R&D", "R&-D"}, {"Entwürfe", "Entw&APw-rfe"},
		{"~peter/mail/台北/日本語", "~peter/mail/&U,BTFw-/&ZeVnLIqe-"}, {"&", "&-"}, {"😀", "&2D3eAA-"}, {"a ü", "a &APw-"},
	}
	for _, test := range tests {
		if got := string(new(Writer).appendMailbox(nil, test.name)); got != string(appendAString(nil, test.wire)) {
			t.Errorf("appendMailbox(%q) = %q, want %q", test.name, got, test.wire)
		}
		if got, err := DecodeMailbox(test.wire); err != nil || got != test.name {
			t.Errorf("DecodeMailbox(%q) = %q, %v", test.wire, got, err)
		}
	}
	for wire, want := range map[string]string{"inBox": "INBOX", "inbox/x": "inbox/x", "Größe": "Größe",
		"Größe & Maß": "Größe & Maß", "Größe &- Maß": "Größe & Maß"} {
		if got, err := DecodeMailbox(wire); err != nil || got != want {
			t.Errorf("DecodeMailbox(%q) = %q, %v", wire, got, err)
		}
	}
	for _, wire := range []string{"&", "&APw", "&AP-", "&2D0-", "&3gA-", "&APw-&APw-", "&AAo-", "a\x00", "&AP!-", "\xff", "&AEE-"} {
		if got, err := DecodeMailbox(wire); err == nil {
			t.Errorf("DecodeMailbox(%q) = %q, want an error", wire, got)
		}
	}
}

func FuzzMailbox(f *testing.F) {
	for _, seed := range []string{"INBOX", "Entw&APw-rfe", "&U,BTFw-/&ZeVnLIqe-", "R&-D", "&2D3eAA-", "&", "&AP-", "Größe", "\xff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, wire string) {
		if name, err := DecodeMailbox(wire); err == nil {
			if !utf8.ValidString(name) {
				t.Fatalf("DecodeMailbox(%q) = %q", wire, name)
			}
			if again, err := DecodeMailbox(mutf7.Encode(name)); err != nil || again != name {
				t.Fatalf("%q = %q, then %q, %v", wire, name, again, err)
			}
		}
	})
}

// TestUTF8Mailbox: after ENABLE UTF8=ACCEPT a name is what it is on the wire.
func TestUTF8Mailbox(t *testing.T) {
	t.Parallel()
	w := &Writer{UTF8: true}
	for name, wire := range map[string]string{
		"a&b":            "a&b",
		"Gr&APYA3w-e":    "Gr&APYA3w-e",
		"Größe \"x\" \\": `"Größe \"x\" \\"`,
		"a b":            `"a b"`,
		"NIL":            `"NIL"`,
	} {
		if got := string(w.appendMailbox(nil, name)); got != wire {
			t.Errorf("%q is written %q, want %q", name, got, wire)
		}
		r, _ := newTestReader("t1 DELETE " + wire + "\r\nt2 DELETE \"a\x01b\"\r\nt3 DELETE \"inBox\"\r\n")
		r.UTF8 = true
		if req, err := r.Next(); err != nil || req.Command.(*Delete).Mailbox != name {
			t.Errorf("%q is read as %+v, %v", wire, req, err)
		}
		if req, err := r.Next(); err == nil {
			t.Errorf("a control character is let through: %+v", req)
		}
		if req, err := r.Next(); err != nil || req.Command.(*Delete).Mailbox != "INBOX" {
			t.Errorf("%+v, %v", req, err)
		}
	}
	if got := string(w.appendMailbox(nil, "ö\r\nx")); got != "{5}\r\nö\r\nx" {
		t.Errorf("a name with a line end is written %q", got)
	}
}
