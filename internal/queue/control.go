package queue

import (
	"context"

	"postrider/internal/control"
	"postrider/internal/envelope"
	"postrider/internal/mailq"
)

// Steering is what others may see and do through a control socket.
type Steering struct {
	Schedule *Schedule
	Spool    string // its root
	Via      envelope.Via
}

var _ control.Queue = Steering{}

// List shows the channel as its files tell it.
func (q Steering) List(ctx context.Context, s control.Selection, show func(*control.Entry) error) error {
	return mailq.Scan(ctx, q.Spool, q.Via, s.ID, show)
}

// maxFlushed bounds the ids of one user's flush.
const maxFlushed = 100_000

// Flush makes waiting messages due now.
func (q Steering) Flush(ctx context.Context, s control.Selection) (int, error) {
	if s.Anyone {
		if s.ID == "" {
			return q.Schedule.Flush(nil), nil
		}
		return q.Schedule.Flush(func(id string) bool { return id == s.ID }), nil
	}
	ids := make(map[string]bool)
	err := q.List(ctx, s, func(e *control.Entry) error {
		if s.Has(e.ID, e.UID) && len(ids) < maxFlushed {
			ids[e.ID] = true
		}
		return nil
	})
	if err != nil || len(ids) == 0 {
		return 0, err
	}
	return q.Schedule.Flush(func(id string) bool { return ids[id] }), nil
}
