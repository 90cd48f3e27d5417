package relayd

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"postrider/internal/address"
	"postrider/internal/config"
	"postrider/internal/envelope"
	"postrider/internal/hop"
	"postrider/internal/smtpc"
	"postrider/internal/smtpc/smtpctest"
	"postrider/internal/table"
)

// noTLS breaks the handshake.
func noTLS(command string, conn net.Conn) bool {
	if command == "STARTTLS" {
		io.WriteString(conn, "220 go ahead\r\n")
		conn.Read(make([]byte, 1000))
		io.WriteString(conn, "nonsense\r\n")
	}
	return command == "STARTTLS"
}

func TestDial(t *testing.T) {
	t.Parallel()
	serverTLS, clientTLS := smtpctest.Certificate(t, "mx.example.net")
	login := map[string]string{"user": "secret"}
	for _, c := range []struct {
		name     string
		server   *smtpctest.Server
		hop      hop.Hop
		demands  Demands
		clear    bool
		stranger bool   // the authority is not ours
		want     error  // or
		text     string // of it
		tls      bool
	}{
		{name: "plain", server: &smtpctest.Server{}, demands: Demands{Level: "may"}},
		{name: "opportunistic", server: &smtpctest.Server{TLS: serverTLS}, demands: Demands{Level: "may"}, stranger: true, tls: true},
		{name: "none", server: &smtpctest.Server{TLS: serverTLS}, demands: Demands{Level: "none"}},
		{name: "broken", server: &smtpctest.Server{TLS: serverTLS, Take: noTLS}, demands: Demands{Level: "may"}, want: smtpc.ErrTLS, text: "Cannot start TLS with mx.example.net"},
		{name: "broken, has waited", server: &smtpctest.Server{TLS: serverTLS, Take: noTLS}, demands: Demands{Level: "may"}, clear: true},
		{name: "broken, has waited, login", server: &smtpctest.Server{TLS: serverTLS, Take: noTLS}, demands: Demands{"may", "user", "secret"}, clear: true, want: smtpc.ErrTLS},
		{name: "broken, has waited, demanded", server: &smtpctest.Server{TLS: serverTLS, Take: noTLS}, demands: Demands{Level: "encrypt"}, clear: true, want: ErrDemands},
		{name: "refused", server: &smtpctest.Server{TLS: serverTLS, Answer: replies("STARTTLS", "454 4.7.0 not now")}, demands: Demands{Level: "may"}},
		{name: "refused, demanded", server: &smtpctest.Server{TLS: serverTLS, Answer: replies("STARTTLS", "454 4.7.0 not now")}, demands: Demands{Level: "encrypt"}, want: ErrDemands},
		{name: "not offered", server: &smtpctest.Server{}, demands: Demands{Level: "encrypt"}, want: ErrDemands, text: "was not offered by"},
		{name: "encrypted", server: &smtpctest.Server{TLS: serverTLS}, demands: Demands{Level: "encrypt"}, stranger: true, tls: true},
		{name: "verified", server: &smtpctest.Server{TLS: serverTLS}, hop: hop.Hop{Kind: hop.SMTP, Host: "mx.example.net"}, demands: Demands{Level: "verify"}, tls: true},
		{name: "wrong name", server: &smtpctest.Server{TLS: serverTLS}, demands: Demands{Level: "verify"}, want: ErrDemands, text: "example.net"},
		{name: "wrong name, that of the host", server: &smtpctest.Server{TLS: serverTLS}, demands: Demands{Level: "verify-mx"}, tls: true},
		{name: "unknown authority", server: &smtpctest.Server{TLS: serverTLS}, demands: Demands{Level: "verify-mx"}, stranger: true, want: ErrDemands},
		{name: "login", server: &smtpctest.Server{TLS: serverTLS, Users: login}, demands: Demands{"encrypt", "user", "secret"}, tls: true},
		{name: "wrong password", server: &smtpctest.Server{TLS: serverTLS, Users: login}, demands: Demands{"encrypt", "user", "wrong"}, want: ErrDemands, text: "login as user"},
		{name: "login in clear", server: &smtpctest.Server{Users: login}, demands: Demands{"none", "user", "secret"}},
		{name: "no login in clear", server: &smtpctest.Server{Users: login}, demands: Demands{"may", "user", "secret"}, want: ErrDemands},
		{name: "no login offered", server: &smtpctest.Server{TLS: serverTLS}, demands: Demands{"may", "user", "secret"}, want: ErrDemands},
		{name: "ourselves", server: &smtpctest.Server{Answer: replies("EHLO", "250 Mail.Example.ORG hello")}, demands: Demands{Level: "may"}, want: ErrLoop},
		{name: "ourselves, configured", server: &smtpctest.Server{Answer: replies("EHLO", "250 mail.example.org hello")}, hop: hop.Hop{Kind: hop.SMTP, Host: "x"}, demands: Demands{Level: "may"}},
		{name: "LMTP", server: &smtpctest.Server{LMTP: true}, hop: hop.Hop{Kind: hop.LMTP, Path: "/run/lmtp"}, demands: Demands{Level: "may"}},
		{name: "greeting", server: &smtpctest.Server{Answer: replies("connect", "554 5.7.1 no")}, demands: Demands{Level: "may"}, text: "refused to talk to me: 554 5.7.1 no"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := c.server.Start(t)
			d := &SMTP{Hello: "mail.example.org", Own: []string{"mail.example.org"}, ConnectTimeout: 10 * time.Second, Roots: clientTLS.RootCAs}
			if c.stranger {
				d.Roots = x509.NewCertPool()
			}
			if c.hop.Kind == "" {
				c.hop = hop.ForDomain("example.net")
			}
			session, err := d.Dial(t.Context(), Target{Hop: c.hop, Host: "mx.example.net", Path: s.Path, Demands: c.demands, Clear: c.clear})
			if (err != nil) != (c.want != nil || c.text != "") || c.want != nil && !errors.Is(err, c.want) {
				t.Fatalf("%v, not %v", err, c.want)
			}
			if err != nil {
				if !strings.Contains(strings.ReplaceAll(err.Error(), s.Path, "mx.example.net"), c.text) {
					t.Errorf("%v", err)
				}
				return
			}
			defer session.Quit()
			if got := session.(interface{ TLS() *tls.ConnectionState }).TLS() != nil; got != c.tls {
				t.Errorf("TLS: %t", got)
			}
			if session.Usable() == c.clear { // what is begun in clear for one message carries no other
				t.Errorf("usable: %t", session.Usable())
			}
		})
	}
}

func replies(command, reply string) func(string) string {
	return func(c string) string {
		if strings.HasPrefix(c, command) {
			return reply
		}
		return ""
	}
}

// TestDialTLS is TLS from the first octet on.
func TestDialTLS(t *testing.T) {
	t.Parallel()
	serverTLS, clientTLS := smtpctest.Certificate(t, "mx.example.net")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				c := tls.Server(conn, serverTLS)
				for _, reply := range []string{"220 hello\r\n", "250 mx\r\n", "221 bye\r\n"} {
					if _, err := io.WriteString(c, reply); err != nil {
						return
					}
					if _, err := c.Read(make([]byte, 1000)); err != nil {
						return
					}
				}
			}()
		}
	}()
	addr := netip.MustParseAddrPort(l.Addr().String())
	for level, host := range map[string]string{"may": "x.example.net", "verify": "mx.example.net"} {
		d := &SMTP{Hello: "mail.example.org", ConnectTimeout: 10 * time.Second, Roots: clientTLS.RootCAs}
		s, err := d.Dial(t.Context(), Target{Hop: hop.Hop{Kind: hop.SMTPS, Host: host}, Host: host, Addr: addr, Demands: Demands{Level: level}})
		if err != nil {
			t.Fatalf("%s: %v", level, err)
		}
		if s.(*smtpc.Client).TLS() == nil {
			t.Errorf("%s: no TLS", level)
		}
		s.Quit()
	}
	d := &SMTP{Hello: "mail.example.org", ConnectTimeout: 10 * time.Second, Roots: clientTLS.RootCAs}
	if _, err := d.Dial(t.Context(), Target{Hop: hop.Hop{Kind: hop.SMTPS, Host: "x"}, Host: "x", Addr: addr, Demands: Demands{Level: "verify"}}); !errors.Is(err, smtpc.ErrTLS) {
		t.Errorf("wrong name: %v", err)
	}
}

func TestConnect(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := netip.MustParseAddrPort(l.Addr().String())
	l.Close()
	d := &SMTP{ConnectTimeout: 10 * time.Second}
	_, err = d.Dial(t.Context(), Target{Hop: hop.ForDomain("example.net"), Host: "mx.example.net", Addr: addr})
	if !errors.Is(err, syscall.ECONNREFUSED) || ownTrouble(err) || err.Error() != fmt.Sprintf("connect to mx.example.net[127.0.0.1]:%d: connection refused", addr.Port()) {
		t.Errorf("%v", err)
	}
	d.Bind4 = netip.MustParseAddr("192.0.2.1") // not ours
	if _, err = d.Dial(t.Context(), Target{Hop: hop.ForDomain("example.net"), Addr: addr}); !ownTrouble(err) {
		t.Errorf("%v", err)
	}
	if _, err = d.Dial(t.Context(), Target{Hop: hop.Hop{Kind: hop.LMTP}, Path: t.TempDir() + "/none"}); err == nil || ownTrouble(err) || !strings.Contains(err.Error(), "connect to ") {
		t.Errorf("%v", err)
	}
}

// tables are all tables of a Router.
type tables struct {
	hops   map[string]string // by address or domain
	levels map[string]string // by hop
	logins map[string]string
	broken error
}

func (t *tables) Kind(domain string) (table.DomainKind, error) {
	if domain == "ours.example" {
		return table.LocalDomain, t.broken
	}
	return table.Foreign, t.broken
}

type transports struct{ *tables }

func (t transports) Lookup(a address.Address, null bool) (hop.Hop, bool, error) {
	text, ok := t.hops[a.Domain]
	if !ok || t.broken != nil {
		return hop.Hop{}, false, t.broken
	}
	h, err := hop.Parse(text)
	return h, true, err
}

type policies struct{ *tables }

func (t policies) Lookup(h hop.Hop, _ bool) (string, bool, error) {
	level, ok := t.levels[h.String()]
	return level, ok, t.broken
}

type logins struct{ *tables }

func (t logins) Lookup(h hop.Hop) (string, string, bool, error) {
	user, ok := t.logins[h.String()]
	return user, "secret", ok, t.broken
}

func TestTablesRouter(t *testing.T) {
	t.Parallel()
	all := &tables{
		hops:   map[string]string{"written.example": "[gw.example.net]", "ours.example": "lmtp:unix:/run/lmtp", "dropped.example": "discard:"},
		levels: map[string]string{"[gw.example.net]": "encrypt", "[low.example.net]": "may"},
		logins: map[string]string{"[gw.example.net]": "user", "[low.example.net]": "user", "[plain.example.net]": "user"},
	}
	cfg := config.Default()
	r := &Tables{Config: cfg, Transports: transports{all}, Policies: policies{all}, Logins: logins{all}, Domains: all}
	want := func(domain, hop string, derived, ours bool) {
		t.Helper()
		w, err := r.Hop(&envelope.Recipient{Addr: address.Address{Local: "a", Domain: domain}}, &envelope.Envelope{})
		if err != nil || w.Derived != derived || w.Ours != ours || !ours && w.Hop.String() != hop {
			t.Errorf("%s: %+v, %v", domain, w, err)
		}
	}
	want("written.example", "[gw.example.net]", false, false)
	want("ours.example", "lmtp:unix:/run/lmtp", false, false) // the table comes first
	want("dropped.example", "discard:", false, false)
	want("example.net", "example.net", true, false)
	delete(all.hops, "ours.example")
	want("ours.example", "", false, true)
	cfg.Relayd.Relayhost = "[relay.example.org]:587"
	want("example.net", "smtp:[relay.example.org]:587", false, false)
	want("ours.example", "", false, true)
	for text, want := range map[string]Demands{
		"[gw.example.net]":    {"encrypt", "user", "secret"},
		"[low.example.net]":   {"may", "user", "secret"},
		"[plain.example.net]": {"verify", "user", "secret"},
		"example.net":         {"may", "", "secret"},
	} {
		h, _ := hop.Parse(text)
		if d, err := r.Demands(h); err != nil || d != want {
			t.Errorf("%s: %+v, %v", text, d, err)
		}
	}
	all.broken = errors.New("gone")
	if _, err := r.Hop(&envelope.Recipient{Addr: address.Address{Local: "a", Domain: "x.example"}}, &envelope.Envelope{}); err == nil {
		t.Error("a table that is gone")
	}
	if _, err := r.Demands(hop.ForDomain("x.example")); err == nil {
		t.Error("a table that is gone")
	}
}
