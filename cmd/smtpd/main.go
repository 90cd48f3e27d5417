// Command smtpd takes mail in: SMTP, submission, LMTP, and the submit sockets of this host; see smtpd(8).
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"os/user"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"postrider/internal/auth"
	"postrider/internal/config"
	"postrider/internal/envelope"
	"postrider/internal/listen"
	"postrider/internal/logline"
	"postrider/internal/route"
	"postrider/internal/sandbox"
	"postrider/internal/smtpd"
	"postrider/internal/spool"
	"postrider/internal/table"
)

// drainTimeout is how long messages that are on their way may take after SIGTERM.
const drainTimeout = 45 * time.Second

func main() {
	path := flag.String("c", config.DefaultPath, "configuration `file`")
	flag.Parse()
	log := logline.New("smtpd", logline.Text)
	if flag.NArg() > 0 {
		log.Fatal("unexpected argument %q", flag.Arg(0))
	}
	if err := run(*path, &log); err != nil {
		log.Fatal("%v", err)
	}
}

// run serves until SIGTERM. It replaces the logger by the one that the configuration asks for.
func run(path string, log **logline.Logger) error {
	cfg, err := config.Load(path)
	if err != nil {
		return err
	}
	format, err := logline.ParseFormat(cfg.LogFormat)
	if err != nil {
		return err
	}
	*log = logline.New("smtpd", format)
	for _, w := range cfg.Warnings {
		(*log).Warn("%v", w)
	}
	listeners, err := sockets(cfg)
	if err != nil {
		return err
	}
	syscall.Umask(0o027) // queue files are for the group of their consumers, too
	stage, err := spool.OpenStage(cfg.SpoolDir, spool.StageOptions{MessageSize: int64(cfg.MessageSize), Log: *log})
	if err != nil {
		return err
	}
	defer stage.Close()
	if err := confine(path, cfg, *log); err != nil {
		return fmt.Errorf("confine: %w", err)
	}
	if err := stage.Recover(); err != nil {
		return err
	}
	d, err := newDaemon(path, cfg, stage, *log)
	if err != nil {
		return err
	}
	return d.serve(listeners)
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

// daemon is what a reload changes.
type daemon struct {
	path     string
	started  *config.Config // the configuration at the start
	log      *logline.Logger
	stage    *spool.Stage
	tables   *table.Tables // of the configuration in force
	auth     *auth.Client
	identity atomic.Pointer[listen.Certificates] // nil without TLS
	listen   *listen.Server
	smtp     *smtpd.Server
}

func newDaemon(path string, cfg *config.Config, stage *spool.Stage, log *logline.Logger) (*daemon, error) {
	d := &daemon{path: path, started: cfg, log: log, stage: stage, auth: &auth.Client{Path: filepath.Join(cfg.RunDir, "auth")}}
	d.listen = listen.NewServer(log, limits(cfg), drainTimeout)
	certificates, err := d.load(cfg)
	if err != nil {
		return nil, err
	}
	d.identity.Store(certificates)
	d.smtp = smtpd.New(cfg, d.resolver(cfg), smtpd.Deps{
		Spool: stageSpool{stage}, Auth: authd{d.auth}, Log: log, Login: loginOf, Identity: d.current,
		Names: smtpd.NewNames(smtpd.SystemResolver(cfg.Resolver)),
	})
	return d, nil
}

// load reads the certificate; without one it says so and returns nil.
func (d *daemon) load(cfg *config.Config) (*listen.Certificates, error) {
	if cfg.TLS.Certificate == "" {
		d.log.Warn("no certificate: TLS and AUTH are not offered")
		return nil, nil
	}
	return listen.LoadCertificates(cfg.TLS.Certificate, cfg.TLS.Key, tlsOptions(cfg))
}

// current is what is shown in handshakes; nil without TLS.
func (d *daemon) current() *listen.Identity {
	if c := d.identity.Load(); c != nil {
		return c.Current()
	}
	return nil
}

// resolver reads the tables that a configuration names.
func (d *daemon) resolver(cfg *config.Config) smtpd.Resolver {
	d.tables = table.Open(cfg, table.Options{Report: func(err error) { d.log.Error("%v", err) }, Previous: d.tables})
	return route.New(cfg, d.tables, route.Remember(d.auth))
}

// limits are those of the listeners.
func limits(cfg *config.Config) listen.Limits {
	l := listen.Limits{
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
func (d *daemon) serve(listeners map[string][]net.Listener) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	go d.reload(ctx, hangups)
	var services []listen.Service
	for name, ls := range listeners {
		services = append(services, listen.Service{
			Name: name, Listeners: ls,
			Handle:  func(ctx context.Context, c net.Conn) { d.handle(ctx, c, name) },
			Refusal: func(why listen.Refusal) []byte { return d.smtp.Refusal(name, why) },
		})
	}
	if err := listen.Notify("READY=1"); err != nil {
		d.log.Warn("%v", err)
	}
	return d.listen.Serve(ctx, services)
}

// handle holds one session.
func (d *daemon) handle(ctx context.Context, c net.Conn, service string) {
	uid := int64(envelope.NoUID)
	if c.LocalAddr().Network() == "unix" {
		cred, err := listen.PeerCred(c)
		if err != nil {
			d.log.Warn("%s: %v", service, err)
			return
		}
		uid = int64(cred.UID)
	}
	d.smtp.Serve(ctx, c, service, uid)
}

// reload reads configuration, tables and certificate at each SIGHUP. An error keeps the old ones.
func (d *daemon) reload(ctx context.Context, hangups <-chan os.Signal) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangups:
		}
		if err := d.reconfigure(); err != nil {
			d.log.Error("reload: nothing changed: %v", err)
			continue
		}
		d.log.Info("reloaded %s", d.path)
	}
}

// reconfigure reads everything before it changes anything.
func (d *daemon) reconfigure() error {
	cfg, err := config.Load(d.path)
	if err != nil {
		return err
	}
	certificates, err := d.load(cfg)
	if err != nil {
		return err
	}
	d.identity.Store(certificates)
	d.listen.SetLimits(limits(cfg))
	d.smtp.Configure(cfg, d.resolver(cfg))
	d.stage.SetMessageSize(int64(cfg.MessageSize))
	for _, key := range needRestart(d.started, cfg) {
		d.log.Warn("%s has changed: that takes a restart", key)
	}
	return nil
}

// needRestart are the settings that differ and that only a start puts into force.
func needRestart(started, now *config.Config) []string {
	var keys []string
	for _, c := range []struct {
		key     string
		differs bool
	}{
		{"log_format", started.LogFormat != now.LogFormat},
		{"resolver", started.Resolver != now.Resolver},
		{"run_dir", started.RunDir != now.RunDir},
		{"spool_dir", started.SpoolDir != now.SpoolDir},
	} {
		if c.differs {
			keys = append(keys, c.key)
		}
	}
	return keys
}

// confine gives up what smtpd does not need: capabilities, programs, and files other than the spool, configuration, tables,
// certificate, and what finding names takes. A reload finds its files only in directories that were named at the start.
func confine(path string, cfg *config.Config, log *logline.Logger) error {
	_ = time.Local.String() // reads the time zone while it is within reach
	rules := sandbox.Rules{ReadWrite: []string{cfg.SpoolDir}, ReadOnly: []string{"/etc", filepath.Dir(path)}}
	t := cfg.Tables
	for _, file := range append([]string{t.Users, t.Domains, t.Virtual, t.Passwd, cfg.TLS.Certificate, cfg.TLS.Key}, t.Aliases...) {
		if file != "" {
			rules.ReadOnly = append(rules.ReadOnly, filepath.Dir(file))
		}
	}
	if target, err := filepath.EvalSymlinks("/etc/resolv.conf"); err == nil {
		rules.ReadOnly = append(rules.ReadOnly, filepath.Dir(target))
	}
	notes, err := sandbox.Restrict(rules)
	for _, note := range notes {
		log.Info("sandbox: %s", note)
	}
	return errors.Join(err, sandbox.DropCapabilities(), sandbox.NoCoreDumps(), sandbox.NoExec())
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
