package itinerary

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"postrider/internal/address"
	"postrider/internal/auth"
	"postrider/internal/config"
	"postrider/internal/hop"
	"postrider/internal/nexthop"
	"postrider/internal/reply"
)

var update = flag.Bool("update", false, "write the golden files anew")

// finder has the hosts of hops by their names; others do not exist.
type finder map[string][]nexthop.Host

func (f finder) Find(_ context.Context, h hop.Hop) ([]nexthop.Host, error) {
	switch {
	case h.Kind == hop.Error:
		return nil, h.Reply
	case h.Path != "":
		return []nexthop.Host{{Name: h.Path}}, nil
	case h.Host == "broken.example":
		return nil, reply.New(451, 4, 3, "lookup of broken.example failed: SERVFAIL")
	}
	if hosts := f[h.String()]; hosts != nil {
		return hosts, nil
	}
	return nil, reply.New(550, 4, 4, "domain "+h.Host+" does not exist")
}

func host(name string, port, preference int, addrs ...string) nexthop.Host {
	h := nexthop.Host{Name: name, Port: port, Preference: preference}
	for _, a := range addrs {
		h.Addrs = append(h.Addrs, netip.MustParseAddr(a))
	}
	return h
}

var hosts = finder{
	"example.net":               {host("mx1.example.net", 25, 10, "2001:db8::1", "192.0.2.1"), host("mx2.example.net", 25, 20, "192.0.2.2")},
	"smtp:[smtp.isp.test]:587":  {host("smtp.isp.test", 587, 0, "192.0.2.3")},
	"smtps:[gw.example]":        {host("gw.example", 465, 0, "192.0.2.4")},
	"smtp:hub.example:26":       {host("mx.hub.example", 26, 5, "192.0.2.5")},
	"[192.0.2.9]":               {host("192.0.2.9", 25, 0, "192.0.2.9")},
	"[bounces.example]":         {host("bounces.example", 25, 0, "192.0.2.6")},
	"xn--bcher-kva.example":     {host("mx.xn--bcher-kva.example", 25, 0, "192.0.2.7")},
	"default.transport.example": {host("mx.default.example", 25, 0, "192.0.2.8")},
}

// away is an authd that does not answer.
type away struct{}

func (away) Who(context.Context, string) (auth.User, error) {
	return auth.User{}, fmt.Errorf("%w: no answer", auth.ErrLater)
}

const (
	aliases   = "root: alice\nstaff: alice, bob@example.net, nobody\nprogram: |/bin/cmd x, /var/mail/x, bob@example.net\nall: root, staff, bob@example.net\n"
	virtual   = "info@example.org alice, sales@example.net\nring@example.org ring2@example.org\nring2@example.org ring@example.org\n"
	passwd    = "alice:x:1000:1000::/home/alice:/bin/sh\n"
	transport = "gw.example smtps:[gw.example]\nhub.example smtp:hub.example:26\nno.example error:5.7.1 we do not write there\nwait.example retry:not today\n" +
		"void.example discard:\nlmtp.example lmtp:unix:/run/lmtp\nmissing.example smtp:[nowhere.example]\nbob@user.example smtp:[192.0.2.9]\ndefault.transport.example :\n<> smtp:[bounces.example]\n"
	policy = "gw.example verify\n"
	logins = "[smtp.isp.test]:587 alice:secret\n"
)

// world writes tables with fixed names, which answers mention by a path that does not change.
func world(t *testing.T, relayhost string) *config.Config {
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
	c.Hostname, c.Origin, c.FirstValidUID, c.Relayd.Relayhost = "mail.example.org", "example.org", 1000, relayhost
	c.Tables = config.Tables{
		Aliases: []string{file("aliases", aliases)}, Virtual: file("virtual", virtual), Passwd: file("passwd", passwd),
		Transport: file("transport", transport), TLSPolicy: file("tls_policy", policy), RelayAuth: file("relay_auth", logins),
	}
	return c
}

func TestRoute(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, to, from, relayhost string
		away                      bool
		status                    int
	}{
		{name: "mailbox", to: "Alice+lists@example.org"},
		{name: "alias", to: "staff", status: exitNoUser},
		{name: "nested", to: "all", status: exitNoUser},
		{name: "program", to: "program"},
		{name: "postmaster", to: "postmaster@example.org"},
		{name: "virtual", to: "info@example.org"},
		{name: "ring", to: "ring@example.org", status: exitTempFail},
		{name: "unknown", to: "nobody@example.org", status: exitNoUser},
		{name: "away", to: "nobody@example.org", away: true, status: exitTempFail},
		{name: "mx", to: "bob@example.net"},
		{name: "ulabel", to: "bob@bücher.example"},
		{name: "literal", to: "bob@[192.0.2.9]"},
		{name: "nodomain", to: "bob@nx.example", status: exitUnavailable},
		{name: "servfail", to: "bob@broken.example", status: exitTempFail},
		{name: "relayhost", to: "bob@example.net", relayhost: "[smtp.isp.test]:587"},
		{name: "relayhost-missing", to: "bob@example.net", relayhost: "[smtp.isq.test]:587", status: exitTempFail},
		{name: "smtps", to: "bob@gw.example"},
		{name: "port", to: "bob@hub.example"},
		{name: "error", to: "bob@no.example", status: exitUnavailable},
		{name: "retry", to: "bob@wait.example", status: exitTempFail},
		{name: "discard", to: "bob@void.example"},
		{name: "lmtp", to: "bob@lmtp.example"},
		{name: "configured-missing", to: "bob@missing.example", status: exitTempFail},
		{name: "user", to: "bob+x@user.example"},
		{name: "default", to: "bob@default.transport.example", relayhost: "default.transport.example"},
		{name: "null", to: "bob@example.net", from: "<>"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cfg := world(t, c.relayhost)
			args := []string{c.to}
			if c.from != "" {
				args = append(args, "-s", c.from)
			}
			r, _, err := parse(args)
			if err != nil {
				t.Fatal(err)
			}
			r.Config, r.Finder = cfg, hosts
			if c.away {
				r.Directory = away{}
			}
			var out bytes.Buffer
			if status := r.Run(t.Context(), &out); status != c.status {
				t.Errorf("status %d, want %d", status, c.status)
			}
			golden(t, c.name, strings.ReplaceAll(out.String(), filepath.Dir(cfg.Tables.Passwd), "/etc/postrider"))
		})
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".txt")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil || string(want) != got {
		t.Errorf("%v, got\n%s\nwant\n%s", err, got, want)
	}
}

// A user who may not read the logins is told so, and the rest.
func TestHiddenLogins(t *testing.T) {
	t.Parallel()
	c := world(t, "[smtp.isp.test]:587")
	c.Tables.RelayAuth = t.TempDir() // cannot be read, even by root
	r := &Request{To: address.Address{Local: "bob", Domain: "example.net"}, Config: c, Finder: hosts, given: true, From: address.Address{Local: "a", Domain: "b"}}
	var out bytes.Buffer
	if status := r.Run(t.Context(), &out); status != exitOK || !strings.Contains(out.String(), "TLS: may,") || !strings.Contains(out.String(), "Login: only root") {
		t.Errorf("%d:\n%s", status, &out)
	}
}

func TestArguments(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args string
		want string // of stderr
	}{
		{"", "expected one address, not 0"},
		{"a b", "expected one address, not 2"},
		{"-x a", "flag provided but not defined"},
		{"<>", "nobody receives at <>"},
		{"a..b@c", "address syntax"},
		{"a@b -s x@-", "address syntax"},
	} {
		var out, errs bytes.Buffer
		if status := run(t.Context(), strings.Fields(c.args), &out, &errs); status != exitUsage || !strings.Contains(errs.String(), c.want) || out.Len() > 0 {
			t.Errorf("%q: %d, %s", c.args, status, &errs)
		}
	}
	var out, errs bytes.Buffer
	if status := run(t.Context(), []string{"a@b.example", "-c", filepath.Join(t.TempDir(), "x")}, &out, &errs); status != exitConfig {
		t.Errorf("without a configuration: %d, %s", status, &errs)
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("full") }

func TestOutputFails(t *testing.T) {
	t.Parallel()
	r := &Request{To: address.Address{Local: "alice"}, Config: world(t, ""), Finder: hosts}
	if status := r.Run(t.Context(), full{}); status != exitUnavailable {
		t.Errorf("status %d", status)
	}
}
