package smtpd

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net/netip"
	"strings"
	"sync"
	"time"

	"postrider/internal/address"
	"postrider/internal/auth"
	"postrider/internal/config"
	"postrider/internal/envelope"
	"postrider/internal/listen"
	"postrider/internal/route"
	"postrider/internal/spool"
	"postrider/internal/table"
)

// memory is a spool that keeps messages in memory.
type memory struct {
	mu       sync.Mutex
	n        int
	full     bool  // Create fails
	room     int   // octets until Write fails; 0 = no end
	broken   error // of Commit
	open     int   // neither committed nor aborted
	messages []*stored
	lows     []bool
}

type stored struct {
	spool    *memory
	id       string
	envelope *envelope.Envelope
	body     bytes.Buffer
	done     bool
}

func (m *memory) Create(e *envelope.Envelope, low bool) (Message, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.full {
		return nil, fmt.Errorf("create: %w", spool.ErrFull)
	}
	m.n++
	m.open++
	m.lows = append(m.lows, low)
	e.ID = fmt.Sprintf("%016d", m.n)
	return &stored{spool: m, id: e.ID, envelope: e}, nil
}

func (s *stored) ID() string { return s.id }

func (s *stored) Write(p []byte) (int, error) {
	if s.done {
		return 0, errors.New("write after the end")
	}
	if s.spool.room > 0 && s.body.Len()+len(p) > s.spool.room {
		return 0, fmt.Errorf("write: %w", spool.ErrFull)
	}
	return s.body.Write(p)
}

func (s *stored) Commit() error {
	s.spool.mu.Lock()
	defer s.spool.mu.Unlock()
	if s.done {
		return errors.New("commit after the end")
	}
	s.done = true
	s.spool.open--
	if s.spool.broken != nil {
		return s.spool.broken
	}
	s.spool.messages = append(s.spool.messages, s)
	return nil
}

func (s *stored) Abort() {
	s.spool.mu.Lock()
	defer s.spool.mu.Unlock()
	if !s.done {
		s.done = true
		s.spool.open--
	}
}

// state is how many messages were taken, and how many were neither taken nor dropped.
func (m *memory) state() (taken, open int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.messages), m.open
}

func (m *memory) last() *stored {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.messages) == 0 {
		return nil
	}
	return m.messages[len(m.messages)-1]
}

// tables is a resolver: example.test is ours, alice, bob, carol and postmaster live there.
type tables struct{}

func (tables) Kind(domain string) (table.DomainKind, error) {
	switch domain {
	case "example.test", "mx.example.test", "localhost":
		return table.LocalDomain, nil
	case "later.test":
		return table.Foreign, route.ErrLater
	}
	return table.Foreign, nil
}

func (t tables) Resolve(_ context.Context, a address.Address) (route.Result, error) {
	if k, _ := t.Kind(a.Domain); k == table.Foreign {
		return one(a, envelope.Remote), nil
	}
	user, _ := address.SplitExtension(strings.ToLower(a.Local), "+")
	switch user {
	case "alice", "bob", "carol", "postmaster", "jürgen", "a%b":
		return one(a, envelope.Local), nil
	case "team":
		return alias(a, envelope.Local, "alice@example.test", "bob@example.test"), nil
	case "out":
		return alias(a, envelope.Remote, "alice@example.net"), nil
	case "many":
		var list []string
		for i := range 40 {
			list = append(list, fmt.Sprintf("u%d@example.test", i))
		}
		return alias(a, envelope.Local, list...), nil
	case "later":
		return route.Result{}, fmt.Errorf("%w: a table cannot be read", route.ErrLater)
	case "away":
		return one(a, envelope.Local), fmt.Errorf("%w: authd is away", route.ErrLater)
	case "partly":
		r := alias(a, envelope.Local, "alice@example.test")
		r.Nowhere = []string{"alias circle"}
		return r, nil
	case "loop":
		return route.Result{}, fmt.Errorf("%w: loop", route.ErrLoop)
	}
	return route.Result{}, fmt.Errorf("%w: %s", route.ErrUnknown, a)
}

func one(a address.Address, via envelope.Via) route.Result {
	return route.Result{Recipients: []route.Recipient{{Addr: a, Via: via}}}
}

func alias(orig address.Address, via envelope.Via, to ...string) route.Result {
	var r route.Result
	for _, s := range to {
		a, _ := address.Parse(s)
		r.Recipients = append(r.Recipients, route.Recipient{Addr: a, Orig: orig, Via: via})
	}
	return r
}

// logins is authd: alice's password is "secret", and for "later" nobody knows.
type logins struct {
	mu   sync.Mutex
	last auth.Request
	away bool // cannot be asked for its mechanisms
}

func (l *logins) Mechanisms(context.Context) ([]string, error) {
	if l.away {
		return nil, auth.ErrLater
	}
	return []string{"SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN", "LOGIN"}, nil
}

func (l *logins) Start(_ context.Context, r auth.Request) Exchange {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last = r
	return &loginExchange{r: r}
}

type loginExchange struct {
	r     auth.Request
	steps int
	name  string
}

func (x *loginExchange) Abort() {}

func (x *loginExchange) Step(response []byte) ([]byte, bool, auth.User, error) {
	x.steps++
	if x.steps == 1 {
		response = x.r.Initial
	}
	switch x.r.Mechanism {
	case "PLAIN":
		if response == nil {
			return nil, false, auth.User{}, nil
		}
		parts := strings.Split(string(response), "\x00")
		if len(parts) != 3 {
			return nil, true, auth.User{}, auth.ErrRefused
		}
		return x.judge(parts[1], parts[2])
	case "LOGIN":
		switch {
		case x.name == "" && response == nil:
			return []byte("Username:"), false, auth.User{}, nil
		case x.name == "":
			x.name = string(response)
			return []byte("Password:"), false, auth.User{}, nil
		}
		return x.judge(x.name, string(response))
	}
	return nil, true, auth.User{}, auth.ErrLater
}

func (x *loginExchange) judge(name, password string) ([]byte, bool, auth.User, error) {
	switch {
	case name == "later":
		return nil, true, auth.User{}, auth.ErrLater
	case name == "alice" && password == "secret":
		return nil, true, auth.User{Name: "alice", UID: 1000, Home: "/home/alice"}, nil
	}
	return nil, true, auth.User{}, auth.ErrRefused
}

// named knows one client.
type named struct{}

func (named) Name(_ context.Context, ip netip.Addr) string {
	if ip == netip.MustParseAddr("192.0.2.1") {
		return "client.example.org"
	}
	return unknown
}

func testConfig() *config.Config {
	c := config.Default()
	c.Hostname, c.Origin = "mx.example.test", "example.test"
	c.MessageSize = 4096
	c.SMTPD.MaxRecipients = 4
	c.SMTPD.MaxHops = 5
	c.SMTPD.RelayNetworks = []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}
	c.SMTPD.XClientNetworks = []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}
	return c
}

// testIdentity is a certificate of the tests' own.
var testIdentity = sync.OnceValue(func() *listen.Identity {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "mx.example.test"}, DNSNames: []string{"mx.example.test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return &listen.Identity{Leaf: leaf, Config: &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}},
		MinVersion:   tls.VersionTLS12, SessionTicketsDisabled: true,
	}}
})
