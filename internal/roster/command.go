package roster

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"postrider/internal/config"
	"postrider/internal/control"
	"postrider/internal/listen"
	"postrider/internal/reply"
)

// Exit codes: those of sysexits.h, and one for what was not there.
const (
	exitOK          = 0
	exitNone        = 1
	exitUsage       = 64
	exitUnavailable = 69
	exitIO          = 74
	exitConfig      = 78
)

const (
	whoUsage  = "usage: postrider who [-c file] [user | id]\n"
	kickUsage = "usage: postrider kick [-c file] user | id ...\n"
)

// daemons are those that have sessions, and their control sockets.
var daemons = []struct{ name, socket string }{{"imapd", "imap.ctl"}, {"pop3d", "pop3.ctl"}}

// WhoMain is `postrider who`; args are without the subcommand. It returns the exit status.
func WhoMain(args []string) int {
	return run(context.Background(), "who", args, os.Stdout, os.Stderr)
}

// KickMain is `postrider kick`.
func KickMain(args []string) int {
	return run(context.Background(), "kick", args, os.Stdout, os.Stderr)
}

// command is a command line that is being carried out.
type command struct {
	name     string
	names    []string // users and ids
	runDir   string
	out, err io.Writer
}

func run(ctx context.Context, name string, args []string, out, errs io.Writer) int {
	c := &command{name: name, out: out, err: errs}
	path, err := c.parse(args)
	if err != nil {
		usage := whoUsage
		if name == "kick" {
			usage = kickUsage
		}
		c.complain("%v", err)
		fmt.Fprint(errs, usage)
		return exitUsage
	}
	cfg, err := config.Load(path)
	if err != nil {
		fmt.Fprintln(errs, err)
		return exitConfig
	}
	c.runDir = cfg.RunDir
	if name == "kick" {
		return c.kick(ctx)
	}
	return c.who(ctx)
}

// parse reads the arguments and returns the configuration's path.
func (c *command) parse(args []string) (path string, err error) {
	flags := flag.NewFlagSet(c.name, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&path, "c", config.DefaultPath, "")
	if err := flags.Parse(args); err != nil {
		return "", err
	}
	c.names = flags.Args()
	switch {
	case slices.Contains(c.names, ""):
		return "", errors.New("an empty name")
	case c.name == "who" && len(c.names) > 1:
		return "", fmt.Errorf("expected one user or id, not %d", len(c.names))
	case c.name == "kick" && len(c.names) == 0:
		return "", errors.New("expected a user or the id of a session")
	}
	return path, nil
}

// complain says what went wrong.
func (c *command) complain(format string, args ...any) {
	fmt.Fprintf(c.err, "postrider %s: %s\n", c.name, reply.Clean(fmt.Sprintf(format, args...)))
}

// each asks every daemon that runs and returns the exit status: a failure to ask one of them, or that none of them runs.
func (c *command) each(ctx context.Context, do func(*control.Client) error) int {
	status, reached := exitOK, 0
	for _, d := range daemons {
		conn, err := listen.DialUnix(ctx, filepath.Join(c.runDir, d.socket))
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
			c.complain("%s is not running", d.name)
			continue
		}
		if err == nil {
			client := control.NewClient(conn)
			err = do(client)
			client.Close()
		}
		reached++
		if err != nil {
			c.complain("%s: %v", d.name, err)
			status = exitUnavailable
		}
	}
	if reached == 0 {
		return exitUnavailable
	}
	return status
}

// who lists sessions.
func (c *command) who(ctx context.Context) int {
	name := ""
	if len(c.names) > 0 {
		name = c.names[0]
	}
	out := bufio.NewWriter(c.out)
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	n := 0
	status := c.each(ctx, func(client *control.Client) error {
		return client.Who(ctx, name, func(s control.Session) error {
			if n++; n == 1 {
				fmt.Fprint(table, "USER\tSERVICE\tADDRESS\tTLS\tSINCE\tPID\tID\n")
			}
			return printSession(table, s)
		})
	})
	if err := errors.Join(table.Flush(), out.Flush()); err != nil {
		c.complain("write: %v", err)
		return exitIO
	}
	return status
}

// printSession writes the line of one session.
func printSession(w io.Writer, s control.Session) error {
	address, tls, pid := s.Address, "no", "-"
	if address == "" {
		address = "local"
	}
	if s.TLS {
		tls = "yes"
	}
	if s.PID > 0 {
		pid = strconv.Itoa(s.PID)
	}
	_, err := fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", cell(s.User), cell(s.Service), cell(address), tls,
		s.Since.Local().Format(time.DateTime), pid, cell(s.ID))
	return err
}

// cell is a text that stays in its column.
func cell(s string) string { return strings.ReplaceAll(reply.Clean(s), "\n", "?") }

// kick ends sessions and says how many.
func (c *command) kick(ctx context.Context) int {
	total := 0
	status := c.each(ctx, func(client *control.Client) error {
		for _, name := range c.names {
			n, err := client.Kick(ctx, name)
			if err != nil {
				return err
			}
			total += n
		}
		return nil
	})
	plural := "s"
	if total == 1 {
		plural = ""
	}
	if _, err := fmt.Fprintf(c.out, "%d session%s ended\n", total, plural); err != nil {
		return exitIO
	}
	if status == exitOK && total == 0 {
		return exitNone
	}
	return status
}
