package mailq

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"runtime"
	"sync"
	"time"

	"postrider/internal/control"
	"postrider/internal/envelope"
	"postrider/internal/spool"
)

// Bounds of a listing: how many read side by side, and how many names one takes at a time.
const (
	maxReaders = 4
	atATime    = 32
)

// List passes the messages of the channel to show, one after the other, all or with ids only these, in no order; one that
// leaves the queue meanwhile may be missing, one that moves may come twice. Several files are read at a time, and of each only
// what stands above the message. It ends with ctx, or with the first error of show.
func (f Files) List(ctx context.Context, ids []string, show func(*control.Entry) error) error {
	hand, err := spool.OpenHand(f.Root, f.Via)
	if err != nil {
		return err
	}
	defer hand.Close()
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	s := listing{Hand: hand, now: time.Now(), show: show, work: make(chan []spool.Entry, maxReaders)}
	var readers sync.WaitGroup
	for range min(maxReaders, runtime.GOMAXPROCS(0)) {
		readers.Go(func() {
			if err := s.read(ctx); err != nil {
				end(err)
			}
		})
	}
	err = s.find(ctx, setOf(ids))
	close(s.work)
	readers.Wait()
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// setOf is nil for no list.
func setOf(list []string) map[string]bool {
	if list == nil {
		return nil
	}
	set := make(map[string]bool, len(list))
	for _, s := range list {
		set[s] = true
	}
	return set
}

// listing is one pass: names are found, files read by several, and shown by one at a time.
type listing struct {
	*spool.Hand
	now  time.Time
	work chan []spool.Entry

	mu     sync.Mutex
	show   func(*control.Entry) error
	failed error // of show
}

// find hands out the names.
func (s *listing) find(ctx context.Context, ids map[string]bool) error {
	var some []spool.Entry
	hand := func() error {
		if len(some) == 0 {
			return nil
		}
		select {
		case s.work <- some:
			some = nil
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	err := s.List(ids, func(e spool.Entry) error {
		if some = append(some, e); len(some) < atATime {
			return ctx.Err()
		}
		return hand()
	})
	if err != nil {
		return err
	}
	return hand()
}

// read reads what find found, until there is no more or ctx ends.
func (s *listing) read(ctx context.Context) error {
	for some := range s.work {
		for _, e := range some {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := s.one(e); err != nil {
				return err
			}
		}
	}
	return nil
}

// one reads and shows a message.
func (s *listing) one(e spool.Entry) error {
	entry, err := s.entry(e)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		entry = damaged(e, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed == nil {
		s.failed = s.show(entry)
	}
	return s.failed
}

func (s *listing) entry(e spool.Entry) (*control.Entry, error) {
	info, err := s.Read(e)
	if info == nil {
		return nil, err
	}
	env := info.Envelope
	entry := &control.Entry{
		ID:      e.Name.ID,
		State:   state(e, s.now),
		Channel: string(e.Via),
		Arrival: env.Time,
		Size:    info.Size,
		Sender:  env.From.Addr.String(),
		UID:     env.UID,
		Hop:     e.Name.Hop(),
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
	out.Relay, out.Reply, out.Tried = last.Relay, last.Text, last.Time
	if last.Reply != nil {
		out.Reply = last.Reply.Error()
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
