// Command smtpd takes mail in: SMTP, submission, LMTP, and the submit sockets of this host; see smtpd(8).
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os/signal"
	"os/user"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"postrider/internal/auth"
	"postrider/internal/config"
	"postrider/internal/daemon"
	"postrider/internal/envelope"
	"postrider/internal/listen"
	"postrider/internal/resolver"
	"postrider/internal/route"
	"postrider/internal/sandbox"
	"postrider/internal/smtpd"
	"postrider/internal/spool"
	"postrider/internal/table"
)

// drainTimeout is how long messages that are on their way may take after SIGTERM.
const drainTimeout = 45 * time.Second

func main() { daemon.Main("smtpd", run) }

// run serves until SIGTERM.
func run(d *daemon.Daemon, cfg *config.Config) error {
	listeners, err := sockets(cfg)
	if err != nil {
		return err
	}
	syscall.Umask(0o027) // queue files are for the group of their consumers, too
	stage, err := spool.OpenStage(cfg.SpoolDir, spool.StageOptions{MessageSize: int64(cfg.MessageSize), Log: d.Log})
	if err != nil {
		return err
	}
	defer stage.Close()
	if err := confine(d, cfg); err != nil {
		return fmt.Errorf("confine: %w", err)
	}
	if err := stage.Recover(); err != nil {
		return err
	}
	s, err := newServer(d, cfg, stage)
	if err != nil {
		return err
	}
	return s.serve(listeners)
}

// sockets are the listeners that were handed over.
func sockets(cfg *config.Config) (map[string][]net.Listener, error) {
	inherited, err := listen.Inherited()
	if err != nil {
		return nil, err
	}
	return inherited, checkSockets(cfg, inherited)
}

// checkSockets says whether each socket has the name of a configured service. What stands for processes of this host, which
// may send to anywhere, must be out of reach of others.
func checkSockets(cfg *config.Config, inherited map[string][]net.Listener) error {
	if len(inherited) == 0 {
		return errors.New("no sockets: they come from systemd or postrider listen, in LISTEN_FDS")
	}
	for name, listeners := range inherited {
		if _, ok := cfg.SMTPD.Service[name]; !ok {
			return fmt.Errorf("socket %q in LISTEN_FDNAMES is no service of smtpd", name)
		}
		for _, l := range listeners {
			if smtpd.IsLocal(name) && l.Addr().Network() != "unix" {
				return fmt.Errorf("socket %q is %s: it must be a Unix socket", name, l.Addr())
			}
		}
	}
	return nil
}

// server is what a reload changes.
type server struct {
	*daemon.Daemon
	started  *config.Config // the configuration at the start
	stage    *spool.Stage
	tables   *table.Tables // of the configuration in force
	auth     *auth.Client
	identity atomic.Pointer[listen.Certificates] // nil without TLS
	listen   *listen.Server
	smtp     *smtpd.Server
}

func newServer(d *daemon.Daemon, cfg *config.Config, stage *spool.Stage) (*server, error) {
	s := &server{Daemon: d, started: cfg, stage: stage, auth: &auth.Client{Path: filepath.Join(cfg.RunDir, "auth")}}
	s.listen = listen.NewServer(d.Log, limits(cfg), drainTimeout)
	certificates, err := s.load(cfg)
	if err != nil {
		return nil, err
	}
	s.identity.Store(certificates)
	s.smtp = smtpd.New(cfg, s.resolver(cfg), smtpd.Deps{
		Spool: stageSpool{stage}, Auth: authd{s.auth}, Log: d.Log, Login: loginOf, Identity: s.current,
		Names: smtpd.NewNames(resolver.New(resolver.Options{Server: cfg.Resolver})),
	})
	return s, nil
}

// load reads the certificate; without one it says so and returns nil.
func (s *server) load(cfg *config.Config) (*listen.Certificates, error) {
	if cfg.TLS.Certificate == "" {
		s.Log.Warn("no certificate: TLS and AUTH are not offered")
		return nil, nil
	}
	return listen.LoadCertificates(cfg.TLS.Certificate, cfg.TLS.Key, tlsOptions(cfg))
}

// current is what is shown in handshakes; nil without TLS.
func (s *server) current() *listen.Identity {
	if c := s.identity.Load(); c != nil {
		return c.Current()
	}
	return nil
}

// resolver reads the tables that a configuration names.
func (s *server) resolver(cfg *config.Config) smtpd.Resolver {
	s.tables = table.Open(cfg, table.Options{Report: func(err error) { s.Log.Error("%v", err) }, Previous: s.tables})
	return route.New(cfg, s.tables, route.Remember(s.auth))
}

// limits are those of the listeners.
func limits(cfg *config.Config) listen.Limits {
	l := listen.Limits{
		Table:       "smtpd",
		Connections: cfg.SMTPD.MaxConnections, PerClient: cfg.SMTPD.MaxPerClient, PerService: make(map[string]int),
		ProxyNetworks: cfg.SMTPD.ProxyNetworks,
	}
	for name, s := range cfg.SMTPD.Service {
		l.PerService[name] = s.MaxPerClient
	}
	return l
}

func tlsOptions(cfg *config.Config) listen.TLSOptions {
	o := listen.TLSOptions{MinVersion: tls.VersionTLS12, NoTickets: true}
	if cfg.TLS.MinVersion == "1.3" {
		o.MinVersion = tls.VersionTLS13
	}
	return o
}

// serve serves until SIGTERM or SIGINT, and reloads at SIGHUP.
func (s *server) serve(listeners map[string][]net.Listener) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	s.Reload(ctx, s.reconfigure)
	var services []listen.Service
	for name, ls := range listeners {
		services = append(services, listen.Service{
			Name: name, Listeners: ls,
			Handle:  func(ctx context.Context, c net.Conn) { s.handle(ctx, c, name) },
			Refusal: func(why listen.Refusal) []byte { return s.smtp.Refusal(name, why) },
		})
	}
	if err := listen.Notify("READY=1"); err != nil {
		s.Log.Warn("%v", err)
	}
	return s.listen.Serve(ctx, services)
}

// handle holds one session.
func (s *server) handle(ctx context.Context, c net.Conn, service string) {
	uid := int64(envelope.NoUID)
	if c.LocalAddr().Network() == "unix" {
		cred, err := listen.PeerCred(c)
		if err != nil {
			s.Log.Warn("%s: %v", service, err)
			return
		}
		uid = int64(cred.UID)
	}
	s.smtp.Serve(ctx, c, service, uid)
}

// reconfigure puts configuration, tables and certificate into force. It reads everything before it changes anything.
func (s *server) reconfigure(cfg *config.Config) error {
	certificates, err := s.load(cfg)
	if err != nil {
		return err
	}
	s.identity.Store(certificates)
	s.listen.SetLimits(limits(cfg))
	s.smtp.Configure(cfg, s.resolver(cfg))
	s.stage.SetMessageSize(int64(cfg.MessageSize))
	s.NeedRestart(needRestart(s.started, cfg))
	return nil
}

// needRestart are the settings that only a start puts into force.
func needRestart(started, now *config.Config) daemon.Keys {
	return daemon.Keys{
		{Name: "log_format", Differs: started.LogFormat != now.LogFormat},
		{Name: "resolver", Differs: started.Resolver != now.Resolver},
		{Name: "run_dir", Differs: started.RunDir != now.RunDir},
		{Name: "spool_dir", Differs: started.SpoolDir != now.SpoolDir},
	}
}

// confine gives up what smtpd does not need: capabilities, programs, and files other than the spool, configuration, tables,
// certificate, and what finding names takes. A reload finds its files only in directories that were named at the start.
func confine(d *daemon.Daemon, cfg *config.Config) error {
	_ = time.Local.String() // reads the time zone while it is within reach
	rules := sandbox.Rules{ReadWrite: []string{cfg.SpoolDir}, ReadOnly: []string{"/etc", filepath.Dir(d.Path)}}
	t := cfg.Tables
	for _, file := range append([]string{t.Users, t.Domains, t.Virtual, t.Passwd, cfg.TLS.Certificate, cfg.TLS.Key}, t.Aliases...) {
		if file != "" {
			rules.ReadOnly = append(rules.ReadOnly, filepath.Dir(file))
		}
	}
	if target, err := filepath.EvalSymlinks("/etc/resolv.conf"); err == nil {
		rules.ReadOnly = append(rules.ReadOnly, filepath.Dir(target))
	}
	return errors.Join(d.Confine(rules), sandbox.DropCapabilities(), sandbox.NoCoreDumps(), sandbox.NoExec())
}

// loginOf is the login name of a uid.
func loginOf(uid uint32) (string, bool) {
	u, err := user.LookupId(strconv.FormatUint(uint64(uid), 10))
	if err != nil {
		return "", false
	}
	return u.Username, true
}

// stageSpool is the spool as smtpd sees it.
type stageSpool struct{ *spool.Stage }

func (s stageSpool) Create(env *envelope.Envelope, low bool) (smtpd.Message, error) {
	m, err := s.Stage.Create(env, low)
	if err != nil {
		return nil, err
	}
	return m, nil
}

// authd is authd as smtpd sees it.
type authd struct{ *auth.Client }

func (a authd) Start(ctx context.Context, r auth.Request) smtpd.Exchange {
	return a.Client.Start(ctx, r)
}
