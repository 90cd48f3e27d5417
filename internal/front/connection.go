package front

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"postrider/internal/auth"
	"postrider/internal/config"
	"postrider/internal/listen"
	"postrider/internal/logline"
	"postrider/internal/roster"
)

// handshakeTimeout bounds a TLS handshake; the time for the login bounds it, too.
const handshakeTimeout = 20 * time.Second

// sessionIDLength is how much of 130 random bits makes an id: 80 of them.
const sessionIDLength = 16

// connection is one client's, until its session is over. What is said on it before a login is a dialogue's.
type connection struct {
	server        *Server
	conf          *config.Front
	ctx           context.Context // ends when the daemon is to end
	wire          *wire
	id            string
	remote, local netip.Addr // invalid over a Unix socket
	trusted       bool       // a client of this host
	until         time.Time  // when it must have logged in
	tls           *security  // nil in clear
	tally         tally
	place         *roster.Place // nil until the client has logged in
	opened        *opened       // nil until a session has been opened
}

// security is what is known of a TLS connection.
type security struct {
	version  string // TLSv1.3
	bindings []auth.Binding
}

func newConnection(ctx context.Context, s *Server, conn net.Conn) *connection {
	conf := s.conf.Load()
	c := &connection{
		server: s, conf: conf, ctx: ctx, wire: newWire(conn, conf.LoginTimeout.D()), id: rand.Text()[:sessionIDLength],
		remote: listen.AddressOf(conn.RemoteAddr()), local: listen.AddressOf(conn.LocalAddr()),
	}
	c.tally.began = time.Now()
	c.until = c.tally.began.Add(conf.LoginTimeout.D())
	c.trusted = conn.LocalAddr().Network() == "unix" || c.remote.IsValid() && (c.remote.IsLoopback() || c.remote == c.local)
	return c
}

func ipText(ip netip.Addr) string {
	if !ip.IsValid() {
		return ""
	}
	return ip.String()
}

// mayLogin says whether a password may be sent on the connection as it is.
func (c *connection) mayLogin() bool { return c.tls != nil || c.trusted || c.conf.AllowPlaintext }

// mayStartTLS says whether STARTTLS is on offer.
func (c *connection) mayStartTLS() bool { return c.tls == nil && c.server.deps.Identity() != nil }

// errStartTLS is no error: the dialogue is to go on under TLS, from its beginning.
var errStartTLS = errors.New("STARTTLS")

// ending is why a connection ends without a session.
type ending struct {
	reason string // for the log, without parentheses
	bye    string // for the client; "" = nothing more can be said
}

func (e *ending) Error() string { return e.reason }

// The reasons of this program.
var (
	errLoggedOut   = &ending{"Aborted login by logging out", ""}
	errFailures    = &ending{"Too many failed logins", "Too many failed logins."}
	errLater       = &ending{"Too many temporary failures", "Too many temporary failures."}
	errBad         = &ending{"Too many invalid commands", "Too many invalid commands."}
	errCommands    = &ending{"Too many commands", "Too many commands without a login."}
	errEndless     = &ending{"Input too long", "Input too long."}
	errAhead       = &ending{"Commands sent ahead of STARTTLS", "Nothing may be sent ahead of TLS."}
	errHandshake   = &ending{"TLS handshake failed", ""}
	errInactive    = &ending{"Inactivity", "Disconnected for inactivity."}
	errStopping    = &ending{"Shutting down", "Server is shutting down."}
	errUnreachable = &ending{"Connection closed", ""}
)

// endingOf is the ending that an error of the connection means.
func (c *connection) endingOf(err error) *ending {
	var e *ending
	switch {
	case errors.As(err, &e):
		return e
	case !errors.Is(err, os.ErrDeadlineExceeded):
		return errUnreachable
	case c.wire.interrupted():
		return errStopping
	}
	return errInactive
}

// login sees a client to its session, or else to the end of the connection (nil).
func (c *connection) login(implicitTLS bool) *opened {
	err := c.wire.limit(c.until)
	if err == nil && implicitTLS {
		err = c.handshake()
	}
	if err == nil {
		err = c.converse()
	}
	if err == nil {
		return c.opened
	}
	c.logEnding(c.endingOf(err))
	c.wire.close()
	return nil
}

// converse holds one dialogue after the other. Nothing that was said in one counts in the next.
func (c *connection) converse() error {
	d := c.server.protocol.begin(c)
	d.greet()
	for {
		err := d.run()
		if err == nil {
			c.opened.ahead = d.ahead()
			return nil
		}
		if err != errStartTLS {
			d.bye(c.endingOf(err).bye)
			return err
		}
		if err := c.handshake(); err != nil {
			return err
		}
		d = c.server.protocol.begin(c)
	}
}

// within is the time in d, or that of the login if it is earlier.
func (c *connection) within(d time.Duration) time.Time {
	if t := time.Now().Add(d); t.Before(c.until) {
		return t
	}
	return c.until
}

// handshake puts TLS over the connection.
func (c *connection) handshake() error {
	id := c.server.deps.Identity()
	if id == nil {
		c.tally.handshake = "no certificate"
		return errHandshake
	}
	state, err := c.wire.handshake(id.Config, c.within(handshakeTimeout))
	if err != nil {
		c.tally.handshake = causeOf(err)
		return fmt.Errorf("%w: %w", errHandshake, err)
	}
	c.tls = &security{
		version:  strings.Replace(tls.VersionName(state.Version), "TLS ", "TLSv", 1),
		bindings: auth.Bindings(state, id.Leaf),
	}
	return c.wire.limit(c.until)
}

// causeOf is an error of the connection without its addresses, which the log has already.
func causeOf(err error) string {
	var op *net.OpError
	switch {
	case errors.Is(err, io.EOF):
		return "connection closed"
	case errors.As(err, &op):
		return op.Err.Error()
	}
	return err.Error()
}

// tally is what the log says of a connection's logins.
type tally struct {
	began      time.Time
	method     string // of the last one
	user       string // of the last one, as far as it may be logged
	failed     int    // refused
	proven     int    // of whom no session could be opened
	later      int    // not decided, or no session could be opened for now
	disallowed bool   // in clear, where that is not allowed
	pending    bool   // the client has still to answer a challenge
	handshake  string // why there is no TLS
}

// String is what Dovecot's login processes write in parentheses. Only "auth failed" and "tried to use" say that a client
// guesses or tells passwords; fail2ban looks for them.
func (t *tally) String() string {
	seconds := int(time.Since(t.began).Seconds())
	switch {
	case t.disallowed:
		return "tried to use disallowed plaintext auth"
	case t.failed > 0:
		return fmt.Sprintf("auth failed, %d attempts in %d secs", t.failed, seconds)
	case t.proven > 0:
		return fmt.Sprintf("internal failure, %d successful auths", t.proven)
	case t.later > 0:
		return fmt.Sprintf("auth process communication failure, %d attempts in %d secs", t.later, seconds)
	case t.pending:
		return fmt.Sprintf("client didn't finish SASL auth, waited %d secs", seconds)
	}
	return fmt.Sprintf("no auth attempts in %d secs", seconds)
}

// visit is what all log lines say of the connection.
func (c *connection) visit() logline.Visit {
	v := logline.Visit{Service: c.server.protocol.name, User: c.tally.user, Method: c.tally.method,
		Remote: ipText(c.remote), Local: ipText(c.local), Session: c.id}
	switch {
	case c.tls != nil:
		v.Security = "TLS"
	case c.tally.handshake != "":
		v.Security = "TLS handshaking: " + c.tally.handshake
	case c.trusted:
		v.Security = "secured"
	}
	return v
}

func (c *connection) logEnding(e *ending) {
	c.server.deps.Log.Log(logline.Unopened{Visit: c.visit(), Reason: e.reason, Attempts: c.tally.String()})
}
