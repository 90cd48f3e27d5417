package smtpd

import (
	"context"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"postrider/internal/address"
	"postrider/internal/auth"
	"postrider/internal/config"
	"postrider/internal/envelope"
	"postrider/internal/listen"
	"postrider/internal/logline"
	"postrider/internal/route"
	"postrider/internal/table"
)

// Spool takes messages. Its errors are temporary failures; spool.ErrFull is told apart.
type Spool interface {
	// Create begins a message, fills in the envelope's ID and time, and fails at once if there is no room. With low the
	// lower disk mark is good enough.
	Create(env *envelope.Envelope, low bool) (Message, error)
}

// Message is a queue file that is being written, in wire form.
type Message interface {
	ID() string
	Write([]byte) (int, error)
	Commit() error // durable and on its way; after an error nothing is left
	Abort()        // drops it; nothing after Commit
}

// Resolver says what becomes of addresses; route.Resolver is one.
type Resolver interface {
	Kind(domain string) (table.DomainKind, error)
	Resolve(ctx context.Context, a address.Address) (route.Result, error)
}

// Authenticator is authd; auth.Client does it.
type Authenticator interface {
	Start(ctx context.Context, r auth.Request) Exchange
	Mechanisms(ctx context.Context) ([]string, error)
}

// Exchange is a login in progress; see auth.Exchange.
type Exchange interface {
	Step(response []byte) (challenge []byte, done bool, user auth.User, err error)
	Abort()
}

// Namer finds the verified host name of an address, or "unknown", and takes a bounded time for it.
type Namer interface {
	Name(ctx context.Context, ip netip.Addr) string
}

// Deps is what a server needs of the world.
type Deps struct {
	Spool    Spool
	Auth     Authenticator // nil: no AUTH
	Names    Namer         // nil: no client names
	Log      *logline.Logger
	Identity func() *listen.Identity         // asked for each handshake; nil, or a nil result: no TLS
	Login    func(uid uint32) (string, bool) // name of a uid of this host; nil: none
	Now      func() time.Time                // clock of Received and Date; nil: time.Now
}

// Server serves any number of connections. Its methods may be called at any time.
type Server struct {
	deps     Deps
	settings atomic.Pointer[settings]
	offer    auth.Offer
	places   *auth.Places
	warned   listen.Seldom // of logins that could not be checked
}

// maxExchanges bounds the logins in progress. Each has a connection to authd, of which the other questions need some, too.
const maxExchanges = 256

// exchangePatience is how long a login waits for its turn.
const exchangePatience = 10 * time.Second

// New returns a server with a configuration that has passed its checks.
func New(c *config.Config, r Resolver, d Deps) *Server {
	if d.Now == nil {
		d.Now = time.Now
	}
	s := &Server{deps: d, places: auth.NewPlaces(maxExchanges, exchangePatience)}
	s.Configure(c, r)
	return s
}

// Configure replaces the configuration, and the resolver that follows it, for sessions that begin from now on; running ones
// keep theirs.
func (s *Server) Configure(c *config.Config, r Resolver) { s.settings.Store(newSettings(c, r)) }

// Serve holds one session; the caller closes the connection. Its addresses are those of the client, whatever proxy is between;
// uid is that of the process at the other end of a Unix socket, or envelope.NoUID. When ctx ends, the session finishes the
// command or message that it is at, and answers 421.
func (s *Server) Serve(ctx context.Context, conn net.Conn, service string, uid int64) {
	w := &wire{conn: conn}
	stop := context.AfterFunc(ctx, w.interrupt)
	defer stop()
	newSession(context.WithoutCancel(ctx), s, w, service, uid).run()
}

// Refusal is what a client that is one too many is told; nothing where TLS would come first.
func (s *Server) Refusal(service string, why listen.Refusal) []byte {
	conf := s.settings.Load()
	if conf.service(service).TLS == implicitTLS {
		return nil
	}
	r := endConnections
	if why == listen.TooManyOfClient {
		r = endClient
	}
	return r.Append(nil)
}
