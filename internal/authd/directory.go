package authd

import (
	"context"
	"strings"
	"unicode"
	"unicode/utf8"

	"postrider/internal/address"
	"postrider/internal/auth"
)

// Users is where local and virtual users stand. The name is "alice", in any case, or "alice@example.org". An error means
// that nobody can tell now.
type Users interface {
	Lookup(name string) (auth.User, bool, error)
}

// Domains are the domains of this host.
type Domains interface {
	// Kind returns Local, Virtual or Foreign.
	Kind(domain string) (DomainKind, error)
}

// DomainKind is what the users of a domain are called.
type DomainKind int

const (
	Foreign DomainKind = iota // not ours
	Local                     // by a bare name
	Virtual                   // by name@domain
)

// Checkpassword is the way to PAM and NSS.
type Checkpassword interface {
	// Check says whether PAM accepts the password. The user is who PAM says it is. Strangers do not hold up who is
	// trusted.
	Check(ctx context.Context, trusted bool, service, rip, name, password string) (auth.User, bool, error)
	// Who finds a user through NSS. It may be ten seconds behind.
	Who(ctx context.Context, name string) (auth.User, bool, error)
}

// maxName bounds a name that somebody types.
const maxName = 320

// identity is a typed name brought to the one form under which its user is known, if there is such a user.
type identity struct {
	name    string // "alice" or "alice@example.org"
	virtual bool
	ours    bool // false: no user of this host can be called so
	public  bool // given with a domain of ours: fit for the log even if unknown
}

// key is the form of the name that tables are indexed by.
func (id identity) key() string { return strings.ToLower(id.name) }

// identify never fails for a strange name, only for a domains table that cannot be read.
func identify(domains Domains, typed string) (identity, error) {
	stranger := identity{name: typed}
	if len(typed) > maxName || !utf8.ValidString(typed) || strings.ContainsFunc(typed, unicode.IsControl) {
		return stranger, nil
	}
	a, err := address.Parse(typed)
	if err != nil || a.Local == "" {
		return stranger, nil
	}
	if a.Domain == "" {
		return identity{name: a.Local, ours: plausible(a.Local)}, nil
	}
	kind, err := domains.Kind(a.Domain)
	if err != nil {
		return stranger, err
	}
	switch kind {
	case Local:
		return identity{name: a.Local, ours: plausible(a.Local), public: true}, nil
	case Virtual:
		return identity{name: a.Key(), virtual: true, ours: true, public: true}, nil
	}
	return stranger, nil
}

// plausible refuses what no account can be called and some program might take for more than a name.
func plausible(local string) bool {
	return local[0] != '-' && !strings.ContainsAny(local, ":/\\@ ") && local != "." && local != ".."
}

// find looks a user up in the tables.
func find(users Users, id identity) (auth.User, bool, error) {
	if !id.ours {
		return auth.User{}, false, nil
	}
	return users.Lookup(id.name)
}

// printable returns a name as it may stand in a log line: nothing in it can be taken for the line's own grammar.
func printable(name string) string {
	var b strings.Builder
	for _, r := range name {
		switch {
		case r < utf8.RuneSelf && strings.ContainsRune("@._-+", r), r != utf8.RuneError && unicode.In(r, unicode.L, unicode.N):
			b.WriteRune(r)
		default:
			b.WriteByte('?')
		}
	}
	return b.String()
}
