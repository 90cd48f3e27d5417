package table

import (
	"errors"
	"fmt"
	"iter"
	"maps"
	"strings"

	"postrider/internal/address"
	"postrider/internal/hop"
	"postrider/internal/problem"
)

// Route is one line of the transport table.
type Route struct {
	Pattern string // user@domain, domain, .domain, <> or *
	Hop     hop.Hop
	Default bool // `:`, the next hop is what it would be without the table
	File    string
	Line    int
}

// hop is where the route leads mail for a domain: one without a next hop leads to the domain itself.
func (r Route) hop(domain string) hop.Hop {
	if r.Hop.Kind == hop.SMTP && r.Hop.Host == "" {
		return hop.ForDomain(domain)
	}
	return r.Hop
}

// Transport says where mail for other hosts goes next: `pattern transport:nexthop`, as in Postfix's transport(5).
type Transport struct {
	file       *file[map[string]Route]
	delimiters string
}

// NewTransport reads the table when it is first asked for.
func NewTransport(path, delimiters string, o Options) *Transport {
	return &Transport{newFile(path, o, parseTransport), delimiters}
}

// Lookup finds the next hop of a recipient, in the order user+extension@domain, user@domain, domain, .domain (which has all
// below it, the longest first), <> if the sender is null, *. An error wraps ErrUnavailable.
func (t *Transport) Lookup(a address.Address, nullSender bool) (h hop.Hop, found bool, err error) {
	r, found, err := t.Match(a, nullSender)
	if err != nil || !found || r.Default {
		return hop.Hop{}, false, err
	}
	return r.hop(a.Domain), true, nil
}

// Match is the line that Lookup goes by.
func (t *Transport) Match(a address.Address, nullSender bool) (Route, bool, error) {
	s := t.file.get()
	for pattern := range t.patterns(a, nullSender) {
		if r, ok := s.entries[pattern]; ok {
			return r, true, nil
		}
		if s.err != nil { // what the table lacks may be this pattern
			return Route{}, false, s.err
		}
	}
	return Route{}, false, nil
}

// patterns yields the keys of an address, the most exact first.
func (t *Transport) patterns(a address.Address, nullSender bool) iter.Seq[string] {
	return func(yield func(string) bool) {
		if !yield(a.Key()) {
			return
		}
		user, _ := address.SplitExtension(a.Local, t.delimiters)
		if user != a.Local && !yield(address.Address{Local: user, Domain: a.Domain}.Key()) {
			return
		}
		if !yield(a.Domain) {
			return
		}
		for parent := range parents(a.Domain) {
			if !yield(parent) {
				return
			}
		}
		if nullSender && !yield("<>") {
			return
		}
		yield("*")
	}
}

// parents yields `.example.org` and `.org` for a.example.org. A literal has none.
func parents(domain string) iter.Seq[string] {
	return func(yield func(string) bool) {
		if strings.HasPrefix(domain, "[") {
			return
		}
		for {
			i := strings.IndexByte(domain, '.')
			if i < 0 || !yield(domain[i:]) {
				return
			}
			domain = domain[i+1:]
		}
	}
}

// All yields every line, in no order.
func (t *Transport) All() iter.Seq[Route] { return maps.Values(t.file.get().entries) }

// Load reads the table now and returns everything wrong with it.
func (t *Transport) Load() problem.List { return t.file.load() }

func parseTransport(path, text string) (map[string]Route, problem.List) {
	r := &reading{path: path}
	entries := make(map[string]Route)
	for line, logical := range r.lines(text, true) {
		left, right := cutBlank(logical)
		pattern, err := transportPattern(left)
		if err != nil {
			r.fail(line, "%v", err)
			continue
		}
		if before, ok := entries[pattern]; ok {
			r.fail(line, "%s is defined in line %d already", pattern, before.Line)
			continue
		}
		route, err := parseRoute(strings.TrimSpace(right))
		if err != nil {
			r.fail(line, "%s: %v", pattern, err)
			continue
		}
		route.Pattern, route.File, route.Line = pattern, path, line
		entries[pattern] = route
	}
	return entries, r.problems
}

// transportPattern is the canonical form of a pattern.
func transportPattern(text string) (string, error) {
	switch {
	case text == "*" || text == "<>":
		return text, nil
	case strings.HasPrefix(text, "."):
		domain, err := address.Domain(text[1:])
		if err == nil && domain[0] == '[' {
			err = errors.New("an address literal has no subdomains")
		}
		return "." + domain, err
	case strings.HasPrefix(text, "@"):
		return "", fmt.Errorf("%.80q: write a domain without the @", text)
	}
	if domain, err := address.Domain(text); err == nil {
		return domain, nil
	}
	a, err := address.Parse(text)
	if err == nil && a.Domain == "" {
		err = fmt.Errorf("%.80q: expected user@domain, domain, .domain, <> or *", text)
	}
	return a.Key(), err
}

// parseRoute reads the right side. A transport without a next hop leads to the recipient's domain, a next hop without a
// transport goes by SMTP, and neither changes nothing.
func parseRoute(text string) (Route, error) {
	switch text {
	case "":
		return Route{}, errors.New("expected `pattern transport:nexthop`")
	case ":":
		return Route{Default: true}, nil
	case "smtp:", "relay:":
		return Route{Hop: hop.Hop{Kind: hop.SMTP, ByMX: true}}, nil
	}
	if rest, ok := strings.CutPrefix(text, ":"); ok {
		text = string(hop.SMTP) + ":" + rest
	} else if !strings.Contains(text, ":") {
		return Route{}, fmt.Errorf("%.80q: expected transport:nexthop, such as smtp:[gw.example.net]", text)
	}
	h, err := hop.Parse(text)
	return Route{Hop: h}, err
}
