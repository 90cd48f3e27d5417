// Command authd knows users and checks passwords for the other daemons of the suite; see authd(8).
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/signal"
	"path/filepath"
	"syscall"

	"postrider/internal/authd"
	"postrider/internal/config"
	"postrider/internal/daemon"
	"postrider/internal/listen"
	"postrider/internal/sandbox"
)

func main() { daemon.Main("authd", run) }

// run serves until SIGTERM.
func run(d *daemon.Daemon, cfg *config.Config) error {
	listeners, err := sockets()
	if err != nil {
		return err
	}
	seed, err := authd.Seed(filepath.Join(cfg.StateDir, "authd"))
	if err != nil {
		return err
	}
	if err := confine(d, cfg); err != nil {
		return fmt.Errorf("confine: %w", err)
	}
	settings := authd.NewSettings(cfg, seed, d.Log, nil)
	server := authd.New(settings)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	d.Reload(ctx, func(cfg *config.Config) error {
		settings = authd.NewSettings(cfg, seed, d.Log, settings.Tables)
		server.Configure(settings)
		return nil
	})
	if err := listen.Notify("READY=1"); err != nil {
		d.Log.Warn("%v", err)
	}
	return server.Serve(ctx, d.Log, listeners)
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
