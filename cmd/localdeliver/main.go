// Command localdeliver delivers what is for this host; see localdeliver(8). It is three kinds of process: the manager, which
// this file sets up, its spawner, and the workers under the recipients' uids.
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"sync/atomic"
	"syscall"

	"postrider/internal/auth"
	"postrider/internal/config"
	"postrider/internal/control"
	"postrider/internal/daemon"
	"postrider/internal/envelope"
	"postrider/internal/listen"
	"postrider/internal/localdeliver"
	"postrider/internal/localdeliver/worker"
	"postrider/internal/queue"
	"postrider/internal/report"
	"postrider/internal/route"
	"postrider/internal/sandbox"
	"postrider/internal/spool"
	"postrider/internal/table"
)

// workerArgument is how the spawner starts a worker.
const workerArgument = "-worker"

// controlSocket is the name in LISTEN_FDNAMES.
const controlSocket = "local.ctl"

func main() {
	kinds := map[byte][]string{localdeliver.WorkerKind: {workerArgument}}
	if status, ours := sandbox.SpawnerMain(os.Args, kinds); ours {
		os.Exit(status)
	}
	if len(os.Args) == 2 && os.Args[1] == workerArgument {
		os.Exit(worker.Main())
	}
	daemon.Main("localdeliver", run)
}

// run delivers until SIGTERM.
func run(d *daemon.Daemon, cfg *config.Config) error {
	inherited, err := sockets()
	if err != nil {
		return err
	}
	spawner, mailboxUID, err := d.Spawner(cfg, 2*cfg.LocalDeliver.MaxWorkers, perUID(cfg)) // workers that end count, too
	if err != nil {
		return err
	}
	defer spawner.Close()
	channel, err := spool.OpenChannel(cfg.SpoolDir, envelope.Local, spool.ChannelOptions{
		AllowRemote: cfg.AllowRemoteSpool, Log: d.Log,
	})
	if err != nil {
		return err
	}
	defer channel.Close()
	if err := confine(d, cfg); err != nil {
		return fmt.Errorf("confine: %w", err)
	}
	s := &service{Daemon: d, started: cfg, mailboxes: mailboxUID}
	s.manager = localdeliver.New(channel, localdeliver.Spawned{Spawner: spawner}, cfg.LocalDeliver.MaxWorkers, d.Log)
	if err := s.configure(cfg); err != nil {
		return err
	}
	steering := queue.Steering{Schedule: s.manager.Schedule(), Spool: cfg.SpoolDir, Via: envelope.Local}
	s.control = &control.Server{Queue: steering, Rights: s.rights, Log: d.Log}
	return s.serve(spawner, inherited)
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

// perUID is how many workers one uid may have: mailboxes under one uid may have homes apart. The manager allows ordinary
// users fewer.
func perUID(cfg *config.Config) int {
	if cfg.SingleUID {
		return 2 * cfg.LocalDeliver.MaxWorkers
	}
	return max(8, cfg.LocalDeliver.MaxWorkers/2)
}

// confine leaves the manager its channel, the configuration, the tables and Unix sockets. A reload finds tables only in
// directories that were named at the start.
func confine(d *daemon.Daemon, cfg *config.Config) error {
	rules := sandbox.Rules{
		ReadOnly:  []string{"/etc", filepath.Dir(d.Path)},
		ReadWrite: []string{filepath.Join(cfg.SpoolDir, string(envelope.Local))},
	}
	tables := append([]string{cfg.Tables.Users, cfg.Tables.Domains, cfg.Tables.Virtual, cfg.Tables.Passwd}, cfg.Tables.Aliases...)
	for _, t := range tables {
		if t != "" {
			rules.ReadOnly = append(rules.ReadOnly, filepath.Dir(t))
		}
	}
	return errors.Join(d.Confine(rules), sandbox.DropCapabilities(), sandbox.NoCoreDumps(), sandbox.NoExec(), sandbox.NoNetwork())
}

// service is what a reload changes.
type service struct {
	*daemon.Daemon
	started   *config.Config
	mailboxes uint32 // uid of the mailbox user
	manager   *localdeliver.Manager
	control   *control.Server
	auth      *auth.Client // of the settings in force
	tables    *table.Tables
	authority atomic.Pointer[control.Authority] // of the settings in force
}

// rights are those of a client of the control socket now.
func (s *service) rights(uid uint32) control.Rights { return s.authority.Load().Rights(uid) }

// configure puts a configuration into force.
func (s *service) configure(cfg *config.Config) error {
	s.tables = table.Open(cfg, table.Options{Report: func(err error) { s.Log.Error("%v", err) }, Previous: s.tables})
	old := s.auth
	s.auth = &auth.Client{Path: filepath.Join(cfg.RunDir, "auth")}
	s.manager.Configure(localdeliver.Settings{
		Config:    cfg,
		Router:    route.New(cfg, s.tables, s.auth),
		Submitter: report.Socket(filepath.Join(cfg.RunDir, "submit.int")),
		Host:      cfg.Hostname,

		MailboxUID: s.mailboxes,
	})
	if old != nil {
		old.Close() // what is under way ends as it began
	}
	authority, err := control.NewAuthority(cfg.Admins, cfg.MailqUsers == "any")
	if err != nil {
		s.Log.Warn("%v", err)
	}
	s.authority.Store(authority)
	return nil
}

// reconfigure puts a new configuration into force, as far as that goes.
func (s *service) reconfigure(cfg *config.Config) error {
	if err := s.configure(cfg); err != nil {
		return err
	}
	s.NeedRestart(append(daemon.SpawnerKeys(s.started, cfg), daemon.Keys{
		{Name: "log_format", Differs: s.started.LogFormat != cfg.LogFormat},
		{Name: "localdeliver.max_workers", Differs: s.started.LocalDeliver.MaxWorkers != cfg.LocalDeliver.MaxWorkers},
		{Name: "spool_dir", Differs: s.started.SpoolDir != cfg.SpoolDir},
	}...))
	return nil
}

func (s *service) serve(spawner *sandbox.Spawner, listeners []net.Listener) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	ctx, end := daemon.WhileSpawner(ctx, spawner)
	defer end()
	s.Reload(ctx, s.reconfigure)
	for _, l := range listeners {
		go s.control.Serve(ctx, l)
	}
	if err := listen.Notify("READY=1"); err != nil {
		s.Log.Warn("%v", err)
	}
	err := s.manager.Run(ctx)
	if cause := context.Cause(ctx); errors.Is(cause, sandbox.ErrGone) {
		return cause
	}
	return err
}
