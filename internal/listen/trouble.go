package listen

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"
)

// How long accepting pauses after an error. Out of descriptors or memory, a loop would burn what sessions need to end.
const (
	minPause = 5 * time.Millisecond
	maxPause = time.Second
)

// logPause is how often one kind of trouble is logged.
const logPause = time.Minute

// Seldom lets a warning through once a minute, so that nobody can fill the log. The zero value is ready for use.
type Seldom struct {
	mu     sync.Mutex
	last   time.Time
	silent int
}

// Warn logs, or counts what it does not log for the next time.
func (s *Seldom) Warn(log Logger, format string, args ...any) {
	s.mu.Lock()
	now := time.Now()
	if now.Sub(s.last) < logPause {
		s.silent++
		s.mu.Unlock()
		return
	}
	silent := s.silent
	s.last, s.silent = now, 0
	s.mu.Unlock()
	if silent > 0 {
		format, args = format+" (and %d times unlogged)", append(args, silent)
	}
	log.Warn(format, args...)
}

// trouble is what one accept loop remembers of its errors.
type trouble struct {
	log     Logger
	service string
	pause   time.Duration
	warned  Seldom
}

func newTrouble(log Logger, service string) *trouble {
	return &trouble{log: log, service: service, pause: minPause}
}

// over notes that accepting worked.
func (t *trouble) over() { t.pause = minPause }

// wait takes an error of Accept and returns when it is time to try again, or ctx ends.
func (t *trouble) wait(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	if errors.Is(err, net.ErrClosed) {
		<-ctx.Done() // somebody else closed the listener: nothing will come any more
		return
	}
	t.warned.Warn(t.log, "%s: %v", t.service, err)
	timer := time.NewTimer(t.pause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	t.pause = min(2*t.pause, maxPause)
}
