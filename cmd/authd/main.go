// Command authd knows users, checks passwords and starts the session processes of who has logged in; see authd(8). It is three
// kinds of process: the one that this file sets up, its spawner, and the session processes under the users' uids.
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"postrider/internal/authd"
	"postrider/internal/authd/sessions"
	"postrider/internal/config"
	"postrider/internal/daemon"
	"postrider/internal/listen"
	"postrider/internal/sandbox"
	"postrider/internal/session"
)

// sessionArgument is how the spawner starts a session process.
const sessionArgument = "-session"

func main() {
	kinds := map[byte][]string{sessions.ProcessKind: {sessionArgument}}
	if status, ours := sandbox.SpawnerMain(os.Args, kinds); ours {
		os.Exit(status)
	}
	if len(os.Args) == 2 && os.Args[1] == sessionArgument {
		os.Exit(session.Main(session.Engines()))
	}
	daemon.Main("authd", run)
}

// run serves until SIGTERM.
func run(d *daemon.Daemon, cfg *config.Config) error {
	listeners, err := sockets()
	if err != nil {
		return err
	}
	spawner, mailboxUID, err := d.Spawner(cfg, 2*cfg.Authd.MaxSessions, perUID(cfg)) // processes that end count, too
	if err != nil {
		return err
	}
	defer spawner.Close()
	seed, err := authd.Seed(filepath.Join(cfg.StateDir, "authd"))
	if err != nil {
		return err
	}
	if err := confine(d, cfg); err != nil {
		return fmt.Errorf("confine: %w", err)
	}
	manager := sessions.New(sessions.Spawned{Spawner: spawner}, d.Log)
	defer manager.Close()
	manager.Configure(sessions.Settings{Config: cfg, MailboxUID: mailboxUID})
	settings := authd.NewSettings(cfg, seed, d.Log, nil)
	settings.MailboxUID = mailboxUID
	server := authd.New(settings, manager)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	d.Reload(ctx, func(now *config.Config) error {
		settings = authd.NewSettings(now, seed, d.Log, settings.Tables)
		settings.MailboxUID = mailboxUID
		server.Configure(settings)
		manager.Configure(sessions.Settings{Config: now, MailboxUID: mailboxUID})
		d.NeedRestart(append(daemon.SpawnerKeys(cfg, now), daemon.Keys{
			{Name: "log_format", Differs: cfg.LogFormat != now.LogFormat},
			{Name: "authd.max_sessions", Differs: cfg.Authd.MaxSessions != now.Authd.MaxSessions},
			{Name: "state_dir", Differs: cfg.StateDir != now.StateDir},
		}...))
		return nil
	})
	return serve(ctx, d, server, listeners, spawner)
}

// perUID is how many session processes one uid may have: those of the mailbox user are a quarter of all. The manager allows other
// uids fewer.
func perUID(cfg *config.Config) int {
	if cfg.SingleUID {
		return 2 * cfg.Authd.MaxSessions
	}
	return max(8, cfg.Authd.MaxSessions/2)
}

// serve answers until ctx ends, or the spawner.
func serve(ctx context.Context, d *daemon.Daemon, server *authd.Server, listeners []net.Listener, spawner *sandbox.Spawner) error {
	ctx, end := daemon.WhileSpawner(ctx, spawner)
	defer end()
	if err := listen.Notify("READY=1"); err != nil {
		d.Log.Warn("%v", err)
	}
	err := server.Serve(ctx, d.Log, listeners)
	if cause := context.Cause(ctx); errors.Is(cause, sandbox.ErrGone) {
		return cause
	}
	return err
}

// sockets are the listeners that were handed over.
func sockets() ([]net.Listener, error) {
	inherited, err := listen.Inherited()
	if err != nil {
		return nil, err
	}
	listeners := inherited[authd.Socket]
	if len(listeners) == 0 || len(inherited) > 1 {
		return nil, fmt.Errorf("expected sockets named %q and no others in LISTEN_FDNAMES, from systemd or postrider listen", authd.Socket)
	}
	return listeners, nil
}

// confine gives up what authd does not need: capabilities, programs, the network, files other than configuration and
// tables. A reload finds its tables only in directories that were named at the start.
func confine(d *daemon.Daemon, cfg *config.Config) error {
	rules := sandbox.Rules{ReadOnly: []string{"/etc", filepath.Dir(d.Path)}}
	for _, table := range []string{cfg.Tables.Users, cfg.Tables.Passwords, cfg.Tables.Domains, cfg.Tables.Passwd} {
		if table != "" {
			rules.ReadOnly = append(rules.ReadOnly, filepath.Dir(table))
		}
	}
	return errors.Join(d.Confine(rules), sandbox.DropCapabilities(), sandbox.NoCoreDumps(), sandbox.NoExec(), sandbox.NoNetwork())
}
