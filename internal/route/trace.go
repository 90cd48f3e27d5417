package route

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"postrider/internal/address"
	"postrider/internal/table"
)

// What says what one address is.
type What int

// What an address may be.
const (
	Stranger  What = iota // nobody; Hint may say why
	Elsewhere             // of another host
	Mailbox               // of User, with the extension Ext
	Redirect              // leads to Members
	Handed                // an alias that only the delivery can follow; of its Members the addresses are followed here, too
	Unsure                // authd would have to be asked, and cannot
	Repeated              // was met before
)

// Step is one address on the way of another.
type Step struct {
	Addr    address.Address
	Depth   int // 0 = the address asked for; members follow what leads to them
	What    What
	User    table.User
	Ext     string
	By      string // of Redirect and Handed: file:line, or the key of the configuration
	Members []table.Member
	Hint    string
}

// maxTrace bounds the steps of a Trace.
const maxTrace = 1000

// Trace says step by step how Resolve comes to its result, for people. The error wraps ErrLater or ErrTooMany; the steps before it
// are returned.
func (r *Resolver) Trace(ctx context.Context, a address.Address) ([]Step, error) {
	t := &trace{r: r, ctx: ctx, seen: make(map[string]bool)}
	err := t.step(a, scope{})
	return t.steps, err
}

type trace struct {
	r     *Resolver
	ctx   context.Context
	seen  map[string]bool // keys of redirects
	steps []Step
}

func (t *trace) step(a address.Address, s scope) error {
	if len(t.steps) >= maxTrace || s.depth > maxDepth {
		return fmt.Errorf("%w: %s", ErrTooMany, a)
	}
	a = t.r.Qualify(a)
	kind, err := t.r.Kind(a.Domain)
	if err != nil {
		return err
	}
	step := Step{Addr: a, Depth: s.depth, What: Elsewhere}
	if kind == table.Foreign {
		t.steps = append(t.steps, step)
		return nil
	}
	m, err := t.r.match(t.ctx, a, kind, s)
	if err != nil && !errors.Is(err, errAway) {
		return err
	}
	step.describe(m, err)
	if m.kind != redirect && m.kind != whole {
		t.steps = append(t.steps, step)
		return nil
	}
	step.By, step.Members = t.r.source(m), m.members
	if t.seen[m.key] {
		step.What = Repeated
	}
	t.steps = append(t.steps, step)
	return t.follow(m, step)
}

// follow goes on with the members of an alias that was not met before.
func (t *trace) follow(m match, step Step) error {
	if step.What == Repeated {
		return nil
	}
	t.seen[m.key] = true
	for _, member := range m.members {
		if member.Kind != table.MemberAddress && member.Kind != table.MemberMailbox {
			continue
		}
		inner := scope{depth: step.Depth + 1, within: m.key, mailbox: member.Kind == table.MemberMailbox}
		if err := t.step(member.Address, inner); err != nil {
			return err
		}
	}
	return nil
}

// describe takes over what an address of ours is.
func (s *Step) describe(m match, away error) {
	switch {
	case m.kind == mailbox:
		s.What, s.User, s.Ext = Mailbox, m.user, m.ext
	case m.kind == redirect:
		s.What = Redirect
	case m.kind == whole:
		s.What = Handed
	case m.kind == nobody && away != nil:
		s.What, s.Hint = Unsure, away.Error()
	case m.kind == nobody:
		s.What, s.Hint = Stranger, m.hint
	}
}

// source is where a redirect is written.
func (r *Resolver) source(m match) string {
	if key, ok := strings.CutPrefix(m.key, "virtual "); ok {
		if e, ok, _ := r.tables.Virtual.Lookup(key); ok {
			return fmt.Sprintf("%s:%d", e.File, e.Line)
		}
	}
	if name, ok := strings.CutPrefix(m.key, "alias "); ok {
		if e, ok, _ := r.tables.Aliases.Lookup(name); ok {
			return fmt.Sprintf("%s:%d", e.File, e.Line)
		}
	}
	switch m.key {
	case "catch-all":
		return "localdeliver.catch_all"
	case "postmaster":
		return "localdeliver.postmaster"
	}
	return m.key
}
