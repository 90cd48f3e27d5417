package nexthop

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"sync"

	"postrider/internal/hop"
	"postrider/internal/resolver"
)

// look is the search for the addresses of one domain's hosts.
type look struct {
	*Finder
	hop  hop.Hop
	none bool // there are no MX records
	mine bool // this host was among the hosts

	failed error    // the first lookup that the DNS could not answer
	where  string   // and of whom
	bare   []string // hosts without an address
}

// found is what the DNS says of one host.
type found struct {
	addrs []netip.Addr
	err   error
}

// addresses looks up hosts in their order, some side by side, until some of them have addresses.
func (l *look) addresses(ctx context.Context, hosts []Host) ([]Host, error) {
	for len(hosts) > 0 {
		some := hosts[:min(len(hosts), atOnce)]
		hosts = hosts[len(some):]
		results := l.ask(ctx, some)
		for i, x := range some {
			if l.isSelf(l.hop, x.Port, results[i].addrs) {
				some, l.mine = dropFrom(some, i)
				hosts = nil // they are not better
				break
			}
		}
		var good []Host
		for i, x := range some {
			if x.Addrs = l.note(x.Name, results[i]); len(x.Addrs) > 0 {
				good = append(good, x)
			}
		}
		if len(good) > 0 {
			return good, nil
		}
	}
	return nil, l.failure()
}

// ask looks up the addresses of some hosts side by side.
func (l *look) ask(ctx context.Context, hosts []Host) []found {
	results := make([]found, len(hosts))
	var wait sync.WaitGroup
	for i, x := range hosts {
		wait.Go(func() { results[i].addrs, _, results[i].err = l.Resolver.Addresses(ctx, x.Name) })
	}
	wait.Wait()
	return results
}

// note returns the addresses of a host that can be used, and keeps in mind why there are none.
func (l *look) note(name string, r found) []netip.Addr {
	if r.err != nil && !errors.Is(r.err, resolver.ErrNotFound) {
		if l.failed == nil {
			l.failed, l.where = r.err, name
		}
		return nil
	}
	addrs := l.usable(l.hop, r.addrs)
	if len(addrs) == 0 {
		l.bare = append(l.bare, name)
	}
	return addrs
}

// failure says why no host has an address.
func (l *look) failure() error {
	domain := l.hop.Host
	switch {
	case l.failed != nil:
		return unknown(l.where, l.failed)
	case l.mine && l.none:
		return ourselves.Withf("mail for %s loops back to this host, which does not know the domain", domain)
	case l.mine && len(l.bare) == 0:
		return ourselves.Withf("mail for %s loops back to this host: it is the best mail exchanger, but does not know the domain", domain)
	case l.none:
		return noAddress.Withf("domain %s has neither mail exchangers nor an address that mail can be sent to", domain)
	}
	return noAddress.Withf("no mail exchanger of %s has an address that mail can be sent to (%s)", domain, list(l.bare))
}

// list names a few hosts.
func list(names []string) string {
	const few = 3
	if len(names) > few {
		return strings.Join(names[:few], ", ") + ", …"
	}
	return strings.Join(names, ", ")
}
