package table

import (
	"iter"
	"maps"
	"strings"

	"postrider/internal/address"
	"postrider/internal/problem"
)

// DomainKind says how the addresses of a domain are resolved.
type DomainKind int

// The kinds of domains.
const (
	Foreign       DomainKind = iota // not ours
	LocalDomain                     // aliases, users of the tables and of the system
	VirtualDomain                   // only user@domain in the virtual and users tables
)

// Domains lists the domains that this host receives mail for: `domain kind`, kind `local` or `virtual`.
type Domains struct {
	file *file[map[string]DomainKind]
}

// NewDomains reads the table when it is first asked for.
func NewDomains(path string, o Options) *Domains {
	return &Domains{newFile(path, o, parseDomains)}
}

// Lookup finds a domain in its canonical form (address.Domain). An error wraps ErrUnavailable.
func (d *Domains) Lookup(domain string) (DomainKind, error) {
	s := d.file.get()
	if kind, ok := s.entries[domain]; ok {
		return kind, nil
	}
	return Foreign, s.err
}

// All yields every domain with its kind, in no order.
func (d *Domains) All() iter.Seq2[string, DomainKind] { return maps.All(d.file.get().entries) }

// Load reads the table now and returns everything wrong with it.
func (d *Domains) Load() problem.List { return d.file.load() }

func parseDomains(path, text string) (map[string]DomainKind, problem.List) {
	r := &reading{path: path}
	entries := make(map[string]DomainKind)
	for line, logical := range r.lines(text, false) {
		fields := strings.Fields(logical)
		if len(fields) != 2 {
			r.fail(line, "expected `domain kind`")
			continue
		}
		domain, err := address.Domain(fields[0])
		if err != nil {
			r.fail(line, "%v", err)
			continue
		}
		kind := Foreign
		switch fields[1] {
		case "local":
			kind = LocalDomain
		case "virtual":
			kind = VirtualDomain
		default:
			r.fail(line, "%s: unknown kind %.40q, expected local or virtual", domain, fields[1])
			continue
		}
		if before, ok := entries[domain]; ok && before != kind {
			r.fail(line, "%s is defined before with another kind", domain)
			continue
		}
		entries[domain] = kind
	}
	return entries, r.problems
}
