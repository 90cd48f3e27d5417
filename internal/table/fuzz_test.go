package table

import (
	"strings"
	"testing"
)

func FuzzAliases(f *testing.F) {
	for _, s := range []string{"root: alice, bob\n", "\"a b\": \"|cmd \\\"x\\\"\", /f\n", "l: :include:/x,\n \\u\n", "n: N <a@b>", "a: |\"x", "a: \\\"\"", "#\n  x\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		aliases, _ := parseAliases("f", text)
		for name, a := range aliases {
			if name != a.Name || name != strings.ToLower(name) || len(a.Members) == 0 || a.Line < 1 {
				t.Fatalf("%q gives %q: %+v", text, name, a)
			}
			for _, m := range a.Members {
				if isAddress := m.Kind == MemberAddress || m.Kind == MemberMailbox; isAddress == (m.Address.Local == "") || !isAddress && m.Text == "" {
					t.Fatalf("%q gives the member %+v", text, m)
				}
			}
		}
	})
}

func FuzzUsers(f *testing.F) {
	for _, s := range []string{"alice:1000:1000:/home/alice:1G:\n", "a@example.org", "b:vmail:staff:::maildir=x", "../x", "\"a/b\"@x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		users, _ := parseUsers("f", text, testAccounts())
		for name, u := range users {
			if name != u.Name || u.UID < 1000 || !strings.HasPrefix(u.Home, "/") || !strings.HasPrefix(u.Maildir, "/") || u.Quota < 0 {
				t.Fatalf("%q gives %+v", text, u)
			}
			if home, ok := strings.CutPrefix(u.Home, "/var/vmail/"); ok && strings.Contains(home, "..") && !strings.Contains(text, "/var/vmail/") {
				t.Fatalf("%q gives the home %q", text, u.Home)
			}
		}
	})
}

func FuzzDomains(f *testing.F) {
	for _, s := range []string{"example.org local\n", "bücher.example virtual", "x y z", "[192.0.2.1] local"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		domains, _ := parseDomains("f", text)
		for domain, kind := range domains {
			if domain == "" || domain != strings.ToLower(domain) || kind == Foreign {
				t.Fatalf("%q gives %q: %v", text, domain, kind)
			}
		}
	})
}

func FuzzVirtual(f *testing.F) {
	for _, s := range []string{"info@example.org alice, b@c.example\n", "@example.org x", "\"a b\"@x y,\n z", "@ x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		virtual, _ := parseVirtual("f", text)
		for key, r := range virtual {
			if key != r.Key || !strings.Contains(key, "@") || len(r.Targets) == 0 {
				t.Fatalf("%q gives %q: %+v", text, key, r)
			}
		}
	})
}

func FuzzPasswd(f *testing.F) {
	for _, s := range []string{"root:x:0:0:root:/root:/bin/sh\n", "+::::::", "a:x:99999999999:1::/:"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		users, _ := parsePasswd("f", text)
		for _, u := range users {
			if u.Name == "" || !strings.HasPrefix(u.Home, "/") {
				t.Fatalf("%q gives %+v", text, u)
			}
		}
	})
}

func FuzzTransport(f *testing.F) {
	for _, s := range []string{transportText, "a@b.example smtp:\n c", "* :", "<> error:4.1.1 x", ".x :y:25"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		routes, _ := parseTransport("f", text)
		for pattern, r := range routes {
			if again, err := transportPattern(pattern); err != nil || again != pattern || pattern != r.Pattern || r.Line < 1 {
				t.Fatalf("%q gives %q: %+v; its pattern is %q, %v", text, pattern, r, again, err)
			}
			if h := r.hop("example.org"); !r.Default && h.String() == "" {
				t.Fatalf("%q gives %+v", text, r)
			}
		}
	})
}

func FuzzTLSPolicy(f *testing.F) {
	for _, s := range []string{"example.org verify\n", "smtps:[x.example]:4650 may", ".example.org none"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		policies, _ := parseTLSPolicy("f", text)
		for key, p := range policies {
			if again, err := policyKey(key); err != nil || again != key || p.Hop != key || p.Level == "" {
				t.Fatalf("%q gives %q: %+v; again %q, %v", text, key, p, again, err)
			}
		}
	})
}

func FuzzRelayAuth(f *testing.F) {
	for _, s := range []string{"[smtp.isp.example]:587 alice:secret\n", "x :y", "x y:"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		logins, _ := parseRelayAuth("f", text)
		for key, c := range logins {
			if again, err := hostKey(key); err != nil || again != key || c.Hop != key || c.User == "" || c.Password == "" {
				t.Fatalf("%q gives %q: %+v; again %q, %v", text, key, c, again, err)
			}
		}
	})
}
