package smtpd

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Bounds of looking for names.
const (
	nameTimeout = 5 * time.Second // of one client's
	maxNames    = 5               // PTR records that are tried
	noNameFor   = time.Minute     // how long a client without a name stays so
	maxNameless = 4096
)

// unknown is the name of a client that has none.
const unknown = "unknown"

// Lookup asks the DNS; resolver.Resolver does.
type Lookup interface {
	Names(ctx context.Context, ip netip.Addr) ([]string, error)
	Addresses(ctx context.Context, host string) (addrs []netip.Addr, secure bool, err error)
}

// Names finds the names of clients in the DNS. A name counts only if it leads back to the address.
type Names struct {
	lookup Lookup

	mu       sync.Mutex
	nameless map[netip.Addr]time.Time // until when: a client whose DNS is silent shall not wait in each session
}

// NewNames returns Names that ask l.
func NewNames(l Lookup) *Names {
	return &Names{lookup: l, nameless: make(map[netip.Addr]time.Time)}
}

// Name returns the verified name, or "unknown", within nameTimeout.
func (n *Names) Name(ctx context.Context, ip netip.Addr) string {
	n.mu.Lock()
	until := n.nameless[ip]
	n.mu.Unlock()
	if time.Now().Before(until) {
		return unknown
	}
	ctx, cancel := context.WithTimeout(ctx, nameTimeout)
	defer cancel()
	name := n.find(ctx, ip)
	if name == unknown {
		n.note(ip)
	}
	return name
}

// note remembers a client without a name.
func (n *Names) note(ip netip.Addr) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.nameless) >= maxNameless {
		clear(n.nameless)
	}
	n.nameless[ip] = time.Now().Add(noNameFor)
}

func (n *Names) find(ctx context.Context, ip netip.Addr) string {
	names, err := n.lookup.Names(ctx, ip)
	if err != nil {
		return unknown
	}
	for _, name := range names[:min(len(names), maxNames)] {
		if addrs, _, err := n.lookup.Addresses(ctx, name); err == nil && slices.Contains(addrs, ip) {
			return name
		}
	}
	return unknown
}
