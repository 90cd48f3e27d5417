package itinerary

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"postrider/internal/address"
	"postrider/internal/envelope"
	"postrider/internal/hop"
	"postrider/internal/nexthop"
	"postrider/internal/relayd"
	"postrider/internal/reply"
	"postrider/internal/table"
)

// remote says where a recipient of another host goes next.
func (g *guide) remote(ctx context.Context, depth int, a address.Address) {
	way, err := g.router.Hop(&envelope.Recipient{Addr: a, Via: envelope.Remote}, g.envelope())
	if err != nil {
		g.later(depth, "%v", err)
		return
	}
	h := way.Hop
	g.say(depth, "Next hop: %s, %s.", words(h), g.why(a))
	if h.Kind == hop.Discard {
		return
	}
	if g.shown[h.String()] {
		g.say(depth, "That is described above.")
		return
	}
	g.shown[h.String()] = true
	hosts, err := g.Finder.Find(ctx, h)
	if err != nil {
		g.nowhere(depth, way, err)
		return
	}
	for _, x := range hosts {
		g.host(depth+1, h, x)
	}
	g.demands(depth, h)
}

// words describe a hop.
func words(h hop.Hop) string {
	port := ""
	if h.Port != 0 {
		port = fmt.Sprintf(", port %d", h.Port)
	}
	switch {
	case h.Kind == hop.Error:
		return "none"
	case h.Kind == hop.Discard:
		return "none, the mail is thrown away and nobody is told"
	case h.Path != "":
		return "the LMTP server at " + h.Path
	case h.Kind == hop.LMTP:
		return "the LMTP server on " + h.Host + port
	case h.Kind == hop.SMTPS:
		return "the host " + h.Host + port + " with TLS from the first octet"
	case h.ByMX:
		return "the mail exchangers of " + h.Host + port
	}
	return "the host " + h.Host + port
}

// why says what the router went by.
func (g *guide) why(a address.Address) string {
	line, found, err := g.tables.Transport.Match(a, g.envelope().From.Addr.IsNull())
	switch {
	case err != nil:
		return "but the transport table cannot be read"
	case found && !line.Default:
		return fmt.Sprintf("by %s:%d (%s)", line.File, line.Line, line.Pattern)
	case g.Config.Relayd.Relayhost != "":
		return "by relayd.relayhost" + exception(line, found)
	}
	return "by the domain" + exception(line, found)
}

// exception tells of a line that takes an address out of the table.
func exception(line table.Route, found bool) string {
	if !found {
		return ""
	}
	return fmt.Sprintf(", as if the transport table had no line (%s:%d)", line.File, line.Line)
}

func (g *guide) later(depth int, format string, args ...any) {
	g.say(depth, "It would wait: "+format+".", args...)
	g.worse(exitTempFail)
}

// nowhere says what becomes of mail for which there is no host. What the administrator has configured returns no mail.
func (g *guide) nowhere(depth int, way relayd.Way, err error) {
	var r *reply.Reply
	switch {
	case !errors.As(err, &r):
		g.later(depth, "%v", err)
	case r.Permanent() && (way.Derived || way.Hop.Kind == hop.Error):
		g.say(depth, "It would be returned to the sender: %s %s.", r.Status(), strings.TrimSuffix(r.Text, "."))
		g.worse(exitUnavailable)
	default:
		g.later(depth, "%s %s", r.Status(), strings.TrimSuffix(r.Text, "."))
	}
}

// host lists a host with its preference and addresses.
func (g *guide) host(depth int, h hop.Hop, x nexthop.Host) {
	if h.Path != "" {
		return
	}
	preference := ""
	if h.ByMX {
		preference = fmt.Sprintf("%d ", x.Preference)
	}
	g.say(depth, "%s%s port %d: %s", preference, x.Name, x.Port, addresses(x.Addrs))
}

func addresses(list []netip.Addr) string {
	var words []string
	for _, ip := range list {
		words = append(words, ip.String())
	}
	return strings.Join(words, ", ")
}

// unread are logins that this user may not see.
type unread struct{}

func (unread) Lookup(hop.Hop) (string, string, bool, error) { return "", "", false, nil }

// demands says what a connection has to fulfil.
func (g *guide) demands(depth int, h hop.Hop) {
	demands, err := g.router.Demands(h)
	hidden := errors.Is(err, table.ErrUnavailable)
	if hidden {
		router := *g.router
		router.Logins = unread{}
		demands, err = router.Demands(h)
	}
	if err != nil {
		g.later(depth, "%v", err)
		return
	}
	if h.Path == "" {
		g.say(depth, "TLS: %s, %s.", demands.Level, levels[demands.Level])
	}
	switch {
	case hidden:
		g.say(depth, "Login: only root and pr-relay may know; with one, TLS is verified unless tls_policy says otherwise.")
	case demands.User != "":
		g.say(depth, "Login: as %s, by %s.", demands.User, g.Config.Tables.RelayAuth)
	}
}

// levels of TLS in words.
var levels = map[string]string{
	"none":      "it is not used",
	"may":       "if the host offers it, and whoever answers is believed",
	"encrypt":   "or no mail is sent, and whoever answers is believed",
	"verify":    "or no mail is sent, for the name that is configured",
	"verify-mx": "or no mail is sent, for the name of the host",
}
