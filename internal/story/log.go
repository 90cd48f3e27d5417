package story

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"postrider/internal/logline"
	"postrider/internal/spool"
)

// Bounds of reading logs.
const (
	maxLog      = 8 << 30 // octets of one
	maxLogLine  = 64 << 10
	maxEntries  = 50_000  // kept
	maxAccepted = 100_000 // remembered until their Message-ID is seen
)

// arrival is when a message with that id was accepted.
func arrival(id string) (time.Time, error) { return spool.IDTime(id) }

// source is one log.
type source struct {
	file    string // "-" = standard input
	command []string
	usual   bool // nobody named it: it may be missing
}

// errQuiet is a log that is not there and need not be.
var errQuiet = errors.New("no such log")

// sources are the logs to be read: those asked for, else the journal where systemd runs, else the usual files.
func (r *Request) sources(since time.Time) []source {
	var list []source
	for _, file := range r.Logs {
		list = append(list, source{file: file})
	}
	if list != nil {
		return list
	}
	if _, err := os.Stat("/run/systemd/system"); err == nil {
		if path, err := exec.LookPath("journalctl"); err == nil {
			return []source{{command: []string{path, "--quiet", "--no-pager", "--output=short-iso-precise", "--unit=postrider-*",
				"--since=@" + fmt.Sprint(since.Unix())}}}
		}
	}
	return usualFiles("/var/log", since)
}

// usualFiles are the logs of syslog and of svlogd that changed after a time, older ones first; smtpd's stand before the others', which
// continue its stories.
func usualFiles(dir string, since time.Time) []source {
	var list []source
	for _, pattern := range []string{"mail.log.1", "mail.log", "maillog.1", "maillog", "postrider-smtpd/@*", "postrider-smtpd/current",
		"postrider-localdeliver/@*", "postrider-localdeliver/current", "postrider-relayd/@*", "postrider-relayd/current"} {
		files, _ := filepath.Glob(filepath.Join(dir, pattern)) // the patterns are good
		for _, file := range files {
			if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() && info.ModTime().After(since) {
				list = append(list, source{file: file, usual: true})
			}
		}
	}
	return list
}

// read passes every entry of a log to add.
func (s source) read(ctx context.Context, now time.Time, add func(*logline.Entry)) error {
	if s.command != nil {
		return s.run(ctx, now, add)
	}
	if s.file == "-" {
		return scan(ctx, os.Stdin, now, add)
	}
	f, err := os.Open(s.file)
	if err != nil {
		if s.usual && errors.Is(err, fs.ErrNotExist) {
			return errQuiet
		}
		return fmt.Errorf("read log: %w", err)
	}
	defer f.Close()
	return scan(ctx, f, now, add)
}

// run reads what a program prints.
func (s source) run(ctx context.Context, now time.Time, add func(*logline.Entry)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.command[0], s.command[1:]...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("read log: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("read log: %w", err)
	}
	err = scan(ctx, out, now, add)
	if err != nil {
		cancel() // it may have more to say
	}
	if failed := cmd.Wait(); err == nil && failed != nil {
		err = fmt.Errorf("read log: %s: %w", filepath.Base(s.command[0]), failed)
	}
	return err
}

// scan reads lines; one that is too long is passed over.
func scan(ctx context.Context, r io.Reader, now time.Time, add func(*logline.Entry)) error {
	limited := &io.LimitedReader{R: r, N: maxLog}
	in := bufio.NewReaderSize(limited, maxLogLine)
	for n, long := 0, false; ; n++ {
		line, err := in.ReadSlice('\n')
		if err == bufio.ErrBufferFull {
			long = true
			continue
		}
		if !long {
			if e, ok := logline.Read(string(line), now); ok {
				add(e)
			}
		}
		long = false
		switch {
		case err == io.EOF && limited.N == 0:
			return fmt.Errorf("read log: only its first %d GiB were read", maxLog>>30)
		case err == io.EOF:
			return nil
		case err != nil:
			return fmt.Errorf("read log: %w", err)
		}
		if n%4096 == 0 && ctx.Err() != nil {
			return fmt.Errorf("read log: gave up: %w", ctx.Err())
		}
	}
}

// collection is what the log says of some messages and of those that were made from them. Lines come in the order in which they
// were written, but for those of other daemons.
type collection struct {
	messageID string // wanted; "" = none
	asked     []string
	parent    map[string]string         // of messages that are wanted; "" = none
	accepted  map[string]*logline.Entry // of messages whose Message-ID is not known yet
	order     []string                  // of accepted
	entries   []*logline.Entry
}

func newCollection(id, messageID string) *collection {
	c := &collection{messageID: messageID, parent: make(map[string]string), accepted: make(map[string]*logline.Entry)}
	if id != "" {
		c.found(id)
	}
	return c
}

// found adds a message that was asked for.
func (c *collection) found(id string) {
	if _, known := c.parent[id]; !known {
		c.parent[id] = ""
	}
	if !slices.Contains(c.asked, id) {
		c.asked = append(c.asked, id)
	}
}

// roots are the messages that were asked for, oldest first, without those that were made from others of them.
func (c *collection) roots() []string {
	var ids []string
	for _, id := range c.asked {
		if p := c.parent[id]; p == "" || !slices.Contains(c.asked, p) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// children are the messages that were made from one, oldest first.
func (c *collection) children(id string) []string {
	var ids []string
	for child, parent := range c.parent {
		if parent == id {
			ids = append(ids, child)
		}
	}
	slices.Sort(ids)
	return ids
}

// add takes an entry, if it is about a message that is wanted.
func (c *collection) add(e *logline.Entry) {
	id := e.ID()
	switch v := e.Event.(type) {
	case logline.Accept:
		_, ours := c.parent[v.Parent]
		if _, known := c.parent[id]; known || ours && len(c.parent) < maxChildren {
			c.parent[id] = v.Parent
		}
		c.remember(e)
	case logline.MessageID:
		if c.messageID != "" && bare(v.MessageID) == c.messageID {
			c.found(id)
			if before := c.accepted[id]; before != nil {
				c.parent[id] = before.Event.(logline.Accept).Parent
				c.keep(before)
			}
		}
		delete(c.accepted, id)
	}
	if _, wanted := c.parent[id]; wanted {
		c.keep(e)
	}
}

// remember keeps an acceptance until the Message-ID says whether it is wanted.
func (c *collection) remember(e *logline.Entry) {
	if _, wanted := c.parent[e.ID()]; wanted || c.messageID == "" {
		return
	}
	if len(c.order) >= maxAccepted {
		delete(c.accepted, c.order[0])
		c.order = c.order[1:]
	}
	c.accepted[e.ID()] = e
	c.order = append(c.order, e.ID())
}

func (c *collection) keep(e *logline.Entry) {
	if len(c.entries) < maxEntries {
		c.entries = append(c.entries, e)
	}
}

// of are the entries of one message.
func (c *collection) of(id string) []*logline.Entry {
	var list []*logline.Entry
	for _, e := range c.entries {
		if e.ID() == id {
			list = append(list, e)
		}
	}
	return list
}

// byTime keeps the order of lines that have no time.
func byTime(a, b *logline.Entry) int {
	if a.Time.IsZero() || b.Time.IsZero() {
		return 0
	}
	return a.Time.Compare(b.Time)
}
