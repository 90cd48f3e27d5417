// Command authd knows users and checks passwords for the other daemons of the suite; see authd(8).
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"postrider/internal/authd"
	"postrider/internal/config"
	"postrider/internal/listen"
	"postrider/internal/logline"
	"postrider/internal/sandbox"
)

// unconfined begins the note of a sandbox that does not hold files at all.
const unconfined = "files are not confined"

func main() {
	path := flag.String("c", config.DefaultPath, "configuration `file`")
	flag.Parse()
	log := logline.New("authd", logline.Text)
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
	*log = logline.New("authd", format)
	listeners, err := sockets()
	if err != nil {
		return err
	}
	seed, err := authd.Seed(filepath.Join(cfg.StateDir, "authd"))
	if err != nil {
		return err
	}
	if err := confine(path, cfg, *log); err != nil {
		return fmt.Errorf("confine: %w", err)
	}
	settings := authd.NewSettings(cfg, seed, *log, nil)
	server := authd.New(settings)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	go reload(ctx, hangups, path, settings, server, *log)
	if err := listen.Notify("READY=1"); err != nil {
		(*log).Warn("%v", err)
	}
	return server.Serve(ctx, *log, listeners)
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

// reload reads the configuration at each SIGHUP. An error keeps the old one.
func reload(ctx context.Context, hangups <-chan os.Signal, path string, settings authd.Settings, server *authd.Server, log *logline.Logger) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangups:
		}
		cfg, err := config.Load(path)
		if err != nil {
			log.Error("reload: nothing changed: %v", err)
			continue
		}
		settings = authd.NewSettings(cfg, settings.Seed, log, settings.Tables)
		server.Configure(settings)
		log.Info("reloaded %s", path)
	}
}

// confine gives up what authd does not need: capabilities, programs, the network, files other than configuration and
// tables. A reload finds its tables only in directories that were named at the start.
func confine(path string, cfg *config.Config, log *logline.Logger) error {
	rules := sandbox.Rules{ReadOnly: []string{"/etc", filepath.Dir(path)}}
	for _, table := range []string{cfg.Tables.Users, cfg.Tables.Passwords, cfg.Tables.Domains, cfg.Tables.Passwd} {
		if table != "" {
			rules.ReadOnly = append(rules.ReadOnly, filepath.Dir(table))
		}
	}
	notes, err := sandbox.Restrict(rules)
	report(notes, log)
	return errors.Join(err, sandbox.DropCapabilities(), sandbox.NoCoreDumps(), sandbox.NoExec(), sandbox.NoNetwork())
}

// report logs what the sandbox cannot do.
func report(notes []string, log *logline.Logger) {
	for _, note := range notes {
		if strings.HasPrefix(note, unconfined) {
			log.Warn("sandbox: %s", note)
		} else {
			log.Info("sandbox: %s", note)
		}
	}
}
