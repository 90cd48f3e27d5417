package queue

import (
	"context"
	"io"
	"maps"
	"slices"

	"postrider/internal/control"
	"postrider/internal/envelope"
	"postrider/internal/mailq"
	"postrider/internal/spool"
)

// Steering is what others may see and do through a control socket. It works on the files, beside the process's own work on
// them; what waits for its time in the schedule is told to that. Whose a message is it reads from the envelope, each time.
type Steering struct {
	Schedule *Schedule
	Spool    string // its root
	Via      envelope.Via

	// Revive, if there is one, is called before messages are made due: what is known against their destinations is to be
	// forgotten, lest they wait for that. They are given by their routing keys; nil = all.
	Revive func(dests []string)
}

var _ control.Queue = Steering{}

func (q Steering) files() mailq.Files { return mailq.Files{Root: q.Spool, Via: q.Via, Scheduled: true} }

// List shows the channel as its files tell it.
func (q Steering) List(ctx context.Context, s control.Selection, show func(*control.Entry) error) error {
	if s.ID != "" {
		return q.files().List(ctx, []string{s.ID}, show)
	}
	return q.files().List(ctx, nil, show)
}

// Open opens the queue file of a message.
func (q Steering) Open(ctx context.Context, s control.Selection) (io.ReadCloser, int64, error) {
	return q.files().Open(ctx, s.ID, s.May)
}

// maxFlushed bounds the ids of one user's flush.
const maxFlushed = 100_000

// Flush makes waiting messages due now.
func (q Steering) Flush(ctx context.Context, s control.Selection) (n int, err error) {
	if s.Anyone && s.ID == "" {
		q.revive(nil)
		return q.Schedule.Flush(nil), nil
	}
	ids := []string{s.ID}
	if s.ID == "" {
		if ids, err = q.deferred(ctx, s); err != nil {
			return 0, err
		}
	}
	outcomes, err := q.files().Do(ctx, control.DoRetry, ids, s.May)
	return q.retry(outcomes, s), err
}

// deferred are the ids of the selected messages that wait for their time.
func (q Steering) deferred(ctx context.Context, s control.Selection) (ids []string, err error) {
	err = q.List(ctx, s, func(e *control.Entry) error {
		if e.State == control.Deferred && s.Has(e.ID, e.UID) && len(ids) < maxFlushed {
			ids = append(ids, e.ID)
		}
		return nil
	})
	return ids, err
}

// Steer does something to messages.
func (q Steering) Steer(ctx context.Context, a control.Action, ids []string, s control.Selection) ([]control.Outcome, error) {
	outcomes, err := q.files().Do(ctx, a, ids, s.May)
	if a == control.DoRetry {
		q.retry(outcomes, s)
	}
	return mailq.Told(outcomes), err
}

// several is the routing key of messages with more than one.
const several = "*"

// retry makes due what the schedule has of these messages, and returns how many that are. One that is being tried at this moment is
// not among them.
func (q Steering) retry(outcomes []spool.Outcome, s control.Selection) int {
	ids, dests := make(map[string]bool), make(map[string]bool)
	for _, o := range outcomes {
		if o.Err == nil && o.State == spool.Queued {
			ids[o.ID], dests[o.Dest] = true, true
		}
	}
	if len(ids) == 0 {
		return 0
	}
	if !s.Anyone {
		delete(dests, several) // among which others' may be
	}
	q.revive(slices.Sorted(maps.Keys(dests)))
	return q.Schedule.Flush(func(id string) bool { return ids[id] })
}

func (q Steering) revive(dests []string) {
	if q.Revive != nil && (dests == nil || len(dests) > 0) {
		q.Revive(dests)
	}
}
