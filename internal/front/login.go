package front

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"postrider/internal/auth"
	"postrider/internal/control"
	"postrider/internal/logline"
)

// errPlaces is a login of a user who has as many sessions as may be.
var errPlaces = errors.New("too many sessions")

// attempt is a login that a client wants.
type attempt struct {
	mechanism string // in upper case
	user      string // who it says it is; empty if that is the mechanism's secret
	initial   []byte // nil: none
	tag       string // of the command, which the session will answer
	// respond has the client answer a challenge. Its errors end the attempt and are the dialogue's own.
	respond auth.Respond
}

// plain is a user and a password as an attempt by PLAIN (RFC 4616).
func plain(user, password string) (attempt, bool) {
	return attempt{mechanism: "PLAIN", user: user, initial: []byte("\x00" + user + "\x00" + password)},
		!strings.ContainsRune(user+password, 0)
}

// mechanisms are those that the client may use.
func (c *connection) mechanisms() []string {
	if !c.mayLogin() {
		return nil
	}
	return c.server.offer.List(c.ctx, c.server.deps.Auth, c.bindings())
}

// offered says whether a mechanism may be used.
func (c *connection) offered(mechanism string) bool {
	return c.server.offer.Has(c.ctx, c.server.deps.Auth, c.bindings(), mechanism)
}

func (c *connection) bindings() []auth.Binding {
	if c.tls == nil {
		return nil
	}
	return c.tls.bindings
}

// opened is a session that authd has opened.
type opened struct {
	conn  *net.UnixConn // to the session process
	pid   int
	ahead []byte // what the client sent already
}

// attempt carries out a login. After nil there is a session, which owes the client its answer. The error is auth.ErrRefused,
// auth.ErrLater, auth.ErrInUse, errPlaces, or one of a.respond.
func (c *connection) attempt(a attempt) error {
	c.tally.method, c.tally.user = a.mechanism, loggable(a.user)
	err := c.prove(a)
	if errors.Is(err, auth.ErrLater) {
		c.tally.later++
	}
	return err
}

// prove has authd check who it is, and open the session.
func (c *connection) prove(a attempt) error {
	initial, respond, err := auth.Collect(a.mechanism, a.initial, c.asked(a.respond))
	if err != nil {
		return err
	}
	place, ok := c.server.places.Take(c.ctx, c.remote)
	if !ok {
		c.warn("login refused: too many are in progress")
		return auth.ErrLater
	}
	defer place.Leave()
	request := auth.Request{
		Service: c.server.protocol.name, Mechanism: a.mechanism, Initial: initial, Bindings: c.bindings(),
		RemoteIP: ipText(c.remote), LocalIP: ipText(c.local), Session: true,
	}
	if c.tls != nil {
		request.TLS = c.tls.version
	}
	x := c.server.deps.Auth.Start(c.ctx, request)
	defer x.Abort()
	user, err := c.exchange(x, respond)
	if err != nil {
		return err
	}
	place.LoggedIn()
	if c.opened, err = c.open(x, user, a.tag); err != nil {
		c.tally.proven++
	}
	return err
}

// warn logs what anybody can bring about, and seldom.
func (c *connection) warn(format string, args ...any) {
	c.server.warned.Warn(c.server.deps.Log, ipText(c.remote)+": "+format, args...)
}

// asked notes that the client has still to answer, while it has.
func (c *connection) asked(respond auth.Respond) auth.Respond {
	return func(challenge []byte) ([]byte, error) {
		c.tally.pending = true
		response, err := respond(challenge)
		c.tally.pending = err != nil
		return response, err
	}
}

// hurried has the client answer in the time that a program takes.
func (c *connection) hurried(respond auth.Respond, challenge []byte) ([]byte, error) {
	if err := c.wire.limit(c.within(responseTime)); err != nil {
		return nil, err
	}
	response, err := respond(challenge)
	if limited := c.wire.limit(c.until); err == nil {
		err = limited
	}
	return response, err
}

// exchange carries messages until authd has decided.
func (c *connection) exchange(x Exchange, respond auth.Respond) (auth.User, error) {
	var response []byte
	for {
		challenge, done, user, err := x.Step(response)
		switch {
		case errors.Is(err, auth.ErrRefused):
			c.tally.failed++
			return user, err
		case err != nil:
			c.warn("login cannot be checked: %v", err)
			return user, err
		case done:
			return user, nil
		}
		if response, err = c.hurried(respond, challenge); err != nil {
			return user, err
		}
	}
}

// open gives the user a place and has authd connect a session process.
func (c *connection) open(x Exchange, user auth.User, tag string) (*opened, error) {
	c.tally.user = user.Name
	var ok bool
	if c.place, ok = c.server.deps.Roster.Admit(c.entry(user), c.remote, c.conf.MaxPerUser); !ok {
		c.server.deps.Log.Warn("%s: %s has too many sessions (max_per_user)", ipText(c.remote), user.Name)
		return nil, errPlaces
	}
	conn, pid, err := c.join(x, tag)
	if err != nil {
		c.place.Leave()
		if !errors.Is(err, auth.ErrInUse) {
			c.server.deps.Log.Warn("%s: session of %s: %v", ipText(c.remote), user.Name, err)
		}
		return nil, err
	}
	c.server.deps.Log.Log(logline.Opened{Visit: c.visit(), PID: pid})
	return &opened{conn: conn, pid: pid}, nil
}

// join has authd hand one end of a pair of sockets to the session process, and returns the other.
func (c *connection) join(x Exchange, tag string) (*net.UnixConn, int, error) {
	near, far, err := socketPair()
	if err != nil {
		return nil, 0, fmt.Errorf("%w: %w", auth.ErrLater, err)
	}
	defer far.Close()
	pid, err := x.Open(c.ctx, auth.Session{ID: c.id, Tag: tag}, far)
	if err != nil {
		near.Close()
		return nil, 0, err
	}
	return near, pid, nil
}

// socketPair is a connection with itself: one end to be used, and one to be given away.
func socketPair() (near *net.UnixConn, far *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("socketpair: %w", err)
	}
	own, far := os.NewFile(uintptr(fds[0]), "session"), os.NewFile(uintptr(fds[1]), "session")
	defer own.Close() // FileConn works on a copy
	conn, err := net.FileConn(own)
	if err != nil {
		far.Close()
		return nil, nil, fmt.Errorf("socketpair: %w", err)
	}
	return conn.(*net.UnixConn), far, nil
}

// entry is the session as others see it.
func (c *connection) entry(user auth.User) control.Session {
	return control.Session{ID: c.id, Service: c.server.protocol.name, User: user.Name, UID: user.UID,
		Address: ipText(c.remote), TLS: c.tls != nil, Since: time.Now()}
}

// What a name in the log may be made of, and how long it may be.
const (
	nameOctets = "abcdefghijklmnopqrstuvwxyz0123456789._+-"
	maxName    = 255
)

// loggable is what may be shown of the name in a login that does not hold, or "". Somebody may have typed a password where the name
// belongs: so it must be an address, or begin with a lower-case letter and have nothing but nameOctets.
func loggable(name string) string {
	local, domain, isAddress := strings.Cut(name, "@")
	text := local
	if isAddress {
		text = strings.ToLower(local + domain)
	}
	switch {
	case local == "" || len(name) > maxName || strings.Trim(text, nameOctets) != "":
		return ""
	case isAddress && !strings.Contains(domain, ".") || !isAddress && (local[0] < 'a' || local[0] > 'z'):
		return ""
	}
	return name
}

var _ Exchange = (*auth.Exchange)(nil)

// Authd is authd as a server sees it.
type Authd struct{ *auth.Client }

// Start implements Authenticator.
func (a Authd) Start(ctx context.Context, r auth.Request) Exchange { return a.Client.Start(ctx, r) }
