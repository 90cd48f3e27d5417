package table

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"postrider/internal/address"
	"postrider/internal/config"
)

func addr(text string) address.Address {
	a, err := address.Parse(text)
	if err != nil {
		panic(err)
	}
	return a
}

func TestParseAliases(t *testing.T) {
	t.Parallel()
	one := func(text string) []Member { return []Member{{Kind: MemberAddress, Address: addr(text)}} }
	for _, c := range []struct {
		line, name string
		members    []Member
	}{
		{"root: alice", "root", one("alice")},
		{"MAILER-Daemon:postmaster", "mailer-daemon", one("postmaster")},
		{"a : Bob@Example.ORG", "a", one("Bob@example.org")},
		{`"with blank, and: colon": bob`, "with blank, and: colon", one("bob")},
		{`"a\"b": bob`, `a"b`, one("bob")},
		{"l: a, b,\n\tc@x.example,\n# comment\n\n  d", "l", []Member{{Address: addr("a")}, {Address: addr("b")}, {Address: addr("c@x.example")}, {Address: addr("d")}}},
		{"p: |/bin/cmd", "p", []Member{{Kind: MemberCommand, Text: "/bin/cmd"}}},
		{`p: "|/bin/cmd -a \"x, y\" z"`, "p", []Member{{Kind: MemberCommand, Text: `/bin/cmd -a "x, y" z`}}},
		{`p: |"/bin/cmd a, b"`, "p", []Member{{Kind: MemberCommand, Text: "/bin/cmd a, b"}}},
		{"p: |/bin/cmd arg", "p", []Member{{Kind: MemberCommand, Text: "/bin/cmd arg"}}},
		{"f: /var/mail/x, /dev/null", "f", []Member{{Kind: MemberFile, Text: "/var/mail/x"}, {Kind: MemberFile, Text: "/dev/null"}}},
		{`f: "/var/mail/a b"`, "f", []Member{{Kind: MemberFile, Text: "/var/mail/a b"}}},
		{"i: :include:/etc/list", "i", []Member{{Kind: MemberInclude, Text: "/etc/list"}}},
		{`i: ":include: /etc/a list"`, "i", []Member{{Kind: MemberInclude, Text: "/etc/a list"}}},
		{`u: \u, bob`, "u", []Member{{Kind: MemberMailbox, Address: addr("u")}, {Address: addr("bob")}}},
		{`q: "a b"@x.example, "c d"`, "q", []Member{{Address: addr(`"a b"@x.example`)}, {Address: addr(`"c d"`)}}},
		{`n: "Last, First" <fl@x.example>`, "n", one("fl@x.example")},
		{"cr: bob\r", "cr", one("bob")},
	} {
		got, problems := parseAliases("f", c.line)
		want := map[string]Alias{c.name: {c.name, c.members, "f", 1}}
		if problems != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q:\n got %+v, %v\nwant %+v", c.line, got, problems, want)
		}
	}
}

func TestParseAliasesProblems(t *testing.T) {
	t.Parallel()
	text := "# a comment\nroot alice\n: x\nempty:\n commas: ,,\nq: \"x\na b: c\ni: :include:list\nf: :fail:\np: |\nd: a..b\nok: x\nOK: y\nu@x: z\nw: a b\ns: \\\n\"q: x\n"
	aliases, problems := parseAliases("f", text)
	want := []string{
		"f:2: expected `name: member, ...`",
		"f:3: no name",
		"f:4: empty: commas: : address syntax", // the next line continues it
		"f:6: q: unterminated quote",
		`f:7: "a b": quote a name that has blanks`,
		`f:8: i: :include: needs an absolute path, not "list"`,
		`f:9: f: ":fail:" is neither an address nor :include:/file`,
		"f:10: p: no command after |",
		"f:11: d: address syntax",
		"f:13: warning: ok is defined in line 12 already; this line is ignored",
		"f:14: warning: u@x: an alias has no domain; use the virtual table",
		"f:15: w: address syntax",
		"f:16: s: address syntax",
		"f:17: unterminated quote",
	}
	for i := range max(len(want), len(problems)) {
		if i >= len(problems) || i >= len(want) || i != 2 && !strings.HasPrefix(problems[i].String(), want[i]) {
			t.Errorf("problem %d of\n%v\nshould be %s", i, problems, append(want, "none")[min(i, len(want))])
			break
		}
	}
	if a := aliases["ok"]; len(aliases) != 2 || a.Members[0].Address.Local != "x" || a.Line != 12 {
		t.Errorf("aliases %+v", aliases)
	}
}

func TestAliasFiles(t *testing.T) {
	t.Parallel()
	a, b := newRig(t), newRig(t)
	a.write("root: alice\nlist: x, |y\n")
	b.write("root: bob\nother: carol\n")
	aliases := NewAliases([]string{a.path, b.path}, a.options())
	if r, ok, err := aliases.Lookup("ROOT"); !ok || err != nil || r.Members[0].Address.Local != "alice" || !r.OnlyAddresses() {
		t.Errorf("root: %+v, %v, %v", r, ok, err)
	}
	if r, ok, err := aliases.Lookup("other"); !ok || err != nil || r.File != b.path {
		t.Errorf("other: %+v, %v, %v", r, ok, err)
	}
	if r, _, _ := aliases.Lookup("list"); r.OnlyAddresses() {
		t.Error("a command is no address")
	}
	if _, ok, err := aliases.Lookup("none"); ok || err != nil {
		t.Errorf("none: %v, %v", ok, err)
	}
	n := 0
	for range aliases.All() {
		n++
	}
	if n != 3 {
		t.Errorf("%d aliases, want 3", n)
	}
}

func testAccounts() Accounts {
	return Accounts{
		MailboxUser: "vmail", MailRoot: "/var/vmail", Origin: "example.org", FirstValidUID: 1000,
		LookupUser: func(name string) (*user.User, error) {
			switch name {
			case "vmail":
				return &user.User{Uid: "5000", Gid: "5001"}, nil
			case "daemon":
				return &user.User{Uid: "1", Gid: "1"}, nil
			}
			return nil, user.UnknownUserError(name)
		},
		LookupGroup: func(name string) (*user.Group, error) {
			if name == "staff" {
				return &user.Group{Gid: "50"}, nil
			}
			return nil, user.UnknownGroupError(name)
		},
	}
}

func TestParseUsers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		line string
		want User
	}{
		{"Alice@Example.org", User{Name: "alice@example.org", UID: 5000, GID: 5001, Home: "/var/vmail/example.org/alice", Maildir: "/var/vmail/example.org/alice/Maildir"}},
		{"bob:1001:1002:/home/bob:1G:", User{Name: "bob", UID: 1001, GID: 1002, Home: "/home/bob", Maildir: "/home/bob/Maildir", Quota: 1 << 30}},
		{"bob:::::", User{Name: "bob", UID: 5000, GID: 5001, Home: "/var/vmail/example.org/bob", Maildir: "/var/vmail/example.org/bob/Maildir"}},
		{"c:vmail:staff:/c", User{Name: "c", UID: 5000, GID: 50, Home: "/c", Maildir: "/c/Maildir"}},
		{"d::7:/d::maildir=Mail", User{Name: "d", UID: 5000, GID: 7, Home: "/d", Maildir: "/d/Mail", Options: map[string]string{"maildir": "Mail"}}},
		{"e:2000:2000:/e:100:maildir=/m/e", User{Name: "e", UID: 2000, GID: 2000, Home: "/e", Maildir: "/m/e", Quota: 100, Options: map[string]string{"maildir": "/m/e"}}},
	} {
		got, problems := parseUsers("f", c.line, testAccounts())
		if problems != nil || !reflect.DeepEqual(got, map[string]User{c.want.Name: c.want}) {
			t.Errorf("%q:\n got %+v, %v\nwant %+v", c.line, got, problems, c.want)
		}
	}
	system := testAccounts() // packages make the mailbox user a system user
	system.MailboxUser, system.FirstValidUID = "vmail", 6000
	if got, problems := parseUsers("f", "a\nb:5000:5001", system); problems != nil || got["a"].UID != 5000 || got["b"].UID != 5000 {
		t.Errorf("mailbox user below first_valid_uid: %+v, %v", got, problems)
	}
	single := testAccounts()
	single.Own = &Owner{77, 78}
	if got, problems := parseUsers("f", "a@example.org", single); problems != nil || got["a@example.org"].UID != 77 || got["a@example.org"].GID != 78 {
		t.Errorf("single uid: %+v, %v", got, problems)
	}
}

func TestParseUsersProblems(t *testing.T) {
	t.Parallel()
	lines := []struct{ line, want string }{
		{"ok:::::", ""},
		{"OK:::::", "ok is defined in line 1 already"},
		{"a:1:2:3:4:5:6", "7 fields, expected name:uid:gid:home:quota:options"},
		{"a b", "address syntax"},
		{`"../x"@example.org`, "is not a user name"},
		{`"."@example.org`, "is not a user name"},
		{"a/b@example.org", "is not a user name"},
		{"a@[192.0.2.1]", "an address literal cannot have users"},
		{"u1:nobody", "u1: there is no user nobody"},
		{"u2:2000", "u2: uid 2000 needs a gid"},
		{"u3::wheel", "u3: there is no group wheel"},
		{"u4:daemon", "u4: uid 1 is below first_valid_uid = 1000"},
		{"u5:0:0", "u5: uid 0 is below first_valid_uid = 1000"},
		{"u6:::home", `u6: home "home" is not an absolute path`},
		{"u7::::lots", "u7: quota: "},
		{"u8:::::x=1", `u8: unknown option "x"`},
		{"u9:::::maildir", "u9: option maildir needs a path"},
		{"u10:4294967296:1", "u10: there is no user 4294967296"},
		{"u11:-1:1", "u11: there is no user -1"},
	}
	var text, want []string
	for i, l := range lines {
		text = append(text, l.line)
		if l.want != "" {
			want = append(want, fmt.Sprintf("f:%d: %s", i+1, l.want))
		}
	}
	got, problems := parseUsers("f", strings.Join(text, "\n"), testAccounts())
	if len(got) != 1 || len(problems) != len(want) {
		t.Fatalf("got %+v\n%v", got, problems)
	}
	for i, p := range problems {
		line, rest, _ := strings.Cut(want[i], ": ")
		if s := p.String(); !strings.HasPrefix(s, line+": ") || !strings.Contains(s, rest) {
			t.Errorf("got %q, want %q", s, want[i])
		}
	}
	none := testAccounts()
	none.LookupUser = func(string) (*user.User, error) { return nil, errors.New("none") }
	if _, problems := parseUsers("f", "a", none); !strings.Contains(problems.Error(), "no user vmail (mailbox_user)") {
		t.Errorf("without a mailbox user: %v", problems)
	}
}

func TestParseDomains(t *testing.T) {
	t.Parallel()
	got, problems := parseDomains("f", "Example.ORG local\n b\u00fccher.example\tvirtual # no comment\nbücher.example virtual\nx\ny foreign\n-z local\nexample.org virtual\nexample.org local\n")
	want := map[string]DomainKind{"example.org": LocalDomain, "xn--bcher-kva.example": VirtualDomain}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v", got)
	}
	var lines []int
	for _, p := range problems {
		lines = append(lines, p.Line)
	}
	if !reflect.DeepEqual(lines, []int{2, 4, 5, 6, 7}) {
		t.Errorf("problems %v", problems)
	}
}

func TestParseVirtual(t *testing.T) {
	t.Parallel()
	got, problems := parseVirtual("f", "Info@Example.org alice, Bob@Example.net\n@example.org\tcarol\n\"a b\"@example.org dave,\n erin\n")
	want := map[string]Redirect{
		"info@example.org":  {"info@example.org", []address.Address{addr("alice"), addr("Bob@example.net")}, "f", 1},
		"@example.org":      {"@example.org", []address.Address{addr("carol")}, "f", 2},
		`"a b"@example.org`: {`"a b"@example.org`, []address.Address{addr("dave"), addr("erin")}, "f", 3},
	}
	if problems != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, problems)
	}
	got, problems = parseVirtual("f", "info alice\n@ x\na@b.example\na@b.example |cmd\na@b.example x\na@b.example y\n@-d x\n")
	var lines []int
	for _, p := range problems {
		lines = append(lines, p.Line)
	}
	if len(got) != 1 || !reflect.DeepEqual(lines, []int{1, 2, 3, 4, 6, 7}) {
		t.Errorf("got %+v, %v", got, problems)
	}
}

func TestParsePasswd(t *testing.T) {
	t.Parallel()
	got, problems := parsePasswd("f", "root:x:0:0:root:/root:/bin/sh\n+::::::\nbad line\nAlice:x:1000:1001:,,,:/home/alice:/bin/sh\nalice2:x:x:1:::\n#c:x:1:1::/:\nbob:x:1002:1002::/home/bob:\n")
	if problems != nil || len(got) != 4 || got["alice"].Name != "Alice" || got["Alice"].Maildir != "/home/alice/Maildir" || got["bob"].UID != 1002 {
		t.Errorf("got %+v, %v", got, problems)
	}
}

func TestOpen(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.write("root: alice\nbad\n")
	c := config.Default()
	c.Tables = config.Tables{Aliases: []string{r.path}}
	tables := Open(c, r.options())
	if problems := tables.Load(); len(problems) != 1 || problems[0].Line != 2 {
		t.Errorf("problems %v", problems)
	}
	if _, ok, err := tables.Users.Lookup("alice"); ok || err != nil {
		t.Errorf("without a users table: %v, %v", ok, err)
	}
}

func BenchmarkUsersLookup(b *testing.B) {
	path := filepath.Join(b.TempDir(), "users")
	var text strings.Builder
	for i := range 10_000 {
		fmt.Fprintf(&text, "user%d@example.org\n", i)
	}
	if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
		b.Fatal(err)
	}
	users := NewUsers(path, testAccounts(), Options{})
	b.ReportAllocs()
	for b.Loop() {
		if _, ok, _ := users.Lookup("user5000@example.org"); !ok {
			b.Fatal("not found")
		}
	}
}
