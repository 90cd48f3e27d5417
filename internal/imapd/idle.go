package imapd

import (
	"context"
	"errors"
	"time"

	"postrider/internal/imap"
	"postrider/internal/mailstore"
)

// idle is IDLE (RFC 2177): until DONE comes, changes are told as they happen; what the client sent behind it stays for the next
// command. What has changed until now is told first: Thunderbird loses what comes right behind "+ idling".
func (s *session) idle(ctx context.Context) reply {
	if s.box != nil {
		s.box.Watch(s.stream.wake) // from here on nothing is missed
		if !s.sync(ctx, mailstore.All, false) {
			return reply{}
		}
	}
	if s.w.Continue("idling") != nil {
		return reply{}
	}
	return s.idled(ctx, s.meanwhile(ctx, s.r.ReadDone, true))
}

// meanwhile reads with read, and tells changes until that returns; idle says that the client waits for nothing else. What comes from the
// client ends a look that waits for a lock.
func (s *session) meanwhile(ctx context.Context, read func() error, idle bool) error {
	tell := func() bool {
		looking, cancel := context.WithCancel(ctx)
		defer cancel()
		defer s.stream.readAhead(cancel)()
		return s.tellNews(looking, idle)
	}
	s.stream.vigil = &vigil{alarm: time.Now().Add(s.stream.times.alive), tell: tell}
	defer func() { s.stream.vigil = nil }()
	return read()
}

// tellNews tells what hints are of, and now and then that the session is alive. It is false when the session is to end.
func (s *session) tellNews(ctx context.Context, idle bool) bool {
	if s.hearsOfSelected() && s.box.Hinted() && !s.look(ctx, idle) || !s.lookElsewhere(ctx) {
		return false
	}
	v := s.stream.vigil
	if time.Now().Before(v.alarm) {
		return true
	}
	v.alarm = time.Now().Add(s.stream.times.alive)
	if !idle {
		return true
	}
	s.fetcher.Forget() // who idles for so long has done with that message
	s.w.Untagged(imap.OK, "", "Still here")
	return s.w.Flush() == nil
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
