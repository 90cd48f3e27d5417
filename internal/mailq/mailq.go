// Package mailq lists and steers the queue: from the spool's files for those who may read them, through the daemons' control
// sockets for everybody else. It lists in Postfix's format or as JSON, chooses messages by id and by what they are like, holds,
// releases, retries, deletes and shows them. The daemons use its way with the files to answer such requests. What it reads may
// have been put there by a compromised smtpd; nothing of it reaches a terminal with control characters in it.
package mailq

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"syscall"

	"postrider/internal/config"
	"postrider/internal/control"
	"postrider/internal/envelope"
)

// Exit codes: those of sysexits.h, and one of our own.
const (
	exitOK          = 0
	exitNone        = NotFound
	exitUsage       = 64
	exitUnavailable = 69
	exitIO          = 74
)

// NotFound is the exit code when nothing was found, or something was not done.
const NotFound = 1

// Verb is what is to be done.
type Verb string

// The verbs.
const (
	List    Verb = "list"
	Cat     Verb = "cat"
	Flush   Verb = "flush" // retry; without a choice all
	Hold         = Verb(control.DoHold)
	Release      = Verb(control.DoRelease)
	Retry        = Verb(control.DoRetry)
	Delete       = Verb(control.DoDelete)
)

// Request is what somebody wants of the queue.
type Request struct {
	SpoolDir string
	RunDir   string
	Do       Verb
	JSON     bool // list as JSON
	DryRun   bool // list what the action would be about
	Verbose  bool // name each message
	Files    bool // work on the files, whether there are daemons or not
	All      bool
	IDs      []string // only these; nil = all that the filter lets through
	Filter   Filter
}

// channel is a part of the queue, and the control socket of its daemon.
type channel struct {
	via    envelope.Via
	socket string
}

var channels = []channel{{envelope.Local, "local.ctl"}, {envelope.Remote, "relay.ctl"}}

// Sockets are the paths of the control sockets below a run directory.
func Sockets(runDir string) (list []string) {
	for _, c := range channels {
		list = append(list, filepath.Join(runDir, c.socket))
	}
	return list
}

// garbage is how much a listing may leave lying before it is collected, in percent of what it keeps, which is little.
const garbage = 800

// Main is mailq; args are without its name. It returns the exit status.
func Main(args []string) int {
	c, err := parse(args)
	if err != nil {
		fmt.Fprintf(os.Stderr, "mailq: %s\n%s", clean(err.Error()), usage)
		return exitUsage
	}
	if c.stdin {
		if err := c.readIDs(os.Stdin); err != nil {
			fmt.Fprintf(os.Stderr, "mailq: %v\n", err)
			return exitIO
		}
	}
	cfg, err := config.Load(c.config)
	if err != nil {
		cfg = config.Default() // an error in the file is no reason to hide the queue
	}
	c.SpoolDir, c.RunDir = cfg.SpoolDir, cfg.RunDir
	debug.SetGCPercent(garbage)
	return c.Run(context.Background(), os.Stdout, os.Stderr)
}

// Run does what is asked for and returns the exit status. What cannot be done is said on stderr.
func (r *Request) Run(ctx context.Context, stdout, stderr io.Writer) int {
	w := &run{Request: r, ctx: ctx, stdout: stdout, stderr: stderr}
	switch {
	case r.Do == Cat:
		return w.cat()
	case r.Do == List || r.Do == "" || r.DryRun:
		return w.list()
	case r.Do == Flush && !r.chosen():
		return w.flush()
	}
	return w.steer()
}

// chosen says that the request is not about the whole queue as it is.
func (r *Request) chosen() bool { return r.IDs != nil || len(r.Filter) > 0 }

// concerns are the tests for the messages that the request is about, besides their ids: an action by a filter leaves out those
// that are not in a state for it.
func (r *Request) concerns() Filter {
	switch r.Do {
	case Hold, Retry, Flush:
		return append(Filter{inState(control.Incoming, control.Active, control.Deferred)}, r.Filter...)
	case Release:
		return append(Filter{inState(control.Hold)}, r.Filter...)
	}
	return r.Filter
}

// run is a request that is being served.
type run struct {
	*Request
	ctx            context.Context
	stdout, stderr io.Writer
}

// complain says what went wrong.
func (w *run) complain(format string, args ...any) {
	fmt.Fprintf(w.stderr, "mailq: %s\n", clean(fmt.Sprintf(format, args...)))
}

// list shows what the request is about.
func (w *run) list() int {
	var out printer = newText(w.stdout)
	if w.JSON {
		out = newObjects(w.stdout)
	}
	wanted, filter, n := setOf(w.IDs), w.concerns(), 0
	status := w.each(w.reader, func(s source) error {
		return s.list(w.ctx, w.IDs, w.acts(), func(e *control.Entry) error {
			if wanted != nil && !wanted[e.ID] || !filter.Match(e) {
				return nil
			}
			n++
			if err := out.entry(e); err != nil {
				return &outputError{err}
			}
			return nil
		})
	})
	switch {
	case status == exitIO || status == exitUnavailable && n == 0:
		return status
	case n == 0 && (w.chosen() || w.acts()):
		w.complain("no such message")
		return max(status, exitNone)
	}
	if err := out.end(); err != nil {
		return w.failed(&outputError{err})
	}
	return status
}

// acts says that the request is about what the user may steer.
func (r *Request) acts() bool { return r.Do != List && r.Do != "" }

// cat writes the queue files of messages.
func (w *run) cat() int {
	status := exitOK
	for _, id := range w.IDs {
		found := false
		one := w.each(w.reader, func(s source) error {
			if found {
				return nil
			}
			err := s.cat(w.ctx, id, output(w.stdout))
			found = found || err == nil
			if err == errNone {
				return nil
			}
			return err
		})
		if one == exitOK && !found {
			w.complain("%s: no such message", id)
			one = exitNone
		}
		status = max(status, one)
	}
	return status
}

// outputError is a failure to write the result.
type outputError struct{ err error }

func (e *outputError) Error() string { return "write: " + e.err.Error() }
func (e *outputError) Unwrap() error { return e.err }

// failed ends a run whose output cannot be written; silently if the reader had enough.
func (w *run) failed(e *outputError) int {
	if errors.Is(e.err, syscall.EPIPE) {
		return exitOK
	}
	w.complain("%v", e)
	return exitIO
}
