package imapd

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"postrider/internal/imap"
	"postrider/internal/mailstore"
)

// idle is IDLE (RFC 2177): until DONE comes, changes are told as they happen. Reading the one line goes on in a goroutine of
// its own; what the client sent behind it stays for the next command. What has changed until now is told first: Thunderbird
// loses what comes right behind "+ idling".
func (s *session) idle(ctx context.Context) reply {
	if s.box != nil {
		s.box.sortKeys = sortKeys{}
		s.box.Hints() // from here on none is missed
		if !s.sync(ctx, mailstore.All, false) {
			return reply{}
		}
	}
	if s.w.Continue("idling") != nil {
		return reply{}
	}
	looking, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	s.stream.idling = true
	go func() {
		err := s.readDone()
		cancel() // a Sync that waits for a lock
		done <- err
	}()
	err, ended := s.watch(looking, done)
	if !ended {
		s.stream.interrupt()
		err = <-done
	}
	s.stream.idling = false
	if f := (*faultError)(nil); errors.As(err, &f) {
		panic(f) // where it ends this session only
	}
	return s.idled(ctx, err)
}

// faultError is a fault of the program, which as such would end all sessions of the process.
type faultError struct {
	value any
	stack []byte
}

func (f *faultError) Error() string { return fmt.Sprintf("%v\n%s", f.value, f.stack) }

// readDone reads the line that ends IDLE.
func (s *session) readDone() (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &faultError{v, debug.Stack()}
		}
	}()
	return s.r.ReadDone()
}

// watch tells changes until DONE was read, which may have failed, or until the session is to end.
func (s *session) watch(ctx context.Context, done <-chan error) (err error, ended bool) {
	var hints <-chan struct{}
	var poll <-chan time.Time
	if s.box != nil {
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
			fine = s.look(ctx)
		case <-poll:
			fine = s.look(ctx)
		case <-alive.C:
			s.fetcher.Forget() // who idles for so long has done with that message
			s.w.Untagged(imap.OK, "", "Still here")
			fine = s.w.Flush() == nil
		}
		if !fine {
			return nil, false
		}
	}
}

func (s *session) look(ctx context.Context) bool {
	if !s.sync(ctx, mailstore.All, false) {
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
