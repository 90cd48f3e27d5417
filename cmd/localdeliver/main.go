// Command localdeliver delivers what is for this host; see localdeliver(8). It is three kinds of process: the manager, which
// this file sets up, its spawner, and the workers under the recipients' uids.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"postrider/internal/auth"
	"postrider/internal/config"
	"postrider/internal/control"
	"postrider/internal/envelope"
	"postrider/internal/listen"
	"postrider/internal/localdeliver"
	"postrider/internal/localdeliver/worker"
	"postrider/internal/logline"
	"postrider/internal/route"
	"postrider/internal/sandbox"
	"postrider/internal/spool"
	"postrider/internal/table"
)

// workerArgument is how the spawner starts a worker.
const workerArgument = "-worker"

// unconfined begins the note of a sandbox that does not hold files at all.
const unconfined = "files are not confined"

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
	path := flag.String("c", config.DefaultPath, "configuration `file`")
	flag.Parse()
	log := logline.New("localdeliver", logline.Text)
	if flag.NArg() > 0 {
		log.Fatal("unexpected argument %q", flag.Arg(0))
	}
	if err := run(*path, &log); err != nil {
		log.Fatal("%v", err)
	}
}

// run delivers until SIGTERM. It replaces the logger by the one that the configuration asks for.
func run(path string, log **logline.Logger) error {
	cfg, err := config.Load(path)
	if err != nil {
		return err
	}
	format, err := logline.ParseFormat(cfg.LogFormat)
	if err != nil {
		return err
	}
	*log = logline.New("localdeliver", format)
	for _, w := range cfg.Warnings {
		(*log).Warn("%v", w)
	}
	inherited, err := sockets()
	if err != nil {
		return err
	}
	mailboxes, err := mailboxUser(cfg)
	if err != nil {
		return err
	}
	spawner, err := startSpawner(cfg, mailboxes)
	if err != nil {
		return err
	}
	defer spawner.Close()
	channel, err := spool.OpenChannel(cfg.SpoolDir, envelope.Local, spool.ChannelOptions{
		AllowRemote: cfg.AllowRemoteSpool, Log: *log,
	})
	if err != nil {
		return err
	}
	defer channel.Close()
	if err := confine(path, cfg, *log); err != nil {
		return fmt.Errorf("confine: %w", err)
	}
	d := &daemon{path: path, log: *log, mailboxes: mailboxes.uid}
	d.manager = localdeliver.New(channel, localdeliver.Spawned{Spawner: spawner}, cfg.LocalDeliver.MaxWorkers, *log)
	d.configure(cfg)
	queue := localdeliver.Queue{Manager: d.manager, Spool: cfg.SpoolDir}
	d.control = &control.Server{Queue: queue, Rights: d.rights, Log: *log}
	return d.serve(spawner, inherited)
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

// identity is who somebody is to the kernel; 0 = nobody.
type identity struct{ uid, gid uint32 }

// mailboxUser is the owner of the mailboxes that have no system user, if there is one.
func mailboxUser(cfg *config.Config) (identity, error) {
	if cfg.SingleUID {
		return identity{}, nil
	}
	account, err := user.Lookup(cfg.MailboxUser)
	if err != nil {
		return identity{}, nil
	}
	uid, errUID := strconv.ParseUint(account.Uid, 10, 32)
	gid, errGID := strconv.ParseUint(account.Gid, 10, 32)
	if err := errors.Join(errUID, errGID); err != nil {
		return identity{}, fmt.Errorf("mailbox_user %s: %w", cfg.MailboxUser, err)
	}
	return identity{uint32(uid), uint32(gid)}, nil
}

// startSpawner starts the process that starts workers, while this one may.
func startSpawner(cfg *config.Config, mailboxes identity) (*sandbox.Spawner, error) {
	limits := sandbox.Limits{
		FirstUID: cfg.FirstValidUID, SingleUID: cfg.SingleUID, MailboxUID: mailboxes.uid, MailboxGID: mailboxes.gid,
		Workers: 2 * cfg.LocalDeliver.MaxWorkers, // those that end count, too
		PerUID:  perUID(cfg),
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	return sandbox.StartSpawner(ctx, limits)
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
func confine(path string, cfg *config.Config, log *logline.Logger) error {
	rules := sandbox.Rules{
		ReadOnly:  []string{"/etc", filepath.Dir(path)},
		ReadWrite: []string{filepath.Join(cfg.SpoolDir, string(envelope.Local))},
	}
	tables := append([]string{cfg.Tables.Users, cfg.Tables.Domains, cfg.Tables.Virtual, cfg.Tables.Passwd}, cfg.Tables.Aliases...)
	for _, t := range tables {
		if t != "" {
			rules.ReadOnly = append(rules.ReadOnly, filepath.Dir(t))
		}
	}
	notes, err := sandbox.Restrict(rules)
	for _, note := range notes {
		if strings.HasPrefix(note, unconfined) {
			log.Warn("sandbox: %s", note)
		} else {
			log.Info("sandbox: %s", note)
		}
	}
	return errors.Join(err, sandbox.DropCapabilities(), sandbox.NoCoreDumps(), sandbox.NoExec(), sandbox.NoNetwork())
}

// daemon is what a reload changes.
type daemon struct {
	path      string
	log       *logline.Logger
	mailboxes uint32 // uid of the mailbox user
	manager   *localdeliver.Manager
	control   *control.Server
	auth      *auth.Client // of the settings in force
	tables    *table.Tables
	authority atomic.Pointer[control.Authority] // of the settings in force
}

// rights are those of a client of the control socket now.
func (d *daemon) rights(uid uint32) control.Rights { return d.authority.Load().Rights(uid) }

// configure puts a configuration into force.
func (d *daemon) configure(cfg *config.Config) {
	d.tables = table.Open(cfg, table.Options{Report: func(err error) { d.log.Error("%v", err) }, Previous: d.tables})
	old := d.auth
	d.auth = &auth.Client{Path: filepath.Join(cfg.RunDir, "auth")}
	d.manager.Configure(localdeliver.Settings{
		Config:    cfg,
		Router:    route.New(cfg, d.tables, d.auth),
		Submitter: localdeliver.Socket(filepath.Join(cfg.RunDir, "submit.int")),
		Host:      cfg.Hostname,

		MailboxUID: d.mailboxes,
	})
	if old != nil {
		old.Close() // what is under way ends as it began
	}
	authority, err := control.NewAuthority(cfg.Admins, cfg.MailqUsers == "any")
	if err != nil {
		d.log.Warn("%v", err)
	}
	d.authority.Store(authority)
}

func (d *daemon) serve(spawner *sandbox.Spawner, listeners []net.Listener) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	go d.reload(ctx)
	go func() {
		select {
		case <-spawner.Gone():
			fail(sandbox.ErrGone)
		case <-ctx.Done():
		}
	}()
	for _, l := range listeners {
		go d.control.Serve(ctx, l)
	}
	if err := listen.Notify("READY=1"); err != nil {
		d.log.Warn("%v", err)
	}
	err := d.manager.Run(ctx)
	if cause := context.Cause(ctx); errors.Is(cause, sandbox.ErrGone) {
		return cause // a new start gets a new one
	}
	return err
}

// reload reads the configuration at each SIGHUP. An error keeps the old one.
func (d *daemon) reload(ctx context.Context) {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangups:
		}
		cfg, err := config.Load(d.path)
		if err != nil {
			d.log.Error("reload: nothing changed: %v", err)
			continue
		}
		for _, w := range cfg.Warnings {
			d.log.Warn("%v", w)
		}
		d.configure(cfg)
		d.log.Info("reloaded %s", d.path)
	}
}
