package imapd

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"postrider/internal/imap"
)

// TestMetadata has the dialogues of RFC 5464.
func TestMetadata(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c := s.connect()
	c.dialogue(`
		C: a GETMETADATA "" /shared/comment
		S: * METADATA "" (/shared/comment NIL)
		S: a OK Getmetadata completed.
		C: b SETMETADATA "" (/shared/comment "Shared comment" /private/vendor/x/Y {3+}
		C: a"b)
		S: b OK Setmetadata completed.
		C: c GETMETADATA "" (/SHARED/Comment /private/vendor/x/y)
		S: * METADATA "" (/shared/comment "Shared comment" /private/vendor/x/y "a\"b")
		S: c OK …
		C: d GETMETADATA INBOX /shared/comment
		S: * METADATA INBOX (/shared/comment NIL)
		S: d OK …
		C: e CREATE a.b
		S: e OK …
		C: f SETMETADATA a.b (/private/comment "Mine" /private/comment/x "1" /private/comment/x/y "22" /shared/comment ~{2+}
		C: ö)
		S: f OK …
		C: g GETMETADATA (DEPTH 1) a.b (/private/comment)
		S: * METADATA a.b (/private/comment "Mine" /private/comment/x "1")
		S: g OK …
		C: h GETMETADATA (DEPTH infinity MAXSIZE 2) a.b (/private /shared /private/comment)
		S: * METADATA a.b (/private/comment/x "1" /private/comment/x/y "22" /shared/comment {2}\r\nö)
		S: h OK [METADATA LONGENTRIES 4] …
		C: i SETMETADATA a.b (/private/comment NIL /private/none NIL)
		S: i OK …
		C: j GETMETADATA a.b /private/comment
		S: * METADATA a.b (/private/comment NIL)
		S: j OK …
		C: k RENAME a.b c
		S: k OK …
		C: l GETMETADATA (MAXSIZE 1024) c /private/comment/x
		S: * METADATA c (/private/comment/x "1")
		S: l OK …
		C: m DELETE c
		S: m OK …
		C: n GETMETADATA c /private/comment/x
		S: n NO [NONEXISTENT] …
		C: o CREATE c
		S: o OK …
		C: p GETMETADATA (DEPTH infinity) c (/private /shared)
		S: p OK …
		C: q SETMETADATA "" (/shared/admin "mailto:x@example.org")
		S: q NO [NOPERM] …
	`)
	if text := c.ok("GETMETADATA \"\" (/shared/comment)"); len(text) != 1 {
		t.Errorf("%q", text)
	}
}

func TestMetadataNames(t *testing.T) {
	t.Parallel()
	c := newServer(t).connect()
	for _, name := range []string{"/private", "/private/a", "/SHARED/a/b.c", `"/private/a b"`, "private/a", "/privately", "/private//a", "/private/a/",
		`"/private/*"`, `"/private/%"`, "/private/{1+}\r\n\x01", `""`, "/", "/private/" + strings.Repeat("x", 250), "{9+}\r\n/privatö"} {
		_, answer := c.do("GETMETADATA INBOX %s", name)
		want := "BAD"
		if name == "/private" || name == "/private/a" || name == "/SHARED/a/b.c" {
			want = "OK"
		}
		if !strings.HasPrefix(answer, want) {
			t.Errorf("%q: %s", name, answer)
		}
	}
}

func TestMetadataLimits(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c := s.connect()
	value := strings.Repeat("x", 16<<10)
	c.dialogue(fmt.Sprintf(`
		C: a SETMETADATA INBOX (/private/a {%d+}
		C: %s /private/b x)
		S: a NO [METADATA MAXSIZE 16384] …
		C: b GETMETADATA INBOX /private/b
		S: * METADATA INBOX (/private/b NIL)
		S: b OK …
	`, len(value)+1, value+"x"))
	c.ok("SETMETADATA INBOX (/private/a {%d+}\r\n%s)", len(value), value)
	for n := range 99 {
		c.ok("SETMETADATA INBOX (/private/e%d %d)", n, n)
	}
	if _, answer := c.do("SETMETADATA INBOX (/private/more x)"); !strings.HasPrefix(answer, "NO [METADATA TOOMANY]") {
		t.Error(answer)
	}
	if got := c.ok("GETMETADATA (DEPTH infinity) INBOX /private"); len(got) != 1 || strings.Count(got[0], "/private/e") != 99 || !strings.Contains(got[0], value) {
		t.Errorf("%.200q", got)
	}
}

// TestMetadataFile: what is on disk can be read, and what others left there does no harm.
func TestMetadataFile(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c := s.connect()
	c.ok("CREATE a")
	c.ok("SETMETADATA a (/private/comment {5+}\r\na\r\nb\t /shared/comment \"\")")
	path := filepath.Join(s.root, ".a", "postrider.metadata")
	text, err := os.ReadFile(path)
	if want := "postrider-metadata 1\n/private/comment\ta\x01r\x01nb\x01t\n/shared/comment\t\n"; err != nil || string(text) != want {
		t.Errorf("%q, %v", text, err)
	}
	if err := os.WriteFile(path, []byte("postrider-metadata 1\nnonsense\n/private/x\ty\n/private/comment"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.dialogue(`
		C: a GETMETADATA (DEPTH infinity) a (/private)
		S: * METADATA a (/private/x "y")
		S: a OK …
	`)
	if err := os.WriteFile(path, []byte("something else 2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.dialogue(`
		C: b SETMETADATA a (/private/x "z")
		S: b NO [SERVERBUG] …
	`)
	if text, err := os.ReadFile(path); err != nil || string(text) != "something else 2\n" {
		t.Errorf("%q, %v", text, err)
	}
}

func TestChosenSpecialUse(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c := s.connect(func(o *Options) {
		o.Folders = []SpecialFolder{{imap.AttrSent, "Sent"}, {imap.AttrTrash, "Trash"}}
	})
	c.dialogue(`
		C: a CREATE Old (USE (\archive))
		S: a OK [MAILBOXID (…)] …
		C: b CREATE x (USE (\All))
		S: b NO [USEATTR] …
		C: c CREATE Outbox (USE (\Sent \Drafts))
		S: c OK …
		C: d LIST "" *
		S: * LIST (\HasNoChildren) "." INBOX
		S: * LIST (\HasNoChildren \Archive) "." Old
		S: * LIST (\HasNoChildren \Sent \Drafts) "." Outbox
		S: * LIST (\HasNoChildren) "." Sent
		S: * LIST (\HasNoChildren \Trash) "." Trash
		S: d OK …
		C: e LIST (SPECIAL-USE) "" * RETURN (SPECIAL-USE)
		S: * LIST (\Archive) "." Old
		S: * LIST (\Sent \Drafts) "." Outbox
		S: * LIST (\Trash) "." Trash
		S: e OK …
		C: f GETMETADATA Outbox /private/specialuse
		S: * METADATA Outbox (/private/specialuse "\\Sent \\Drafts")
		S: f OK …
		C: g GETMETADATA Trash /private/specialuse
		S: * METADATA Trash (/private/specialuse "\\Trash")
		S: g OK …
		C: h SETMETADATA Old (/private/specialuse "\\Nonsense")
		S: h NO [USEATTR] …
		C: i SETMETADATA INBOX (/private/specialuse "\\Junk")
		S: i NO [USEATTR] …
		C: j SETMETADATA Outbox (/private/specialuse NIL)
		S: j OK …
		C: k SETMETADATA Old (/private/specialuse "\\TRASH")
		S: k OK …
		C: l LIST (SPECIAL-USE) "" *
		S: * LIST (\Trash) "." Old
		S: * LIST (\Sent) "." Sent
		S: l OK …
		C: m CREATE Old (USE (\Junk))
		S: m NO [ALREADYEXISTS] …
		C: n RENAME Old Older
		S: n OK …
		C: o LIST (SPECIAL-USE) "" *
		S: * LIST (\Trash) "." Older
		S: * LIST (\Sent) "." Sent
		S: o OK …
		C: p DELETE Older
		S: p OK …
		C: q LIST (SPECIAL-USE) "" *
		S: * LIST (\Sent) "." Sent
		S: * LIST (\Trash) "." Trash
		S: q OK …
	`)
}
