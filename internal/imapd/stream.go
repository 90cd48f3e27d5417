package imapd

import (
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"time"
)

// times are how long a session waits for what.
type times struct {
	idle     time.Duration // for input
	write    time.Duration // for the client to take any more of the output
	patience time.Duration // in a write, before input is read ahead
	grace    time.Duration // for output, once the session is to end
	alive    time.Duration // between signs of life while idling
	silence  time.Duration // of a search
	fresh    time.Duration // how long a client that sends ahead gets no updates
}

var defaultTimes = times{
	write:    5 * time.Minute,
	patience: 100 * time.Millisecond,
	grace:    5 * time.Second,
	alive:    2 * time.Minute,  // as Dovecot: routers forget a connection sooner than RFC 2177's 29 minutes
	silence:  10 * time.Second, // as Dovecot
	fresh:    time.Second,
}

// aMoment is for input that is there already: news that never ends must not keep it waiting.
const aMoment = time.Millisecond

// maxAhead is how much input is read while output has to wait: the commands of a client that sends thousands before it
// reads the first answer. If it sends still more the write goes on alone, and ends in its time.
const maxAhead = 1 << 20

var (
	errStalled     = errors.New("client reads nothing")
	errInterrupted = errors.New("session is to end")
	longAgo        = time.Unix(1, 0)
)

// stream is the connection, below compression: each read and write with its time, octets counted. A write that has to wait
// reads ahead meanwhile, so that a client which writes without reading and a session which writes without reading do not
// wait for each other. A read that has to wait may tell the client something meanwhile: then it has a vigil.
type stream struct {
	conn    net.Conn
	times   times
	in, out int64
	vigil   *vigil // nil = a read waits for input alone

	ahead    []byte
	aheadErr error
	reading  bool // ahead

	mu      sync.Mutex
	until   time.Time // guarded: when output ends, of a session that is to end; zero otherwise
	woken   bool      // guarded: there may be news
	waiting bool      // guarded: a read waits for input and for news
}

// vigil is what a read does when it is woken.
type vigil struct {
	alarm time.Time   // when it is woken, if there is no news before
	tell  func() bool // ends the read with false; may write
}

// Read is used by one goroutine at a time.
func (s *stream) Read(b []byte) (int, error) {
	limit := time.Now().Add(s.times.idle)
	for {
		if len(s.ahead) > 0 {
			n := copy(b, s.ahead)
			if s.ahead = s.ahead[n:]; len(s.ahead) == 0 {
				s.ahead = nil
			}
			return n, nil
		}
		if s.aheadErr != nil {
			return 0, s.aheadErr
		}
		n, err := s.receive(b, limit)
		if s.vigil == nil || !errors.Is(err, os.ErrDeadlineExceeded) || !time.Now().Before(limit) {
			return n, err
		}
		if !s.tellNews() {
			return 0, errNotTold
		}
	}
}

// receive reads once from the client; a vigil may end that before the limit.
func (s *stream) receive(b []byte, limit time.Time) (n int, err error) {
	if s.vigil == nil {
		err = s.armRead(limit)
	} else {
		err = s.armVigil(limit)
		defer s.disarm()
	}
	if err != nil {
		return 0, err
	}
	n, err = s.conn.Read(b)
	s.in += int64(n)
	return n, err
}

// armVigil is armRead for a read that wake may end.
func (s *stream) armVigil(limit time.Time) error {
	if s.vigil.alarm.Before(limit) {
		limit = s.vigil.alarm
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !s.until.IsZero():
		return errInterrupted
	case s.woken:
		limit = time.Now().Add(aMoment)
	}
	s.waiting = true
	return s.conn.SetReadDeadline(limit)
}

func (s *stream) disarm() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting = false
}

// wake says that there is news. It never waits; any goroutine may call it.
func (s *stream) wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting && !s.woken {
		s.conn.SetReadDeadline(longAgo)
	}
	s.woken = true
}

// tellNews tells what there was until now. It is false when the session is to end.
func (s *stream) tellNews() bool {
	s.mu.Lock()
	s.woken = false
	s.mu.Unlock()
	return s.vigil.tell()
}

func (s *stream) armRead(deadline time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.until.IsZero() {
		return errInterrupted
	}
	return s.conn.SetReadDeadline(deadline)
}

func (s *stream) armWrite(wait time.Duration) error {
	deadline := time.Now().Add(wait)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.until.IsZero() && s.until.Before(deadline) {
		deadline = s.until
	}
	return s.conn.SetWriteDeadline(deadline)
}

// interrupt ends all reading, and soon all writing; another goroutine may be in either.
func (s *stream) interrupt() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.until.IsZero() {
		return
	}
	s.until = time.Now().Add(s.times.grace)
	s.conn.SetReadDeadline(longAgo)
	s.conn.SetWriteDeadline(s.until)
}

// Write writes all of b, as long as the client takes something from time to time.
func (s *stream) Write(b []byte) (n int, err error) {
	wait, stop := s.times.patience, func() {}
	defer func() { stop() }()
	for {
		if err := s.armWrite(wait); err != nil {
			return n, err
		}
		k, err := s.conn.Write(b[n:])
		n += k
		s.out += int64(k)
		switch {
		case err == nil:
			return n, nil
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return n, err
		case wait == s.times.patience:
			wait = s.times.write
			stop = s.readAhead(func() {})
		case k == 0:
			return n, errStalled
		}
	}
}

// readAhead begins to read ahead, unless that has begun; stop ends that, and waits until it has ended. When something came, or can come no more,
// came is called once or several times.
func (s *stream) readAhead(came func()) (stop func()) {
	if s.reading || s.aheadErr != nil || s.armRead(time.Time{}) != nil {
		return func() {}
	}
	s.reading = true
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.fillAhead(came)
	}()
	return func() {
		s.mu.Lock()
		s.conn.SetReadDeadline(longAgo)
		s.mu.Unlock()
		<-done
		s.reading = false
	}
}

func (s *stream) fillAhead(came func()) {
	for len(s.ahead) < maxAhead {
		s.ahead = slices.Grow(s.ahead, 4<<10)
		n, err := s.conn.Read(s.ahead[len(s.ahead):min(cap(s.ahead), maxAhead)])
		s.in += int64(n)
		s.ahead = s.ahead[:len(s.ahead)+n]
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return
		}
		if err == nil && n == 0 {
			err = io.ErrNoProgress
		}
		came()
		if err != nil {
			s.aheadErr = err
			return
		}
	}
}
