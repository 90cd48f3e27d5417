package resolver

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// Bounds of a Resolver, unless Options say otherwise.
const (
	defaultConf       = "/etc/resolv.conf"
	defaultConcurrent = 100
	defaultEntries    = 10_000
)

// Options of a Resolver. The zero value is right for a host with a resolv.conf.
type Options struct {
	Server     string        // address:port of the only server; "" = the nameservers of Conf
	Conf       string        // a resolv.conf(5), read again when it changes; "" = /etc/resolv.conf
	Timeout    time.Duration // of one try at one server; 0 = what Conf says, or 5 s
	Attempts   int           // rounds through the servers; 0 = what Conf says, or 2
	Trust      bool          // believe the AD bit even if a server is not on the loopback interface; also "options trust-ad" in Conf
	Concurrent int           // questions that are on their way at a time; 0 = 100
	Entries    int           // answers that are remembered; 0 = 10,000
}

// Resolver asks the DNS and remembers the answers as long as they say. Its methods may be called from many goroutines.
type Resolver struct {
	servers *servers
	slots   chan struct{} // one for each question on its way
	now     func() time.Time

	mu      sync.Mutex
	asked   *upstream // that gave what is known
	known   cache
	flights map[question]*flight
}

// New makes a Resolver. A server or file that is no good shows at lookup, as a temporary failure.
func New(o Options) *Resolver {
	if o.Conf == "" {
		o.Conf = defaultConf
	}
	if o.Concurrent <= 0 {
		o.Concurrent = defaultConcurrent
	}
	if o.Entries <= 0 {
		o.Entries = defaultEntries
	}
	return &Resolver{
		servers: newServers(o),
		slots:   make(chan struct{}, o.Concurrent),
		now:     time.Now,
		known:   newCache(o.Entries),
		flights: make(map[question]*flight),
	}
}

// MX is a mail exchanger (RFC 5321 §5.1).
type MX struct {
	// Host is in lower case, without the final dot; empty means that the domain takes no mail (RFC 7505). What is no host name
	// stays, in the escaped form of master files: Addresses says ErrNotFound to it, whereas without it the domain might seem to
	// have no MX records.
	Host       string
	Preference uint16
}

// MX returns the mail exchangers of a domain, sorted by preference, at most 100, and whether DNSSEC vouches for them. A domain
// that exists but has none is no error. The errors are ErrNotFound and ErrTemporary.
func (r *Resolver) MX(ctx context.Context, domain string) (mx []MX, secure bool, err error) {
	a, err := r.lookup(ctx, domain, dns.TypeMX)
	return slices.Clone(a.mx), a.secure, err
}

// Addresses returns the addresses of a host, IPv4 first, at most 100 of each kind, and whether DNSSEC vouches for them. IPv4
// addresses mapped into IPv6 are shown as what they are. A host that exists but has none is no error. The errors are ErrNotFound and ErrTemporary; if only one kind can be had at the moment,
// that is not an error unless it has no address.
func (r *Resolver) Addresses(ctx context.Context, host string) (addrs []netip.Addr, secure bool, err error) {
	var v6 answer
	var err6 error
	done := make(chan struct{})
	go func() {
		defer close(done)
		v6, err6 = r.lookup(ctx, host, dns.TypeAAAA)
	}()
	v4, err4 := r.lookup(ctx, host, dns.TypeA)
	<-done

	addrs = slices.Clone(v4.addrs)
	for _, ip := range v6.addrs {
		if !slices.Contains(v4.addrs, ip) { // the same again, mapped into IPv6
			addrs = append(addrs, ip)
		}
	}
	switch {
	case len(addrs) > 0:
		return addrs, (err4 != nil || v4.secure) && (err6 != nil || v6.secure), nil
	case isTemporary(err4):
		return nil, false, err4
	case isTemporary(err6):
		return nil, false, err6
	case err4 != nil && err6 != nil:
		return nil, v4.secure && v6.secure, err4
	}
	return nil, v4.secure && v6.secure, nil // one kind exists, so the name does, whatever was said about the other
}

// Names returns the names that the owner of an address gives it (PTR), at most 100, in lower case, without the final dot. What
// is no host name is left out. Nothing says that a name is right unless it leads back to the address. The errors are
// ErrNotFound and ErrTemporary.
func (r *Resolver) Names(ctx context.Context, ip netip.Addr) ([]string, error) {
	name, err := dns.ReverseAddr(ip.Unmap().WithZone("").String())
	if err != nil {
		return nil, notFound("%q is no address", ip)
	}
	a, err := r.lookup(ctx, name, dns.TypePTR)
	return slices.Clone(a.names), err
}

// TXT returns the text records of a name, at most 100, the strings of each joined, and whether DNSSEC vouches for them. They
// may hold any octets. A name that exists but has none is no error. The errors are ErrNotFound and ErrTemporary.
func (r *Resolver) TXT(ctx context.Context, name string) (texts []string, secure bool, err error) {
	a, err := r.lookup(ctx, name, dns.TypeTXT)
	return slices.Clone(a.texts), a.secure, err
}

// lookup follows the chain of CNAMEs from a name to the records of a type. Most servers send a chain whole.
func (r *Resolver) lookup(ctx context.Context, name string, qtype uint16) (answer, error) {
	q := question{qtype: qtype}
	var ok bool
	if q.name, ok = wireName(name); !ok {
		return answer{}, notFound("%.300q is not the full name of a host or domain", name)
	}
	first, secure := q, true
	for hops := 0; hops <= maxChain; {
		a, err := r.shared(ctx, q)
		if err != nil {
			return answer{}, err
		}
		secure = secure && a.secure
		a.secure = secure
		switch {
		case a.missing:
			return answer{secure: secure}, notFound("NXDOMAIN from %s for %s", a.server, q)
		case a.target == "":
			return a, nil
		}
		hops += a.hops
		if q.name, ok = wireName(a.target); !ok {
			return answer{secure: secure}, notFound("%s leads to %.300q, which is not the full name of a host or domain", first, a.target)
		}
	}
	return answer{}, temporary(nil, "CNAME loop, or more than %d, for %s", maxChain, first)
}

// question is what is asked for; its name is a wireName.
type question struct {
	name  string
	qtype uint16
}

// String is the question as logs have it, `example.org. MX`.
func (q question) String() string { return fmt.Sprintf("%s. %s", q.name, dns.Type(q.qtype)) }

// wireName returns a name as it is asked for and compared, in lower case and without the final dot, and whether it may be asked
// for: two labels or more of 63 octets at most, 253 octets in all, of letters, digits, hyphens and underscores, the last label
// not of digits alone, which would be an address in the wrong place (RFC 3696 §2).
func wireName(s string) (string, bool) {
	s = strings.TrimSuffix(s, ".")
	if len(s) > 253 || !strings.Contains(s, ".") {
		return "", false
	}
	label := 0
	for i := range len(s) {
		switch c := s[i]; {
		case c == '.' && label > 0:
			label = -1
		case !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_'):
			return "", false
		}
		if label++; label > 63 {
			return "", false
		}
	}
	top := s[strings.LastIndexByte(s, '.')+1:]
	return strings.ToLower(s), strings.Trim(top, "0123456789") != ""
}
