package suite

import (
	"net"
	"strconv"
	"testing"

	"postrider/test/fakedns"
)

// Domains of a Pair. Their exchangers are `mail.` in front of them.
const (
	DomainA = "a.test"
	DomainB = "b.test"
)

// pairZone makes each domain's exchanger known, and a few domains that mail cannot go to.
const pairZone = `
a.test.        60 IN MX 10 mail.a.test.
mail.a.test.   60 IN A 127.0.0.1
b.test.        60 IN MX 10 mail.b.test.
mail.b.test.   60 IN A 127.0.0.1
null.test.     60 IN MX 0 .
`

// Pair is two suites that are each other's mail exchanger, and the DNS that says so to both.
type Pair struct {
	A, B *Suite
	DNS  *fakedns.Server
}

// NewPair lays two suites out with the same options and different names, and starts the DNS but not the suites. Zone is text to add
// to the DNS. A host that is found by MX is connected to at the port of the other suite, so a name with another loopback
// address (127.0.0.9, say) is a host that refuses connections.
func NewPair(tb testing.TB, o Options, zone string) *Pair {
	tb.Helper()
	p := &Pair{DNS: fakedns.Start(tb, pairZone+zone)}
	o.Resolver = p.DNS.Addr
	o.Domain, o.Host = DomainA, "mail."+DomainA
	p.A = New(tb, o)
	o.Domain, o.Host = DomainB, "mail."+DomainB
	o.RelayPort = p.A.port("smtp")
	p.B = New(tb, o)
	p.A.opt.RelayPort = p.B.port("smtp")
	p.A.Configure(o.Extra)
	return p
}

// StartAll starts both suites.
func (p *Pair) StartAll() {
	p.A.StartAll()
	p.B.StartAll()
}

// port is the number in a service's address.
func (s *Suite) port(service string) int {
	s.tb.Helper()
	_, text, err := net.SplitHostPort(s.Addr[service])
	check(s.tb, err)
	port, err := strconv.Atoi(text)
	check(s.tb, err)
	return port
}
