package route

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"postrider/internal/address"
	"postrider/internal/auth"
	"postrider/internal/config"
	"postrider/internal/envelope"
	"postrider/internal/table"
)

// authd knows the users whose uid it holds; uid 0 = asks to come back later.
type authd map[string]uint32

func (d authd) Who(_ context.Context, name string) (auth.User, error) {
	uid, ok := d[name]
	switch {
	case !ok:
		return auth.User{}, auth.ErrUnknown
	case uid == 0:
		return auth.User{}, auth.ErrLater
	}
	local, _, _ := strings.Cut(name, "@")
	return auth.User{Name: local, UID: uid, GID: uid, Home: "/home/" + local}, nil
}

const testPasswd = `root:x:0:0:root:/root:/bin/sh
www-data:x:33:33::/var/www:/bin/false
alice:x:1000:1000::/home/alice:/bin/sh
bob:x:1001:1001::/home/bob:/bin/sh
carol:x:1002:1002::/home/carol:/bin/sh
Dave:x:1003:1003::/home/dave:/bin/sh
`

const testUsers = `erin:2000:2000:/m/erin::
erin+work:2001:2001:/m/erinwork::
frank@virtual.example:2002:2002:/m/frank::
alice@other.example:2003:2003:/m/alice2::
`

const testDomains = "virtual.example virtual\nother.example local\n"

const testVirtual = `info@example.org alice, sales@example.net
grace@virtual.example alice@example.org
heidi@virtual.example heidi@virtual.example, bob
@virtual.example frank@virtual.example
bob@example.org bob@example.org
ring1@virtual.example ring2@virtual.example
ring2@virtual.example ring1@virtual.example
`

const testAliases = `root: alice
webmaster: root
list: alice, bob@localhost, carol@mail.example.org, Alice, ext@example.net, ext@Example.NET
owner-list: carol
nested: list, erin
owner-nested: bob
partly: alice, nosuch
nobodies: nosuch1, nosuch2
command: alice, "|/bin/cmd"
through: command, bob
carol: carol, alice
raw: \alice
loop1: loop2
loop2: loop1
mutual1: alice, mutual2
mutual2: bob, mutual1
dave: back
back: dave, bob
deep0: deep1
deep1: deep2
deep2: deep3
deep3: deep4
deep4: deep5
deep5: deep6
deep6: deep7
deep7: deep8
deep8: deep9
deep9: deep10
deep10: alice
deeper: deep0
plus+ext: bob
plus: alice
`

// newResolver writes the tables; extra are more aliases, edit changes the configuration.
func newResolver(t testing.TB, extra string, directory Directory, edit func(*config.Config)) *Resolver {
	t.Helper()
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	c := config.Default()
	c.Hostname, c.Origin = "mail.example.org", "example.org"
	c.FirstValidUID = 1000
	c.Tables = config.Tables{
		Aliases: []string{file("aliases", testAliases+extra)},
		Users:   file("users", testUsers),
		Domains: file("domains", testDomains),
		Virtual: file("virtual", testVirtual),
		Passwd:  file("passwd", testPasswd),
	}
	if edit != nil {
		edit(c)
	}
	tables := table.Open(c, table.Options{})
	if err := tables.Load().Err(); err != nil {
		t.Fatal(err)
	}
	return New(c, tables, directory)
}

func parse(t testing.TB, text string) address.Address {
	t.Helper()
	a, err := address.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// describe writes a result as `local:a@b remote:c@d`, with ` owner=x`.
func describe(r Result) string {
	var out []string
	for _, rcpt := range r.Recipients {
		out = append(out, string(rcpt.Via)+":"+rcpt.Addr.String())
	}
	if !r.Owner.IsNull() {
		out = append(out, "owner="+r.Owner.String())
	}
	return strings.Join(out, " ")
}

func TestResolve(t *testing.T) {
	t.Parallel()
	who := authd{"nss@example.org": 3000, "nss@mail.example.org": 3000, "slow@example.org": 0, "sys@example.org": 12, "ldap@virtual.example": 3001}
	r := newResolver(t, "", who, nil)
	for _, c := range []struct{ in, want string }{
		// whose domain
		{"x@example.com", "remote:x@example.com"},
		{"a%b@example.com", "remote:a%b@example.com"},
		{"x@[192.0.2.99]", "remote:x@[192.0.2.99]"},
		{"alice", "local:alice@example.org"},
		{"alice@example.org", "local:alice@example.org"},
		{"alice@mail.example.org", "local:alice@mail.example.org"},
		{"alice@localhost", "local:alice@localhost"},
		{"alice@localhost.localdomain", "local:alice@localhost.localdomain"},
		{"alice@localhost.mail.example.org", "local:alice@localhost.mail.example.org"},
		{"alice@localhost.run", "remote:alice@localhost.run"},
		{"alice@[127.0.0.1]", "local:alice@[127.0.0.1]"},
		{"alice@[IPv6:::1]", "local:alice@[IPv6:::1]"},
		{"x@sub.example.org", "remote:x@sub.example.org"},
		// users
		{"ALICE@example.org", "local:ALICE@example.org"},
		{"dave@localhost", "local:dave@example.org local:bob@example.org"},
		{"erin", "local:erin@example.org"},
		{"alice@other.example", "local:alice@other.example"},
		{"frank@virtual.example", "local:frank@virtual.example"},
		{"nss", "local:nss@example.org"},
		{"ldap@virtual.example", "local:ldap@virtual.example"},
		// extensions
		{"alice+lists@example.org", "local:alice+lists@example.org"},
		{"Alice+Lists@example.org", "local:Alice+Lists@example.org"},
		{"erin+work", "local:erin+work@example.org"},
		{"erin+home", "local:erin+home@example.org"},
		{"plus+ext", "local:bob@example.org"},
		{"plus+other", "local:alice@example.org"},
		{"grace+x@virtual.example", "local:alice@example.org"},
		{"nss+x", "local:nss+x@example.org"},
		// aliases
		{"root", "local:alice@example.org"},
		{"webmaster@mail.example.org", "local:alice@example.org"},
		{"List@example.org", "local:alice@example.org local:bob@localhost local:carol@example.org remote:ext@example.net owner=owner-list@example.org"},
		{"nested@localhost", "local:alice@example.org local:bob@localhost local:carol@example.org remote:ext@example.net local:erin@example.org owner=owner-nested@localhost"},
		{"carol", "local:carol@example.org local:alice@example.org"},
		{"raw", "local:alice@example.org"},
		{"command", "local:command@example.org"},
		{"through", "local:command@example.org local:bob@example.org"},
		{"partly", "local:alice@example.org local:nosuch@example.org"},
		{"mutual1", "local:alice@example.org local:bob@example.org"},
		{"back", "local:bob@example.org"}, // dave leads nowhere but back, and bob shall not suffer for it
		{"deep1", "local:alice@example.org"},
		// virtual
		{"info@example.org", "local:alice@example.org remote:sales@example.net"},
		{"grace@virtual.example", "local:alice@example.org"},
		{"heidi@virtual.example", "local:frank@virtual.example local:bob@example.org"},
		{"anyone@virtual.example", "local:frank@virtual.example"},
		{"root@virtual.example", "local:frank@virtual.example"},
		{"bob@example.org", "local:bob@example.org"},
		// postmaster
		{"postmaster", "local:alice@example.org"},
		{"Postmaster@mail.example.org", "local:alice@example.org"},
		{"postmaster@virtual.example", "local:frank@virtual.example"},
	} {
		got, err := r.Resolve(t.Context(), parse(t, c.in))
		if err != nil || describe(got) != c.want {
			t.Errorf("%s:\n got %s, %v\nwant %s", c.in, describe(got), err, c.want)
		}
	}
}

func TestResolveErrors(t *testing.T) {
	t.Parallel()
	who := authd{"slow@example.org": 0, "sys@example.org": 12}
	r := newResolver(t, "", who, nil)
	for _, c := range []struct {
		in   string
		want error
		text string
	}{
		{"nosuch", ErrUnknown, "unknown user: nosuch@example.org"},
		{"nosuch+x@example.org", ErrUnknown, ""},
		{"info@mail.example.org", ErrUnknown, ""}, // virtual addresses are whole addresses
		{"www-data", ErrUnknown, "unknown user: www-data@example.org: system account without an alias"},
		{"sys", ErrUnknown, "system account"},
		{"nobodies", ErrUnknown, "nosuch1"},
		{"frank", ErrUnknown, ""},
		{"slow", ErrLater, ""},
		{"slow+ext", ErrLater, ""},
		{"loop1", ErrLoop, "alias loop2"},
		{"ring1@virtual.example", ErrLoop, ""},
		{"deeper", ErrTooMany, ""},
		// address tricks stay names of nobody
		{"a%b@example.org", ErrUnknown, "routing characters"},
		{"bob%example.com@example.org", ErrUnknown, "routing characters"},
		{"example.com!bob@example.org", ErrUnknown, "routing characters"},
		{`"bob@example.com"@example.org`, ErrUnknown, "routing characters"},
		{"bob%example.com", ErrUnknown, "routing characters"},
		{"bob%example.com@virtual.example", ErrUnknown, "routing characters"},
		{`""@example.org`, ErrUnknown, ""},
	} {
		got, err := r.Resolve(t.Context(), parse(t, c.in))
		if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) || len(got.Recipients) > 0 && c.want != ErrLater {
			t.Errorf("%s: %s, %v; want %v with %q", c.in, describe(got), err, c.want, c.text)
		}
	}
	if _, err := r.Resolve(t.Context(), address.Address{}); !errors.Is(err, ErrUnknown) {
		t.Errorf("null address: %v", err)
	}
}

func TestKind(t *testing.T) {
	t.Parallel()
	r := newResolver(t, "", nil, nil)
	for domain, want := range map[string]table.DomainKind{
		"": table.LocalDomain, "example.org": table.LocalDomain, "mail.example.org": table.LocalDomain, "localhost": table.LocalDomain, "other.example": table.LocalDomain,
		"localhost.localdomain": table.LocalDomain, "localhost.example.org": table.LocalDomain, "localhost.mail.example.org": table.LocalDomain,
		"localhost.run": table.Foreign, "localhost.example.com": table.Foreign,
		"virtual.example": table.VirtualDomain, "example.com": table.Foreign, "org": table.Foreign, "notlocalhost": table.Foreign, "[192.0.2.99]": table.Foreign,
	} {
		if got, err := r.Kind(domain); err != nil || got != want {
			t.Errorf("%q: %v, %v; want %v", domain, got, err, want)
		}
	}
}

// Members that lead nowhere are named, so that the administrator can be told.
func TestNowhere(t *testing.T) {
	t.Parallel()
	r := newResolver(t, "some: bob, loop1\n", nil, nil)
	got, err := r.Resolve(t.Context(), parse(t, "some"))
	if err != nil || describe(got) != "local:bob@example.org" || fmt.Sprint(got.Nowhere) != "[alias loop2 alias loop1]" {
		t.Errorf("%s, %q, %v", describe(got), got.Nowhere, err)
	}
	if got, err = r.Resolve(t.Context(), parse(t, "list")); err != nil || got.Nowhere != nil {
		t.Errorf("%q, %v", got.Nowhere, err)
	}
}

// Without authd, what can be told is told, together with the error.
func TestAway(t *testing.T) {
	t.Parallel()
	r := newResolver(t, "mixed: slow, alice, slow2+x\n", authd{"slow@example.org": 0, "slow2@example.org": 0, "slow2+x@example.org": 0, "list+x@example.org": 0}, nil)
	for in, want := range map[string]string{
		"slow":   "local:slow@example.org",
		"mixed":  "local:slow@example.org local:alice@example.org local:slow2+x@example.org",
		"list+x": "local:alice@example.org local:bob@localhost local:carol@example.org remote:ext@example.net owner=owner-list@example.org",
	} {
		if got, err := r.Resolve(t.Context(), parse(t, in)); !errors.Is(err, ErrLater) || describe(got) != want {
			t.Errorf("%s: %s, %v; want %s", in, describe(got), err, want)
		}
	}
	if _, _, err := r.User(t.Context(), parse(t, "list+x")); !errors.Is(err, ErrLater) {
		t.Errorf("the delivery does not wait: %v", err)
	}
	for _, in := range []string{"a%b", "x@example.com"} { // authd has nothing to do with these
		if _, err := r.Resolve(t.Context(), parse(t, in)); errors.Is(err, ErrLater) {
			t.Errorf("%s: %v", in, err)
		}
	}
}

func TestOrig(t *testing.T) {
	t.Parallel()
	r := newResolver(t, "", nil, nil)
	got, err := r.Resolve(t.Context(), parse(t, "carol"))
	if err != nil {
		t.Fatal(err)
	}
	want := []Recipient{
		{Addr: parse(t, "carol@example.org"), Via: envelope.Local},
		{Addr: parse(t, "alice@example.org"), Orig: parse(t, "carol@example.org"), Via: envelope.Local},
	}
	if fmt.Sprint(got.Recipients) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", got.Recipients, want)
	}
}

func TestCatchAll(t *testing.T) {
	t.Parallel()
	r := newResolver(t, "", nil, func(c *config.Config) { c.LocalDeliver.CatchAll = "erin" })
	for in, want := range map[string]string{
		"nosuch@example.org":     "local:erin@example.org",
		"www-data@other.example": "local:erin@example.org",
		"nosuch@virtual.example": "local:frank@virtual.example", // the domain's own comes first
		"postmaster":             "local:alice@example.org",
	} {
		if got, err := r.Resolve(t.Context(), parse(t, in)); err != nil || describe(got) != want {
			t.Errorf("%s: %s, %v; want %s", in, describe(got), err, want)
		}
	}
	if _, err := r.Resolve(t.Context(), parse(t, "a%b@example.org")); !errors.Is(err, ErrUnknown) {
		t.Errorf("a%%b reaches the catch-all: %v", err)
	}
	r = newResolver(t, "", nil, func(c *config.Config) { c.LocalDeliver.CatchAll = "nosuch" })
	if _, err := r.Resolve(t.Context(), parse(t, "other")); !errors.Is(err, ErrUnknown) {
		t.Errorf("a catch-all that does not exist: %v", err)
	}
}

func TestAllowPercent(t *testing.T) {
	t.Parallel()
	r := newResolver(t, "\"a%b\": bob\n", nil, func(c *config.Config) { c.SMTPD.AllowPercent = true })
	if got, err := r.Resolve(t.Context(), parse(t, "a%b@example.org")); err != nil || describe(got) != "local:bob@example.org" {
		t.Errorf("%s, %v", describe(got), err)
	}
	if got, err := r.Resolve(t.Context(), parse(t, "bob%example.com@example.org")); !errors.Is(err, ErrUnknown) {
		t.Errorf("%s, %v", describe(got), err)
	}
}

func TestPostmasterEndsNowhere(t *testing.T) {
	t.Parallel()
	r := newResolver(t, "", nil, func(c *config.Config) { c.Tables.Aliases = nil })
	if got, err := r.Resolve(t.Context(), parse(t, "postmaster")); err != nil || describe(got) != "local:postmaster@example.org" {
		t.Errorf("%s, %v: postmaster is always accepted", describe(got), err)
	}
	r = newResolver(t, "", nil, func(c *config.Config) {
		if err := os.WriteFile(c.Tables.Aliases[0], []byte("root: |/bin/cmd\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	})
	if got, err := r.Resolve(t.Context(), parse(t, "postmaster@mail.example.org")); err != nil || describe(got) != "local:root@example.org" {
		t.Errorf("%s, %v: the alias must be found by the delivery", describe(got), err)
	}
	r = newResolver(t, "", nil, func(c *config.Config) {
		c.Tables.Aliases, c.LocalDeliver.Postmaster = nil, "bob@example.net"
	})
	if got, err := r.Resolve(t.Context(), parse(t, "postmaster@virtual.example")); err != nil || describe(got) != "local:frank@virtual.example" {
		t.Errorf("%s, %v", describe(got), err)
	}
	if got, err := r.Resolve(t.Context(), parse(t, "postmaster@other.example")); err != nil || describe(got) != "remote:bob@example.net" {
		t.Errorf("%s, %v", describe(got), err)
	}
}

// A table that could never be read makes unknown names wait, not bounce.
func TestUnavailableTable(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := config.Default()
	c.Hostname, c.Origin = "mail.example.org", "example.org"
	passwd := filepath.Join(dir, "passwd")
	if err := os.WriteFile(passwd, []byte(testPasswd), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tables := range map[string]config.Tables{
		"aliases": {Passwd: passwd, Aliases: []string{dir}},
		"users":   {Passwd: passwd, Users: dir},
		"virtual": {Passwd: passwd, Virtual: dir},
		"passwd":  {Passwd: dir},
	} {
		c.Tables = tables
		r := New(c, table.Open(c, table.Options{}), nil)
		if _, err := r.Resolve(t.Context(), parse(t, "alice")); !errors.Is(err, ErrLater) {
			t.Errorf("%s unreadable: %v", name, err)
		}
	}
	c.Tables = config.Tables{Passwd: passwd, Domains: dir}
	r := New(c, table.Open(c, table.Options{}), nil)
	if _, err := r.Resolve(t.Context(), parse(t, "x@example.com")); !errors.Is(err, ErrLater) {
		t.Errorf("domains unreadable: a domain that may be ours is resolved: %v", err)
	}
	if _, err := r.Resolve(t.Context(), parse(t, "alice")); err != nil {
		t.Errorf("own domain: %v", err)
	}
}

func TestTooMany(t *testing.T) {
	t.Parallel()
	list := func(name string, n int) string {
		var b strings.Builder
		fmt.Fprintf(&b, "%s: x0@example.net", name)
		for i := 1; i < n; i++ {
			fmt.Fprintf(&b, ", x%d@example.net", i)
		}
		return b.String() + "\n"
	}
	r := newResolver(t, list("thousand", 1000)+list("more", 1001), nil, nil)
	if got, err := r.Resolve(t.Context(), parse(t, "thousand")); err != nil || len(got.Recipients) != 1000 {
		t.Errorf("%d recipients, %v", len(got.Recipients), err)
	}
	if _, err := r.Resolve(t.Context(), parse(t, "more")); !errors.Is(err, ErrTooMany) {
		t.Errorf("1001 members: %v", err)
	}
}

func TestUser(t *testing.T) {
	t.Parallel()
	r := newResolver(t, "", authd{"nss@example.org": 3000, "slow@example.org": 0}, nil)
	for _, c := range []struct {
		in, maildir, ext string
		uid              uint32
	}{
		{"alice@example.org", "/home/alice/Maildir", "", 1000},
		{"DAVE@localhost", "/home/dave/Maildir", "", 1003},
		{"alice+Lists@mail.example.org", "/home/alice/Maildir", "Lists", 1000},
		{"erin+work@example.org", "/m/erinwork/Maildir", "", 2001},
		{"erin+home@example.org", "/m/erin/Maildir", "home", 2000},
		{"frank+a+b@virtual.example", "/m/frank/Maildir", "a+b", 2002},
		{"alice@other.example", "/m/alice2/Maildir", "", 2003},
		{"bob@other.example", "/home/bob/Maildir", "", 1001},
		{"nss@example.org", "/home/nss/Maildir", "", 3000},
	} {
		u, ext, err := r.User(t.Context(), parse(t, c.in))
		if err != nil || u.UID != c.uid || u.Maildir != c.maildir || ext != c.ext {
			t.Errorf("%s: %+v, %q, %v", c.in, u, ext, err)
		}
	}
	for in, want := range map[string]error{
		"list@example.org": ErrUnknown, "root@example.org": ErrUnknown, "x@example.com": ErrUnknown, "slow@example.org": ErrLater,
		"alice@virtual.example": ErrUnknown, "grace@virtual.example": ErrUnknown, "postmaster@example.org": ErrUnknown,
	} {
		if u, _, err := r.User(t.Context(), parse(t, in)); !errors.Is(err, want) {
			t.Errorf("%s: %+v, %v; want %v", in, u, err, want)
		}
	}
}

func TestAlias(t *testing.T) {
	t.Parallel()
	r := newResolver(t, "", nil, nil)
	for in, want := range map[string]string{"command@example.org": "command", "Command+x": "command", "alice@example.org": "", "command@virtual.example": "", "command@example.com": ""} {
		if a, ok, err := r.Alias(parse(t, in)); err != nil || a.Name != want || ok != (want != "") {
			t.Errorf("%s: %+v, %v, %v", in, a, ok, err)
		}
	}
}

func FuzzResolve(f *testing.F) {
	r := newResolver(f, "", authd{"nss@example.org": 3000}, func(c *config.Config) { c.LocalDeliver.CatchAll = "erin" })
	for _, s := range []string{"alice", "a%b@example.org", `"a@b"@localhost`, "x@example.com", "list", "erin+a+b@[127.0.0.1]", "POSTMASTER@virtual.example", "loop1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		a, err := address.Parse(text)
		if err != nil {
			return
		}
		got, err := r.Resolve(t.Context(), a)
		if (err == nil) != (len(got.Recipients) > 0) {
			t.Fatalf("%q: %v, %v", text, got, err)
		}
		a = r.Qualify(a)
		kind, _ := r.Kind(a.Domain)
		for _, rcpt := range got.Recipients {
			toKind, _ := r.Kind(rcpt.Addr.Domain)
			if (rcpt.Via == envelope.Remote) != (toKind == table.Foreign) {
				t.Fatalf("%q: %v", text, rcpt)
			}
			if kind != table.Foreign && rcpt.Via == envelope.Remote && rcpt.Addr.Domain != "example.net" {
				t.Fatalf("%q leads to %v, which no table names", text, rcpt)
			}
		}
	})
}

func BenchmarkResolve(b *testing.B) {
	r := newResolver(b, "", nil, nil)
	for _, name := range []string{"alice@example.org", "frank@virtual.example", "list@example.org", "nosuch@example.org"} {
		a := parse(b, name)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = r.Resolve(b.Context(), a)
			}
		})
	}
}

func TestTrace(t *testing.T) {
	t.Parallel()
	r := newResolver(t, "", authd{"away@example.org": 0}, nil)
	for _, c := range []struct{ ask, want string }{
		{"alice", "0 alice@example.org mailbox of alice"},
		{"x@example.net", "0 x@example.net elsewhere"},
		{"info", "0 info@example.org by virtual:1 to 2; 1 alice@example.org mailbox of alice; 1 sales@example.net elsewhere"},
		{"heidi@virtual.example", "0 heidi@virtual.example by virtual:3 to 2; 1 heidi@virtual.example by virtual:4 to 1; 2 frank@virtual.example mailbox of frank@virtual.example; 1 bob@example.org by virtual:5 to 1; 2 bob@example.org mailbox of bob"},
		{"ring1@virtual.example", "0 ring1@virtual.example by virtual:6 to 1; 1 ring2@virtual.example by virtual:7 to 1; 2 ring1@virtual.example again"},
		{"nobody", "0 nobody@example.org stranger"},
		{"www-data", "0 www-data@example.org stranger: system account without an alias"},
		{"away", "0 away@example.org unsure: lookup failed for now: authd cannot be asked: temporary failure"},
	} {
		steps, err := r.Trace(t.Context(), parse(t, c.ask))
		var got []string
		for _, s := range steps {
			text := fmt.Sprintf("%d %s ", s.Depth, s.Addr)
			switch s.What {
			case Stranger:
				text += "stranger"
			case Unsure:
				text += "unsure"
			case Elsewhere:
				text += "elsewhere"
			case Repeated:
				text += "again"
			case Mailbox:
				text += "mailbox of " + s.User.Name
			case Redirect, Handed:
				text += fmt.Sprintf("by %s to %d", filepath.Base(s.By), len(s.Members))
			}
			if s.Hint != "" {
				text += ": " + s.Hint
			}
			got = append(got, text)
		}
		if err != nil || strings.Join(got, "; ") != c.want {
			t.Errorf("%s: %v\n got %s\nwant %s", c.ask, err, strings.Join(got, "; "), c.want)
		}
	}
}
