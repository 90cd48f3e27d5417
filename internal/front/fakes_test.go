package front

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"postrider/internal/auth"
	"postrider/internal/config"
	"postrider/internal/listen"
	"postrider/internal/logline"
	"postrider/internal/roster"
	"postrider/internal/session/handover"
	"postrider/internal/sockettest"
)

// patience is how long a test waits for what must come.
const patience = 20 * time.Second

// authd is an Authenticator that knows passwords by users and gives their sessions to the test.
type authd struct {
	mu         sync.Mutex
	away       bool
	mechanisms []string
	passwords  map[string]string
	refusal    error         // of Open
	opening    chan struct{} // not nil: Open waits until it is closed
	hold       chan struct{} // not nil: a login is decided when it is closed
	requests   []auth.Request
	sessions   chan *session
}

// session is what a session process was handed.
type session struct {
	auth.Session
	*net.UnixConn
	client net.Conn // UnixConn, or the client's own
}

func newAuthd() *authd {
	return &authd{
		mechanisms: []string{"SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN", "LOGIN"},
		passwords:  map[string]string{"alice": "secret", "bob": " two  spaces "},
		sessions:   make(chan *session, 100),
	}
}

func (a *authd) Mechanisms(context.Context) ([]string, error) {
	if a.away {
		return nil, auth.ErrLater
	}
	return a.mechanisms, nil
}

func (a *authd) Start(ctx context.Context, r auth.Request) Exchange {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.requests = append(a.requests, r)
	return &exchange{authd: a, ctx: ctx, request: r}
}

func (a *authd) asked() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.requests)
}

func (a *authd) last() auth.Request {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.requests[len(a.requests)-1]
}

// exchange knows PLAIN, and LOGIN with its two challenges.
type exchange struct {
	authd   *authd
	ctx     context.Context
	request auth.Request
	answers []string
	proven  bool
	aborted bool
}

func (x *exchange) Step(response []byte) ([]byte, bool, auth.User, error) {
	if x.authd.away {
		return nil, true, auth.User{}, fmt.Errorf("%w: away", auth.ErrLater)
	}
	if response == nil {
		response = x.request.Initial
	}
	if response != nil {
		x.answers = append(x.answers, string(response))
	}
	challenges := []string{""}
	if x.request.Mechanism == "LOGIN" {
		challenges = []string{"Username:", "Password:"}
	}
	if n := len(x.answers); n < len(challenges) {
		return []byte(challenges[n]), false, auth.User{}, nil
	}
	if x.authd.hold != nil {
		select {
		case <-x.authd.hold:
		case <-x.ctx.Done():
			return nil, true, auth.User{}, fmt.Errorf("%w: %w", auth.ErrLater, x.ctx.Err())
		}
	}
	user, password := x.answers[0], x.answers[len(x.answers)-1]
	if x.request.Mechanism == "PLAIN" {
		parts := strings.Split(x.answers[0], "\x00")
		if len(parts) != 3 {
			return nil, true, auth.User{}, auth.ErrRefused
		}
		user, password = parts[1], parts[2]
	}
	if want, ok := x.authd.passwords[user]; !ok || want != password {
		return nil, true, auth.User{}, auth.ErrRefused
	}
	x.proven = true
	return nil, true, auth.User{Name: user, UID: 1000, GID: 1000, Home: "/home/" + user}, nil
}

func (x *exchange) Open(_ context.Context, s auth.Session, file *os.File) (int, error) {
	switch {
	case !x.proven || x.aborted:
		return 0, fmt.Errorf("%w: not proven", auth.ErrLater)
	case x.authd.refusal != nil:
		return 0, x.authd.refusal
	}
	if x.authd.opening != nil {
		<-x.authd.opening
	}
	conn, err := net.FileConn(file)
	if err != nil {
		return 0, err
	}
	x.authd.sessions <- &session{Session: s, UnixConn: conn.(*net.UnixConn)}
	return 4711, nil
}

func (x *exchange) Abort() { x.aborted = true }

// logs is a log that the test reads.
type logs struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// rig is a server with its surroundings.
type rig struct {
	*testing.T
	authd    *authd
	log      *logs
	roster   *roster.Roster
	server   *Server
	identity *listen.Identity
	conf     config.Front
	stop     context.CancelFunc // what SIGTERM does
	ctx      context.Context
	serving  sync.WaitGroup
}

// newRig starts nothing; change sees the configuration before it is used.
func newRig(t *testing.T, p *Protocol, change func(*config.Front)) *rig {
	t.Helper()
	r := &rig{T: t, authd: newAuthd(), log: &logs{}, roster: &roster.Roster{}, identity: sharedIdentity(t)}
	r.conf = config.Default().IMAPD
	if change != nil {
		change(&r.conf)
	}
	r.ctx, r.stop = context.WithCancel(context.Background())
	t.Cleanup(r.stop)
	r.server = New(p, r.conf, Deps{Auth: r.authd, Roster: r.roster, Log: logline.NewWriter(r.log, p.name+"d", logline.Text),
		Identity: func() *listen.Identity { return r.identity }})
	return r
}

// from is a connection whose ends are elsewhere.
type from struct {
	net.Conn
	remote, local net.Addr
}

func (f from) RemoteAddr() net.Addr { return f.remote }
func (f from) LocalAddr() net.Addr  { return f.local }
func (f from) NetConn() net.Conn    { return f.Conn }
func tcpAddr(ip string) *net.TCPAddr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(ip + ":1"))
}

var stranger, host = tcpAddr("192.0.2.1"), tcpAddr("192.0.2.2")

// serve has the server hold conn, as internal/listen does.
func (r *rig) serve(conn net.Conn, implicitTLS bool) {
	r.serving.Go(func() {
		defer conn.Close()
		r.server.Serve(r.ctx, conn, implicitTLS)
	})
}

// local connects a client of this host, remote one from elsewhere.
func (r *rig) local() *client {
	s, c := sockettest.TCP(r)
	r.serve(s, false)
	return newClient(r.T, c)
}

func (r *rig) remote() *client {
	s, c := sockettest.TCP(r)
	r.serve(from{s, stranger, host}, false)
	return newClient(r.T, c)
}

// secure connects a client from elsewhere that speaks TLS from the start.
func (r *rig) secure() *client {
	s, c := sockettest.TCP(r)
	r.serve(from{s, stranger, host}, true)
	k := newClient(r.T, c)
	k.startTLS()
	return k
}

// session is the next one that was opened.
func (r *rig) session() *session {
	r.Helper()
	select {
	case s := <-r.authd.sessions:
		s.SetDeadline(time.Now().Add(patience))
		r.Cleanup(func() { s.Close() })
		var err error
		if s.client, err = handover.Take(s.UnixConn); err != nil {
			r.Log(err) // it was ended
			return s
		}
		r.Cleanup(func() { s.client.Close() })
		return s
	case <-time.After(patience):
		r.Fatal("no session was opened")
		return nil
	}
}

// waitLog waits for a line of the log that contains all of the words.
func (r *rig) waitLog(words ...string) {
	r.Helper()
	r.wait("log with "+strings.Join(words, ", "), func() bool {
		for line := range strings.Lines(r.log.String()) {
			all := true
			for _, w := range words {
				all = all && strings.Contains(line, w)
			}
			if all {
				return true
			}
		}
		return false
	})
}

func (r *rig) wait(what string, is func() bool) {
	r.Helper()
	for end := time.Now().Add(patience); !is(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			r.Fatalf("no %s; the log:\n%s", what, r.log)
		}
	}
}

// client is a client's end.
type client struct {
	*testing.T
	net.Conn
	in *bufio.Reader
}

func newClient(t *testing.T, c net.Conn) *client {
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return &client{T: t, Conn: c, in: bufio.NewReader(c)}
}

func (c *client) startTLS() {
	c.Helper()
	conn := tls.Client(c.Conn, &tls.Config{InsecureSkipVerify: true})
	if err := conn.Handshake(); err != nil {
		c.Fatal(err)
	}
	c.Conn, c.in = conn, bufio.NewReader(conn)
}

func (c *client) send(text string) {
	c.Helper()
	if _, err := io.WriteString(c.Conn, text); err != nil {
		c.Fatalf("send %.40q: %v", text, err)
	}
}

// line reads a line, without its end.
func (c *client) line() string {
	c.Helper()
	line, err := c.in.ReadString('\n')
	if err != nil {
		c.Fatalf("read: %v after %q", err, line)
	}
	return strings.TrimSuffix(line, "\r\n")
}

// expect reads lines; a pattern that ends in "*" wants the line to begin so.
func (c *client) expect(patterns ...string) {
	c.Helper()
	for _, p := range patterns {
		line := c.line()
		if begin, open := strings.CutSuffix(p, "*"); open && !strings.HasPrefix(line, begin) || !open && line != p {
			c.Fatalf("%q instead of %q", line, p)
		}
	}
}

// expectEnd wants the connection to be at its end.
func (c *client) expectEnd() {
	c.Helper()
	if rest, err := io.ReadAll(c.in); len(rest) > 0 || err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		c.Fatalf("%q, %v instead of the end", rest, err)
	}
}

// say holds a dialogue: lines of "C: ", "S: ", or "TLS".
func (c *client) say(dialogue string) {
	c.Helper()
	for line := range strings.Lines(dialogue) {
		line = strings.Trim(line, "\t\n")
		switch {
		case line == "":
		case line == "TLS":
			c.startTLS()
		case strings.HasPrefix(line, "C: "):
			c.send(line[3:] + "\r\n")
		case strings.HasPrefix(line, "S: "):
			c.expect(line[3:])
		default:
			c.Fatalf("bad line %q in a dialogue", line)
		}
	}
}

// sharedIdentity is a certificate for all tests.
func sharedIdentity(t testing.TB) *listen.Identity {
	t.Helper()
	id, err := makeIdentity()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

var makeIdentity = sync.OnceValues(func() (*listen.Identity, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"mail.example.org"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	pair := tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
	return &listen.Identity{Config: &tls.Config{Certificates: []tls.Certificate{pair}}, Leaf: leaf}, nil
})
