package story

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"postrider/internal/config"
	"postrider/internal/control"
	"postrider/internal/envelope"
	"postrider/internal/listen"
	"postrider/internal/spool"
)

// channels are the parts of the queue with the sockets and names of their daemons.
var channels = []struct {
	via            envelope.Via
	socket, daemon string
}{{envelope.Local, "local.ctl", "localdeliver"}, {envelope.Remote, "relay.ctl", "relayd"}}

// message is one as a channel has it.
type message struct {
	via        envelope.Via
	daemon     string
	state      control.State
	arrival    time.Time
	size       int64
	sender     string
	due        time.Time
	hop        string
	trouble    string
	path       string             // of its file, if that could be read
	envelope   *envelope.Envelope // the same
	recipients []recipient
}

// recipient is one of a message.
type recipient struct {
	address  string
	waits    bool
	status   spool.Status // of the last attempt; "" = none, or not known
	tried    time.Time
	attempts int
	relay    string
	reply    string
	text     string // where it went
}

// queue is the queue as this user may see it.
type queue struct {
	config   *config.Config
	now      time.Time
	complain func(format string, args ...any)
}

// find returns a message as each channel has it.
func (q *queue) find(ctx context.Context, id string) []*message {
	var list []*message
	for _, c := range channels {
		found, err := q.inFiles(c.via, id)
		if errors.Is(err, fs.ErrPermission) {
			found, err = q.askDaemon(ctx, c.socket, id)
			if errors.Is(err, fs.ErrNotExist) && !q.exists(c.via) {
				continue // this host has no such channel
			}
		}
		if err != nil {
			q.complain("%s queue: %v", c.via, err)
			continue
		}
		for _, m := range found {
			m.via, m.daemon = c.via, c.daemon
			list = append(list, m)
		}
	}
	return list
}

// exists says that there is a channel.
func (q *queue) exists(via envelope.Via) bool {
	_, err := os.Lstat(filepath.Join(q.config.SpoolDir, string(via)))
	return err == nil
}

// looks is how often a message that moves meanwhile is looked for.
const looks = 3

// inFiles finds a message by its files.
func (q *queue) inFiles(via envelope.Via, id string) ([]*message, error) {
	hand, err := spool.OpenHand(q.config.SpoolDir, via)
	if err != nil {
		return nil, err
	}
	defer hand.Close()
	for range looks {
		var found []*message
		moved := false
		err := hand.List(map[string]bool{id: true}, func(e spool.Entry) error {
			m, err := q.fromFile(hand, e)
			if errors.Is(err, fs.ErrNotExist) {
				moved = true
				return nil
			}
			found = append(found, m)
			return err
		})
		if err != nil || !moved || len(found) > 0 {
			return found, err
		}
	}
	return nil, nil
}

// fromFile is a message as its file and journal have it.
func (q *queue) fromFile(hand *spool.Hand, e spool.Entry) (*message, error) {
	m := &message{path: e.Path, hop: e.Name.Dest, state: state(e, q.now)}
	info, err := hand.Read(e)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return m, err
	}
	if err != nil {
		m.trouble = err.Error()
	}
	if e.State == spool.Queued {
		m.due = time.Unix(e.Name.Due, 0)
	}
	if info == nil {
		m.state = control.Corrupt
		m.arrival, _ = spool.IDTime(e.Name.ID)
		return m, nil
	}
	env := info.Envelope
	m.envelope, m.size, m.arrival, m.sender = env, info.Size, env.Time, env.From.Addr.String()
	waiting := make(map[int]bool)
	for _, r := range info.Pending() {
		waiting[r.Line] = true
	}
	for _, r := range env.To {
		if r.Via == e.Via {
			m.recipients = append(m.recipients, fromJournal(r, waiting[r.Line], info.Last(r.Line)))
		}
	}
	return m, nil
}

func state(e spool.Entry, now time.Time) control.State {
	switch {
	case e.State == spool.Held:
		return control.Hold
	case e.State == spool.Damaged:
		return control.Corrupt
	case e.State == spool.Incoming:
		return control.Incoming
	case e.Name.Due <= now.Unix():
		return control.Active
	}
	return control.Deferred
}

func fromJournal(r envelope.Recipient, waits bool, last *spool.Result) recipient {
	out := recipient{address: r.Addr.String(), waits: waits}
	if last == nil {
		return out
	}
	out.status, out.tried, out.attempts, out.relay, out.text = last.Status, last.Time, last.Attempts, last.Relay, last.Text
	if last.Reply != nil {
		out.reply = last.Reply.Error()
	}
	return out
}

// askDaemon finds a message by the daemon's list, which has only what waits.
func (q *queue) askDaemon(ctx context.Context, socket, id string) ([]*message, error) {
	conn, err := listen.DialUnix(ctx, filepath.Join(q.config.RunDir, socket))
	if err != nil {
		return nil, err
	}
	c := control.NewClient(conn)
	defer c.Close()
	var found []*message
	err = c.List(ctx, control.Query{ID: id}, func(e *control.Entry) error {
		if e.ID == id {
			found = append(found, fromEntry(e))
		}
		return nil
	})
	return found, err
}

func fromEntry(e *control.Entry) *message {
	m := &message{state: e.State, arrival: e.Arrival, size: e.Size, sender: e.Sender, due: e.Due, hop: e.Hop, trouble: e.Trouble}
	for _, r := range e.Recipients {
		out := recipient{address: r.Address, waits: true, tried: r.Tried, attempts: e.Attempts, relay: r.Relay, reply: r.Reply}
		if !r.Tried.IsZero() {
			out.status = spool.Deferred
		}
		m.recipients = append(m.recipients, out)
	}
	return m
}

// maxHeader is how much of a message is searched for its Message-ID, octets.
const maxHeader = 256 << 10

// search finds the messages in the queue that have a Message-ID. Who may not read the queue has only the log.
func (q *queue) search(ctx context.Context, messageID string, found func(id string)) {
	for _, c := range channels {
		err := q.searchFiles(ctx, c.via, messageID, found)
		if err != nil && !errors.Is(err, fs.ErrPermission) {
			q.complain("%s queue: %v", c.via, err)
		}
	}
}

func (q *queue) searchFiles(ctx context.Context, via envelope.Via, messageID string, found func(id string)) error {
	hand, err := spool.OpenHand(q.config.SpoolDir, via)
	if err != nil {
		return err
	}
	defer hand.Close()
	return hand.List(nil, func(e spool.Entry) error {
		f, env, err := hand.Open(e)
		if err != nil {
			return ctx.Err() // gone, or no queue file
		}
		defer f.Close()
		if env == nil {
			return ctx.Err()
		}
		if id, err := messageIDOf(f); err == nil && bare(id) == messageID {
			found(e.Name.ID)
		}
		return ctx.Err()
	})
}

// messageIDOf reads the Message-ID of a queue file.
func messageIDOf(f io.ReadSeeker) (string, error) {
	first := make([]byte, envelope.Line1Size)
	if _, err := io.ReadFull(f, first); err != nil {
		return "", fmt.Errorf("read line 1: %w", err)
	}
	l, err := envelope.ParseLine1(first)
	if err != nil {
		return "", err
	}
	if _, err := f.Seek(l.Env, io.SeekStart); err != nil {
		return "", fmt.Errorf("seek: %w", err)
	}
	return headerID(io.LimitReader(f, maxHeader)), nil
}

// headerID finds the first Message-ID of a header, which may be folded; "" = none.
func headerID(r io.Reader) string {
	in := bufio.NewReader(r)
	value, within := "", false
	for {
		line, err := in.ReadString('\n')
		line = strings.TrimRight(line, "\r\n")
		folded := strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t")
		if within && !folded || line == "" {
			return strings.TrimSpace(value)
		}
		name, rest, ok := strings.Cut(line, ":")
		switch {
		case within:
			value += line
		case ok && !folded && strings.EqualFold(strings.TrimSpace(name), "message-id"):
			value, within = rest, true
		}
		if err != nil {
			return strings.TrimSpace(value)
		}
	}
}
