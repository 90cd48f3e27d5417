package mailq

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"postrider/internal/config"
	"postrider/internal/control"
	"postrider/internal/envelope"
	"postrider/internal/listen"
)

// Exit codes of sysexits.h.
const (
	exitOK          = 0
	exitUsage       = 64
	exitUnavailable = 69
	exitIO          = 74
)

// Request is a listing that somebody asks for.
type Request struct {
	SpoolDir string
	RunDir   string
	JSON     bool
	IDs      []string // only these; none = all
}

// channels are the parts of the queue and the control sockets of their daemons.
var channels = []struct {
	via    envelope.Via
	socket string
}{{envelope.Local, "local.ctl"}, {envelope.Remote, "relay.ctl"}}

// Sockets are the paths of the control sockets below a run directory.
func Sockets(runDir string) (list []string) {
	for _, c := range channels {
		list = append(list, filepath.Join(runDir, c.socket))
	}
	return list
}

// Main is mailq; args are without its name. It returns the exit status.
func Main(args []string) int {
	r, configPath, err := parse(args)
	if err != nil {
		fmt.Fprintf(os.Stderr, "mailq: %v\nusage: mailq [-j] [-C file] [id ...]\n", err)
		return exitUsage
	}
	cfg, err := config.Load(configPath)
	if err != nil {
		cfg = config.Default() // an error in the file is no reason to hide the queue
	}
	r.SpoolDir, r.RunDir = cfg.SpoolDir, cfg.RunDir
	return r.Run(context.Background(), os.Stdout, os.Stderr)
}

// parse reads mailq's options; those of sendmail's mailq are accepted and do nothing.
func parse(args []string) (*Request, string, error) {
	r, path := &Request{}, config.DefaultPath
	for len(args) > 0 && len(args[0]) > 1 && args[0][0] == '-' {
		word := args[0]
		args = args[1:]
		switch {
		case word == "--":
			r.IDs = args
			return r, path, nil
		case word == "-j":
			r.JSON = true
		case word == "-v", word == "-Ac", word == "-Am", word == "-bp":
		case word == "-C" || word == "-c":
			if len(args) == 0 {
				return nil, "", fmt.Errorf("option %s needs an argument", word)
			}
			path, args = args[0], args[1:]
		case strings.HasPrefix(word, "-C") || strings.HasPrefix(word, "-c"):
			path = word[2:]
		default:
			return nil, "", fmt.Errorf("unknown option %.20s", word)
		}
	}
	r.IDs = args
	return r, path, nil
}

// Run lists and returns the exit status. What cannot be listed is said on stderr.
func (r *Request) Run(ctx context.Context, stdout, stderr io.Writer) int {
	var out printer = newText(stdout)
	if r.JSON {
		out = newObjects(stdout)
	}
	status, listed := exitOK, 0
	var absent error
	for _, c := range channels {
		err := r.channel(ctx, c.via, c.socket, out)
		var failed *outputError
		switch {
		case err == nil:
			listed++
		case errors.As(err, &failed):
			return failed.report(stderr)
		case errors.Is(err, fs.ErrNotExist): // no daemon has this channel on this host
			absent = err
		default:
			fmt.Fprintf(stderr, "mailq: %v\n", err)
			status = exitUnavailable
		}
	}
	if listed == 0 {
		if status == exitOK {
			fmt.Fprintf(stderr, "mailq: the mail system is down: %v\n", absent)
		}
		return exitUnavailable
	}
	if err := out.end(); err != nil {
		return (&outputError{err}).report(stderr)
	}
	return status
}

// channel lists a channel from its files, or, if this user may not read them, from its daemon.
func (r *Request) channel(ctx context.Context, via envelope.Via, socket string, out printer) error {
	shown := false
	show := func(e *control.Entry) error {
		shown = true
		if len(r.IDs) > 0 && !slices.Contains(r.IDs, e.ID) {
			return nil
		}
		if err := out.entry(e); err != nil {
			return &outputError{err}
		}
		return nil
	}
	err := r.scan(ctx, via, show)
	if !errors.Is(err, fs.ErrPermission) || shown {
		return err
	}
	conn, err := listen.DialUnix(ctx, filepath.Join(r.RunDir, socket))
	if err != nil {
		return fmt.Errorf("%s queue: %w", via, err)
	}
	c := control.NewClient(conn)
	defer c.Close()
	id := ""
	if len(r.IDs) == 1 {
		id = r.IDs[0]
	}
	if err := c.List(ctx, id, show); err != nil {
		return fmt.Errorf("%s queue: %w", via, err)
	}
	return nil
}

// scan lists from the files what is asked for.
func (r *Request) scan(ctx context.Context, via envelope.Via, show func(*control.Entry) error) error {
	if len(r.IDs) == 0 {
		return Scan(ctx, r.SpoolDir, via, "", show)
	}
	for _, id := range slices.Compact(slices.Sorted(slices.Values(r.IDs))) {
		if id == "" {
			continue
		}
		if err := Scan(ctx, r.SpoolDir, via, id, show); err != nil {
			return err
		}
	}
	return nil
}

// outputError is a failure to write the listing.
type outputError struct{ err error }

func (e *outputError) Error() string { return "write: " + e.err.Error() }
func (e *outputError) Unwrap() error { return e.err }

// report is silent if the reader had enough.
func (e *outputError) report(stderr io.Writer) int {
	if errors.Is(e.err, syscall.EPIPE) {
		return exitOK
	}
	fmt.Fprintf(stderr, "mailq: %v\n", e)
	return exitIO
}
