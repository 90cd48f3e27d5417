package authd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"postrider/internal/auth"
	"postrider/internal/listen"
)

// Limits of the socket.
const (
	maxConnections  = 1024
	maxPerFront     = 768 // of one uid, so that one front cannot shut out the others
	maxBindings     = 4
	maxSteps        = 6                // client messages in one exchange
	idleTimeout     = 10 * time.Minute // between two questions
	exchangeTimeout = 5 * time.Minute  // for the remote client's next message (RFC 5321 §4.5.3.2.7)
	writeTimeout    = 10 * time.Second
	whoTimeout      = 20 * time.Second
	drainTimeout    = 10 * time.Second // for exchanges in progress at the end
	provenTimeout   = 30 * time.Second // from a login to its session
)

// Socket is the name of the listening socket in LISTEN_FDNAMES.
const Socket = "auth"

// services are what a front may call itself; passwords can be limited to them.
var services = []string{"smtp", "imap", "pop3"}

// Server answers the auth socket.
type Server struct {
	turns    *throttle
	verifier atomic.Pointer[verifier]
	sessions Sessions
}

// New returns a server that hands connections to sessions.
func New(s Settings, sessions Sessions) *Server {
	srv := &Server{turns: newThrottle(0, 0), sessions: sessions}
	srv.Configure(s)
	return srv
}

// Configure replaces the settings. Exchanges that have begun end under the old ones; failures are remembered.
func (s *Server) Configure(settings Settings) { s.verifier.Store(newVerifier(settings, s.turns)) }

// Serve answers connections until ctx is done. Then it lets exchanges in progress end, for a bounded time. It closes the
// listeners.
func (s *Server) Serve(ctx context.Context, log Logger, listeners []net.Listener) error {
	l := listen.NewServer(log, listen.Limits{Connections: maxConnections, PerClient: maxPerFront}, drainTimeout)
	return l.Serve(ctx, []listen.Service{{Name: Socket, Listeners: listeners, Handle: s.handle, Refusal: refusal}})
}

// refusal is what a client hears that is one too many.
func refusal(why listen.Refusal) []byte { return auth.NewLine(auth.Later, why.String()).Append(nil) }

// handle serves a connection. The end of ctx ends it between two exchanges, or drainTimeout later in any state.
func (s *Server) handle(ctx context.Context, nc net.Conn) {
	log := s.verifier.Load().Log
	peer, err := listen.PeerCred(nc)
	if err != nil {
		log.Error("auth: %v", err)
		return
	}
	uc, ok := nc.(*net.UnixConn)
	if !ok {
		log.Error("auth: not a Unix socket")
		return
	}
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(drainTimeout, cancel) })()
	c := &connection{server: s, conn: auth.NewConn(uc), uid: peer.UID}
	defer c.conn.Discard()
	if err := c.serve(ctx, work); errors.Is(err, auth.ErrSyntax) {
		log.Warn("auth: connection of uid %d: %v", peer.UID, err)
	}
}

// connection is one client of the socket.
type connection struct {
	server *Server
	conn   *auth.Conn
	uid    uint32
}

// serve answers questions one after the other. The error is why it stopped. A login is remembered until the next question.
func (c *connection) serve(stopping, work context.Context) error {
	var last *proof
	for {
		question, err := c.next(stopping)
		if err != nil {
			return err
		}
		v := c.server.verifier.Load()
		proven := last
		last = nil
		switch question.Verb {
		case auth.Who:
			err = c.who(work, v, question.Words[0])
		case auth.Mechanisms:
			err = c.mechanisms(v)
		case auth.Auth:
			last, err = c.login(work, v, question)
		case auth.Begin:
			err = c.session(work, v, proven, question)
		default:
			err = fmt.Errorf("%w: %s is no question", auth.ErrSyntax, question.Verb)
		}
		if err != nil {
			return err
		}
	}
}

// next waits for the next question, or until the server stops.
func (c *connection) next(stopping context.Context) (auth.Line, error) {
	if err := c.conn.SetReadDeadline(time.Now().Add(idleTimeout)); err != nil {
		return auth.Line{}, err
	}
	release := context.AfterFunc(stopping, func() { c.conn.SetReadDeadline(time.Unix(1, 0)) })
	defer release()
	l, err := c.conn.ReadLine()
	if err != nil {
		return auth.Line{}, err
	}
	return l, c.checkFiles(l)
}

// checkFiles sees to it that descriptors come with the lines that they belong to. Whatever came until now came with this line:
// who asks on before the answer, with a descriptor, has lost count.
func (c *connection) checkFiles(l auth.Line) error {
	want := 0
	if l.Verb == auth.Begin {
		want = 1
	}
	if n := c.conn.Files(); n != want {
		return fmt.Errorf("%w: %s with %d descriptors", auth.ErrSyntax, l.Verb, n)
	}
	return nil
}

func (c *connection) write(l auth.Line) error {
	if err := c.conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	return c.conn.WriteLine(l, nil)
}

func (c *connection) who(ctx context.Context, v *verifier, name string) error {
	ctx, cancel := context.WithTimeout(ctx, whoTimeout)
	defer cancel()
	u, ok, err := v.who(ctx, name)
	switch {
	case err != nil:
		v.Log.Warn("auth: who: %v", err)
		return c.write(auth.NewLine(auth.Later, "lookup failed"))
	case !ok:
		return c.write(auth.NewLine(auth.No))
	}
	return c.write(u.Line())
}

func (c *connection) mechanisms(v *verifier) error {
	list, err := v.mechanisms()
	if err != nil {
		v.Log.Warn("auth: mechanisms: %v", err)
		return c.write(auth.NewLine(auth.Later, "lookup failed"))
	}
	return c.write(auth.NewLine(auth.OK).With("list", strings.Join(list, " ")))
}

// login runs one exchange to its end. It returns the login that holds, if it is one that may open a session.
func (c *connection) login(ctx context.Context, v *verifier, question auth.Line) (*proof, error) {
	a, bindings, err := c.attempt(question)
	if err != nil {
		return nil, err
	}
	m := newMechanism(v, a, bindings)
	if m == nil {
		return nil, c.write(auth.NewLine(auth.No))
	}
	var message []byte
	if ir, ok := question.Get("ir"); ok {
		message = []byte(ir)
	}
	for range maxSteps {
		challenge, user, err := m.next(ctx, message)
		switch {
		case errors.Is(err, errRefused):
			return nil, c.write(auth.NewLine(auth.No))
		case err != nil:
			return nil, c.write(auth.NewLine(auth.Later, err.Error()))
		case user != nil:
			return proofOf(a, *user), c.write(user.Line())
		}
		if err := c.write(auth.NewLine(auth.Cont, string(challenge))); err != nil {
			return nil, err
		}
		if message, err = c.response(); err != nil {
			return nil, err
		}
		if message == nil {
			return nil, c.write(auth.NewLine(auth.No)) // abort
		}
	}
	return nil, c.write(auth.NewLine(auth.No))
}

// response reads the client's next message, nil if it gives up.
func (c *connection) response() ([]byte, error) {
	if err := c.conn.SetReadDeadline(time.Now().Add(exchangeTimeout)); err != nil {
		return nil, err
	}
	l, err := c.conn.ReadLine()
	if err == nil {
		err = c.checkFiles(l)
	}
	if err != nil {
		return nil, err
	}
	switch l.Verb {
	case auth.Cont:
		return []byte(l.Words[0]), nil
	case auth.Abort:
		return nil, nil
	}
	return nil, fmt.Errorf("%w: %s inside an exchange", auth.ErrSyntax, l.Verb)
}

// attempt reads what the front says about the login.
func (c *connection) attempt(question auth.Line) (attempt, []auth.Binding, error) {
	a := attempt{service: question.Words[0], mechanism: question.Words[1], peer: c.uid}
	if !slices.Contains(services, a.service) {
		return a, nil, fmt.Errorf("%w: unknown service %.20q", auth.ErrSyntax, a.service)
	}
	var err error
	if a.remote, err = addressOf(question, "rip"); err != nil {
		return a, nil, err
	}
	if a.local, err = addressOf(question, "lip"); err != nil {
		return a, nil, err
	}
	_, a.tls = question.Get("tls")
	var bindings []auth.Binding
	for _, p := range question.Pairs {
		if p.Key != "cb" {
			continue
		}
		kind, data, _ := strings.Cut(p.Value, ":")
		bindings = append(bindings, auth.Binding{Type: kind, Data: []byte(data)})
	}
	if len(bindings) > maxBindings {
		return a, nil, fmt.Errorf("%w: %d channel bindings", auth.ErrSyntax, len(bindings))
	}
	return a, bindings, nil
}

// addressOf reads an IP address; a missing or empty one is not valid and no error.
func addressOf(l auth.Line, key string) (netip.Addr, error) {
	s, _ := l.Get(key)
	if s == "" {
		return netip.Addr{}, nil
	}
	ip, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("%w: bad %s", auth.ErrSyntax, key)
	}
	return ip.Unmap(), nil
}
