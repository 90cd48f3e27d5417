package queue

import (
	"context"
	"errors"
	"io/fs"
	"sync"
	"time"

	"postrider/internal/envelope"
	"postrider/internal/logline"
	"postrider/internal/spool"
)

// Feeder brings the messages of a channel to those who work on them: what arrives in new/, and what is due in the schedule. It
// holds back while the gate is shut.
type Feeder struct {
	Channel  *spool.Channel
	Schedule *Schedule
	Gate     *Gate
	Log      *logline.Logger

	Destination func(*envelope.Envelope) string // routing key of a new message
	Longest     func() time.Duration            // that lies between two attempts
	Arrived     func(*spool.Item)               // works on a new message, and closes it
	Due         func(*spool.Item, Known)        // works on one for another attempt, and closes it
	Suspend     func(Known) bool                // takes a name that is due back into the schedule; nil = none
	Gone        func(Known)                     // a name leads to nothing any more; nil = nobody cares

	places chan struct{} // of those that open a file
	items  sync.WaitGroup
	ctx    context.Context
}

// maxOpening is how many files are opened at the same time: each is read whole.
const maxOpening = 16

// Run feeds until ctx ends. watch calls found with the names in new/ until then; it is the channel's Watch.
func (f *Feeder) Run(ctx context.Context, watch func(ctx context.Context, found func(name string)) error) error {
	f.ctx, f.places = ctx, make(chan struct{}, maxOpening)
	err := f.Channel.Scan(func(n spool.Name) error { f.Schedule.Add(Known{Name: n}, n.Due); return ctx.Err() })
	if err != nil && ctx.Err() == nil {
		return err
	}
	var retrying sync.WaitGroup
	retrying.Go(f.retry)
	err = watch(ctx, f.found)
	retrying.Wait()
	return err
}

// Wait returns when nobody works on a message any longer.
func (f *Feeder) Wait() { f.items.Wait() }

// found takes a name of new/. It holds the caller while too much is active.
func (f *Feeder) found(name string) {
	if f.Gate.Acquire(f.ctx) != nil {
		return
	}
	f.items.Go(func() {
		defer f.Gate.Release(1)
		f.pickup(name)
	})
}

func (f *Feeder) pickup(name string) {
	item, err := f.open(func() (*spool.Item, error) { return f.Channel.Pickup(name, f.Destination) })
	switch {
	case err != nil: // it is found again by the next scan
	case f.ctx.Err() != nil:
		item.Close()
	default:
		f.Arrived(item)
	}
}

// retry opens what is due, until the end.
func (f *Feeder) retry() {
	for {
		if f.Schedule.Await(f.ctx, f.Longest) != nil || f.Gate.Acquire(f.ctx) != nil {
			return
		}
		n, ok := f.Schedule.Next(time.Now())
		if !ok || f.Suspend != nil && f.Suspend(n) {
			f.Gate.Release(1)
			continue
		}
		f.items.Go(func() {
			defer f.Gate.Release(1)
			defer f.Schedule.Leave(n.Dest)
			f.reopen(n)
		})
	}
}

// reopen takes a message from cur/ for another attempt.
func (f *Feeder) reopen(n Known) {
	item, err := f.open(func() (*spool.Item, error) { return f.Channel.Open(n.Name) })
	switch {
	case err == nil:
		item.Again = !n.Fresh
		f.Due(item, n)
	case errors.Is(err, spool.ErrBusy), !quiet(err): // busy: the same id lies in new/, which may come to nothing
		f.Schedule.Add(n, time.Now().Add(time.Minute).Unix())
	case f.Gone != nil:
		f.Gone(n)
	}
}

// quiet are errors that somebody else takes care of, or has logged.
func quiet(err error) bool {
	return errors.Is(err, spool.ErrSkip) || errors.Is(err, spool.ErrHeld) || errors.Is(err, spool.ErrBusy) || errors.Is(err, fs.ErrNotExist)
}

// open opens a few messages at a time. Trouble, no descriptors say, would be there for the next, too: a pause keeps it from
// filling the log.
func (f *Feeder) open(do func() (*spool.Item, error)) (*spool.Item, error) {
	f.places <- struct{}{}
	defer func() { <-f.places }()
	item, err := do()
	if err != nil && !quiet(err) {
		f.Log.Error("%v", err)
		select {
		case <-time.After(time.Second):
		case <-f.ctx.Done():
		}
	}
	return item, err
}
