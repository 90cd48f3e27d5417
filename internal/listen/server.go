package listen

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

// Limits hold for all services of a server. They are one value, replaced whole by Server.SetLimits; connections that are
// there stay.
type Limits struct {
	Connections    int            // living connections of all services; see limiter.takeTotal for their shares
	PerClient      int            // of these, to one service from one IPv4 address, IPv6 /64 or uid; negative: any number
	PerService     map[string]int // instead of PerClient, by the service's name; 0 = PerClient
	LoopbackFree   bool           // the limits of a client are not for loopback, which may be webmail for all users
	Table          string         // of the configuration, where these are max_connections and max_per_client; "" = none
	ProxyNetworks  []netip.Prefix // connections from here must begin with a PROXY header, which names the client
	ProxyTimeout   time.Duration  // for that header; 0 = 10 s
	RefusalTimeout time.Duration  // to tell a client why it is turned away; 0 = 2 s
}

// perClient is how many connections to a service a client may have; negative: any number.
func (l *Limits) perClient(s slot) int {
	if l.LoopbackFree && s.client.network.Addr().IsLoopback() {
		return -1
	}
	if n := l.PerService[s.service]; n != 0 {
		return n
	}
	return l.PerClient
}

// Refusal is why a client is turned away.
type Refusal int

const (
	TooManyConnections Refusal = iota // of all clients
	TooManyOfClient                   // of this one
)

func (r Refusal) String() string {
	if r == TooManyOfClient {
		return "too many connections of this client"
	}
	return "too many connections"
}

// setting is where an administrator may allow more.
func (r Refusal) setting(table string) string {
	switch {
	case table == "":
		return ""
	case r == TooManyOfClient:
		return " (" + table + ".max_per_client)"
	}
	return " (" + table + ".max_connections)"
}

// Service is what is done with the connections of some listeners.
type Service struct {
	Name      string // as in LISTEN_FDNAMES
	Listeners []net.Listener
	// Handle serves a connection, which is closed when it returns. The end of ctx asks it to come to an end (drain).
	Handle func(ctx context.Context, c net.Conn)
	// Refusal is what to say to a client that is turned away, with line ends; nil where nothing can be said (TLS first).
	Refusal func(Refusal) []byte
}

// Logger takes what an administrator should know.
type Logger interface {
	Warn(format string, args ...any)
}

// Server accepts connections, counts them, and hands each to the handler of its service.
type Server struct {
	Log          Logger
	DrainTimeout time.Duration // how long handlers may take to end after ctx; then their connections are closed
	Drained      func()        // called at that time, if handlers are left; nil = nothing

	limits   atomic.Pointer[Limits]
	living   limiter
	refusals chan struct{} // one token for each refusal that is being said

	refused    Seldom // warnings of clients turned away
	headerless Seldom // and of proxies without a good header

	mu    sync.Mutex
	conns map[net.Conn]struct{}
}

// maxRefusals bounds the refusals that are being said at the same time; more clients are turned away without a word.
const maxRefusals = 32

// closeGrace is how long Serve waits for handlers whose connections have been closed.
const closeGrace = 5 * time.Second

// NewServer returns a server with these limits.
func NewServer(log Logger, limits Limits, drainTimeout time.Duration) *Server {
	s := &Server{
		Log: log, DrainTimeout: drainTimeout,
		refusals: make(chan struct{}, maxRefusals), conns: make(map[net.Conn]struct{}),
	}
	s.SetLimits(limits)
	return s
}

// SetLimits replaces the limits; it may be called at any time.
func (s *Server) SetLimits(limits Limits) {
	if limits.ProxyTimeout == 0 {
		limits.ProxyTimeout = 10 * time.Second
	}
	if limits.RefusalTimeout == 0 {
		limits.RefusalTimeout = 2 * time.Second
	}
	s.limits.Store(&limits)
}

// ErrHandlersLeft is returned by Serve if handlers did not end though their connections were closed.
var ErrHandlersLeft = errors.New("listen: sessions did not end")

// Serve serves until ctx ends, and then drains: it stops accepting, waits DrainTimeout for the handlers, and closes what
// is left. Trouble in accepting never ends it. The listeners are closed when it returns.
func (s *Server) Serve(ctx context.Context, services []Service) error {
	var accepting, handling sync.WaitGroup
	for _, service := range services {
		for _, l := range service.Listeners {
			stop := context.AfterFunc(ctx, func() { l.Close() })
			defer stop()
			accepting.Go(func() { s.accept(ctx, l, service, &handling) })
		}
	}
	<-ctx.Done()
	accepting.Wait()

	handled := make(chan struct{})
	go func() { handling.Wait(); close(handled) }()
	if waitFor(handled, s.DrainTimeout) {
		return nil
	}
	if s.Drained != nil {
		s.Drained()
	}
	s.closeConnections()
	if waitFor(handled, closeGrace) {
		return nil
	}
	return ErrHandlersLeft
}

func waitFor(done <-chan struct{}, timeout time.Duration) bool {
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
		return false
	}
}

func (s *Server) closeConnections() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.Close()
	}
}

// accept hands connections of one listener out until ctx ends.
func (s *Server) accept(ctx context.Context, l net.Listener, service Service, handling *sync.WaitGroup) {
	trouble := newTrouble(s.Log, service.Name)
	for ctx.Err() == nil {
		c, err := l.Accept()
		if err != nil {
			trouble.wait(ctx, err)
			continue
		}
		trouble.over()
		handling.Go(func() { s.serve(ctx, c, service) })
	}
}

// serve sees one connection through to its close.
func (s *Server) serve(ctx context.Context, c net.Conn, service Service) {
	defer c.Close()
	limits := s.limits.Load()
	if refused, why := s.admit(ctx, c, service, limits); refused != nil {
		s.refuse(refused, service, why, limits)
	}
}

// admit counts a connection, finds its client, hands it over, and takes all of that back. It returns the connection if
// that is to be refused.
func (s *Server) admit(ctx context.Context, c net.Conn, service Service, limits *Limits) (refused net.Conn, why Refusal) {
	_, unix := c.(*net.UnixConn)
	if !s.living.takeTotal(service.Name, unix, limits.Connections) {
		return c, TooManyConnections
	}
	defer s.living.giveTotal(service.Name, unix)

	s.track(c)
	defer s.untrack(c)

	conn, err := readProxyHeader(c, limits.ProxyNetworks, limits.ProxyTimeout)
	if err != nil {
		s.headerless.Warn(s.Log, "%s: %v", service.Name, err)
		return nil, 0
	}
	who := slot{service: service.Name, client: clientOf(conn)}
	if !s.living.take(who, limits.perClient(who)) {
		return conn, TooManyOfClient
	}
	defer s.living.give(who)

	s.handle(ctx, conn, service)
	return nil, 0
}

// handle keeps a fault in the handling of one connection from ending all others.
func (s *Server) handle(ctx context.Context, c net.Conn, service Service) {
	defer func() {
		if fault := recover(); fault != nil {
			s.Log.Warn("%s: session of %v ended by a fault: %v\n%s", service.Name, c.RemoteAddr(), fault, debug.Stack())
		}
	}()
	service.Handle(ctx, c)
}

func (s *Server) track(c net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns[c] = struct{}{}
}

func (s *Server) untrack(c net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}

// refuse says why, if few enough are being told so at this moment, and not for longer than the timeout.
func (s *Server) refuse(c net.Conn, service Service, why Refusal, limits *Limits) {
	s.refused.Warn(s.Log, "%s: %v refused: %v%s", service.Name, clientOf(c), why, why.setting(limits.Table))
	if service.Refusal == nil {
		return
	}
	select {
	case s.refusals <- struct{}{}:
		defer func() { <-s.refusals }()
	default:
		return
	}
	if err := c.SetDeadline(time.Now().Add(limits.RefusalTimeout)); err != nil {
		return
	}
	if _, err := c.Write(service.Refusal(why)); err != nil {
		return
	}
	half, ok := Base(c).(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	// Closing with unread input would send a reset, which can overtake the words.
	unread := make([]byte, 512)
	for range 8 {
		if _, err := c.Read(unread); err != nil {
			return
		}
	}
}
