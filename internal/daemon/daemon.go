// Package daemon is what every daemon of the suite does alike: read the configuration that -c names, log as it asks, say
// what the sandbox cannot do, and read the configuration again at SIGHUP, where an error changes nothing.
package daemon

import (
	"context"
	"flag"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"postrider/internal/config"
	"postrider/internal/logline"
	"postrider/internal/sandbox"
)

// Daemon is the process.
type Daemon struct {
	Path string // of the configuration
	Log  *logline.Logger
}

// Main parses the command line, reads the configuration and runs the daemon. An error ends the process with status 1.
func Main(name string, run func(d *Daemon, cfg *config.Config) error) {
	// A log that ends must not end the daemon: whoever has its socket can shut it down. Unlike SIG_IGN this is not inherited.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	d := &Daemon{Log: logline.New(name, logline.Text)}
	flag.StringVar(&d.Path, "c", config.DefaultPath, "configuration `file`")
	flag.Parse()
	if flag.NArg() > 0 {
		d.Log.Fatal("unexpected argument %q", flag.Arg(0))
	}
	cfg, err := config.Load(d.Path)
	if err != nil {
		d.Log.Fatal("%v", err)
	}
	format, err := logline.ParseFormat(cfg.LogFormat)
	if err != nil {
		d.Log.Fatal("%v", err)
	}
	d.Log = logline.New(name, format)
	d.warn(cfg)
	if err := run(d, cfg); err != nil {
		d.Log.Fatal("%v", err)
	}
}

func (d *Daemon) warn(cfg *config.Config) {
	for _, w := range cfg.Warnings {
		d.Log.Warn("%v", w)
	}
}

// Reload calls apply, from now until ctx ends, with the configuration as it is at each SIGHUP. apply changes everything or, with
// an error, nothing.
func (d *Daemon) Reload(ctx context.Context, apply func(*config.Config) error) {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-hangups:
			}
			if err := d.reload(apply); err != nil {
				d.Log.Error("reload: nothing changed: %v", err)
				continue
			}
			d.Log.Info("reloaded %s", d.Path)
		}
	}()
}

func (d *Daemon) reload(apply func(*config.Config) error) error {
	cfg, err := config.Load(d.Path)
	if err != nil {
		return err
	}
	d.warn(cfg)
	return apply(cfg)
}

// Keys are settings by name, and whether they are others than at the start.
type Keys []struct {
	Name    string
	Differs bool
}

// Differing are the names of those that differ.
func (k Keys) Differing() []string {
	var names []string
	for _, key := range k {
		if key.Differs {
			names = append(names, key.Name)
		}
	}
	return names
}

// NeedRestart says which settings have changed that only a start puts into force.
func (d *Daemon) NeedRestart(k Keys) {
	for _, name := range k.Differing() {
		d.Log.Warn("%s has changed: that takes a restart", name)
	}
}

// Confine leaves the process the files of rules, and says what the kernel could not do about it.
func (d *Daemon) Confine(rules sandbox.Rules) error {
	notes, err := sandbox.Restrict(rules)
	d.report(notes)
	return err
}

// unconfined begins the note of a sandbox that does not hold files at all.
const unconfined = "files are not confined"

func (d *Daemon) report(notes []string) {
	for _, note := range notes {
		if strings.HasPrefix(note, unconfined) {
			d.Log.Warn("sandbox: %s", note)
		} else {
			d.Log.Info("sandbox: %s", note)
		}
	}
}
