// Package nexthop finds the hosts of a next hop: mail exchangers in their order, without ourselves, with their addresses
// (RFC 5321 §5.1, RFC 7505, RFC 5321 §2.3.5). It asks the DNS and connects to nobody.
//
// What the DNS says is written by whoever owns the recipient's domain. So the number of hosts that are looked up is bounded, and
// addresses that lead back into this host or nowhere are passed over (see usable).
package nexthop

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"

	"postrider/internal/hop"
	"postrider/internal/reply"
	"postrider/internal/resolver"
)

// Bounds of one Find.
const (
	maxHosts = 100 // that are looked up
	atOnce   = 10  // looked up side by side; the next ones only if none of these has an address
)

// Resolver is the DNS; *resolver.Resolver is one. Its errors are resolver.ErrNotFound, or mean "later".
type Resolver interface {
	MX(ctx context.Context, domain string) ([]resolver.MX, bool, error)
	Addresses(ctx context.Context, host string) ([]netip.Addr, bool, error)
}

// Self is how this host is known by others. A mail exchanger that is ourselves, and all that are not better, are no way for
// our mail: they would give it back (RFC 5321 §5.1).
type Self struct {
	Names []string            // lower-case A-labels
	Addrs func() []netip.Addr // of this host; nil = none
	Port  int                 // where this host takes mail at these addresses, beside 25; 0 = nowhere
}

// Host is one that takes mail for a hop.
type Host struct {
	Name       string       // a name or an IP address; the path of a Unix socket
	Port       int          // 0 with a Unix socket
	Addrs      []netip.Addr // IPv6 and IPv4 in turns, at least one; none with a Unix socket
	Preference int          // of its MX record, else 0
}

// Finder finds hosts by one configuration. Its methods may be called from many goroutines.
type Finder struct {
	Resolver Resolver
	Self     Self
	Port     int                              // of SMTP hops that name none; 0 = 25
	Family   string                           // any, ipv4 or ipv6; "" = any
	Inner    bool                             // mail exchangers may have addresses of loopback and of this host's links
	Shuffle  func(n int, swap func(i, j int)) // of hosts of equal preference; nil = rand.Shuffle
}

// Find returns the hosts of a hop in the order in which they are to be tried, at least one. Its error is a *reply.Reply:
//
//	556 5.1.10  the domain takes no mail (RFC 7505)
//	550 5.4.4   the domain does not exist, or none of its hosts has an address that can be used
//	554 5.4.6   this host is the best mail exchanger of a domain that it does not know
//	451 4.4.3   the DNS cannot tell at the moment
//	451 4.3.5   a host that only the administrator can have named does not exist
//
// That of an Error hop is its own reply. A Discard hop has neither hosts nor an error.
func (f *Finder) Find(ctx context.Context, h hop.Hop) ([]Host, error) {
	switch {
	case h.Kind == hop.Error:
		return nil, h.Reply
	case h.Kind == hop.Discard:
		return nil, nil
	case h.Path != "":
		return []Host{{Name: h.Path}}, nil
	}
	if ip, ok := h.Addr(); ok {
		return f.literal(h, ip)
	}
	if !h.ByMX {
		return f.named(ctx, h)
	}
	return f.byMX(ctx, h)
}

// port is the port of a hop's hosts.
func (f *Finder) port(h hop.Hop) int {
	switch {
	case h.Port != 0:
		return h.Port
	case h.Kind == hop.SMTPS:
		return hop.PortSMTPS
	case h.Kind == hop.LMTP:
		return hop.PortLMTP
	case f.Port != 0:
		return f.Port
	}
	return hop.PortSMTP
}

func (f *Finder) literal(h hop.Hop, ip netip.Addr) ([]Host, error) {
	addrs := f.usable(h, []netip.Addr{ip})
	if len(addrs) == 0 {
		return nil, noAddress.Withf("mail cannot be sent to the address %s", ip)
	}
	return []Host{{Name: h.Host, Port: f.port(h), Addrs: addrs}}, nil
}

// named looks up a host that was named in brackets. Recipients cannot write such names: that it does not exist is a mistake of
// the configuration, for which no mail is returned.
func (f *Finder) named(ctx context.Context, h hop.Hop) ([]Host, error) {
	addrs, _, err := f.Resolver.Addresses(ctx, h.Host)
	switch {
	case errors.Is(err, resolver.ErrNotFound):
		return nil, misconfigured.Withf("host %s, which mail is configured to go to, does not exist", h.Host).With(err)
	case err != nil:
		return nil, unknown(h.Host, err)
	}
	if addrs = f.usable(h, addrs); len(addrs) == 0 {
		return nil, misconfigured.Withf("host %s, which mail is configured to go to, has no address that can be used", h.Host)
	}
	return []Host{{Name: h.Host, Port: f.port(h), Addrs: addrs}}, nil
}

// byMX looks up the mail exchangers of a domain; where there are none, the domain is its own (RFC 5321 §5.1).
func (f *Finder) byMX(ctx context.Context, h hop.Hop) ([]Host, error) {
	records, _, err := f.Resolver.MX(ctx, h.Host)
	switch {
	case errors.Is(err, resolver.ErrNotFound):
		return nil, noAddress.Withf("domain %s does not exist", h.Host).With(err)
	case err != nil:
		return nil, unknown(h.Host, err)
	}
	hosts, null := f.order(h, records)
	switch {
	case len(hosts) == 0 && null:
		return nil, nullMX.Withf("domain %s does not take mail (null MX)", h.Host)
	case len(hosts) == 0:
		hosts = []Host{{Name: h.Host, Port: f.port(h)}}
	}
	hosts, mine := dropFrom(hosts, slices.IndexFunc(hosts, func(x Host) bool { return slices.Contains(f.Self.Names, x.Name) }))
	l := &look{Finder: f, hop: h, none: len(records) == 0, mine: mine}
	return l.addresses(ctx, hosts[:min(len(hosts), maxHosts)])
}

// order sorts the hosts of MX records by preference, those of equal preference by chance, each once; null says that there was
// the record of a domain that takes no mail, which counts only if it is alone (RFC 7505 §3).
func (f *Finder) order(h hop.Hop, records []resolver.MX) (hosts []Host, null bool) {
	for _, mx := range records {
		if mx.Host == "" {
			null = true
			continue
		}
		hosts = append(hosts, Host{Name: mx.Host, Port: f.port(h), Preference: int(mx.Preference)})
	}
	shuffle := f.Shuffle
	if shuffle == nil {
		shuffle = rand.Shuffle
	}
	shuffle(len(hosts), func(i, j int) { hosts[i], hosts[j] = hosts[j], hosts[i] })
	slices.SortStableFunc(hosts, byPreference)
	seen := make(map[string]bool)
	hosts = slices.DeleteFunc(hosts, func(x Host) bool {
		again := seen[x.Name]
		seen[x.Name] = true
		return again
	})
	return hosts, null
}

func byPreference(a, b Host) int { return a.Preference - b.Preference }

// dropFrom removes the nth host, which is this one, and all that are not better; a negative n none.
func dropFrom(hosts []Host, n int) ([]Host, bool) {
	if n < 0 {
		return hosts, false
	}
	first := slices.IndexFunc(hosts, func(x Host) bool { return x.Preference >= hosts[n].Preference })
	return hosts[:first], true
}

// isSelf says that one of the addresses is this host's, at a port where it takes mail. What may not be connected to is nobody's.
func (f *Finder) isSelf(h hop.Hop, port int, addrs []netip.Addr) bool {
	if f.Self.Addrs == nil || port != hop.PortSMTP && (f.Self.Port == 0 || port != f.Self.Port) {
		return false
	}
	own := f.Self.Addrs()
	return slices.ContainsFunc(addrs, func(ip netip.Addr) bool {
		return slices.Contains(own, ip.Unmap()) && !(f.foreign(h) && isInner(ip))
	})
}

// usable are the addresses of a hop's host that may be connected to, IPv6 and IPv4 in turns. What the DNS says of others'
// domains must not lead to services of this host that trust it, so that loopback and link-local addresses count only where the
// administrator named the host, or a port for all mail other than 25, as tests do.
func (f *Finder) usable(h hop.Hop, addrs []netip.Addr) []netip.Addr {
	foreign := f.foreign(h)
	var v4, v6 []netip.Addr
	for _, ip := range addrs {
		ip = ip.Unmap()
		switch {
		case foreign && isInner(ip):
		case ip.IsUnspecified() || ip.IsMulticast():
		case ip.Is4() && (ip.As4()[0] == 0 || ip.As4()[0] >= 240): // this network, reserved, broadcast (RFC 6890)
		case ip.Is4() && f.Family != "ipv6":
			v4 = append(v4, ip)
		case !ip.Is4() && f.Family != "ipv4":
			v6 = append(v6, ip)
		}
	}
	return inTurns(v6, v4)
}

// foreign says that others than the administrator decide which hosts a hop has.
func (f *Finder) foreign(h hop.Hop) bool { return h.ByMX && f.port(h) == hop.PortSMTP && !f.Inner }

// isInner says that an address leads to this host or its link only.
func isInner(ip netip.Addr) bool { return ip.IsLoopback() || ip.IsLinkLocalUnicast() }

// inTurns takes one of a, one of b, and so on.
func inTurns(a, b []netip.Addr) []netip.Addr {
	var all []netip.Addr
	for i := range max(len(a), len(b)) {
		if i < len(a) {
			all = append(all, a[i])
		}
		if i < len(b) {
			all = append(all, b[i])
		}
	}
	return all
}

// Replies of Find, to be completed by what they are about.
var (
	nullMX        = reply.New(556, 1, 10, "")
	noAddress     = reply.New(550, 4, 4, "")
	ourselves     = reply.New(554, 4, 6, "")
	later         = reply.New(451, 4, 3, "")
	misconfigured = reply.New(451, 3, 5, "")
)

// unknown is the answer while the DNS has none.
func unknown(name string, err error) *reply.Reply {
	return later.Withf("lookup of %s failed: %s", name, strings.TrimSpace(reply.Clean(err.Error())))
}
