package mailbox

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
)

// server is an account on another server, and the connection to it, which is made again when it is lost.
type server struct {
	address        string // host:port
	user, password string
	startTLS       bool
	tls            *tls.Config
	report         func(format string, args ...any)
	rest           time.Duration // before the first attempt to connect again

	client *imapclient.Client
	conn   *boundedConn // of it
}

// locate takes the address, and what certificates are trusted.
func (s *server) locate(host, ca string) error {
	port := "993"
	if s.startTLS {
		port = "143"
	}
	if h, p, err := net.SplitHostPort(host); err == nil {
		host, port = h, p
	}
	s.address, s.tls = net.JoinHostPort(host, port), &tls.Config{ServerName: host}
	if ca == "" {
		return nil
	}
	text, err := os.ReadFile(ca)
	if err != nil {
		return err
	}
	s.tls.RootCAs = x509.NewCertPool()
	if !s.tls.RootCAs.AppendCertsFromPEM(text) {
		return fmt.Errorf("%s: no certificate in it", ca)
	}
	return nil
}

// Bounds of what is waited for.
const (
	silence     = 3 * time.Minute // of a server that has something to answer
	dialTimeout = 30 * time.Second
	maxAttempts = 6 // in a row without anything coming
	firstRest   = time.Second
	maxRest     = 30 * time.Second
)

// maxAnswer is how many octets the server may send, beside the texts of messages, until the next thing is asked for: the client keeps
// them in memory.
const maxAnswer = 64 << 20

// localError is one of this side, which a new connection does not cure.
type localError struct{ error }

func (e localError) Unwrap() error { return e.error }

// do carries something out, again on a new connection when that was lost. came says how much has come so far: while it grows the
// attempts begin anew.
func (s *server) do(ctx context.Context, came func() int, what func(*imapclient.Client) error) error {
	rest, seen := s.rest, came()
	for attempt := 1; ; attempt++ {
		err := s.once(ctx, what)
		if err == nil || ctx.Err() != nil || errors.As(err, new(localError)) || errors.As(err, new(*imap.Error)) {
			return errors.Join(ctx.Err(), err)
		}
		s.close()
		if now := came(); now > seen {
			attempt, rest, seen = 1, s.rest, now
		}
		if attempt == maxAttempts {
			return err
		}
		s.report("%s: %v, trying again", s.address, err)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(rest):
		}
		rest = min(2*rest, maxRest)
	}
}

func (s *server) once(ctx context.Context, what func(*imapclient.Client) error) error {
	if s.client == nil {
		client, err := s.connect(ctx)
		if err != nil {
			return err
		}
		s.client = client
	}
	client := s.client
	s.expect(0)
	stop := context.AfterFunc(ctx, func() { client.Close() })
	defer stop()
	err := what(client)
	if err != nil && s.conn.left.Load() <= 0 {
		err = localError{fmt.Errorf("%s sends without end", s.address)}
	}
	return err
}

// expect says that texts of so many octets are asked for.
func (s *server) expect(texts int64) { s.conn.left.Store(maxAnswer + texts) }

// connect logs in. Nothing is said in clear, and the certificate has to be that of the host.
func (s *server) connect(ctx context.Context) (*imapclient.Client, error) {
	dialer := net.Dialer{Timeout: dialTimeout}
	raw, err := dialer.DialContext(ctx, "tcp", s.address)
	if err != nil {
		return nil, err
	}
	conn := &boundedConn{Conn: raw}
	conn.left.Store(maxAnswer)
	var client *imapclient.Client
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	defer stop()
	if s.startTLS {
		client, err = imapclient.NewStartTLS(conn, &imapclient.Options{TLSConfig: s.tls})
	} else {
		secure := tls.Client(conn, s.tls)
		if err = secure.HandshakeContext(ctx); err == nil {
			client = imapclient.New(secure, nil)
		}
	}
	if invalid := (*tls.CertificateVerificationError)(nil); errors.As(err, &invalid) {
		err = localError{err}
	}
	if err != nil {
		raw.Close()
		return nil, fmt.Errorf("connect: %w", err)
	}
	if err := client.WaitGreeting(); err != nil {
		client.Close()
		return nil, err
	}
	if err := client.Login(s.user, s.password).Wait(); err != nil {
		client.Close()
		return nil, s.loginError(err)
	}
	s.conn = conn
	return client, nil
}

// loginError tells a refusal, which stays one, from what passes.
func (s *server) loginError(err error) error {
	var refused *imap.Error
	passes := !errors.As(err, &refused) || refused.Code == imap.ResponseCodeUnavailable
	err = fmt.Errorf("login of %s: %v", s.user, err)
	if passes {
		return err
	}
	return localError{err}
}

func (s *server) close() {
	if s.client != nil {
		s.client.Close()
		s.client = nil
	}
}

// logout ends the connection as it should end.
func (s *server) logout() {
	if s.client != nil {
		s.client.Logout().Wait()
	}
	s.close()
}

// boundedConn bounds how long each read and write may take, whatever its user wants, and how much may be read.
type boundedConn struct {
	net.Conn
	left atomic.Int64 // octets that may still be read
}

func (c *boundedConn) Read(p []byte) (int, error) {
	if c.left.Load() <= 0 {
		return 0, errors.New("too many octets")
	}
	c.Conn.SetReadDeadline(time.Now().Add(silence))
	n, err := c.Conn.Read(p)
	c.left.Add(-int64(n))
	return n, err
}

func (c *boundedConn) Write(p []byte) (int, error) {
	c.Conn.SetWriteDeadline(time.Now().Add(silence))
	return c.Conn.Write(p)
}

func (c *boundedConn) SetDeadline(time.Time) error      { return nil }
func (c *boundedConn) SetReadDeadline(time.Time) error  { return nil }
func (c *boundedConn) SetWriteDeadline(time.Time) error { return nil }
