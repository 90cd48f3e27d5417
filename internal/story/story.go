// Package story is `postrider why`: everything that is known of a message, in words, from the queue, the journals and the log, with
// what will happen next. It reads as the user who runs it; where that user may not read the queue it asks the daemons, who show
// users their own mail. It changes nothing.
//
// What the queue and the log quote was written by clients, senders and other hosts, and is printed without control characters.
package story

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"postrider/internal/config"
	"postrider/internal/envelope"
	"postrider/internal/reply"
)

const usage = `usage: postrider why [-c file] [-l log] id | message-id
Tells the story of a message: by its queue id, or by its Message-ID.
  -c file  the configuration
  -l log   a log to read instead of the system's, - is standard input; may be repeated
`

// Exit codes of sysexits.h.
const (
	exitOK      = 0
	exitUsage   = 64
	exitUnknown = 69
	exitIO      = 74
)

// limit bounds the whole answer.
const limit = 2 * time.Minute

// Main is `postrider why`; args are without the subcommand. It returns the exit status: 69 if nothing is known of the message.
func Main(args []string) int {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	return run(ctx, args, os.Stdout, os.Stderr)
}

func run(ctx context.Context, args []string, out, errs io.Writer) int {
	r, configPath, err := parse(args)
	if err != nil {
		fmt.Fprintf(errs, "postrider why: %v\n%s", err, usage)
		return exitUsage
	}
	if r.Config, err = config.Load(configPath); err != nil {
		fmt.Fprintln(errs, err)
		r.Config = config.Default() // an error in the file is no reason to hide the queue
	}
	return r.Run(ctx, out, errs)
}

// parse reads the arguments; options may follow the message.
func parse(args []string) (*Request, string, error) {
	r := &Request{Now: time.Now()}
	flags := flag.NewFlagSet("why", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	path := flags.String("c", config.DefaultPath, "")
	flags.Func("l", "", func(file string) error {
		r.Logs = append(r.Logs, file)
		return nil
	})
	var words []string
	for {
		if err := flags.Parse(args); err != nil {
			return nil, "", err
		}
		if flags.NArg() == 0 {
			break
		}
		words, args = append(words, flags.Arg(0)), flags.Args()[1:]
	}
	if len(words) != 1 {
		return nil, "", fmt.Errorf("expected one message, not %d", len(words))
	}
	switch word := words[0]; {
	case envelope.ValidID(word):
		r.ID = word
	case strings.Contains(word, "@"):
		r.MessageID = bare(word)
	default:
		return nil, "", fmt.Errorf("%.80q is neither a queue id nor a Message-ID", word)
	}
	return r, *path, nil
}

// bare is a Message-ID without its brackets.
func bare(s string) string {
	s = strings.TrimSpace(s)
	return strings.TrimSuffix(strings.TrimPrefix(s, "<"), ">")
}

// Request asks for the story of a message, by its ID or its MessageID (without brackets).
type Request struct {
	ID, MessageID string
	Config        *config.Config
	Logs          []string // files, - is standard input; none = the system's log
	Now           time.Time
}

// Bounds of an answer.
const (
	maxStories  = 10  // messages of one Message-ID
	maxChildren = 100 // messages made from one
)

// Run tells what is known and returns the exit status. What could not be read is said on errs.
func (r *Request) Run(ctx context.Context, out, errs io.Writer) int {
	q := &queue{config: r.Config, now: r.Now, complain: func(format string, args ...any) {
		fmt.Fprintf(errs, "postrider why: %s\n", reply.Clean(fmt.Sprintf(format, args...)))
	}}
	c := newCollection(r.ID, r.MessageID)
	if r.MessageID != "" {
		q.search(ctx, r.MessageID, c.found)
	}
	r.read(ctx, c, q.complain)
	ids := c.roots()
	if len(ids) > maxStories {
		q.complain("%d messages have that Message-ID; these are the first %d", len(ids), maxStories)
		ids = ids[:maxStories]
	}
	t := &teller{out: out, queue: q, collection: c, config: r.Config, now: r.Now}
	known := false
	for i, id := range ids {
		if i > 0 {
			t.say(0, "")
		}
		known = t.tell(ctx, id) || known
	}
	switch {
	case t.err != nil:
		q.complain("write: %v", t.err)
		return exitIO
	case !known:
		q.complain("nothing is known of %s: it is not in the queue, and not in the log as far as it could be read", r.name())
		return exitUnknown
	}
	return exitOK
}

func (r *Request) name() string {
	if r.ID != "" {
		return r.ID
	}
	return "<" + r.MessageID + ">"
}

// read passes the log to a collection.
func (r *Request) read(ctx context.Context, c *collection, complain func(string, ...any)) {
	since := r.Now.Add(-r.Config.Relayd.QueueLifetime.D() - 2*day)
	if t, err := arrival(r.ID); err == nil {
		since = t.Add(-time.Minute)
	}
	for _, s := range r.sources(since) {
		if err := s.read(ctx, r.Now, c.add); err != nil && !errors.Is(err, errQuiet) {
			complain("%v", err)
		}
	}
	slices.SortStableFunc(c.entries, byTime)
}

const day = 24 * time.Hour
