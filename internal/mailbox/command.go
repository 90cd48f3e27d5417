// Package mailbox is `postrider mailbox`: it checks a Maildir, builds its index anew, and brings mail in from an mbox file or from
// another server.
//
// It runs with the rights of the mail's owner and nobody else's: root becomes that user before the mail is touched. Neither the
// files nor the other server are trusted; what of them is printed has no control characters.
package mailbox

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"postrider/internal/config"
	"postrider/internal/indexdir"
	"postrider/internal/mailstore"
	"postrider/internal/quota"
	"postrider/internal/reply"
)

// Exit codes: those of sysexits.h, and one for what is wrong with the mail.
const (
	exitOK     = 0
	exitWrong  = 1
	exitUsage  = 64
	exitIO     = 74
	exitConfig = 78
)

const usage = `usage: postrider mailbox check [-maildir dir] [-sizes]
       postrider mailbox reindex [-c file] [-maildir dir] [folder ...]
       postrider mailbox import mbox [-c file] [-maildir dir] [-mboxo] file folder
       postrider mailbox import imap [-c file] [-maildir dir] [-starttls] [-ca file] [-password-file file] user host[:port]
`

// command is a command line that is being carried out.
type command struct {
	name     string
	flags    *flag.FlagSet
	maildir  string
	path     string // of the configuration; "" = the default's
	conf     *config.Config
	store    *mailstore.Store // once it is open
	out, err io.Writer
	wrong    int // how much was reported
}

// verbs are the subcommands.
var verbs = []struct {
	name string
	run  func(ctx context.Context, c *command, args []string) error
}{
	{"check", check}, {"reindex", reindex}, {"import mbox", importMbox}, {"import imap", importIMAP},
}

// errUsage says that the command line is wrong; configError wraps what is wrong with the configuration.
var errUsage = errors.New("wrong arguments")

type configError struct{ error }

// Main is `postrider mailbox`; args are without the subcommand. It returns the exit status.
func Main(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	return run(ctx, args, os.Stdout, os.Stderr)
}

func run(ctx context.Context, args []string, out, errs io.Writer) int {
	line := strings.Join(args, "\x00") + "\x00"
	for _, v := range verbs {
		rest, ok := strings.CutPrefix(line, strings.ReplaceAll(v.name, " ", "\x00")+"\x00")
		if !ok {
			continue
		}
		c := &command{name: v.name, out: out, err: errs, flags: flag.NewFlagSet(v.name, flag.ContinueOnError)}
		c.flags.SetOutput(io.Discard)
		c.flags.StringVar(&c.maildir, "maildir", "", "")
		c.flags.StringVar(&c.path, "c", "", "")
		return c.status(v.run(ctx, c, args[len(args)-strings.Count(rest, "\x00"):]))
	}
	io.WriteString(errs, usage)
	return exitUsage
}

// status says what went wrong, and returns the exit status.
func (c *command) status(err error) int {
	switch {
	case err == nil && c.wrong == 0:
		return exitOK
	case err == nil:
		return exitWrong
	}
	fmt.Fprintf(c.err, "postrider mailbox %s: %s\n", c.name, reply.Clean(err.Error()))
	switch {
	case errors.Is(err, errUsage):
		io.WriteString(c.err, usage)
		return exitUsage
	case errors.As(err, new(configError)):
		return exitConfig
	}
	return exitIO
}

// complain reports something that is wrong, but keeps nothing else from being done.
func (c *command) complain(format string, args ...any) {
	c.wrong++
	fmt.Fprintf(c.err, "postrider mailbox %s: %s\n", c.name, reply.Clean(fmt.Sprintf(format, args...)))
}

// parse reads options, and how many arguments follow them: at least min, at most max.
func (c *command) parse(args []string, min, max int) error {
	if err := c.flags.Parse(args); err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	if n := c.flags.NArg(); n < min || n > max {
		return fmt.Errorf("%w: there are %d", errUsage, n)
	}
	if c.maildir == "" {
		home, err := os.UserHomeDir()
		if err != nil || os.Geteuid() == 0 {
			return fmt.Errorf("%w: -maildir is needed", errUsage)
		}
		c.maildir = filepath.Join(home, "Maildir")
	}
	var err error
	c.maildir, err = filepath.Abs(c.maildir)
	return err
}

// configure reads the configuration, or takes the defaults where there is none that can be read.
func (c *command) configure() error {
	path := c.path
	if path == "" {
		path = config.DefaultPath
		file, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
			c.conf = config.Default()
			return nil
		}
		file.Close()
	}
	var err error
	if c.conf, err = config.Load(path); err != nil {
		return configError{err}
	}
	return nil
}

// open becomes the owner and opens the mail store.
func (c *command) open() error {
	if c.conf == nil {
		if err := c.configure(); err != nil {
			return err
		}
	}
	err := becomeOwner(c.maildir)
	if err != nil {
		return err
	}
	o := mailstore.Options{Remote: c.conf.RemoteMail, Quota: quota.New(c.maildir, 0)}
	if c.conf.IndexDir != "" {
		if o.IndexDir, err = indexdir.Own(c.conf.IndexDir); err != nil {
			return err
		}
	}
	c.store, err = mailstore.Open(c.maildir, o)
	return err
}

// maxFolders is how many folders can be named in a command line.
const maxFolders = 10_000

// check is `postrider mailbox check`.
func check(ctx context.Context, c *command, args []string) error {
	sizes := c.flags.Bool("sizes", false, "")
	if err := c.parse(args, 0, 0); err != nil {
		return err
	}
	if err := becomeOwner(c.maildir); err != nil {
		return err
	}
	return mailstore.Check(ctx, c.maildir, *sizes, func(path, problem string) {
		c.wrong++
		fmt.Fprintln(c.out, oneLine(path+": "+problem))
	})
}

// oneLine keeps a file's name from looking like two lines, or from steering a terminal.
func oneLine(s string) string { return strings.ReplaceAll(reply.Clean(s), "\n", "?") }

// reindex is `postrider mailbox reindex`.
func reindex(ctx context.Context, c *command, args []string) error {
	if err := c.parse(args, 0, maxFolders); err != nil {
		return err
	}
	if err := c.open(); err != nil {
		return err
	}
	names := c.flags.Args()
	if len(names) == 0 {
		folders, err := c.store.List()
		if err != nil {
			return err
		}
		for _, f := range folders {
			if !f.NoSelect {
				names = append(names, f.Name)
			}
		}
	}
	for _, name := range names {
		if err := c.store.Reindex(ctx, name); err != nil {
			if ctx.Err() != nil {
				return err
			}
			c.complain("%v", err)
		}
	}
	return nil
}
