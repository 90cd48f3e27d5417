package route

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"postrider/internal/address"
	"postrider/internal/envelope"
	"postrider/internal/table"
)

// expansion is the state of resolving one address.
type expansion struct {
	r     *Resolver
	ctx   context.Context
	asked address.Address

	steps      int
	reached    int             // recipients met, with duplicates and strangers
	followed   map[string]bool // keys of redirects; true while their members are being expanded
	listed     map[string]bool // keys of recipients
	recipients []Recipient
	strangers  []Recipient // unknown members
	stranger   error       // why the first of them is unknown
	away       error       // why authd could not be asked about somebody
	nowhere    []string    // keys of redirects that lead nowhere but back
	owner      address.Address
}

// expand adds what an address stands for.
func (e *expansion) expand(a address.Address, s scope) error {
	if e.steps++; e.steps > maxSteps || s.depth > maxDepth {
		return fmt.Errorf("%w: %s", ErrTooMany, e.asked)
	}
	a = e.r.Qualify(a)
	kind, err := e.r.Kind(a.Domain)
	if err != nil {
		return err
	}
	if kind == table.Foreign {
		return e.add("remote "+a.Key(), a, envelope.Remote)
	}
	m, err := e.match(a, kind, s)
	if err != nil {
		return err
	}
	switch m.kind {
	case mailbox, whole:
		return e.add(m.key, a, envelope.Local)
	case redirect:
		return e.follow(m, a, s)
	}
	e.reached++
	if e.stranger == nil {
		e.stranger = unknown(a, m.hint)
	}
	e.strangers = append(e.strangers, Recipient{Addr: a, Via: envelope.Local})
	return nil
}

// match is the resolver's, but takes an address that authd should be asked about and cannot for a mailbox, and notes why.
func (e *expansion) match(a address.Address, kind table.DomainKind, s scope) (match, error) {
	m, err := e.r.match(e.ctx, a, kind, s)
	if !errors.Is(err, errAway) {
		return m, err
	}
	if e.away == nil {
		e.away = err
	}
	if m.kind == nobody {
		m = match{kind: mailbox, key: "away " + a.Key()}
	}
	return m, nil
}

// follow expands the members of a redirect, once. A name that leads back to itself means the mailbox of that name, if
// there is one; otherwise it adds nothing. One that leads nowhere but back is a mistake of the tables, but no reason to
// refuse mail to the other members of a list.
func (e *expansion) follow(m match, a address.Address, s scope) error {
	if active, again := e.followed[m.key]; again {
		if active {
			return e.again(a)
		}
		e.reached++
		return nil
	}
	if e.followed == nil {
		e.followed = make(map[string]bool)
	}
	e.followed[m.key] = true
	defer func() { e.followed[m.key] = false }()
	if err := e.setOwner(m.alias, a.Domain); err != nil {
		return err
	}
	before := e.reached
	for _, member := range m.members {
		inner := scope{depth: s.depth + 1, within: m.key, mailbox: member.Kind == table.MemberMailbox}
		if err := e.expand(member.Address, inner); err != nil {
			return err
		}
	}
	if e.reached == before {
		e.nowhere = append(e.nowhere, m.key)
	}
	return nil
}

// again handles an address that is being expanded already.
func (e *expansion) again(a address.Address) error {
	kind, err := e.r.Kind(a.Domain)
	if err != nil {
		return err
	}
	m, err := e.match(a, kind, scope{mailbox: true})
	if err == nil && m.kind == mailbox {
		err = e.add(m.key, a, envelope.Local)
	}
	return err
}

// setOwner notes owner-NAME of the outermost alias that has one.
func (e *expansion) setOwner(alias, domain string) error {
	if alias == "" || !e.owner.IsNull() {
		return nil
	}
	_, ok, err := e.r.tables.Aliases.Lookup("owner-" + alias)
	if ok {
		e.owner = address.Address{Local: "owner-" + alias, Domain: domain}
	}
	return later(err)
}

// add lists a recipient that is not listed yet.
func (e *expansion) add(key string, a address.Address, via envelope.Via) error {
	e.reached++
	if e.listed[key] {
		return nil
	}
	if len(e.recipients) >= maxRecipients {
		return fmt.Errorf("%w: %s", ErrTooMany, e.asked)
	}
	if e.followed != nil { // else this is the only one
		if e.listed == nil {
			e.listed = make(map[string]bool)
		}
		e.listed[key] = true
	}
	e.recipients = append(e.recipients, Recipient{Addr: a, Via: via})
	return nil
}

func (e *expansion) result() (Result, error) {
	switch {
	case len(e.recipients) > 0:
	case e.stranger != nil:
		return Result{}, e.stranger
	default:
		return Result{}, fmt.Errorf("%w: %s (%s)", ErrLoop, e.asked, strings.Join(e.nowhere, ", "))
	}
	for _, stranger := range e.strangers {
		if err := e.add("unknown "+stranger.Addr.Key(), stranger.Addr, stranger.Via); err != nil {
			return Result{}, err
		}
	}
	for i := range e.recipients {
		if e.recipients[i].Addr != e.asked {
			e.recipients[i].Orig = e.asked
		}
	}
	return Result{Recipients: e.recipients, Owner: e.owner, Nowhere: e.nowhere}, e.away
}
