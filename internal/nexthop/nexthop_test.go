package nexthop

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"postrider/internal/config"
	"postrider/internal/hop"
	"postrider/internal/reply"
	"postrider/internal/resolver"
)

// zone is a DNS: `example.org MX` → "10 a.example.org, 20 b.example.org", `a.example.org A` → addresses. "SERVFAIL" is a
// temporary failure, "" a name without records of the kind; a name that is in neither map does not exist.
type zone map[string]string

func (z zone) find(name, kind string) (string, error) {
	text, ok := z[name+" "+kind]
	_, other := z[name+" "+map[string]string{"MX": "A", "A": "MX"}[kind]]
	switch {
	case text == "SERVFAIL":
		return "", fmt.Errorf("%w: SERVFAIL for %s", resolver.ErrTemporary, name)
	case !ok && !other:
		return "", fmt.Errorf("%w: NXDOMAIN for %s", resolver.ErrNotFound, name)
	}
	return text, nil
}

func (z zone) MX(_ context.Context, domain string) (records []resolver.MX, _ bool, err error) {
	text, err := z.find(domain, "MX")
	for item := range strings.SplitSeq(text, ",") {
		var mx resolver.MX
		if n, _ := fmt.Sscan(item, &mx.Preference, &mx.Host); n > 0 {
			records = append(records, mx)
		}
	}
	return records, false, err
}

func (z zone) Addresses(_ context.Context, host string) (addrs []netip.Addr, _ bool, err error) {
	text, err := z.find(host, "A")
	for item := range strings.FieldsSeq(text) {
		addrs = append(addrs, netip.MustParseAddr(item))
	}
	return addrs, false, err
}

func reverse(n int, swap func(i, j int)) {
	for i := range n / 2 {
		swap(i, n-1-i)
	}
}

func finder(r Resolver) *Finder {
	return &Finder{
		Resolver: r,
		Self: Self{
			Names: []string{"mail.here.example", "here.example"},
			Addrs: func() []netip.Addr {
				return []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("192.0.2.99"), netip.MustParseAddr("2001:db8::99")}
			},
		},
		Shuffle: func(int, func(i, j int)) {},
	}
}

// text is a result in one line.
func text(hosts []Host, err error) string {
	if err != nil {
		return err.Error()
	}
	var out []string
	for _, h := range hosts {
		out = append(out, fmt.Sprintf("%d %s:%d %v", h.Preference, h.Name, h.Port, h.Addrs))
	}
	return strings.Join(out, "; ")
}

var world = zone{
	"example.org MX":      "20 b.example.org, 10 a.example.org, 10 c.example.org",
	"a.example.org A":     "192.0.2.1 192.0.2.2 2001:db8::1",
	"b.example.org A":     "192.0.2.3",
	"c.example.org A":     "2001:db8::2",
	"null.example MX":     "0",
	"notnull.example MX":  "0, 10 b.example.org",
	"nomx.example A":      "192.0.2.5",
	"nothing.example MX":  "",
	"servfail.example MX": "SERVFAIL",
	"half.example MX":     "10 sf.example.org, 20 b.example.org",
	"sf.example.org A":    "SERVFAIL",
	"bothsf.example MX":   "10 nx.example.org, 20 sf.example.org",
	"lost.example MX":     "10 nx.example.org, 20 empty.example.org",
	"empty.example.org A": "",
	"many.example MX":     "10 n1.example, 10 n2.example, 10 n3.example, 10 n4.example",
	"fallback.example A":  "SERVFAIL",
	"twice.example MX":    "20 b.example.org, 10 b.example.org",
	"ip.example MX":       "10 192.0.2.7, 20 b.example.org",

	"backup.example MX":       "10 a.example.org, 20 mail.here.example, 30 b.example.org",
	"best.example MX":         "10 mail.here.example, 20 b.example.org",
	"equal.example MX":        "10 a.example.org, 10 mail.here.example",
	"byaddr.example MX":       "10 a.example.org, 20 alias.example, 30 b.example.org",
	"alias.example A":         "192.0.2.99",
	"byaddr6.example MX":      "10 alias6.example",
	"alias6.example A":        "192.0.2.50 2001:db8::99",
	"backupsf.example MX":     "10 sf.example.org, 20 mail.here.example",
	"equalsf.example MX":      "10 sf.example.org, 10 alias.example",
	"backuplost.example MX":   "10 nx.example.org, 20 mail.here.example",
	"ours.example A":          "192.0.2.99",
	"evil.example MX":         "10 local.example, 20 zero.example",
	"local.example A":         "127.0.0.1 127.8.8.8 ::1",
	"zero.example A":          "0.0.0.0 0.1.2.3 :: 224.0.0.1 ff02::1 255.255.255.255 240.0.0.1 169.254.169.254 fe80::1",
	"mixed.example MX":        "10 local.example, 20 b.example.org",
	"partly.example MX":       "10 part.example",
	"part.example A":          "127.0.0.1 10.0.0.1",
	"mapped.example A":        "::ffff:127.0.0.1 ::ffff:192.0.2.8",
	"relay.example A":         "192.0.2.20 127.0.0.1",
	"norelay.example MX":      "10 b.example.org",
	"servfailrelay.example A": "SERVFAIL",
}

func TestFind(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ hop, want string }{
		{"example.org", "10 a.example.org:25 [2001:db8::1 192.0.2.1 192.0.2.2]; 10 c.example.org:25 [2001:db8::2]; 20 b.example.org:25 [192.0.2.3]"},
		{"example.org:587", "10 a.example.org:587 [2001:db8::1 192.0.2.1 192.0.2.2]; 10 c.example.org:587 [2001:db8::2]; 20 b.example.org:587 [192.0.2.3]"},
		{"null.example", "556 5.1.10 domain null.example does not take mail (null MX)"},
		{"notnull.example", "10 b.example.org:25 [192.0.2.3]"},
		{"nomx.example", "0 nomx.example:25 [192.0.2.5]"},
		{"nothing.example", "550 5.4.4 domain nothing.example has neither mail exchangers nor an address that mail can be sent to"},
		{"nx.example", "550 5.4.4 domain nx.example does not exist"},
		{"servfail.example", "451 4.4.3 lookup of servfail.example failed: temporary failure of the DNS: SERVFAIL for servfail.example"},
		{"half.example", "20 b.example.org:25 [192.0.2.3]"},
		{"bothsf.example", "451 4.4.3 lookup of sf.example.org failed: temporary failure of the DNS: SERVFAIL for sf.example.org"},
		{"lost.example", "550 5.4.4 no mail exchanger of lost.example has an address that mail can be sent to (nx.example.org, empty.example.org)"},
		{"many.example", "550 5.4.4 no mail exchanger of many.example has an address that mail can be sent to (n1.example, n2.example, n3.example, …)"},
		{"fallback.example", "451 4.4.3 lookup of fallback.example failed: temporary failure of the DNS: SERVFAIL for fallback.example"},
		{"twice.example", "10 b.example.org:25 [192.0.2.3]"},
		{"ip.example", "20 b.example.org:25 [192.0.2.3]"},

		{"backup.example", "10 a.example.org:25 [2001:db8::1 192.0.2.1 192.0.2.2]"},
		{"best.example", "554 5.4.6 mail for best.example loops back to this host: it is the best mail exchanger, but does not know the domain"},
		{"equal.example", "554 5.4.6 mail for equal.example loops back to this host: it is the best mail exchanger, but does not know the domain"},
		{"byaddr.example", "10 a.example.org:25 [2001:db8::1 192.0.2.1 192.0.2.2]"},
		{"byaddr6.example", "554 5.4.6 mail for byaddr6.example loops back to this host: it is the best mail exchanger, but does not know the domain"},
		{"byaddr6.example:26", "10 alias6.example:26 [2001:db8::99 192.0.2.50]"},
		{"backupsf.example", "451 4.4.3 lookup of sf.example.org failed: temporary failure of the DNS: SERVFAIL for sf.example.org"},
		{"equalsf.example", "554 5.4.6 mail for equalsf.example loops back to this host: it is the best mail exchanger, but does not know the domain"},
		{"backuplost.example", "550 5.4.4 no mail exchanger of backuplost.example has an address that mail can be sent to (nx.example.org)"},
		{"ours.example", "554 5.4.6 mail for ours.example loops back to this host, which does not know the domain"},

		{"evil.example", "550 5.4.4 no mail exchanger of evil.example has an address that mail can be sent to (local.example, zero.example)"},
		{"evil.example:26", "10 local.example:26 [::1 127.0.0.1 127.8.8.8]; 20 zero.example:26 [fe80::1 169.254.169.254]"},
		{"mixed.example", "20 b.example.org:25 [192.0.2.3]"},
		{"partly.example", "10 part.example:25 [10.0.0.1]"},
		{"mapped.example", "0 mapped.example:25 [192.0.2.8]"},

		{"[relay.example]", "0 relay.example:25 [192.0.2.20 127.0.0.1]"},
		{"[norelay.example]", "451 4.3.5 host norelay.example, which mail is configured to go to, has no address that can be used"},
		{"[nx.example]", "451 4.3.5 host nx.example, which mail is configured to go to, does not exist"},
		{"[servfailrelay.example]", "451 4.4.3 lookup of servfailrelay.example failed: temporary failure of the DNS: SERVFAIL for servfailrelay.example"},
		{"smtps:[relay.example]", "0 relay.example:465 [192.0.2.20 127.0.0.1]"},
		{"lmtp:relay.example", "0 relay.example:24 [192.0.2.20 127.0.0.1]"},
		{"lmtp:unix:/run/lmtp", "0 /run/lmtp:0 []"},
		{"[192.0.2.1]:2525", "0 192.0.2.1:2525 [192.0.2.1]"},
		{"[IPv6:2001:db8::7]", "0 2001:db8::7:25 [2001:db8::7]"},
		{"[127.0.0.1]:10025", "0 127.0.0.1:10025 [127.0.0.1]"},
		{"[0.0.0.0]", "550 5.4.4 mail cannot be sent to the address 0.0.0.0"},
		{"error:5.7.1 no", "550 5.7.1 no"},
		{"discard:", ""},
	} {
		h, err := hop.Parse(c.hop)
		if err != nil {
			t.Fatal(err)
		}
		hosts, err := finder(world).Find(t.Context(), h)
		if got := text(hosts, err); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.hop, got, c.want)
		}
		var r *reply.Reply
		if err != nil && !errors.As(err, &r) {
			t.Errorf("%s: %v is no reply", c.hop, err)
		}
	}
}

func TestFamily(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ family, hop, want string }{
		{"ipv4", "example.org", "10 a.example.org:25 [192.0.2.1 192.0.2.2]; 20 b.example.org:25 [192.0.2.3]"},
		{"ipv6", "example.org", "10 a.example.org:25 [2001:db8::1]; 10 c.example.org:25 [2001:db8::2]"},
		{"ipv4", "byaddr6.example", "554 5.4.6 mail for byaddr6.example loops back to this host: it is the best mail exchanger, but does not know the domain"},
		{"ipv4", "[2001:db8::1]", "550 5.4.4 mail cannot be sent to the address 2001:db8::1"},
	} {
		f := finder(world)
		f.Family = c.family
		h, err := hop.Parse(c.hop)
		if err != nil {
			t.Fatal(err)
		}
		if got := text(f.Find(t.Context(), h)); got != c.want {
			t.Errorf("%s, %s:\n got %s\nwant %s", c.family, c.hop, got, c.want)
		}
	}
}

// A port for all mail other than 25 is for hosts that the administrator has, so their addresses count, whatever they are.
func TestPort(t *testing.T) {
	t.Parallel()
	f := finder(world)
	f.Port = 2525
	if got, want := text(f.Find(t.Context(), hop.ForDomain("evil.example"))), "10 local.example:2525 [::1 127.0.0.1 127.8.8.8]; 20 zero.example:2525 [fe80::1 169.254.169.254]"; got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	if got, want := text(f.Find(t.Context(), hop.ForDomain("ours.example"))), "0 ours.example:2525 [192.0.2.99]"; got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	f.Self.Port = 2525
	if got := text(f.Find(t.Context(), hop.ForDomain("ours.example"))); !strings.HasPrefix(got, "554 5.4.6") {
		t.Errorf("got %s: here this host takes mail", got)
	}
	if got := text(f.Find(t.Context(), hop.ForDomain("mixed.example"))); !strings.HasPrefix(got, "554 5.4.6") {
		t.Errorf("got %s: at this port 127.0.0.1 is this host", got)
	}
	if got, want := text(f.Find(t.Context(), hop.Hop{Kind: hop.SMTPS, Host: "relay.example"})), "0 relay.example:465 [192.0.2.20 127.0.0.1]"; got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

func TestShuffle(t *testing.T) {
	t.Parallel()
	f := finder(world)
	f.Shuffle = reverse
	if got := text(f.Find(t.Context(), hop.ForDomain("example.org"))); !strings.HasPrefix(got, "10 c.example.org") || !strings.Contains(got, "; 20 b.example.org") {
		t.Errorf("got %s", got)
	}
	f.Shuffle = nil
	first := make(map[string]bool)
	for range 200 {
		hosts, err := f.Find(t.Context(), hop.ForDomain("example.org"))
		if err != nil || hosts[2].Name != "b.example.org" {
			t.Fatalf("%v, %v", hosts, err)
		}
		first[hosts[0].Name] = true
	}
	if len(first) != 2 {
		t.Errorf("first were only %v", first)
	}
}

// crowd has very many mail exchangers, of which only those with a number of at least good have an address; each answer takes
// a second.
type crowd struct {
	hosts, good int

	mu    sync.Mutex
	asked int
}

func (c *crowd) MX(context.Context, string) (records []resolver.MX, _ bool, _ error) {
	for i := range c.hosts {
		records = append(records, resolver.MX{Host: fmt.Sprintf("mx%d.example", i), Preference: uint16(i)})
	}
	return records, false, nil
}

func (c *crowd) Addresses(ctx context.Context, host string) ([]netip.Addr, bool, error) {
	c.mu.Lock()
	c.asked++
	c.mu.Unlock()
	select {
	case <-ctx.Done():
		return nil, false, fmt.Errorf("%w: %w", resolver.ErrTemporary, ctx.Err())
	case <-time.After(time.Second):
	}
	var n int
	if _, err := fmt.Sscanf(host, "mx%d.example", &n); err != nil || n < c.good {
		return nil, false, resolver.ErrNotFound
	}
	return []netip.Addr{netip.MustParseAddr("192.0.2.1")}, false, nil
}

func TestManyHosts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		hosts, good, asked int
		took               time.Duration
		want               string
	}{
		{1000, 0, 10, time.Second, "0 mx0.example:25"},
		{1000, 15, 20, 2 * time.Second, "15 mx15.example:25"},
		{1000, 1000, 100, 10 * time.Second, "550 5.4.4"},
		{3, 2, 3, time.Second, "2 mx2.example:25"},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := &crowd{hosts: c.hosts, good: c.good}
			begun := time.Now()
			got := text(finder(r).Find(t.Context(), hop.ForDomain("example.org")))
			if took := time.Since(begun); !strings.HasPrefix(got, c.want) || r.asked != c.asked || took != c.took {
				t.Errorf("%+v: %.60s…, asked for %d in %v", c, got, r.asked, took)
			}
		})
	}
}

func TestCancelled(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got := text(finder(&crowd{hosts: 3}).Find(ctx, hop.ForDomain("example.org"))); !strings.HasPrefix(got, "451 4.4.3") {
		t.Errorf("got %s", got)
	}
}

func TestNew(t *testing.T) {
	t.Parallel()
	c := config.Default()
	c.Hostname, c.Relayd.Hello, c.Relayd.Port = "mail.here.example", "out.here.example", 2525
	f := New(c, zone{"x.example MX": "10 out.here.example", "y.example MX": "10 a.example", "a.example A": "192.0.2.1"})
	if got := text(f.Find(t.Context(), hop.ForDomain("x.example"))); !strings.HasPrefix(got, "554 5.4.6") {
		t.Errorf("got %s", got)
	}
	if got, want := text(f.Find(t.Context(), hop.ForDomain("y.example"))), "10 a.example:2525 [192.0.2.1]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if own := f.Self.Addrs(); !slices.Contains(own, netip.MustParseAddr("127.0.0.1")) {
		t.Errorf("own addresses %v", own)
	}
}
