package authd

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// Limits of those who wait at a gate.
const (
	maxWaiting = 256 // in each of its two lines
	maxWait    = 10 * time.Second
	restTime   = 2 * time.Second // without work, before the gate's rest function is called
)

// gate lets a bounded number of callers work at a time. Strangers and trusted callers wait in a line each, first come,
// first served, and the lines take turns; strangers never hold the places that are reserved. So no number of strangers
// keeps a trusted caller waiting for more than the work of a few.
type gate struct {
	mu                 sync.Mutex
	free               int // places
	strangers, trusted line
	last               *line // that gave somebody a place
	places             int
	resting            *time.Timer // runs while nobody works; nil if there is no rest function
}

// line is one of the two lines of a gate.
type line struct {
	room    int             // places that it may still take
	waiting []chan struct{} // each closed when its place is there
}

func newGate(places, reserved int) *gate {
	return &gate{free: places, places: places, strangers: line{room: places - reserved}, trusted: line{room: places}}
}

// rest has a function called whenever nobody has worked for restTime.
func (g *gate) rest(call func()) *gate {
	g.resting = time.AfterFunc(restTime, func() {
		g.mu.Lock()
		working := g.free < g.places
		g.mu.Unlock()
		if !working {
			call()
		}
	})
	return g
}

// enter waits for a place until ctx is done, maxWait at most. The place is held until leave is called.
func (g *gate) enter(ctx context.Context, trusted bool) (leave func(), err error) {
	l := &g.strangers
	if trusted {
		l = &g.trusted
	}
	turn, ok := g.queue(l)
	if !ok {
		return nil, errors.New("too many at once")
	}
	ctx, cancel := context.WithTimeout(ctx, maxWait)
	defer cancel()
	select {
	case <-turn:
		return func() { g.leave(l) }, nil
	case <-ctx.Done():
		g.giveUp(l, turn)
		return nil, errors.New("too many at once")
	}
}

// queue joins a line, unless it is too long.
func (g *gate) queue(l *line) (turn chan struct{}, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(l.waiting) >= maxWaiting {
		return nil, false
	}
	turn = make(chan struct{})
	l.waiting = append(l.waiting, turn)
	g.admit()
	return turn, true
}

// giveUp leaves a line, or the place if that has come meanwhile.
func (g *gate) giveUp(l *line, turn chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if i := slices.Index(l.waiting, turn); i >= 0 {
		l.waiting = slices.Delete(l.waiting, i, i+1)
		return
	}
	g.vacate(l)
}

func (g *gate) leave(l *line) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.vacate(l)
}

// vacate takes back a place that l had, and passes it on.
func (g *gate) vacate(l *line) {
	g.free++
	l.room++
	g.admit()
	if g.free == g.places && g.resting != nil {
		g.resting.Reset(restTime)
	}
}

// admit gives free places to those who wait and may have them.
func (g *gate) admit() {
	for g.free > 0 {
		l := g.next()
		if l == nil {
			return
		}
		g.free--
		l.room--
		g.last = l
		close(l.waiting[0])
		l.waiting = slices.Delete(l.waiting, 0, 1)
	}
}

// next is the line whose turn it is, nil if none can use a place.
func (g *gate) next() *line {
	order := [2]*line{&g.trusted, &g.strangers}
	if g.last == &g.trusted {
		order = [2]*line{&g.strangers, &g.trusted}
	}
	for _, l := range order {
		if len(l.waiting) > 0 && l.room > 0 {
			return l
		}
	}
	return nil
}
