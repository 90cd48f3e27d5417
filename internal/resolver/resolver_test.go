package resolver

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"postrider/test/fakedns"
)

const testZone = `
example.org.          300 IN MX 20 mx2.Example.org.
                      300 IN MX 10 mx1.example.org.
                      300 IN MX 20 mx3.example.org.
                      300 IN TXT "v=spf1 " "-all"
mx1.example.org.      300 IN A 192.0.2.1
                      300 IN A 192.0.2.2
                      300 IN AAAA 2001:db8::1
four.example.org.     300 IN A 192.0.2.4
six.example.org.      300 IN AAAA 2001:db8::6
mapped.example.org.   300 IN AAAA ::ffff:127.0.0.1
                      300 IN A 127.0.0.1
odd.example.org.      300 IN TXT "a\"b\\c\001\255"
                      300 IN TXT ""
null.example.org.     300 IN MX 0 .
junk.example.org.     300 IN MX 10 mail\032server.example.org.
alias.example.org.    300 IN CNAME example.org.
www.example.org.      300 IN CNAME mx1.example.org.
dangling.example.org. 300 IN CNAME gone.example.org.
empty.example.org.    300 IN CNAME example.org.
local.example.org.    300 IN CNAME intranet.
a.loop.example.org.   300 IN CNAME b.loop.example.org.
b.loop.example.org.   300 IN CNAME a.loop.example.org.
1.2.0.192.in-addr.arpa.  300 IN PTR MX1.example.org.
                         300 IN PTR bad\032name.example.org.
2.2.0.192.in-addr.arpa.  300 IN CNAME 2.0/25.2.0.192.in-addr.arpa.
2.0/25.2.0.192.in-addr.arpa. 300 IN PTR mx1.example.org.
1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa. 300 IN PTR mx1.example.org.
`

// soon is long for an answer over the loopback interface, and short for a test.
const soon = time.Second

// newTest starts a server and a Resolver that asks it.
func newTest(tb testing.TB, zone string) (*fakedns.Server, *Resolver) {
	tb.Helper()
	s := fakedns.Start(tb, zone)
	return s, New(Options{Server: s.Addr, Timeout: 5 * time.Second})
}

// hurried gives up soon.
func hurried(s *fakedns.Server) *Resolver {
	return New(Options{Server: s.Addr, Timeout: soon, Attempts: 1})
}

// show puts a result into words.
func show(result any, err error) string {
	switch {
	case errors.Is(err, ErrNotFound):
		return "not found"
	case errors.Is(err, ErrTemporary):
		return "temporary"
	case err != nil:
		return "other error: " + err.Error()
	}
	return fmt.Sprintf("%q", fmt.Sprint(result))
}

// look makes a lookup that is written `KIND name`.
func look(ctx context.Context, r *Resolver, what string) (string, error) {
	kind, name, _ := strings.Cut(what, " ")
	var result any
	var err error
	switch kind {
	case "MX":
		result, _, err = r.MX(ctx, name)
	case "ADDR":
		result, _, err = r.Addresses(ctx, name)
	case "PTR":
		result, err = r.Names(ctx, netip.MustParseAddr(name))
	case "TXT":
		result, _, err = r.TXT(ctx, name)
	}
	return show(result, err), err
}

func TestLookups(t *testing.T) {
	t.Parallel()
	_, r := newTest(t, testZone)
	for what, want := range map[string]string{
		"MX example.org":          `"[{mx1.example.org 10} {mx2.example.org 20} {mx3.example.org 20}]"`,
		"MX EXAMPLE.org.":         `"[{mx1.example.org 10} {mx2.example.org 20} {mx3.example.org 20}]"`,
		"MX alias.example.org":    `"[{mx1.example.org 10} {mx2.example.org 20} {mx3.example.org 20}]"`,
		"MX null.example.org":     `"[{ 0}]"`,
		"MX junk.example.org":     `"[{mail\\ server.example.org 10}]"`,
		"MX mx1.example.org":      `"[]"`,
		"MX www.example.org":      `"[]"`,
		"MX loop.example.org":     `"[]"`, // only names below it have records
		"MX gone.example.org":     "not found",
		"MX dangling.example.org": "not found",
		"MX a.loop.example.org":   "temporary",

		"ADDR mx1.example.org":      `"[192.0.2.1 192.0.2.2 2001:db8::1]"`,
		"ADDR www.example.org":      `"[192.0.2.1 192.0.2.2 2001:db8::1]"`,
		"ADDR four.example.org":     `"[192.0.2.4]"`,
		"ADDR six.example.org":      `"[2001:db8::6]"`,
		"ADDR mapped.example.org":   `"[127.0.0.1]"`,
		"ADDR empty.example.org":    `"[]"`,
		"ADDR example.org":          `"[]"`,
		"ADDR gone.example.org":     "not found",
		"ADDR dangling.example.org": "not found",
		"ADDR a.loop.example.org":   "temporary",
		"ADDR local.example.org":    "not found",

		"PTR 192.0.2.1":        `"[mx1.example.org]"`,
		"PTR ::ffff:192.0.2.1": `"[mx1.example.org]"`,
		"PTR 192.0.2.2":        `"[mx1.example.org]"`,
		"PTR 192.0.2.3":        "not found",
		"PTR 2001:db8::1":      `"[mx1.example.org]"`,

		"TXT example.org":     `"[v=spf1 -all]"`,
		"TXT odd.example.org": `"[a\"b\\c\x01\xff ]"`,
		"TXT mx1.example.org": `"[]"`,
	} {
		for _, round := range []string{"asked", "remembered"} {
			if got, err := look(t.Context(), r, what); got != want {
				t.Errorf("%s, %s: %s, want %s (%v)", what, round, got, want, err)
			}
		}
	}
}

func TestNamesThatAreNotAsked(t *testing.T) {
	t.Parallel()
	s, r := newTest(t, testZone)
	long := strings.Repeat("a", 63)
	for _, name := range []string{
		"", ".", "localhost", "localhost.", ".example.org", "example..org", "example.org..", "ex ample.org", "exa\x00mple.org",
		"bücher.example", "ba\u212Aer.example", `ex\097mple.org`, "example.org/x", "*.example.org", "192.0.2.1", long + "a.example.org",
		strings.Repeat(long+".", 4) + "org",
	} {
		for _, kind := range []string{"MX ", "ADDR ", "TXT "} {
			got, err := look(t.Context(), r, kind+name)
			if got != "not found" {
				t.Errorf("%s%q: %s", kind, name, got)
			}
			if text := err.Error(); strings.ContainsFunc(text, func(r rune) bool { return r < ' ' }) {
				t.Errorf("error %q is no text for a log", text)
			}
		}
	}
	if _, err := r.Names(t.Context(), netip.Addr{}); !errors.Is(err, ErrNotFound) {
		t.Errorf("no address: %v", err)
	}
	if asked := s.Queries(); len(asked) > 0 {
		t.Errorf("asked for %v", asked)
	}
	name := strings.Repeat(long+".", 3) + strings.Repeat("a", 61)
	if got, _ := look(t.Context(), r, "TXT "+name); got != "not found" || s.Asked(name, dns.TypeTXT) != 1 {
		t.Errorf("a name of 253 octets: %s, asked %v", got, s.Queries())
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	const right = `"[{mx1.example.org 10} {mx2.example.org 20} {mx3.example.org 20}]"`
	for _, c := range []struct {
		name  string
		fault fakedns.Fault
		want  string
		text  string // of the error, %s for the server
		asked []string
	}{
		{"SERVFAIL", fakedns.ServFail, "temporary", "SERVFAIL from %s for example.org. MX", nil},
		{"REFUSED", fakedns.Refused, "temporary", "REFUSED from %s for example.org. MX", nil},
		{"silence", fakedns.Silent, "temporary", "timeout from %s for example.org. MX", nil},
		{"garbage", fakedns.Garbage, "temporary", "malformed answer from %s for example.org. MX", nil},
		{"referral", fakedns.Referral, "temporary", "referral, not an answer, from %s for example.org. MX", nil},
		{"other names", fakedns.OtherNames, "temporary", "answer for other names from %s for example.org. MX", nil},
		{"wrong question", fakedns.WrongQuestion, right, "", []string{"udp"}},
		{"wrong ID", fakedns.WrongID, right, "", []string{"udp"}},
		{"flood", fakedns.Flood, right, "", []string{"udp", "tcp"}},
		{"truncated", fakedns.Truncated, right, "", []string{"udp", "tcp"}},
		{"no EDNS", fakedns.NoEDNS, right, "", []string{"udp", "udp"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := fakedns.Start(t, testZone)
			s.SetFault("example.org", c.fault)
			r := hurried(s)
			if c.fault != fakedns.Silent {
				r = New(Options{Server: s.Addr, Timeout: time.Minute, Attempts: 1})
			}
			got, err := look(t.Context(), r, "MX example.org")
			if got != c.want {
				t.Fatalf("%s (%v), want %s", got, err, c.want)
			}
			if want := strings.ReplaceAll(c.text, "%s", s.Addr); err != nil && err.Error() != want {
				t.Errorf("error %q, want %q", err, want)
			}
			var asked []string
			for _, q := range s.Queries() {
				asked = append(asked, q.Network)
			}
			if c.asked != nil && !slices.Equal(asked, c.asked) {
				t.Errorf("asked over %v, want %v", asked, c.asked)
			}
		})
	}
}

func TestNoServer(t *testing.T) {
	t.Parallel()
	for server, text := range map[string]string{
		"":            "",
		"localhost":   `DNS server "localhost" is not an address with a port`,
		"127.0.0.1:1": "connection refused from 127.0.0.1:1 for example.org. MX",
	} {
		r := New(Options{Server: server, Conf: t.TempDir() + "/none", Timeout: soon, Attempts: 1})
		if _, _, err := r.MX(t.Context(), "example.org"); !isTemporary(err) || !strings.HasSuffix(err.Error(), text) {
			t.Errorf("%s: %v", server, err)
		}
	}
}

func TestOneFamilyFails(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		fault uint16
		want  string
	}{
		{"four.example.org", dns.TypeAAAA, `"[192.0.2.4]"`},
		{"four.example.org", dns.TypeA, "temporary"},
		{"six.example.org", dns.TypeA, `"[2001:db8::6]"`},
		{"six.example.org", dns.TypeAAAA, "temporary"},
		{"gone.example.org", dns.TypeA, "temporary"},
		{"gone.example.org", dns.TypeAAAA, "temporary"},
	} {
		s, r := newTest(t, testZone)
		s.SetFault(c.name, fakedns.ServFail, c.fault)
		if got, err := look(t.Context(), r, "ADDR "+c.name); got != c.want {
			t.Errorf("%s without %s: %s (%v), want %s", c.name, dns.Type(c.fault), got, err, c.want)
		}
	}
}

// chainZone is a chain of n CNAMEs from c0 to an address.
func chainZone(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "c%d.example.org. 300 IN CNAME c%d.example.org.\n", i, i+1)
	}
	fmt.Fprintf(&b, "c%d.example.org. 300 IN A 192.0.2.1\n", n)
	return b.String()
}

func TestChains(t *testing.T) {
	t.Parallel()
	for _, piecemeal := range []bool{false, true} {
		for n, want := range map[int]string{0: `"[192.0.2.1]"`, 1: `"[192.0.2.1]"`, 8: `"[192.0.2.1]"`, 9: "temporary", 15: "temporary"} {
			s, r := newTest(t, chainZone(n))
			for i := 0; i <= n && piecemeal; i++ {
				s.SetFault(fmt.Sprintf("c%d.example.org", i), fakedns.Bare)
			}
			if got, err := look(t.Context(), r, "ADDR c0.example.org"); got != want {
				t.Errorf("%d CNAMEs, piecemeal %v: %s (%v), want %s", n, piecemeal, got, err, want)
			}
			if got := len(s.Queries()); got > 2*(maxChain+1) {
				t.Errorf("%d CNAMEs, piecemeal %v: %d questions", n, piecemeal, got)
			}
		}
	}
	s, r := newTest(t, testZone)
	s.SetFault("a.loop.example.org", fakedns.Bare)
	s.SetFault("b.loop.example.org", fakedns.Bare)
	if got, err := look(t.Context(), r, "MX a.loop.example.org"); got != "temporary" || len(s.Queries()) != 2 {
		t.Errorf("loop, piecemeal: %s (%v), asked %v", got, err, s.Queries())
	}
}

func TestManyRecords(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for i := range 300 {
		fmt.Fprintf(&b, "example.org. IN MX %d mx%d.example.org.\nmx.example.org. IN A 192.0.2.%d\n", 1000-i, i, i%200)
		fmt.Fprintf(&b, "mx.example.org. IN AAAA 2001:db8::%x\nexample.org. IN TXT %d\n", i, i)
	}
	for i := range maxRecords + 1 {
		fmt.Fprintf(&b, "huge.example.org. IN A 10.0.%d.%d\n", i/256, i%256)
	}
	_, r := newTest(t, b.String())
	mx, _, err := r.MX(t.Context(), "example.org")
	if err != nil || len(mx) != maxKept || mx[0] != (MX{"mx299.example.org", 701}) || mx[99].Preference != 800 {
		t.Errorf("%d MX: %v (%v)", len(mx), mx, err)
	}
	if addrs, _, err := r.Addresses(t.Context(), "mx.example.org"); err != nil || len(addrs) != 2*maxKept {
		t.Errorf("%d addresses (%v)", len(addrs), err)
	}
	if texts, _, err := r.TXT(t.Context(), "example.org"); err != nil || len(texts) != maxKept {
		t.Errorf("%d texts (%v)", len(texts), err)
	}
	if addrs, _, err := r.Addresses(t.Context(), "huge.example.org"); !isTemporary(err) {
		t.Errorf("more than are read: %d addresses (%v)", len(addrs), err)
	}
}

func TestSecure(t *testing.T) {
	t.Parallel()
	for _, authenticated := range []bool{false, true} {
		for _, trusted := range []bool{false, true} {
			s, r := newTest(t, testZone)
			s.SetAuthenticated(authenticated)
			r.servers.now.trusted = trusted
			want := authenticated && trusted
			if _, secure, err := r.MX(t.Context(), "alias.example.org"); secure != want || err != nil {
				t.Errorf("authenticated %v, trusted %v: MX secure %v (%v)", authenticated, trusted, secure, err)
			}
			if _, secure, err := r.Addresses(t.Context(), "four.example.org"); secure != want || err != nil {
				t.Errorf("authenticated %v, trusted %v: addresses secure %v (%v)", authenticated, trusted, secure, err)
			}
			if _, secure, err := r.TXT(t.Context(), "gone.example.org"); secure != want || !errors.Is(err, ErrNotFound) {
				t.Errorf("authenticated %v, trusted %v: absence secure %v (%v)", authenticated, trusted, secure, err)
			}
		}
	}
}

// A chain is as secure as its weakest link.
func TestSecureChain(t *testing.T) {
	t.Parallel()
	s, r := newTest(t, testZone)
	s.SetFault("www.example.org", fakedns.Bare)
	if _, secure, err := r.TXT(t.Context(), "www.example.org"); secure || err != nil {
		t.Fatal(secure, err)
	}
	s.SetAuthenticated(true)
	r.mu.Lock()
	r.known.remove(question{"mx1.example.org", dns.TypeTXT})
	r.mu.Unlock()
	if _, secure, err := r.TXT(t.Context(), "mx1.example.org"); !secure || err != nil {
		t.Fatal(secure, err)
	}
	if _, secure, err := r.TXT(t.Context(), "www.example.org"); secure || err != nil {
		t.Error("secure, though its CNAME is not")
	}
}

// clock stands still until it is moved.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func TestHold(t *testing.T) {
	t.Parallel()
	const zone = `
example.org.       900 IN SOA ns.example.org. hostmaster.example.org. 1 1 1 1 120
short.example.org. 0 IN TXT x
hour.example.org.  3600 IN TXT x
week.example.org.  604800 IN TXT x
odd.example.org.   4294967295 IN TXT x
chain.example.org. 20 IN CNAME hour.example.org.
example.net.       86400 IN SOA ns.example.net. hostmaster.example.net. 1 1 1 1 86400
`
	for name, want := range map[string]time.Duration{
		"short.example.org": minTTL, "hour.example.org": time.Hour, "week.example.org": maxTTL, "odd.example.org": minTTL,
		"chain.example.org": 20 * time.Second, "gone.example.org": 2 * time.Minute, "example.org": 2 * time.Minute,
		"gone.example.net": maxNoTTL, "fails.example.org": failureFor,
	} {
		s, r := newTest(t, zone)
		c := &clock{now: time.Unix(1_800_000_000, 0)}
		r.now = c.Now
		s.SetFault("fails.example.org", fakedns.Refused)
		ask := func() int {
			first, second := s.Asked(name, dns.TypeTXT), 0
			r.TXT(t.Context(), name)
			second = s.Asked(name, dns.TypeTXT)
			return second - first
		}
		if ask() == 0 {
			t.Fatalf("%s: not asked for", name)
		}
		if c.advance(want - 1); ask() != 0 {
			t.Errorf("%s: held for less than %v", name, want)
		}
		if c.advance(1); ask() == 0 {
			t.Errorf("%s: held for more than %v", name, want)
		}
	}
}

// Those who are given a result may change it.
func TestResultsAreCopies(t *testing.T) {
	t.Parallel()
	_, r := newTest(t, testZone)
	for range 2 {
		mx, _, _ := r.MX(t.Context(), "example.org")
		addrs, _, _ := r.Addresses(t.Context(), "mx1.example.org")
		if mx[0].Preference != 10 || addrs[0] != netip.MustParseAddr("192.0.2.1") {
			t.Fatalf("%v %v", mx, addrs)
		}
		slices.Reverse(mx)
		slices.Reverse(addrs)
	}
}

func TestCacheBounds(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	c := newCache(100)
	for i := range 1000 {
		c.put(question{fmt.Sprint(i), 1}, entry{until: now.Add(time.Duration(i) * time.Second)})
	}
	if len(c.entries) != 100 {
		t.Errorf("%d entries", len(c.entries))
	}
	old := 0
	for i := range 500 {
		if _, ok := c.get(question{fmt.Sprint(i), 1}, now); ok {
			old++
		}
	}
	if old > 20 {
		t.Errorf("%d of 100 entries are among those that end first", old)
	}
	big := answer{texts: []string{strings.Repeat("x", 60_000)}}
	for i := range 1000 {
		c.put(question{fmt.Sprint(i), 1}, entry{answer: big, until: now.Add(time.Hour)})
	}
	if c.octets > maxOctets || len(c.entries) == 0 {
		t.Errorf("%d octets in %d entries", c.octets, len(c.entries))
	}
	for i := range 1000 {
		c.get(question{fmt.Sprint(i), 1}, now.Add(2*time.Hour))
	}
	if c.octets != 0 || len(c.entries) != 0 {
		t.Errorf("%d octets in %d entries when all have ended", c.octets, len(c.entries))
	}
}
