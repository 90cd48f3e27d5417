package fakedns

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

const testZone = `
example.org.        IN SOA ns.example.org. hostmaster.example.org. 1 2 3 4 77
example.org.        IN MX 10 mx.example.org.
mx.example.org.     IN A 192.0.2.1
a.b.example.org.    IN A 192.0.2.2
www.example.org.    IN CNAME mx.example.org.
gone.example.org.   IN CNAME nowhere.test.
*.wild.example.org. IN A 192.0.2.3
`

// ask shows an answer as `RCODE records / SOA minimum`.
func ask(t *testing.T, s *Server, network, name string, qtype uint16) string {
	t.Helper()
	m := new(dns.Msg).SetQuestion(name, qtype).SetEdns0(1232, true)
	c := dns.Client{Net: network, Timeout: 10 * time.Second}
	r, _, err := c.Exchange(m, s.Addr)
	if err != nil {
		return err.Error()
	}
	words := []string{dns.RcodeToString[r.Rcode]}
	if r.Truncated {
		words = append(words, "TC")
	}
	for _, rr := range r.Answer {
		data := strings.TrimPrefix(rr.String(), rr.Header().String())
		words = append(words, rr.Header().Name+"="+data)
	}
	for _, rr := range r.Ns {
		words = append(words, fmt.Sprint("/ ", rr.(*dns.SOA).Minttl))
	}
	return strings.Join(words, " ")
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	s := Start(t, testZone)
	for _, c := range []struct {
		name  string
		qtype uint16
		want  string
	}{
		{"example.org.", dns.TypeMX, "NOERROR example.org.=10 mx.example.org."},
		{"MX.example.ORG.", dns.TypeA, "NOERROR mx.example.org.=192.0.2.1"},
		{"mx.example.org.", dns.TypeAAAA, "NOERROR / 77"},
		{"b.example.org.", dns.TypeA, "NOERROR / 77"},
		{"c.example.org.", dns.TypeA, "NXDOMAIN / 77"},
		{"c.b.example.org.", dns.TypeA, "NXDOMAIN / 77"},
		{"www.example.org.", dns.TypeA, "NOERROR www.example.org.=mx.example.org. mx.example.org.=192.0.2.1"},
		{"www.example.org.", dns.TypeMX, "NOERROR www.example.org.=mx.example.org. / 77"},
		{"gone.example.org.", dns.TypeA, "NXDOMAIN gone.example.org.=nowhere.test. / 1"},
		{"x.y.wild.example.org.", dns.TypeA, "NOERROR x.y.wild.example.org.=192.0.2.3"},
		{"wild.example.org.", dns.TypeA, "NOERROR / 77"},
		{"test.", dns.TypeA, "NXDOMAIN / 1"},
		{".", dns.TypeA, "NOERROR / 1"},
	} {
		for _, network := range []string{"udp", "tcp"} {
			if got := ask(t, s, network, c.name, c.qtype); got != c.want {
				t.Errorf("%s %s over %s: %s, want %s", c.name, dns.Type(c.qtype), network, got, c.want)
			}
		}
	}
	if n := s.Asked("mx.example.org", dns.TypeA); n != 2 {
		t.Errorf("%d questions noted", n)
	}
	if got := s.Queries()[0].String(); got != "example.org MX udp" {
		t.Errorf("first question noted: %s", got)
	}
}

func TestSetZone(t *testing.T) {
	t.Parallel()
	s := Start(t, testZone)
	s.SetZone("other.test. IN A 192.0.2.9")
	if got := ask(t, s, "udp", "other.test.", dns.TypeA); got != "NOERROR other.test.=192.0.2.9" {
		t.Error(got)
	}
	if got := ask(t, s, "udp", "example.org.", dns.TypeMX); got != "NXDOMAIN / 1" {
		t.Error(got)
	}
}

func TestTruncation(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for i := range 200 {
		fmt.Fprintf(&b, "big.test. IN A 10.0.0.%d\n", i)
	}
	s := Start(t, b.String())
	if got := ask(t, s, "udp", "big.test.", dns.TypeA); !strings.HasPrefix(got, "NOERROR TC") {
		t.Error(got)
	}
	if got := ask(t, s, "tcp", "big.test.", dns.TypeA); strings.Count(got, "big.test.=") != 200 {
		t.Error(got)
	}
}

func TestFaultsByType(t *testing.T) {
	t.Parallel()
	s := Start(t, testZone)
	outcomes := func() []string {
		var words []string
		for _, qtype := range []uint16{dns.TypeA, dns.TypeAAAA} {
			word, _, _ := strings.Cut(ask(t, s, "udp", "mx.example.org.", qtype), " ")
			words = append(words, word)
		}
		return words
	}
	for _, c := range []struct {
		fault Fault
		types []uint16
		want  []string
	}{
		{ServFail, nil, []string{"SERVFAIL", "SERVFAIL"}},
		{None, []uint16{dns.TypeA}, []string{"NOERROR", "SERVFAIL"}},
		{None, nil, []string{"NOERROR", "NOERROR"}},
		{Refused, []uint16{dns.TypeAAAA}, []string{"NOERROR", "REFUSED"}},
	} {
		s.SetFault("MX.example.org.", c.fault, c.types...)
		if got := outcomes(); !slices.Equal(got, c.want) {
			t.Errorf("fault %d for %v: %v, want %v", c.fault, c.types, got, c.want)
		}
	}
}
