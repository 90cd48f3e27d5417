package imapd

import (
	"context"
	"errors"
	"time"

	"postrider/internal/fault"
	"postrider/internal/imap"
	"postrider/internal/mailstore"
)

// idle is IDLE (RFC 2177): until DONE comes, changes are told as they happen. Reading the one line goes on in a goroutine of
// its own; what the client sent behind it stays for the next command. What has changed until now is told first: Thunderbird
// loses what comes right behind "+ idling".
func (s *session) idle(ctx context.Context) reply {
	if s.box != nil {
		s.box.Hints() // from here on none is missed
		if !s.sync(ctx, mailstore.All, false) {
			return reply{}
		}
	}
	if s.w.Continue("idling") != nil {
		return reply{}
	}
	return s.idled(ctx, s.meanwhile(ctx, s.r.ReadDone, true))
}

// meanwhile tells changes until read, which goes on beside it, returns; idle says that the client waits for nothing else.
func (s *session) meanwhile(ctx context.Context, read func() error, idle bool) error {
	looking, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	s.stream.idling = true
	go func() {
		err := fault.Guard(read)
		cancel() // a Sync that waits for a lock
		done <- err
	}()
	err, ended := s.watch(looking, done, idle)
	if !ended {
		s.stream.interrupt()
		err = <-done
	}
	s.stream.idling = false
	if f := (*fault.Error)(nil); errors.As(err, &f) {
		panic(f) // where it ends this session only
	}
	return err
}

// watch tells changes until done says that something was read, or could not be, or until the session is to end.
func (s *session) watch(ctx context.Context, done <-chan error, idle bool) (err error, ended bool) {
	var hints <-chan struct{}
	var poll <-chan time.Time
	if s.hearsOfSelected() {
		if h := s.box.Hints(); h != nil {
			hints = h.C
		} else {
			ticker := time.NewTicker(s.stream.times.poll)
			defer ticker.Stop()
			poll = ticker.C
		}
	}
	alive := time.NewTicker(s.stream.times.alive)
	defer alive.Stop()
	for {
		fine := true
		select {
		case err := <-done:
			return err, true
		case <-hints:
			fine = s.look(ctx, idle)
		case <-poll:
			fine = s.look(ctx, idle)
		case <-s.notified():
			fine = s.lookElsewhere(ctx)
		case <-alive.C:
			if !idle {
				continue
			}
			s.fetcher.Forget() // who idles for so long has done with that message
			s.w.Untagged(imap.OK, "", "Still here")
			fine = s.w.Flush() == nil
		}
		if !fine {
			return nil, false
		}
	}
}

func (s *session) look(ctx context.Context, idle bool) bool {
	mode := mailstore.All
	if !idle && s.notify.selected.Filter == imap.NotifySelectedDelayed {
		mode = mailstore.NoExpunges
	}
	s.unasked = true
	fine := s.sync(ctx, mode, false)
	s.unasked = false
	if !fine {
		return false
	}
	s.tellProgress(nil, nil)
	return s.w.Flush() == nil
}

// idled is the answer when IDLE has ended. What made the session end is found out by the next read.
func (s *session) idled(ctx context.Context, err error) reply {
	refused := (*imap.CommandError)(nil)
	switch {
	case err == nil:
		return ok("Idle completed.")
	case errors.As(err, &refused):
		return bad("Expected DONE.")
	case s.end == "":
		s.failed(ctx, err)
	}
	return reply{}
}
