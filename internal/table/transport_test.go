package table

import (
	"errors"
	"os"
	"strings"
	"testing"

	"postrider/internal/config"
	"postrider/internal/hop"
)

const transportText = `# where mail goes
example.net        smtp:[gw.example.net]:2525
.example.net       smtp:
.sub.example.net   relay:hub.example
bob@example.net    lmtp:unix:/run/lmtp
Bücher.example     :[books.example]
"a b"@example.com  error:5.7.1 no blanks:
    please
plain.example      :
[192.0.2.1]        smtp:[192.0.2.2]
<>                 smtp:[bounces.example]
*                  smtps:[smtp.isp.example]
`

func TestTransport(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.write(transportText)
	table := NewTransport(r.path, "+", r.options())
	for _, c := range []struct {
		to   string
		null bool
		want string // "" = not found
	}{
		{"alice@example.net", false, "smtp:[gw.example.net]:2525"},
		{"BOB@example.net", false, "lmtp:unix:/run/lmtp"},
		{"bob+x@example.net", true, "lmtp:unix:/run/lmtp"},
		{"bob@a.example.net", false, "a.example.net"},
		{"bob@a.sub.example.net", false, "hub.example"},
		{"bob@sub.example.net", false, "sub.example.net"},
		{"bob@bücher.example", false, "[books.example]"},
		{`"A B"@example.com`, false, "error:5.7.1 no blanks: please"},
		{"x@plain.example", false, ""},
		{"x@plain.example", true, ""},
		{"x@[192.0.2.1]", false, "[192.0.2.2]"},
		{"x@[192.0.2.3]", true, "[bounces.example]"},
		{"x@other.example", false, "smtps:[smtp.isp.example]"},
		{"x@other.example", true, "[bounces.example]"},
		{"alice@example.net", true, "smtp:[gw.example.net]:2525"},
	} {
		h, found, err := table.Lookup(addr(c.to), c.null)
		if err != nil || found != (c.want != "") || found && h.String() != c.want {
			t.Errorf("%s, null sender %v: %v, %v, %v; want %q", c.to, c.null, h, found, err, c.want)
		}
	}
}

func TestTransportDomainLiteral(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.write("* smtp:\n")
	if h, found, err := NewTransport(r.path, "", r.options()).Lookup(addr("x@[IPv6:2001:db8::1]"), false); err != nil || !found || h.String() != "[IPv6:2001:db8::1]" {
		t.Errorf("%v, %v, %v", h, found, err)
	}
}

// While the table has never been read whole, what it says of the rest does not count for an address that the lost line may name.
func TestTransportUnavailable(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.write("* smtp:[gw.example]\nexample.net nonsense\nexample.org smtp:\n")
	table := NewTransport(r.path, "", r.options())
	if h, found, err := table.Lookup(addr("x@example.net"), false); !errors.Is(err, ErrUnavailable) {
		t.Errorf("%v, %v, %v", h, found, err)
	}
	if _, _, err := table.Match(addr("x@example.org"), false); !errors.Is(err, ErrUnavailable) {
		t.Errorf("%v: x@example.org may be in a line of its own", err)
	}
}

func TestParseTransportProblems(t *testing.T) {
	t.Parallel()
	lines := []struct{ line, want string }{
		{"a.example smtp:", ""},
		{"A.example smtp:[x.example]", "a.example is defined in line 1 already"},
		{"b.example", "b.example: expected `pattern transport:nexthop`"},
		{"c.example gw.example", `c.example: "gw.example": expected transport:nexthop`},
		{"d.example local:", `d.example: "local" is neither a transport`},
		{"e.example lmtp:", "e.example: no host"},
		{"alice smtp:[x.example]", ""}, // a domain of one label
		{"@f.example smtp:", "write a domain without the @"},
		{".[192.0.2.1] smtp:", "an address literal has no subdomains"},
		{". smtp:", "address syntax"},
		{"a..b@f.example smtp:", "address syntax"},
		{`"x y" smtp:`, "expected user@domain, domain"},
		{"g.example smtp:192.0.2.1", "write the address 192.0.2.1 in brackets"},
		{"h.example error:", "error: needs a text"},
	}
	var text, want []string
	for _, l := range lines {
		text = append(text, l.line)
	}
	entries, problems := parseTransport("f", strings.Join(text, "\n"))
	if len(entries) != 2 {
		t.Errorf("entries %v", entries)
	}
	for _, l := range lines {
		if l.want != "" {
			want = append(want, l.want)
		}
	}
	if len(problems) != len(want) {
		t.Fatalf("problems\n%v", problems)
	}
	for i, p := range problems {
		if !strings.Contains(p.String(), want[i]) {
			t.Errorf("got %s, want %q", p, want[i])
		}
	}
}

func mustHop(t *testing.T, s string) hop.Hop {
	t.Helper()
	h, err := hop.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestTLSPolicy(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.write("example.org encrypt\n.example.org none\n[gw.example]:587 verify # not a comment\n")
	if problems := NewTLSPolicy(r.path, r.options()).Load(); len(problems) != 1 || problems[0].Line != 3 {
		t.Errorf("problems %v", problems)
	}
	r.write("example.org encrypt\n.example.org none\n[gw.example]:587 verify\ngw.example may\nsmtps:[gw.example] none\nlmtp:[l.example] verify\n[192.0.2.1] encrypt\n")
	table := NewTLSPolicy(r.path, r.options())
	for _, c := range []struct{ hop, want string }{
		{"example.org", "encrypt"},
		{"example.org:26", "encrypt"},
		{"[example.org]", "encrypt"},
		{"mx.example.org", "none"},
		{"[mx.example.org]", ""},
		{"[gw.example]:587", "verify"},
		{"gw.example:587", "may"}, // not the line in brackets
		{"[gw.example]", "may"},
		{"smtps:[gw.example]", "none"},
		{"smtps:[gw.example]:587", "verify"},
		{"lmtp:[l.example]", "verify"},
		{"[l.example]:24", ""},
		{"[192.0.2.1]:25", "encrypt"},
		{"lmtp:unix:/x", ""},
		{"other.example", ""},
	} {
		level, found, err := table.Lookup(mustHop(t, c.hop), false)
		if err != nil || level != c.want || found != (c.want != "") {
			t.Errorf("%s: %q, %v, %v; want %q", c.hop, level, found, err, c.want)
		}
	}
	// With a login, what was written for mail to a domain does not count for a host of that name.
	for hop, want := range map[string]string{"[gw.example]": "", "gw.example": "may", "[gw.example]:587": "verify", "[example.org]": ""} {
		if level, found, err := table.Lookup(mustHop(t, hop), true); err != nil || level != want || found != (want != "") {
			t.Errorf("%s: %q, %v, %v; want %q", hop, level, found, err, want)
		}
	}
}

func TestParseTLSPolicyProblems(t *testing.T) {
	t.Parallel()
	_, problems := parseTLSPolicy("f", "a.example\na.example strict\nlmtp:unix:/x verify\nerror:x none\n[b.example] may\nsmtp:[b.example] none\n.[192.0.2.1] none\n")
	want := []string{"f:1: expected `hop level`", `f:2: a.example: unknown level "strict", expected one of none, may, encrypt, verify, verify-mx`,
		`f:3: "lmtp:unix:/x" has no host`, `f:4: "error:x" has no host`, "f:6: [b.example] is defined in line 5 already", "f:7: an address literal has no subdomains"}
	if got := strings.Split(problems.Error(), "\n"); strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("got\n%s\nwant\n%s", problems, strings.Join(want, "\n"))
	}
}

func TestRelayAuth(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.write("[smtp.isp.example]:587  alice@isp.example:pass: word # 1\nhub.example bob:x\n[192.0.2.1] c:y\n")
	table := NewRelayAuth(r.path, r.options())
	for _, c := range []struct{ hop, user, password string }{
		{"[smtp.isp.example]:587", "alice@isp.example", "pass: word # 1"},
		{"smtps:[smtp.isp.example]:587", "alice@isp.example", "pass: word # 1"},
		{"[smtp.isp.example]", "", ""},
		{"smtp.isp.example:587", "", ""}, // by MX: whoever the DNS names must not get it
		{"hub.example", "bob", "x"},
		{"smtps:[hub.example]", "bob", "x"},
		{"[192.0.2.1]:25", "c", "y"},
	} {
		user, password, found, err := table.Lookup(mustHop(t, c.hop))
		if err != nil || user != c.user || password != c.password || found != (c.user != "") {
			t.Errorf("%s: %q, %q, %v, %v; want %q", c.hop, user, password, found, err, c.user)
		}
	}
	for c := range table.All() {
		if c.Matches(mustHop(t, "[smtp.isp.example]:587")) != (c.Line == 1) {
			t.Errorf("Matches of line %d", c.Line)
		}
	}
}

func TestRelayAuthProblems(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.write("a.example secret\nb.example :secret\nc.example user:\nlmtp:unix:/x a:secret\nd.example a:secret\n[d.example]:25 a:secret\nd.example b:secret\n")
	if err := os.Chmod(r.path, 0o644); err != nil {
		t.Fatal(err)
	}
	table := NewRelayAuth(r.path, r.options())
	problems := table.Load()
	var lines []int
	for _, p := range problems.Errors() {
		lines = append(lines, p.Line)
	}
	if len(lines) != 5 || lines[4] != 7 || strings.Contains(problems.Error(), "secret") {
		t.Errorf("problems %v", problems)
	}
	if err := table.Exposed(); err == nil || !strings.Contains(err.Error(), "mode 0644") {
		t.Errorf("exposed: %v", err)
	}
	if err := os.Chmod(r.path, 0o640); err != nil {
		t.Fatal(err)
	}
	if err := table.Exposed(); err != nil {
		t.Errorf("exposed: %v", err)
	}
}

// Only who asks for a login opens that table.
func TestRelayAuthIsNotOpened(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.write("nonsense\n")
	c := config.Default()
	c.Tables = config.Tables{RelayAuth: r.path}
	old := Open(c, r.options())
	o := r.options()
	o.Previous = old
	tables := Open(c, o)
	if problems := tables.Load(); problems != nil {
		t.Errorf("problems %v", problems)
	}
	if _, found, err := tables.Transport.Lookup(addr("x@example.org"), false); found || err != nil {
		t.Errorf("%v, %v", found, err)
	}
	if got := r.reported(); len(got) != 0 {
		t.Errorf("reported %q", got)
	}
	if _, _, _, err := tables.RelayAuth.Lookup(mustHop(t, "[x.example]")); !errors.Is(err, ErrUnavailable) {
		t.Errorf("error %v", err)
	}
}
