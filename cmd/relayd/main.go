// Command relayd sends what is for other hosts; see relayd(8).
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"sync/atomic"
	"syscall"

	"postrider/internal/address"
	"postrider/internal/config"
	"postrider/internal/control"
	"postrider/internal/daemon"
	"postrider/internal/envelope"
	"postrider/internal/listen"
	"postrider/internal/nexthop"
	"postrider/internal/queue"
	"postrider/internal/relayd"
	"postrider/internal/report"
	"postrider/internal/resolver"
	"postrider/internal/route"
	"postrider/internal/sandbox"
	"postrider/internal/smtpc"
	"postrider/internal/spool"
	"postrider/internal/table"
)

// controlSocket is the name in LISTEN_FDNAMES.
const controlSocket = "relay.ctl"

func main() { daemon.Main("relayd", run) }

// run delivers until SIGTERM.
func run(d *daemon.Daemon, cfg *config.Config) error {
	inherited, err := sockets()
	if err != nil {
		return err
	}
	channel, err := spool.OpenChannel(cfg.SpoolDir, envelope.Remote, spool.ChannelOptions{AllowRemote: cfg.AllowRemoteSpool, Log: d.Log})
	if err != nil {
		return err
	}
	defer channel.Close()
	if err := confine(d, cfg); err != nil {
		return fmt.Errorf("confine: %w", err)
	}
	s := &service{Daemon: d, resumption: tls.NewLRUClientSessionCache(1000)}
	s.manager = relayd.New(channel, cfg.Relayd.MaxConnections, d.Log)
	if err := s.configure(cfg); err != nil {
		return err
	}
	steering := queue.Steering{Schedule: s.manager.Schedule(), Spool: cfg.SpoolDir, Via: envelope.Remote, Revive: s.manager.Revive}
	s.control = &control.Server{Queue: steering, Rights: s.rights, Log: d.Log}
	return s.serve(inherited)
}

// sockets are the control sockets that were handed over.
func sockets() ([]net.Listener, error) {
	inherited, err := listen.Inherited()
	if err != nil {
		return nil, err
	}
	if len(inherited[controlSocket]) == 0 || len(inherited) > 1 {
		return nil, fmt.Errorf("expected sockets named %q and no others in LISTEN_FDNAMES, from systemd or postrider listen", controlSocket)
	}
	return inherited[controlSocket], nil
}

// confine leaves the process its channel, the configuration, the tables, the authorities and the network. A reload finds tables
// only in directories that were named at the start.
func confine(d *daemon.Daemon, cfg *config.Config) error {
	rules := sandbox.Rules{
		ReadOnly:  []string{"/etc", "/usr/share/ca-certificates", "/usr/local/share/ca-certificates", filepath.Dir(d.Path)},
		ReadWrite: []string{filepath.Join(cfg.SpoolDir, string(envelope.Remote))},
	}
	if target, err := filepath.EvalSymlinks("/etc/resolv.conf"); err == nil { // systemd-resolved's, say
		rules.ReadOnly = append(rules.ReadOnly, filepath.Dir(target))
	}
	t := cfg.Tables
	for _, file := range []string{t.Transport, t.TLSPolicy, t.RelayAuth, t.Domains, cfg.Relayd.TLSAuthorities} {
		if file != "" {
			rules.ReadOnly = append(rules.ReadOnly, filepath.Dir(file))
		}
	}
	slices.Sort(rules.ReadOnly)
	rules.ReadOnly = slices.Compact(rules.ReadOnly)
	return errors.Join(d.Confine(rules), sandbox.DropCapabilities(), sandbox.NoCoreDumps(), sandbox.NoExec())
}

// service is what a reload changes.
type service struct {
	*daemon.Daemon
	manager    *relayd.Manager
	control    *control.Server
	tables     *table.Tables
	resumption tls.ClientSessionCache
	authority  atomic.Pointer[control.Authority] // of the settings in force
}

// rights are those of a client of the control socket now.
func (s *service) rights(uid uint32) control.Rights { return s.authority.Load().Rights(uid) }

// configure puts a configuration into force.
func (s *service) configure(cfg *config.Config) error {
	roots, err := authorities(cfg.Relayd.TLSAuthorities)
	if err != nil {
		return err
	}
	s.tables = table.Open(cfg, table.Options{Report: func(err error) { s.Log.Error("%v", err) }, Previous: s.tables})
	if err := s.tables.RelayAuth.Exposed(); err != nil {
		s.Log.Warn("%v", err)
	}
	domains := route.New(cfg, s.tables, nil)
	s.manager.Configure(relayd.Settings{
		Config: cfg,
		Router: &relayd.Tables{Config: cfg, Transports: s.tables.Transport, Policies: s.tables.TLSPolicy, Logins: s.tables.RelayAuth, Domains: domains},
		Finder: nexthop.New(cfg, resolver.New(resolver.Options{Server: cfg.Resolver})),
		Dialer: s.dialer(cfg, roots),
		Report: reports(cfg, domains),
	})
	authority, err := control.NewAuthority(cfg.Admins, cfg.MailqUsers == "any")
	if err != nil {
		s.Log.Warn("%v", err)
	}
	s.authority.Store(authority)
	return nil
}

// reports are the settings of what senders are told.
func reports(cfg *config.Config, domains *route.Resolver) report.Settings {
	postmaster, _ := address.Parse(cfg.LocalDeliver.Postmaster)
	if !postmaster.IsNull() {
		postmaster = domains.Qualify(postmaster)
	}
	return report.Settings{
		Submitter: report.Socket(filepath.Join(cfg.RunDir, "submit.int")), Hostname: cfg.Hostname, Postmaster: postmaster,
		HeaderSize: int64(cfg.LocalDeliver.DSNHeaderSize), Lifetime: cfg.Relayd.QueueLifetime.D(), DelayAfter: cfg.Relayd.DelayWarning.D(),
	}
}

// dialer begins sessions as a configuration says.
func (s *service) dialer(cfg *config.Config, roots *x509.CertPool) *relayd.SMTP {
	c := &cfg.Relayd
	hello := c.Hello
	if hello == "" {
		hello = cfg.Hostname
	}
	bind4, _ := netip.ParseAddr(c.BindIPv4)
	bind6, _ := netip.ParseAddr(c.BindIPv6)
	return &relayd.SMTP{
		Hello: hello, Own: []string{cfg.Hostname, hello},
		Timeouts:       smtpc.Timeouts{Command: c.CommandTimeout.D(), Block: c.DataTimeout.D(), Final: c.FinalTimeout.D()},
		ConnectTimeout: c.ConnectTimeout.D(), Bind4: bind4, Bind6: bind6,
		Roots: roots, Resumption: s.resumption, Log: s.Log,
	}
}

// authorities reads a file of certificates; nil = the system's.
func authorities(path string) (*x509.CertPool, error) {
	if path == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read relayd.tls_authorities: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("relayd.tls_authorities: no certificate in %s", path)
	}
	return pool, nil
}

func (s *service) serve(listeners []net.Listener) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	s.Reload(ctx, s.configure)
	for _, l := range listeners {
		go s.control.Serve(ctx, l)
	}
	if err := listen.Notify("READY=1"); err != nil {
		s.Log.Warn("%v", err)
	}
	return s.manager.Run(ctx)
}
