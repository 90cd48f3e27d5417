// Package route says what becomes of an address: a mailbox of this host, the members of an alias, another host, nobody,
// or "ask again later". It reads the tables and asks authd for users that they do not know; it opens no other file and
// runs nothing. Addresses come from the network and are not trusted: a local part is only ever a key to look up, so that
// user%other.example@here or other.example!user@here can never lead out.
package route

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"postrider/internal/address"
	"postrider/internal/auth"
	"postrider/internal/config"
	"postrider/internal/envelope"
	"postrider/internal/table"
)

// Bounds of expanding one address.
const (
	maxRecipients = 1000   // results
	maxDepth      = 10     // of aliases within aliases
	maxSteps      = 10_000 // addresses looked at
)

// Errors of Resolve and User, wrapped with their reason. Of these only ErrUnknown is permanent.
var (
	ErrUnknown = errors.New("unknown user")                      // 550 5.1.1
	ErrLater   = errors.New("lookup failed for now")             // 451 4.3.0
	ErrLoop    = errors.New("aliases lead to each other")        // 451 4.3.5: the administrator must act
	ErrTooMany = errors.New("alias expands to too many members") // 451 4.3.5
)

// Directory knows users that are in no table; *auth.Client is one. Its errors are auth.ErrUnknown or mean "later".
type Directory interface {
	Who(ctx context.Context, address string) (auth.User, error)
}

// Recipient is one final address.
type Recipient struct {
	Addr address.Address // qualified; keeps the case and extension of its local part
	Orig address.Address // the address asked for, if an alias led from there to Addr; else null
	Via  envelope.Via
}

// Result is what an address stands for.
type Result struct {
	Recipients []Recipient
	Owner      address.Address // owner-NAME of the outermost alias that has one: the sender for its members (aliases(5))
	Nowhere    []string        // aliases and virtual addresses on the way that lead to nothing but themselves
}

// Resolver resolves addresses by one configuration. Its methods may be called from many goroutines.
type Resolver struct {
	tables       *table.Tables
	directory    Directory
	origin       string
	own          map[string]bool // domains and literals that are local whatever the tables say
	delimiters   string
	firstUID     uint32
	allowRouting bool // smtpd.allow_percent
	catchAll     []table.Member
	postmaster   []table.Member
}

// New makes a Resolver; directory may be nil.
func New(c *config.Config, tables *table.Tables, directory Directory) *Resolver {
	return &Resolver{
		tables:       tables,
		directory:    directory,
		origin:       c.Origin,
		own:          ownDomains(c),
		delimiters:   c.RecipientDelimiter,
		firstUID:     c.FirstValidUID,
		allowRouting: c.SMTPD.AllowPercent,
		catchAll:     target(c.LocalDeliver.CatchAll),
		postmaster:   target(c.LocalDeliver.Postmaster),
	}
}

// target reads an address of the configuration, which has been checked; "" is none.
func target(text string) []table.Member {
	a, err := address.Parse(text)
	if err != nil {
		return nil
	}
	return []table.Member{{Kind: table.MemberAddress, Address: a}}
}

// ownDomains are our names, and literals of our interfaces (RFC 5321 §4.1.3).
func ownDomains(c *config.Config) map[string]bool {
	own := map[string]bool{
		c.Hostname: true, c.Origin: true, "localhost": true, "localhost.localdomain": true,
		"localhost." + c.Hostname: true, "localhost." + c.Origin: true, // localhost.run is somebody's
	}
	addresses, _ := net.InterfaceAddrs() // refused in some sandboxes; loopback literals are ours all the same
	for _, a := range addresses {
		if prefix, err := netip.ParsePrefix(a.String()); err == nil {
			own[address.Literal(prefix.Addr())] = true
		}
	}
	return own
}

// Kind says whether a domain is ours, and how its addresses are resolved; no domain is the origin. The error wraps
// ErrLater.
func (r *Resolver) Kind(domain string) (table.DomainKind, error) {
	if domain == "" {
		domain = r.origin
	}
	if r.own[domain] || isLoopback(domain) {
		return table.LocalDomain, nil
	}
	kind, err := r.tables.Domains.Lookup(domain)
	return kind, later(err)
}

func isLoopback(domain string) bool {
	return strings.HasPrefix(domain, "[127.") || domain == "[IPv6:::1]"
}

// later wraps the error of a table or of authd.
func later(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrLater, err)
}

// Qualify completes an address that has no domain.
func (r *Resolver) Qualify(a address.Address) address.Address {
	if a.Domain == "" {
		a.Domain = r.origin
	}
	return a
}

// Resolve says what becomes of an address. One of a foreign domain is remote: who may send there is not decided here.
// Members of an alias that are unknown stay recipients of this host, to be reported to the sender by whoever delivers,
// unless there are no others.
//
// While authd cannot be asked, the error is ErrLater and the result is what it would be if the addresses that it was to be
// asked about were mailboxes. Who delivers asks again: such a result is good enough for mail that has nowhere to wait.
func (r *Resolver) Resolve(ctx context.Context, a address.Address) (Result, error) {
	if a.IsNull() {
		return Result{}, fmt.Errorf("%w: null address", ErrUnknown)
	}
	e := &expansion{r: r, ctx: ctx, asked: r.Qualify(a)}
	if err := e.expand(a, scope{}); err != nil {
		return Result{}, err
	}
	return e.result()
}

// User returns the owner of the mailbox that a final local recipient names, and the extension that the name carries; it
// never looks at aliases. The error wraps ErrUnknown or ErrLater.
func (r *Resolver) User(ctx context.Context, a address.Address) (table.User, string, error) {
	a = r.Qualify(a)
	kind, err := r.Kind(a.Domain)
	if err != nil {
		return table.User{}, "", err
	}
	m, err := r.match(ctx, a, kind, scope{mailbox: true})
	switch {
	case err != nil:
		return table.User{}, "", err
	case m.kind != mailbox:
		return table.User{}, "", unknown(a, m.hint)
	}
	return m.user, m.ext, nil
}

// Alias returns the alias that a local recipient names, for those that Resolve left whole.
func (r *Resolver) Alias(a address.Address) (table.Alias, bool, error) {
	a = r.Qualify(a)
	kind, err := r.Kind(a.Domain)
	if err != nil || kind != table.LocalDomain {
		return table.Alias{}, false, err
	}
	for _, name := range r.names(a.Local) {
		alias, ok, err := r.tables.Aliases.Lookup(name.user)
		if err != nil || ok {
			return alias, ok, later(err)
		}
	}
	return table.Alias{}, false, nil
}

func unknown(a address.Address, hint string) error {
	if hint != "" {
		return fmt.Errorf("%w: %s: %s", ErrUnknown, a, hint)
	}
	return fmt.Errorf("%w: %s", ErrUnknown, a)
}
