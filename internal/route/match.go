package route

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"postrider/internal/address"
	"postrider/internal/auth"
	"postrider/internal/table"
)

type matchKind int

const (
	nobody   matchKind = iota
	mailbox            // user, ext
	redirect           // members, to be resolved in turn
	whole              // an alias that only the delivery can follow
)

// match is what one address is, without following it.
type match struct {
	kind    matchKind
	key     string // names a redirect, and the mailbox for finding duplicates
	user    table.User
	ext     string
	members []table.Member
	alias   string // name of the alias, if it is one
	hint    string // why nobody
}

// scope says where an address was met.
type scope struct {
	depth   int
	within  string // key of the redirect that it is a member of: its own name there means what comes after it
	mailbox bool   // \user: only a mailbox will do
}

// name is a local part as it may be looked up.
type name struct{ user, ext string }

// names are the local part as it is, and without its extension.
func (r *Resolver) names(local string) []name {
	user, ext := address.SplitExtension(local, r.delimiters)
	if user == local {
		return []name{{local, ""}}
	}
	return []name{{local, ""}, {user, ext}}
}

// match looks an address of ours up, in the order of virtual, aliases, users, system users, authd, first with its
// extension and then without; then come the domain's catch-all, postmaster's fallbacks and the host's catch-all. With an error
// that wraps errAway comes the match that there is if authd does not know the name with its extension.
func (r *Resolver) match(ctx context.Context, a address.Address, kind table.DomainKind, s scope) (match, error) {
	if kind == table.Foreign {
		return match{hint: "not a domain of this host"}, nil
	}
	if !r.allowRouting && strings.ContainsAny(a.Local, "%!@") {
		return match{hint: "routing characters in the local part"}, nil
	}
	hint := ""
	var away error
	for _, n := range r.names(a.Local) {
		m, err := r.lookup(ctx, n, a.Domain, kind, s)
		switch {
		case errors.Is(err, errAway):
			away = err
		case err != nil:
			return m, err
		case m.kind != nobody:
			return m, away
		case m.hint != "":
			hint = m.hint
		}
	}
	if away != nil {
		return match{}, away
	}
	m, err := r.fallback(a, s)
	if m.hint == "" {
		m.hint = hint
	}
	return m, err
}

// lookup searches all tables for one name.
func (r *Resolver) lookup(ctx context.Context, n name, domain string, kind table.DomainKind, s scope) (match, error) {
	full := address.Address{Local: n.user, Domain: domain}
	if !s.mailbox {
		if m, err := r.virtual(full.Key(), s); err != nil || m.kind != nobody {
			return m, err
		}
		if kind == table.LocalDomain {
			if m, err := r.alias(n.user, s); err != nil || m.kind != nobody {
				return m, err
			}
		}
	}
	return r.mailbox(ctx, full, n, kind)
}

func (r *Resolver) virtual(key string, s scope) (match, error) {
	entry, ok, err := r.tables.Virtual.Lookup(key)
	m := match{kind: redirect, key: "virtual " + key}
	if err != nil || !ok || m.key == s.within {
		return match{}, later(err)
	}
	for _, t := range entry.Targets {
		m.members = append(m.members, table.Member{Kind: table.MemberAddress, Address: t})
	}
	return m, nil
}

func (r *Resolver) alias(local string, s scope) (match, error) {
	entry, ok, err := r.tables.Aliases.Lookup(local)
	if err != nil || !ok {
		return match{}, later(err)
	}
	m := match{kind: redirect, key: "alias " + entry.Name, members: entry.Members, alias: entry.Name}
	if m.key == s.within {
		return match{}, nil
	}
	if !entry.OnlyAddresses() {
		m.kind = whole
	}
	return m, nil
}

// mailbox searches what knows users: the users table, the system, authd. Of the latter two only ordinary users have
// mailboxes; the table has checked its own.
func (r *Resolver) mailbox(ctx context.Context, full address.Address, n name, kind table.DomainKind) (match, error) {
	u, ok, err := r.tableUser(full, n.user, kind)
	if err == nil && !ok {
		if u, ok, err = r.systemUser(ctx, full, n.user, kind); ok && u.UID < r.firstUID {
			return match{hint: "system account without an alias"}, nil
		}
	}
	if err != nil || !ok {
		return match{}, later(err)
	}
	key := "user " + u.Name
	if n.ext != "" {
		key += " " + n.ext
	}
	return match{kind: mailbox, key: key, user: u, ext: n.ext}, nil
}

func (r *Resolver) tableUser(full address.Address, local string, kind table.DomainKind) (table.User, bool, error) {
	u, ok, err := r.tables.Users.Lookup(full.Key())
	if err == nil && !ok && kind == table.LocalDomain {
		u, ok, err = r.tables.Users.Lookup(address.Address{Local: local}.Key())
	}
	return u, ok, err
}

func (r *Resolver) systemUser(ctx context.Context, full address.Address, local string, kind table.DomainKind) (u table.User, ok bool, err error) {
	if kind == table.LocalDomain {
		u, ok, err = r.tables.Passwd.Lookup(local)
	}
	if err == nil && !ok && r.directory != nil {
		u, ok, err = r.who(ctx, full)
	}
	return u, ok, err
}

// errAway wraps what kept authd from answering.
var errAway = errors.New("authd cannot be asked")

func (r *Resolver) who(ctx context.Context, a address.Address) (table.User, bool, error) {
	u, err := r.directory.Who(ctx, a.String())
	switch {
	case errors.Is(err, auth.ErrUnknown):
		return table.User{}, false, nil
	case err != nil:
		return table.User{}, false, fmt.Errorf("%w: %w", errAway, err)
	}
	found := table.User{Name: u.Name, UID: u.UID, GID: u.GID, Home: u.Home, Maildir: u.Maildir, Quota: u.Quota}
	if found.Maildir == "" {
		found.Maildir = u.Home + "/Maildir"
	}
	return found, true, nil
}

// fallback is for addresses that no table has. Mail for postmaster is always taken (RFC 5321 §4.5.1).
func (r *Resolver) fallback(a address.Address, s scope) (match, error) {
	if s.mailbox {
		return match{}, nil
	}
	if m, err := r.virtual("@"+a.Domain, s); err != nil || m.kind != nobody {
		return m, err
	}
	if strings.EqualFold(a.Local, "postmaster") {
		return r.postmasters(s)
	}
	return configured("catch-all", r.catchAll, s), nil
}

// postmasters leads to the host's postmaster alias, else root's, else the configured one.
func (r *Resolver) postmasters(s scope) (match, error) {
	for _, name := range []string{"postmaster", "root"} {
		m, err := r.alias(name, s)
		if m.kind == whole { // found again by its own name when it is delivered
			m = match{kind: redirect, key: "postmaster alias", members: []table.Member{{Address: address.Address{Local: name, Domain: r.origin}}}}
		}
		if err != nil || m.kind != nobody {
			return m, err
		}
	}
	if m := configured("postmaster", r.postmaster, s); m.kind != nobody {
		return m, nil
	}
	return match{kind: whole, key: "postmaster"}, nil // accepted though nobody reads it; a check of the configuration says so
}

// configured is a redirect that the configuration makes.
func configured(key string, members []table.Member, s scope) match {
	if members == nil || key == s.within {
		return match{}
	}
	return match{kind: redirect, key: key, members: members}
}
