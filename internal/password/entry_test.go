package password

import (
	"strings"
	"testing"
)

const bcryptOfUU = "{BLF-CRYPT}$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"

func TestParseEntry(t *testing.T) {
	t.Parallel()
	scram := vectors[5].secret
	for _, tt := range []struct{ line, want string }{
		{"alice:::" + bcryptOfUU, ""}, // services must be said
		{"alice::*:" + bcryptOfUU, "alice::*:" + bcryptOfUU},
		{"Alice@Example.ORG:phone:imap,smtp:" + bcryptOfUU + "   " + scram, "alice@example.org:phone:imap,smtp:" + bcryptOfUU + " " + scram},
		{"alice::*:", ""}, {"alice::*", ""}, {"::*:" + bcryptOfUU, ""}, {"", ""}, {"alice", ""},
		{"alice::imap,imap:" + bcryptOfUU, ""}, {"alice::ftp:" + bcryptOfUU, ""}, {"alice::imap,*:" + bcryptOfUU, ""},
		{"al ice::*:" + bcryptOfUU, ""}, {"al\x01ice::*:" + bcryptOfUU, ""}, {"\xff::*:" + bcryptOfUU, ""},
		{"alice:my phone:*:" + bcryptOfUU, ""}, {"alice:" + strings.Repeat("x", 65) + ":*:" + bcryptOfUU, ""},
		{strings.Repeat("a", 321) + "::*:" + bcryptOfUU, ""},
		{"alice::*:" + strings.Repeat(bcryptOfUU+" ", 5), ""},
		{"alice::*:" + strings.Repeat("x", 5000), ""},
	} {
		e, err := ParseEntry(tt.line)
		switch {
		case err != nil && tt.want != "":
			t.Errorf("%q: %v", tt.line, err)
		case err == nil && e.String() != tt.want:
			t.Errorf("%q is read as %q", tt.line, e)
		}
	}
}

func TestEntryUse(t *testing.T) {
	t.Parallel()
	e, err := ParseEntry("alice:phone:imap,pop3:" + bcryptOfUU + " " + vectors[5].secret)
	if err != nil {
		t.Fatal(err)
	}
	if !e.Allows("imap") || !e.Allows("pop3") || e.Allows("smtp") || e.Allows("") {
		t.Error("services")
	}
	if !e.Verify("U*U") || e.Verify("pencil") {
		t.Error("not the first secret is verified")
	}
	if k, ok := e.SCRAM(); !ok || k.Iterations != 4096 {
		t.Error("no SCRAM keys")
	}
}

// What stands in a wrong field may be a password or a hash, and errors go to the log.
func TestErrorsKeepSecrets(t *testing.T) {
	t.Parallel()
	const secret = "Tr0ub4dor"
	for _, line := range []string{"alice:" + secret, "alice::" + secret + ":" + bcryptOfUU, "alice::*:" + secret,
		"alice::*:{" + secret + "}x", "alice:l " + secret + ":*:" + bcryptOfUU, "alice::*:{SCRAM-SHA-256}4096$" + secret} {
		if _, err := ParseEntry(line); err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("%q: %v", line, err)
		}
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	text := "# passwords\n\nalice::*:" + bcryptOfUU + "\n  alice:phone:imap:" + bcryptOfUU + "  \nalice::*:" + bcryptOfUU +
		"\nbob::*:{PLAIN}x\ncarol::*:" + bcryptOfUU
	entries, problems := Parse("f", text)
	if len(entries["alice"]) != 2 || len(entries["carol"]) != 1 || len(entries["bob"]) != 0 {
		t.Errorf("got %v", entries)
	}
	const want = "f:5: second password of alice with the label \"\"\nf:6: bad secret: unknown scheme"
	if problems.Error() != want {
		t.Errorf("got %q", problems.Error())
	}
	var many strings.Builder
	for i := range MaxPerUser + 1 {
		many.WriteString("dave:" + strings.Repeat("x", i+1) + ":*:" + bcryptOfUU + "\n")
	}
	if entries, problems := Parse("f", many.String()); len(entries["dave"]) != MaxPerUser || len(problems) != 1 {
		t.Errorf("%d passwords, %d problems", len(entries["dave"]), len(problems))
	}
}

func FuzzParseEntry(f *testing.F) {
	for _, v := range vectors {
		f.Add("alice:phone:imap,smtp:" + v.secret)
	}
	f.Add("a::*:" + bcryptOfUU + " " + vectors[5].secret)
	f.Add("a@b::*:{SCRAM-SHA-256}4096,W22ZaJ0SNY7soEsUEjb6gQ==,WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=")
	f.Fuzz(func(t *testing.T, line string) {
		e, err := ParseEntry(line)
		if err != nil {
			return
		}
		printed := e.String()
		if strings.ContainsAny(printed, "\n\r") {
			t.Fatalf("%q is printed as more than a line", line)
		}
		again, err := ParseEntry(printed)
		if err != nil || again.String() != printed {
			t.Fatalf("%q is printed as %q, which is read as %v, %v", line, printed, again, err)
		}
	})
}
