package table

import (
	"errors"
	"iter"
	"maps"
	"strings"

	"postrider/internal/address"
	"postrider/internal/problem"
)

// Redirect is one line of the virtual table.
type Redirect struct {
	Key     string // user@domain or @domain, case-folded
	Targets []address.Address
	File    string
	Line    int
}

// Virtual maps addresses to addresses: `user@domain target[, target...]`, or `@domain` for all others of a domain.
type Virtual struct {
	file *file[map[string]Redirect]
}

// NewVirtual reads the table when it is first asked for.
func NewVirtual(path string, o Options) *Virtual {
	return &Virtual{newFile(path, o, parseVirtual)}
}

// Lookup finds Address.Key() or `@domain`. An error wraps ErrUnavailable.
func (v *Virtual) Lookup(key string) (Redirect, bool, error) {
	s := v.file.get()
	if r, ok := s.entries[key]; ok {
		return r, true, nil
	}
	return Redirect{}, false, s.err
}

// All yields every line, in no order.
func (v *Virtual) All() iter.Seq[Redirect] { return maps.Values(v.file.get().entries) }

// Load reads the table now and returns everything wrong with it.
func (v *Virtual) Load() problem.List { return v.file.load() }

func parseVirtual(path, text string) (map[string]Redirect, problem.List) {
	r := &reading{path: path}
	entries := make(map[string]Redirect)
	for line, logical := range r.lines(text, true) {
		left, right := cutBlank(logical)
		key, err := virtualKey(left)
		if err != nil {
			r.fail(line, "%v", err)
			continue
		}
		if before, ok := entries[key]; ok {
			r.fail(line, "%s is defined in line %d already", key, before.Line)
			continue
		}
		targets, err := parseTargets(right)
		if err != nil {
			r.fail(line, "%s: %v", key, err)
			continue
		}
		entries[key] = Redirect{key, targets, path, line}
	}
	return entries, r.problems
}

func parseTargets(text string) ([]address.Address, error) {
	members, err := parseMembers(text)
	if err != nil {
		return nil, err
	}
	targets := make([]address.Address, len(members))
	for i, m := range members {
		if m.Kind != MemberAddress {
			return nil, errors.New("a virtual address leads to addresses only")
		}
		targets[i] = m.Address
	}
	return targets, nil
}

// cutBlank cuts at the first blank outside quotes.
func cutBlank(line string) (left, right string) {
	quoted := false
	for i := range len(line) {
		switch c := line[i]; {
		case c == '"':
			quoted = !quoted
		case (c == ' ' || c == '\t') && !quoted:
			return line[:i], line[i+1:]
		}
	}
	return line, ""
}

func virtualKey(text string) (string, error) {
	if domain, ok := strings.CutPrefix(text, "@"); ok {
		domain, err := address.Domain(domain)
		return "@" + domain, err
	}
	a, err := address.Parse(text)
	if err == nil && a.Domain == "" {
		err = errors.New("expected user@domain or @domain; names without a domain are aliases")
	}
	return a.Key(), err
}
