package smtpd

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

// Bounds of looking for names.
const (
	nameTimeout = 5 * time.Second // of one client's
	maxNames    = 5               // PTR records that are tried
	nameFor     = 5 * time.Minute // how long an answer holds
	noNameFor   = time.Minute     // and the lack of one
	maxCached   = 4096
)

// unknown is the name of a client that has none.
const unknown = "unknown"

// Lookup is the part of net.Resolver that finding names takes.
type Lookup interface {
	LookupAddr(ctx context.Context, addr string) ([]string, error)
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Names finds the names of clients in the DNS. A name counts only if it leads back to the address.
type Names struct {
	lookup Lookup

	mu    sync.Mutex
	known map[netip.Addr]namedUntil
}

type namedUntil struct {
	name  string
	until time.Time
}

// NewNames returns Names that ask r.
func NewNames(r Lookup) *Names {
	return &Names{lookup: r, known: make(map[netip.Addr]namedUntil)}
}

// SystemResolver is the resolver of this host, or the one at server (host:port) if that is not empty.
func SystemResolver(server string) *net.Resolver {
	if server == "" {
		return net.DefaultResolver
	}
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, server)
	}}
}

// Name returns the verified name, or "unknown", within nameTimeout.
func (n *Names) Name(ctx context.Context, ip netip.Addr) string {
	now := time.Now()
	n.mu.Lock()
	k, ok := n.known[ip]
	n.mu.Unlock()
	if ok && now.Before(k.until) {
		return k.name
	}
	ctx, cancel := context.WithTimeout(ctx, nameTimeout)
	defer cancel()
	name, hold := n.find(ctx, ip), nameFor
	if name == unknown {
		hold = noNameFor
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.known) >= maxCached {
		clear(n.known)
	}
	n.known[ip] = namedUntil{name, now.Add(hold)}
	return name
}

func (n *Names) find(ctx context.Context, ip netip.Addr) string {
	names, err := n.lookup.LookupAddr(ctx, ip.String())
	if err != nil {
		return unknown
	}
	for _, name := range names[:min(len(names), maxNames)] {
		name = strings.TrimSuffix(name, ".")
		if !isHostName(name) {
			continue
		}
		addrs, err := n.lookup.LookupNetIP(ctx, "ip", name+".")
		if err == nil && slices.ContainsFunc(addrs, func(a netip.Addr) bool { return a.Unmap() == ip }) {
			return name
		}
	}
	return unknown
}
