package smtpd

import (
	"context"
	"crypto/tls"
	"errors"
	"strings"

	"postrider/internal/auth"
	"postrider/internal/line"
	"postrider/internal/listen"
)

// mayStartTLS says whether STARTTLS is on offer now.
func (s *session) mayStartTLS() bool {
	return s.state.tls == nil && s.svc.TLS == startTLS && s.identity() != nil
}

func (s *session) identity() *listen.Identity {
	if s.server.deps.Identity == nil {
		return nil
	}
	return s.server.deps.Identity()
}

// security is what is known of a TLS connection.
type security struct {
	tls.ConnectionState
	bindings []auth.Binding // channel bindings for SCRAM-…-PLUS
}

// version is the protocol's as Postfix's log writes it: TLSv1.3.
func (c *security) version() string {
	return strings.Replace(tls.VersionName(c.Version), "TLS ", "TLSv", 1)
}

// startTLS carries out STARTTLS (RFC 3207). What the client sent ahead in clear is thrown away with the reader, and the
// client begins anew: nothing that was said before the handshake counts after it.
func (s *session) startTLS(arg string) error {
	switch {
	case arg != "":
		return s.refuse(errSyntax)
	case s.state.tls != nil:
		return s.refuse(errHaveTLS)
	case !s.mayStartTLS():
		return s.refuse(errNotOffered)
	case s.state.helo == "":
		return s.refuse(errHello)
	case s.tx.active:
		return s.refuse(errNested)
	}
	s.answer(okStartTLS)
	if err := s.wire.flush(); err != nil {
		return &line.ReadError{Err: err}
	}
	if err := s.handshake(); err != nil {
		s.log.Info("TLS handshake with %s failed: %v", s.peer, err)
		return &ending{"handshake failed"}
	}
	return nil
}

var errNoCertificate = errors.New("no certificate")

// handshake puts TLS over the connection and begins the session anew.
func (s *session) handshake() error {
	id := s.identity()
	if id == nil {
		return errNoCertificate
	}
	conn := tls.Server(s.wire.conn, id.Config)
	ctx, cancel := context.WithTimeout(s.ctx, s.conf.handshakeTimeout())
	defer cancel()
	if err := conn.HandshakeContext(ctx); err != nil {
		return err
	}
	s.wire.replace(conn)
	s.in = line.NewReader(s.wire, s.conf.commandTimeout())
	s.begin(transaction{})
	s.state = state{tls: &security{ConnectionState: conn.ConnectionState(), bindings: auth.Bindings(conn.ConnectionState(), id.Leaf)}}
	return nil
}
