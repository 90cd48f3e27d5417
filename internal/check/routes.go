package check

import (
	"context"
	"errors"

	"postrider/internal/address"
	"postrider/internal/envelope"
	"postrider/internal/route"
	"postrider/internal/table"
)

// routes follows every alias and virtual address. It does not ask authd, which may not run yet, so a member that is in
// no table is a warning only.
func (w *world) routes(tables *table.Tables) {
	r := route.New(w.Config, tables, nil)
	for _, name := range []string{"root", "postmaster"} {
		w.endsSomewhere(r, address.Address{Local: name, Domain: w.Origin})
	}
	for alias := range tables.Aliases.All() {
		w.follow(r, address.Address{Local: alias.Name, Domain: w.Origin}, alias.File, alias.Line, alias.Name)
	}
	for redirect := range tables.Virtual.All() {
		a, err := address.Parse(redirect.Key)
		if err != nil {
			a = address.Address{Local: "catch-all", Domain: redirect.Key[1:]}
		}
		if kind, err := r.Kind(a.Domain); err == nil && kind == table.Foreign {
			w.problems.Warn(redirect.File, redirect.Line, "%s is not in the domains table: this line is never used", a.Domain)
			continue
		}
		w.follow(r, a, redirect.File, redirect.Line, redirect.Key)
	}
}

// endsSomewhere checks an address that must be read by a person (RFC 5321 §4.5.1; cron and daemons write to root).
func (w *world) endsSomewhere(r *route.Resolver, a address.Address) {
	const advice = "write an alias for it that leads to a person"
	result, err := r.Resolve(context.Background(), a)
	if errors.Is(err, route.ErrUnknown) {
		w.fail(w.Path, "mail for %s ends nowhere: %s", a.Local, advice)
		return
	}
	if err != nil {
		return // a loop, which is reported with its line
	}
	for _, rcpt := range result.Recipients {
		if rcpt.Via == envelope.Remote || w.deliverable(r, rcpt.Addr) {
			return
		}
	}
	w.fail(w.Path, "mail for %s ends nowhere: %s", a.Local, advice)
}

// deliverable says that a local recipient is a mailbox, or an alias that the delivery follows.
func (w *world) deliverable(r *route.Resolver, a address.Address) bool {
	if _, _, err := r.User(context.Background(), a); err == nil {
		return true
	}
	alias, ok, err := r.Alias(a)
	return err == nil && ok && !alias.OnlyAddresses()
}

// follow expands one line of a table.
func (w *world) follow(r *route.Resolver, a address.Address, file string, line int, name string) {
	result, err := r.Resolve(context.Background(), a)
	switch {
	case errors.Is(err, route.ErrUnknown):
		w.problems.Warn(file, line, "%s: %v", name, err)
	case err != nil:
		w.problems.Add(file, line, "%s: %v", name, err)
	}
	for _, back := range result.Nowhere {
		w.problems.Warn(file, line, "%s: %s leads only back to itself", name, back)
	}
	for _, rcpt := range result.Recipients {
		if rcpt.Via == envelope.Local && !w.deliverable(r, rcpt.Addr) {
			w.problems.Warn(file, line, "%s: %s is in no table", name, rcpt.Addr)
		}
	}
}
