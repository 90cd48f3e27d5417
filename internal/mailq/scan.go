// Package mailq lists the queue: from the spool's files for those who may read them, from the daemons' control sockets for
// everybody else, in Postfix's format or as JSON. The daemons use its reader to answer such requests. What it reads may have
// been put there by a compromised smtpd; nothing of it reaches a terminal with control characters in it.
package mailq

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"postrider/internal/control"
	"postrider/internal/envelope"
	"postrider/internal/spool"
)

// Scan passes the messages of a channel to show, all or with an id only that one, in no order, as the directories are read;
// one that leaves the queue meanwhile may be missing, one that moves may come twice. It ends with ctx, or with the first
// error of show. The reader needs the rights of the channel's uid; without them the error is fs.ErrPermission.
func Scan(ctx context.Context, root string, via envelope.Via, id string, show func(*control.Entry) error) error {
	now := time.Now()
	each := func(e spool.Entry) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		entry, err := read(e, now)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			entry = damaged(e, err)
		}
		return show(entry)
	}
	if id != "" {
		return spool.Find(root, via, id, each)
	}
	return spool.List(root, via, each)
}

func read(e spool.Entry, now time.Time) (*control.Entry, error) {
	info, err := e.Read()
	if info == nil || info.Envelope == nil {
		return nil, err
	}
	env := info.Envelope
	entry := &control.Entry{
		ID:      e.Name.ID,
		State:   state(e, now),
		Channel: string(e.Via),
		Arrival: env.Time,
		Size:    info.Size,
		Sender:  env.From.Addr.String(),
		UID:     env.UID,
	}
	if err != nil { // of its journal
		entry.Trouble = err.Error()
	}
	if e.State == spool.Queued {
		entry.Due = time.Unix(e.Name.Due, 0)
	}
	for _, r := range env.To {
		if last := info.Last(r.Line); last != nil {
			entry.Attempts = max(entry.Attempts, last.Attempts)
		}
	}
	for _, r := range info.Pending() {
		entry.Recipients = append(entry.Recipients, recipient(r, info.Last(r.Line)))
	}
	return entry, nil
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

func recipient(r envelope.Recipient, last *spool.Result) control.Recipient {
	out := control.Recipient{Address: r.Addr.String()}
	if !r.Orig.IsNull() && r.Orig != r.Addr {
		out.Orig = r.Orig.String()
	}
	if last == nil {
		return out
	}
	out.Reason = last.Text
	if last.Reply != nil {
		out.Reason = last.Reply.Error()
	}
	if last.Relay != "" {
		out.Reason = fmt.Sprintf("%s: %s", last.Relay, out.Reason)
	}
	return out
}

// damaged is what can be said of a file that is no queue file.
func damaged(e spool.Entry, err error) *control.Entry {
	entry := &control.Entry{ID: e.Name.ID, State: control.Corrupt, Channel: string(e.Via), UID: envelope.NoUID, Trouble: err.Error()}
	entry.Arrival, _ = spool.IDTime(e.Name.ID)
	if info, err := os.Lstat(e.Path); err == nil {
		entry.Size = info.Size()
	}
	return entry
}
