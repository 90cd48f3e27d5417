package table

import (
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"

	"postrider/internal/config"
	"postrider/internal/hop"
	"postrider/internal/problem"
)

// Policy is one line of the TLS policy table.
type Policy struct {
	Hop   string // as hop.Hop.String writes it, or .domain
	Level string // one of config.TLSLevels
	File  string
	Line  int
}

// TLSPolicy says what is demanded of the TLS of a hop: `hop level`.
type TLSPolicy struct {
	file *file[map[string]Policy]
}

// NewTLSPolicy reads the table when it is first asked for.
func NewTLSPolicy(path string, o Options) *TLSPolicy {
	return &TLSPolicy{newFile(path, o, parseTLSPolicy)}
}

// Lookup finds the level of a hop, by the names of hopNames, and for a domain whose mail exchangers are looked up also by
// .domain. With own, a line that was written for mail to the domain of that name does not count for its host. An error wraps
// ErrUnavailable.
func (t *TLSPolicy) Lookup(h hop.Hop, own bool) (level string, found bool, err error) {
	names := hopNames(h)
	if own && !h.ByMX {
		names = slices.DeleteFunc(names, func(name string) bool { return name == h.Host })
	}
	if h.ByMX {
		names = slices.AppendSeq(names, parents(h.Host))
	}
	p, found, err := firstOf(t.file.get(), names)
	return p.Level, found, err
}

// All yields every line, in no order.
func (t *TLSPolicy) All() iter.Seq[Policy] { return maps.Values(t.file.get().entries) }

// Load reads the table now and returns everything wrong with it.
func (t *TLSPolicy) Load() problem.List { return t.file.load() }

func parseTLSPolicy(path, text string) (map[string]Policy, problem.List) {
	r := &reading{path: path}
	entries := make(map[string]Policy)
	for line, logical := range r.lines(text, false) {
		fields := strings.Fields(logical)
		if len(fields) != 2 {
			r.fail(line, "expected `hop level`")
			continue
		}
		key, err := policyKey(fields[0])
		if err != nil {
			r.fail(line, "%v", err)
			continue
		}
		if before, ok := entries[key]; ok {
			r.fail(line, "%s is defined in line %d already", key, before.Line)
			continue
		}
		if !slices.Contains(config.TLSLevels, fields[1]) {
			r.fail(line, "%s: unknown level %.40q, expected one of %s", key, fields[1], strings.Join(config.TLSLevels, ", "))
			continue
		}
		entries[key] = Policy{key, fields[1], path, line}
	}
	return entries, r.problems
}

func policyKey(text string) (string, error) {
	if strings.HasPrefix(text, ".") {
		return transportPattern(text)
	}
	return hostKey(text)
}

// hostKey is the canonical form of a hop that has a host.
func hostKey(text string) (string, error) {
	h, err := hop.Parse(text)
	if err == nil && h.Host == "" {
		err = fmt.Errorf("%.80q has no host", text)
	}
	return h.String(), err
}

// hopNames are the keys that a table may have for a hop, the most exact first: the hop itself, then without its kind, without
// its port, and without its brackets. A name with brackets never stands for one without: what a host may see or must prove,
// mail exchangers that the DNS tells of may not.
func hopNames(h hop.Hop) []string {
	names := []string{h.String()}
	add := func(h hop.Hop) {
		if s := h.String(); !slices.Contains(names, s) {
			names = append(names, s)
		}
	}
	if h.Host == "" {
		return names
	}
	plain := hop.Hop{Kind: hop.SMTP, Host: h.Host, Port: h.Port, ByMX: h.ByMX}
	switch {
	case plain.Port != 0:
	case h.Kind == hop.SMTPS:
		plain.Port = hop.PortSMTPS
	case h.Kind == hop.LMTP:
		plain.Port = hop.PortLMTP
	}
	add(plain)
	plain.Port = 0
	add(plain)
	if _, literal := plain.Addr(); !literal {
		plain.ByMX = true
		add(plain)
	}
	return names
}

// firstOf finds the first of some keys.
func firstOf[E any](s *snapshot[map[string]E], keys []string) (E, bool, error) {
	var none E
	for _, key := range keys {
		if e, ok := s.entries[key]; ok {
			return e, true, nil
		}
		if s.err != nil { // what the table lacks may be this key
			return none, false, s.err
		}
	}
	return none, false, nil
}
