// Package itinerary is `postrider route`: how mail to an address would go, and why, in words. It goes by the same tables, router and
// DNS as the daemons do, as the user who runs it: what that user may not read is said to be unknown. It connects to no mail host.
package itinerary

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"postrider/internal/address"
	"postrider/internal/auth"
	"postrider/internal/config"
	"postrider/internal/envelope"
	"postrider/internal/hop"
	"postrider/internal/nexthop"
	"postrider/internal/relayd"
	"postrider/internal/resolver"
	"postrider/internal/route"
	"postrider/internal/table"
)

const usage = `usage: postrider route [-c file] [-s sender] address
Says how mail to an address would go from here, and why.
  -c file    the configuration
  -s sender  who sends it; <> is the null sender of notices
`

// Exit codes of sysexits.h.
const (
	exitOK          = 0
	exitUsage       = 64
	exitNoUser      = 67
	exitUnavailable = 69
	exitTempFail    = 75
	exitConfig      = 78
)

// limit bounds the whole answer, which needs the DNS and authd.
const limit = 2 * time.Minute

// Main is `postrider route`; args are without the subcommand. It returns the exit status: 0 if the mail could go, 75 if it would
// wait, 67 or 69 if it would be refused or returned.
func Main(args []string) int {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	return run(ctx, args, os.Stdout, os.Stderr)
}

func run(ctx context.Context, args []string, out, errs io.Writer) int {
	r, configPath, err := parse(args)
	if err != nil {
		fmt.Fprintf(errs, "postrider route: %v\n%s", err, usage)
		return exitUsage
	}
	cfg, err := config.Load(configPath)
	if err != nil {
		fmt.Fprintln(errs, err)
		return exitConfig
	}
	r.Config = cfg
	r.Directory = &auth.Client{Path: filepath.Join(cfg.RunDir, "auth")}
	r.Finder = nexthop.New(cfg, resolver.New(resolver.Options{Server: cfg.Resolver}))
	return r.Run(ctx, out)
}

// parse reads the arguments; options may follow the address.
func parse(args []string) (*Request, string, error) {
	flags := flag.NewFlagSet("route", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	path := flags.String("c", config.DefaultPath, "")
	sender := flags.String("s", "", "")
	var words []string
	for {
		if err := flags.Parse(args); err != nil {
			return nil, "", err
		}
		if flags.NArg() == 0 {
			break
		}
		words, args = append(words, flags.Arg(0)), flags.Args()[1:]
	}
	if len(words) != 1 {
		return nil, "", fmt.Errorf("expected one address, not %d", len(words))
	}
	r := &Request{}
	var err error
	if r.To, err = parseAddress(words[0]); err != nil {
		return nil, "", err
	}
	if r.To.IsNull() {
		return nil, "", errors.New("nobody receives at <>")
	}
	flags.Visit(func(f *flag.Flag) { r.given = r.given || f.Name == "s" })
	r.From, err = parseAddress(*sender)
	return r, *path, err
}

// parseAddress reads an address with or without angle brackets; <> and nothing are the null address.
func parseAddress(text string) (address.Address, error) {
	if inner, ok := strings.CutPrefix(text, "<"); ok {
		text = strings.TrimSuffix(inner, ">")
	}
	if text == "" {
		return address.Address{}, nil
	}
	return address.Parse(text)
}

// Finder finds the hosts of a hop; *nexthop.Finder is one. Its error is a *reply.Reply.
type Finder interface {
	Find(ctx context.Context, h hop.Hop) ([]nexthop.Host, error)
}

// Request is a question for the way of an address.
type Request struct {
	To        address.Address
	From      address.Address // null also if nobody was given
	Config    *config.Config
	Directory route.Directory
	Finder    Finder

	given bool // From was
}

// Run answers, and returns the exit status.
func (r *Request) Run(ctx context.Context, out io.Writer) int {
	w := &writer{out: out}
	tables := table.Open(r.Config, table.Options{Report: func(err error) { w.say(0, "(%v)", err) }})
	domains := route.New(r.Config, tables, r.Directory)
	g := &guide{
		Request: r, writer: w, tables: tables, routes: domains, shown: make(map[string]bool),
		router: &relayd.Tables{Config: r.Config, Transports: tables.Transport, Policies: tables.TLSPolicy, Logins: tables.RelayAuth, Domains: domains},
	}
	g.address(ctx)
	if w.err != nil {
		return exitUnavailable
	}
	return g.status
}

// guide is the answering of one request.
type guide struct {
	*Request
	*writer
	tables *table.Tables
	routes *route.Resolver
	router *relayd.Tables
	shown  map[string]bool // hops
	status int
}

// envelope is what the router sees of a message.
func (g *guide) envelope() *envelope.Envelope {
	e := &envelope.Envelope{}
	if e.From.Addr = g.From; !g.given {
		e.From.Addr = address.Address{Local: "somebody", Domain: g.Config.Origin}
	}
	return e
}

// worse notes an exit status; a permanent failure counts more than a temporary one.
func (g *guide) worse(status int) {
	if g.status == exitOK || g.status == exitTempFail {
		g.status = status
	}
}

// address says what becomes of the address that was asked for, step by step.
func (g *guide) address(ctx context.Context) {
	steps, err := g.routes.Trace(ctx, g.To)
	for _, s := range steps {
		g.step(ctx, s)
	}
	if err == nil {
		_, err = g.routes.Resolve(ctx, g.To)
	}
	switch {
	case err == nil:
	case errors.Is(err, route.ErrUnknown):
		g.say(0, "Mail to it is refused: 550 5.1.1 %v.", err)
		g.status = exitNoUser
	case errors.Is(err, route.ErrLoop), errors.Is(err, route.ErrTooMany):
		g.say(0, "Mail to it is refused for now, and the administrator must act: 451 4.3.5 %v.", err)
		g.worse(exitTempFail)
	default:
		g.say(0, "Mail to it is refused for now: 451 4.3.0 %v.", err)
		g.worse(exitTempFail)
	}
}

// step says what one address is.
func (g *guide) step(ctx context.Context, s route.Step) {
	switch s.What {
	case route.Elsewhere:
		g.say(s.Depth, "%s is an address of another host.", s.Addr)
		g.remote(ctx, s.Depth+1, s.Addr)
	case route.Mailbox:
		g.mailbox(s)
	case route.Redirect:
		g.say(s.Depth, "%s leads to %s, by %s.", s.Addr, members(s.Members), s.By)
	case route.Repeated:
		g.say(s.Depth, "%s was met before: nothing new.", s.Addr)
	case route.Handed:
		g.handed(s)
	case route.Unsure:
		g.say(s.Depth, "%s: nobody can tell now (%s).", s.Addr, s.Hint)
	default:
		g.stranger(s)
	}
}

func (g *guide) mailbox(s route.Step) {
	extension := ""
	if s.Ext != "" {
		extension = fmt.Sprintf(", extension %s", s.Ext)
	}
	g.say(s.Depth, "%s is the mailbox of %s (uid %d%s): %s", s.Addr, s.User.Name, s.User.UID, extension, s.User.Maildir)
	g.say(s.Depth+1, "unless %s says otherwise.", filepath.Join(s.User.Home, ".forward"))
}

func (g *guide) handed(s route.Step) {
	if len(s.Members) == 0 {
		g.say(s.Depth, "%s is accepted (RFC 5321 §4.5.1), but nobody reads it: write an alias for it.", s.Addr)
		return
	}
	g.say(s.Depth, "%s leads to %s, by %s, which the delivery follows.", s.Addr, members(s.Members), s.By)
}

func (g *guide) stranger(s route.Step) {
	reason := ""
	if s.Hint != "" {
		reason = ": " + s.Hint
	}
	g.say(s.Depth, "%s is an address of this host, but there is no such user%s.", s.Addr, reason)
	if s.Depth > 0 {
		g.say(s.Depth+1, "The sender gets a notice that mail for it was not delivered.")
		g.worse(exitNoUser)
	}
}

// members are the targets of an alias in words.
func members(list []table.Member) string {
	const few = 5
	var words []string
	for _, m := range list {
		switch m.Kind {
		case table.MemberMailbox:
			words = append(words, "the mailbox "+m.Address.String())
		case table.MemberCommand:
			words = append(words, "the command "+m.Text)
		case table.MemberFile:
			words = append(words, "the file "+m.Text)
		case table.MemberInclude:
			words = append(words, "the list "+m.Text)
		default:
			words = append(words, m.Address.String())
		}
		if len(words) == few && len(list) > few {
			return strings.Join(words, ", ") + fmt.Sprintf(" and %d more", len(list)-few)
		}
	}
	return strings.Join(words, ", ")
}

// writer writes indented lines and keeps the first error.
type writer struct {
	out io.Writer
	err error
}

func (w *writer) say(depth int, format string, args ...any) {
	_, err := fmt.Fprintf(w.out, "%*s%s\n", 2*depth, "", fmt.Sprintf(format, args...))
	if w.err == nil {
		w.err = err
	}
}
