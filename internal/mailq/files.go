package mailq

import (
	"context"
	"errors"
	"io"
	"io/fs"

	"postrider/internal/control"
	"postrider/internal/envelope"
	"postrider/internal/spool"
)

// Files is the queue of a channel as its files show it. Who uses it needs the rights of the channel's uid, or root's; without
// them the error is fs.ErrPermission.
type Files struct {
	Root string // of the spool
	Via  envelope.Via

	// Scheduled says that the channel's own process asks, which tells its schedule what is to be tried again. Else such
	// messages are handed to it by the files.
	Scheduled bool
}

// Do does something to the messages of these ids that may allows, by the uid that submitted them.
func (f Files) Do(ctx context.Context, a control.Action, ids []string, may func(uid int64) bool) ([]spool.Outcome, error) {
	hand, err := spool.OpenHand(f.Root, f.Via)
	if err != nil {
		return nil, err
	}
	defer hand.Close()
	hand.Scheduled = f.Scheduled
	return hand.Do(ctx, spool.Action(a), ids, may), nil
}

// Told is what a user is told of outcomes.
func Told(outcomes []spool.Outcome) []control.Outcome {
	told := make([]control.Outcome, len(outcomes))
	for i, o := range outcomes {
		told[i].ID = o.ID
		switch {
		case errors.Is(o.Err, fs.ErrNotExist):
			told[i].Trouble = control.NoMessage
		case o.Err != nil:
			told[i].Trouble = o.Err.Error()
		}
	}
	return told
}

// Open opens the queue file of the message of that id, if may allows it, and says how long it is, in octets. fs.ErrNotExist:
// there is none.
func (f Files) Open(ctx context.Context, id string, may func(uid int64) bool) (file io.ReadCloser, size int64, err error) {
	hand, err := spool.OpenHand(f.Root, f.Via)
	if err != nil {
		return nil, 0, err
	}
	defer hand.Close()
	for range 2 { // it may be moving
		stop := hand.List(map[string]bool{id: true}, func(e spool.Entry) error {
			if file, size, err = open(hand, e, may); errors.Is(err, fs.ErrNotExist) {
				return ctx.Err()
			}
			return errFound
		})
		if stop == errFound {
			return file, size, err
		}
		if stop != nil {
			return nil, 0, stop
		}
	}
	return nil, 0, fs.ErrNotExist
}

// errFound ends a search.
var errFound = errors.New("found")

// open opens a queue file for somebody who may read it; for others it is not there.
func open(hand *spool.Hand, e spool.Entry, may func(uid int64) bool) (io.ReadCloser, int64, error) {
	f, env, err := hand.Open(e)
	uid := int64(envelope.NoUID)
	if env != nil {
		uid = env.UID
	}
	if err != nil {
		if !may(uid) {
			err = fs.ErrNotExist
		}
		return nil, 0, err
	}
	st, err := f.Stat()
	if err == nil && !may(uid) {
		err = fs.ErrNotExist
	}
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, st.Size(), nil
}
