// Package front is imapd and pop3d as clients meet them: it accepts connections, speaks TLS, answers what may be said before a
// login, carries SASL messages between the client and authd without judging them, and hands the session, once authd has
// opened one, to the user's session process: from then on it copies octets.
//
// Clients are hostile: until they have logged in they get little memory, little time and few tries. authd is trusted in who has
// logged in, and to be there again soon when it is away. The session process belongs to the user and is believed nothing.
package front

import (
	"context"
	"net"
	"os"
	"sync/atomic"
	"time"

	"postrider/internal/auth"
	"postrider/internal/config"
	"postrider/internal/listen"
	"postrider/internal/logline"
	"postrider/internal/roster"
)

// Limits of a client that has not logged in, besides those of the configuration.
const (
	maxFailures = 5   // failed logins
	maxCommands = 100 // commands in all
	maxBad      = 10  // of these, such as make no sense
	maxLater    = 10  // logins that could not be checked or led to no session

	maxExchanges     = 256              // logins in progress, of all clients
	exchangePatience = 10 * time.Second // of a login that waits for its turn
	responseTime     = 10 * time.Second // for a response to a challenge, which programs give at once
)

// Authenticator is authd; auth.Client does it.
type Authenticator interface {
	Start(ctx context.Context, r auth.Request) Exchange
	Mechanisms(ctx context.Context) ([]string, error)
}

// Exchange is a login in progress; see auth.Exchange.
type Exchange interface {
	Step(response []byte) (challenge []byte, done bool, user auth.User, err error)
	Open(ctx context.Context, s auth.Session, file *os.File) (pid int, err error)
	Abort()
}

// Deps is what a server needs of the world.
type Deps struct {
	Auth     Authenticator
	Roster   *roster.Roster
	Log      *logline.Logger
	Identity func() *listen.Identity // asked for each handshake; a nil result: no TLS
}

// Protocol is what the two services differ in.
type Protocol struct {
	name    string // as authd and the log have it; the sockets are name, name+"s" and name+".ctl"
	begin   func(*connection) dialogue
	refusal func(text string) []byte // what a client is told that is turned away
}

// dialogue is what is said before a login, on a connection as it is now; after STARTTLS there is another.
type dialogue interface {
	greet()
	// run answers commands until a session has been opened (nil), until the client wants TLS, for which all has been answered
	// (errStartTLS), or until the connection is to end.
	run() error
	bye(text string)
	// ahead is what the client has sent already for the session.
	ahead() []byte
}

// Server serves any number of connections. Its methods may be called at any time.
type Server struct {
	protocol *Protocol
	deps     Deps
	conf     atomic.Pointer[config.Front]
	offer    auth.Offer
	places   *auth.Places
	warned   listen.Seldom // of logins that could not be checked
}

// New returns a server with a configuration that has passed its checks.
func New(p *Protocol, conf config.Front, d Deps) *Server {
	s := &Server{protocol: p, deps: d, places: auth.NewPlaces(maxExchanges, exchangePatience)}
	s.Configure(conf)
	return s
}

// Configure replaces the configuration for connections that begin from now on.
func (s *Server) Configure(conf config.Front) { s.conf.Store(&conf) }

// Serve holds one connection; the caller closes it. Its addresses are those of the client, whatever proxy is between. When
// ctx ends, a client that has not logged in is sent away; a session goes on.
func (s *Server) Serve(ctx context.Context, conn net.Conn, implicitTLS bool) {
	c := newConnection(ctx, s, conn)
	stop := context.AfterFunc(ctx, c.wire.interrupt)
	defer stop()
	defer func() { c.place.Leave() }()
	if opened := c.login(implicitTLS); opened != nil {
		c.connect(opened)
	}
}

// Refusal is what a client that is one too many is told.
func (s *Server) Refusal(why listen.Refusal) []byte {
	if why == listen.TooManyOfClient {
		return s.protocol.refusal("Too many connections from your address.")
	}
	return s.protocol.refusal("Too many connections.")
}
