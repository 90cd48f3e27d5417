package relayd

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"postrider/internal/hop"
	"postrider/internal/listen"
	"postrider/internal/logline"
	"postrider/internal/smtpc"
)

// SMTP is the Dialer that begins sessions over the network.
type SMTP struct {
	Hello          string   // our name in EHLO
	Own            []string // our names: a host that has one of them is this one
	Timeouts       smtpc.Timeouts
	ConnectTimeout time.Duration
	Bind4, Bind6   netip.Addr     // source addresses; invalid = the kernel's choice
	Roots          *x509.CertPool // authorities that verify believes; nil = the system's
	Resumption     tls.ClientSessionCache
	Log            *logline.Logger
}

// Dial begins a session.
func (d *SMTP) Dial(ctx context.Context, t Target) (Session, error) {
	c, err := d.begin(ctx, t)
	if errors.Is(err, smtpc.ErrTLS) && t.Demands.Level == "may" && t.Clear && t.Demands.User == "" && ctx.Err() == nil {
		d.Log.Info("%v; trying again without TLS", err)
		t.Demands.Level = "none"
		if c, err = d.begin(ctx, t); err == nil {
			return once{c}, nil
		}
	}
	if err != nil {
		return nil, err
	}
	return c, nil
}

// once is a session without TLS because of a failure: it is for the message that had waited, and for no other.
type once struct{ *smtpc.Client }

// Usable says that nothing more may go over the session.
func (once) Usable() bool { return false }

// begin connects, and goes as far as a transaction could begin.
func (d *SMTP) begin(ctx context.Context, t Target) (*smtpc.Client, error) {
	conn, err := d.connect(ctx, t)
	if err != nil {
		return nil, err
	}
	options := smtpc.Options{Hello: d.Hello, Timeouts: d.Timeouts, LMTP: t.Hop.Kind == hop.LMTP}
	var c *smtpc.Client
	if t.Hop.Kind == hop.SMTPS {
		c, err = smtpc.NewTLS(ctx, conn, d.tls(t), options)
	} else {
		c, err = smtpc.New(ctx, conn, options)
	}
	if err != nil {
		return nil, explained(t, err)
	}
	if err := d.secure(ctx, c, t); err != nil {
		c.Quit()
		return nil, err
	}
	return c, nil
}

func (d *SMTP) connect(ctx context.Context, t Target) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, d.ConnectTimeout)
	defer cancel()
	if t.Path != "" {
		conn, err := listen.DialUnix(ctx, t.Path)
		if err != nil {
			return nil, fmt.Errorf("connect to %s: %w", t, err)
		}
		return conn, nil
	}
	dialer := net.Dialer{}
	source := d.Bind6
	if t.Addr.Addr().Is4() {
		source = d.Bind4
	}
	if source.IsValid() {
		dialer.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(source, 0))
	}
	dialer.SetMultipathTCP(false)
	conn, err := dialer.DialContext(ctx, "tcp", t.Addr.String())
	if err == nil {
		return conn, nil
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return nil, fmt.Errorf("connect to %s: connection timed out", t)
	}
	if op, ok := errors.AsType[*net.OpError](err); ok {
		err = op.Err
	}
	if call, ok := errors.AsType[*os.SyscallError](err); ok {
		err = call.Err
	}
	return nil, fmt.Errorf("connect to %s: %w", t, err)
}

// secure starts TLS and logs in, as the hop demands and the host offers.
func (d *SMTP) secure(ctx context.Context, c *smtpc.Client, t Target) error {
	if err := d.startTLS(ctx, c, t); err != nil {
		return err
	}
	if (t.Hop.ByMX || t.Hop.Kind == hop.SMTP && t.Addr.Port() == hop.PortSMTP) && d.isOwn(c.Name()) {
		return fmt.Errorf("%w: %s says that it is %s", ErrLoop, t, c.Name())
	}
	if t.Demands.User == "" {
		return nil
	}
	if err := c.Auth(ctx, t.Demands.User, t.Demands.Password, t.Demands.Level == "none"); err != nil {
		return fmt.Errorf("%w: login as %s: %w", ErrDemands, t.Demands.User, explained(t, err))
	}
	return nil
}

func (d *SMTP) startTLS(ctx context.Context, c *smtpc.Client, t Target) error {
	level := t.Demands.Level
	if c.TLS() == nil && level != "none" {
		_, offered := c.Extension("STARTTLS")
		var err error
		if offered {
			err = c.StartTLS(ctx, d.tls(t))
		}
		switch {
		case err != nil && level != "may":
			return fmt.Errorf("%w: %w", ErrDemands, explained(t, err))
		case err != nil && !c.Usable():
			return explained(t, err)
		}
		if c.TLS() == nil && level != "may" {
			return fmt.Errorf("%w: TLS is required, but was not offered by %s", ErrDemands, t)
		}
	}
	if state := c.TLS(); state != nil {
		trust := "Anonymous"
		switch {
		case verified(level):
			trust = "Verified"
		case len(state.PeerCertificates) > 0:
			trust = "Untrusted"
		}
		d.Log.Info("%s TLS connection established to %s: %s with cipher %s", trust, t, strings.Replace(tls.VersionName(state.Version), "TLS ", "TLSv", 1), tls.CipherSuiteName(state.CipherSuite))
	}
	return nil
}

// explained tells an error of the client in words that name the host.
func explained(t Target, err error) error {
	e, ok := errors.AsType[*smtpc.Error](err)
	if !ok {
		return err
	}
	return &described{e, describe(e, t.peer())}
}

// describe tells an error of the client; where it is that all took too long, of what came last.
func describe(e *smtpc.Error, peer string) string {
	if errors.Is(e.Err, context.DeadlineExceeded) {
		return fmt.Sprintf("conversation with %s timed out while %s", peer, e.Step.Doing())
	}
	return e.Describe(peer)
}

// described is an error in other words.
type described struct {
	error
	text string
}

func (d *described) Error() string { return d.text }
func (d *described) Unwrap() error { return d.error }

func (d *SMTP) isOwn(name string) bool {
	for _, own := range d.Own {
		if strings.EqualFold(name, own) {
			return true
		}
	}
	return false
}

func verified(level string) bool { return level == "verify" || level == "verify-mx" }

// tls is what a handshake with a host takes. Where nothing is demanded an old version is better than none.
func (d *SMTP) tls(t Target) *tls.Config {
	level := t.Demands.Level
	config := &tls.Config{
		ServerName: t.Host, MinVersion: tls.VersionTLS12, ClientSessionCache: d.Resumption,
		InsecureSkipVerify: true, // what is verified, verify says: the name may be another than that of the host
	}
	if config.ServerName == "" {
		config.ServerName = t.Addr.Addr().String()
	}
	if level == "may" {
		config.MinVersion = tls.VersionTLS10
	}
	if verified(level) {
		names := []string{t.Hop.Host}
		if level == "verify-mx" {
			names = append(names, t.Host)
		}
		config.VerifyConnection = func(s tls.ConnectionState) error { return verify(s, d.Roots, names) }
	}
	return config
}

// verify checks the certificate against the authorities and for one of the names.
func verify(s tls.ConnectionState, roots *x509.CertPool, names []string) error {
	if len(s.PeerCertificates) == 0 {
		return errors.New("no certificate")
	}
	options := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool()}
	for _, c := range s.PeerCertificates[1:] {
		options.Intermediates.AddCert(c)
	}
	if _, err := s.PeerCertificates[0].Verify(options); err != nil {
		return err
	}
	var err error
	for _, name := range names {
		if err = s.PeerCertificates[0].VerifyHostname(name); err == nil {
			return nil
		}
	}
	return err
}
