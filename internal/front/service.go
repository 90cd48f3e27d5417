package front

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"postrider/internal/auth"
	"postrider/internal/config"
	"postrider/internal/control"
	"postrider/internal/daemon"
	"postrider/internal/listen"
	"postrider/internal/roster"
	"postrider/internal/sandbox"
)

// Run is imapd or pop3d, until SIGTERM.
func Run(d *daemon.Daemon, cfg *config.Config, p *Protocol) error {
	inherited, err := listen.Inherited()
	if err != nil {
		return err
	}
	if err := p.checkSockets(inherited); err != nil {
		return err
	}
	if err := confine(d, cfg); err != nil {
		return fmt.Errorf("confine: %w", err)
	}
	s := &service{Daemon: d, protocol: p, started: cfg}
	certificates, err := s.load(cfg)
	if err != nil {
		return err
	}
	sessions := &roster.Roster{}
	s.listen = listen.NewServer(d.Log, p.limits(p.settings(cfg)), p.settings(cfg).DrainTimeout.D())
	s.listen.Drained = func() { sessions.Kick(control.Selection{Anyone: true}) }
	s.front = New(p, p.settings(cfg), Deps{
		Auth:   Authd{&auth.Client{Path: filepath.Join(cfg.RunDir, "auth")}},
		Roster: sessions, Log: d.Log, Identity: s.identity,
	})
	s.control = &control.Server{Sessions: sessions, Rights: s.rights, Log: d.Log}
	s.apply(cfg, certificates)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	return s.serve(ctx, inherited)
}

// settings are those of the protocol's daemon.
func (p *Protocol) settings(cfg *config.Config) config.Front {
	if p == POP3 {
		return cfg.POP3D
	}
	return cfg.IMAPD
}

// Names of the sockets in LISTEN_FDNAMES: in clear at first, TLS from the start, and for the administrator.
func (p *Protocol) clearSocket() string   { return p.name }
func (p *Protocol) tlsSocket() string     { return p.name + "s" }
func (p *Protocol) controlSocket() string { return p.name + ".ctl" }

// checkSockets says whether each socket has a name of the protocol's. Who may use the control socket the kernel must know.
func (p *Protocol) checkSockets(inherited map[string][]net.Listener) error {
	known := []string{p.clearSocket(), p.tlsSocket(), p.controlSocket()}
	for _, name := range slices.Sorted(maps.Keys(inherited)) {
		if !slices.Contains(known, name) {
			return fmt.Errorf("socket %q in LISTEN_FDNAMES is none of %s", name, strings.Join(known, ", "))
		}
	}
	if len(inherited[p.clearSocket()])+len(inherited[p.tlsSocket()]) == 0 {
		return errors.New("no sockets: they come from systemd or postrider listen, in LISTEN_FDS")
	}
	for _, l := range inherited[p.controlSocket()] {
		if l.Addr().Network() != "unix" {
			return fmt.Errorf("socket %q is %s: it must be a Unix socket", p.controlSocket(), l.Addr())
		}
	}
	return nil
}

// confine gives up what a front does not need: capabilities, programs, sockets but Unix ones and those that it was given, and
// files other than configuration and certificate. A reload finds those only in directories that were named at the start.
func confine(d *daemon.Daemon, cfg *config.Config) error {
	_ = time.Local.String() // reads the time zone while it is within reach
	rules := sandbox.Rules{ReadOnly: []string{"/etc", cfg.RunDir, filepath.Dir(d.Path)}}
	for _, file := range []string{cfg.TLS.Certificate, cfg.TLS.Key} {
		if file != "" {
			rules.ReadOnly = append(rules.ReadOnly, filepath.Dir(file))
		}
	}
	return errors.Join(d.Confine(rules), sandbox.DropCapabilities(), sandbox.NoCoreDumps(), sandbox.NoExec(), sandbox.NoNetwork())
}

// service is a daemon and what a reload changes of it.
type service struct {
	*daemon.Daemon
	protocol     *Protocol
	started      *config.Config                      // the configuration at the start
	certificates atomic.Pointer[listen.Certificates] // nil without TLS
	authority    atomic.Pointer[control.Authority]
	listen       *listen.Server
	front        *Server
	control      *control.Server
}

// load reads the certificate; without one it says so and returns nil.
func (s *service) load(cfg *config.Config) (*listen.Certificates, error) {
	if cfg.TLS.Certificate == "" {
		s.Log.Warn("no certificate: TLS is not offered, and logins to clients of this host only")
		return nil, nil
	}
	options := listen.TLSOptions{MinVersion: tls.VersionTLS12, Bulk: true}
	if cfg.TLS.MinVersion == "1.3" {
		options.MinVersion = tls.VersionTLS13
	}
	return listen.LoadCertificates(cfg.TLS.Certificate, cfg.TLS.Key, options)
}

// identity is what is shown in handshakes; nil without TLS.
func (s *service) identity() *listen.Identity {
	if c := s.certificates.Load(); c != nil {
		return c.Current()
	}
	return nil
}

// rights are those of a client of the control socket now.
func (s *service) rights(uid uint32) control.Rights { return s.authority.Load().Rights(uid) }

// limits are those of the listeners.
func (p *Protocol) limits(c config.Front) listen.Limits {
	return listen.Limits{Table: p.name + "d", Connections: c.MaxConnections, PerClient: c.MaxPerClient, LoopbackFree: true,
		ProxyNetworks: c.ProxyNetworks}
}

// apply puts a configuration into force.
func (s *service) apply(cfg *config.Config, certificates *listen.Certificates) {
	s.certificates.Store(certificates)
	s.listen.SetLimits(s.protocol.limits(s.protocol.settings(cfg)))
	s.front.Configure(s.protocol.settings(cfg))
	authority, err := control.NewAuthority(cfg.Admins, false)
	if err != nil {
		s.Log.Warn("%v", err)
	}
	s.authority.Store(authority)
}

// reconfigure reads everything before it changes anything.
func (s *service) reconfigure(cfg *config.Config) error {
	certificates, err := s.load(cfg)
	if err != nil {
		return err
	}
	s.apply(cfg, certificates)
	s.NeedRestart(s.needRestart(cfg))
	return nil
}

// needRestart are the settings that only a start puts into force.
func (s *service) needRestart(now *config.Config) daemon.Keys {
	drain := func(cfg *config.Config) config.Duration { return s.protocol.settings(cfg).DrainTimeout }
	return daemon.Keys{
		{Name: "log_format", Differs: s.started.LogFormat != now.LogFormat},
		{Name: "run_dir", Differs: s.started.RunDir != now.RunDir},
		{Name: s.protocol.name + "d.drain_timeout", Differs: drain(s.started) != drain(now)},
	}
}

// serve serves until ctx ends and the sessions have, or had the time to; it reloads at SIGHUP. Those that are left can be seen
// and ended meanwhile.
func (s *service) serve(ctx context.Context, inherited map[string][]net.Listener) error {
	drained, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	s.Reload(ctx, s.reconfigure)
	for _, l := range inherited[s.protocol.controlSocket()] {
		go s.control.Serve(drained, l)
	}
	if err := listen.Notify("READY=1"); err != nil {
		s.Log.Warn("%v", err)
	}
	return s.listen.Serve(ctx, []listen.Service{
		{
			Name: s.protocol.clearSocket(), Listeners: inherited[s.protocol.clearSocket()], Refusal: s.front.Refusal,
			Handle: func(ctx context.Context, c net.Conn) { s.front.Serve(ctx, c, false) },
		},
		{
			Name: s.protocol.tlsSocket(), Listeners: inherited[s.protocol.tlsSocket()],
			Handle: func(ctx context.Context, c net.Conn) { s.front.Serve(ctx, c, true) },
		},
	})
}
