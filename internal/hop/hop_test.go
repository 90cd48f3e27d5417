package hop

import (
	"reflect"
	"strings"
	"testing"

	"postrider/internal/reply"
)

func TestParse(t *testing.T) {
	t.Parallel()
	failure := func(code int, e reply.Enhanced, text string) Hop {
		return Hop{Kind: Error, Reply: &reply.Reply{Code: code, Enhanced: e, Text: text}}
	}
	for _, c := range []struct {
		in   string
		want Hop
		out  string
	}{
		{"example.org", Hop{Kind: SMTP, Host: "example.org", ByMX: true}, "example.org"},
		{" smtp:Example.ORG. ", Hop{Kind: SMTP, Host: "example.org", ByMX: true}, "example.org"},
		{"relay:bücher.example", Hop{Kind: SMTP, Host: "xn--bcher-kva.example", ByMX: true}, "xn--bcher-kva.example"},
		{"smtp", Hop{Kind: SMTP, Host: "smtp", ByMX: true}, "smtp"},
		{"smtp.isp.example:587", Hop{Kind: SMTP, Host: "smtp.isp.example", Port: 587, ByMX: true}, "smtp:smtp.isp.example:587"},
		{"smtp:relay:25", Hop{Kind: SMTP, Host: "relay", Port: 25, ByMX: true}, "smtp:relay:25"},
		{"[gw.example.net]", Hop{Kind: SMTP, Host: "gw.example.net"}, "[gw.example.net]"},
		{"[mail.isp.example]:submission", Hop{Kind: SMTP, Host: "mail.isp.example", Port: 587}, "smtp:[mail.isp.example]:587"},
		{"smtp:[gw.example.net]:2525", Hop{Kind: SMTP, Host: "gw.example.net", Port: 2525}, "smtp:[gw.example.net]:2525"},
		{"smtp:[gw.example.net]:25", Hop{Kind: SMTP, Host: "gw.example.net", Port: 25}, "smtp:[gw.example.net]:25"},
		{"[192.0.2.1]", Hop{Kind: SMTP, Host: "192.0.2.1"}, "[192.0.2.1]"},
		{"[::ffff:192.0.2.1]", Hop{Kind: SMTP, Host: "192.0.2.1"}, "[192.0.2.1]"},
		{"[2001:DB8::1]", Hop{Kind: SMTP, Host: "2001:db8::1"}, "[IPv6:2001:db8::1]"},
		{"[IPv6:2001:db8::1]:25", Hop{Kind: SMTP, Host: "2001:db8::1", Port: 25}, "smtp:[IPv6:2001:db8::1]:25"},
		{"smtps:[smtp.isp.example]:465", Hop{Kind: SMTPS, Host: "smtp.isp.example"}, "smtps:[smtp.isp.example]"},
		{"smtps:smtp.isp.example:4650", Hop{Kind: SMTPS, Host: "smtp.isp.example", Port: 4650}, "smtps:[smtp.isp.example]:4650"},
		{"lmtp:[host.example]:24", Hop{Kind: LMTP, Host: "host.example"}, "lmtp:[host.example]"},
		{"lmtp:inet:host.example:2400", Hop{Kind: LMTP, Host: "host.example", Port: 2400}, "lmtp:[host.example]:2400"},
		{"lmtp:inet:[::1]:24", Hop{Kind: LMTP, Host: "::1"}, "lmtp:[IPv6:::1]"},
		{"lmtp:localhost", Hop{Kind: LMTP, Host: "localhost"}, "lmtp:[localhost]"},
		{"lmtp:unix:/run/dovecot//lmtp", Hop{Kind: LMTP, Path: "/run/dovecot/lmtp"}, "lmtp:unix:/run/dovecot/lmtp"},
		{"error:5.7.1 no: we do not like you", failure(550, reply.Enhanced{5, 7, 1}, "no: we do not like you"), "error:5.7.1 no: we do not like you"},
		{"error:gone away", failure(550, reply.Enhanced{5, 0, 0}, "gone away"), "error:5.0.0 gone away"},
		{"error:4.3.2 not today", failure(450, reply.Enhanced{4, 3, 2}, "not today"), "error:4.3.2 not today"},
		{"error:5.7 x", failure(550, reply.Enhanced{5, 0, 0}, "5.7 x"), "error:5.0.0 5.7 x"},
		{"error:5.7.x y", failure(550, reply.Enhanced{5, 0, 0}, "5.7.x y"), "error:5.0.0 5.7.x y"},
		{"error:5.7.1000 y", failure(550, reply.Enhanced{5, 0, 0}, "5.7.1000 y"), "error:5.0.0 5.7.1000 y"},
		{"error: 5.1.1  5.1.2 x ", failure(550, reply.Enhanced{5, 1, 1}, "5.1.2 x"), "error:5.1.1 5.1.2 x"},
		{"retry:later", failure(450, reply.Enhanced{4, 0, 0}, "later"), "error:4.0.0 later"},
		{"retry:4.7.1 later", failure(450, reply.Enhanced{4, 7, 1}, "later"), "error:4.7.1 later"},
		{"discard:", Hop{Kind: Discard}, "discard:"},
		{"discard:silently", Hop{Kind: Discard}, "discard:"},
	} {
		got, err := Parse(c.in)
		if err != nil || !reflect.DeepEqual(got, c.want) || got.String() != c.out {
			t.Errorf("Parse(%q) = %+v (%s), %v; want %+v (%s)", c.in, got, got, err, c.want, c.out)
		}
		if again, err := Parse(c.out); err != nil || !reflect.DeepEqual(again, c.want) {
			t.Errorf("Parse(%q) = %+v, %v; want %+v", c.out, again, err, c.want)
		}
	}
}

func TestParseErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, want string }{
		{"", "empty hop"},
		{"smtp:", "no host"},
		{":", "not a port"},
		{":587", "no host"},
		{"lmtp:unix:/a b", "white space"},
		{"error:" + strings.Repeat("x", 901), "longer than 900"},
		{"[]", "no host"},
		{"local:", `"local" is neither a transport nor a host`},
		{"SMTP:example.org", `"SMTP" is neither`},
		{"example.org:0", `neither a transport nor a host`},
		{"smtp:example.org:65536", `"65536" is not a port`},
		{"smtp:example.org:+25", `"+25" is not a port`},
		{"smtp:example.org:25:25", `"25:25" is not a port`},
		{"smtp:[example.org]25", "is not a host"},
		{"smtp:[example.org", "is not a host"},
		{"[[x]]", "is not a host"},
		{"192.0.2.1", "write the address 192.0.2.1 in brackets"},
		{"smtp:192.0.2.1:25", "in brackets"},
		{"2001:db8::1", "neither a transport nor a host"},
		{"lmtp:inet:127.0.0.1:24", "in brackets"},
		{"relay:587", "no name of a host"},
		{"[fe80::1%eth0]", "address syntax"},
		{"[IPv6:x]", "address syntax"},
		{"a b", "address syntax"},
		{"-x.example", "address syntax"},
		{"lmtp:unix:private/lmtp", "absolute path"},
		{"lmtp:unix:/" + strings.Repeat("x", 107), "longer than 107"},
		{"error:", "needs a text"},
		{"error:5.7.1", "needs a text"},
		{"retry:5.7.1 x", "5.7.1 is not temporary"},
		{"error:a\nb", "control character"},
		{"error:\xff", "invalid UTF-8"},
		{"error:" + strings.Repeat("x", 1000), "longer than 1000"},
	} {
		if h, err := Parse(c.in); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("Parse(%q) = %+v, %v; want %q", c.in, h, err, c.want)
		}
	}
}

func TestForDomain(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ domain, want string }{
		{"example.org", "example.org"},
		{"[192.0.2.1]", "[192.0.2.1]"},
		{"[IPv6:2001:db8::1]", "[IPv6:2001:db8::1]"},
	} {
		h := ForDomain(c.domain)
		if _, isAddr := h.Addr(); h.String() != c.want || h.ByMX == isAddr {
			t.Errorf("%s: %+v (%s)", c.domain, h, h)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"example.org", "smtp:[gw.example.net]:2525", "[IPv6:2001:db8::1]:25", "lmtp:unix:/run/x", "lmtp:inet:[::1]:24", "error:5.7.1 x", "retry:x", "discard:", "smtps:[x]:465"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		h, err := Parse(s)
		if err != nil {
			return
		}
		again, err := Parse(h.String())
		if err != nil || !reflect.DeepEqual(h, again) {
			t.Fatalf("%q gives %+v, its form %q gives %+v, %v", s, h, h.String(), again, err)
		}
	})
}
