// Package crew bounds the goroutines that help sessions with work which takes long, as searching bodies: all sessions of a
// process share one crew, so that none of them has more than the processors that are idle, and none waits for another.
package crew

import (
	"sync"
	"sync/atomic"

	"postrider/internal/fault"
)

// Crew is a number of helpers. A nil Crew has none.
type Crew struct {
	free chan struct{}
}

// New returns a crew of n helpers, none if n is not positive.
func New(n int) *Crew { return &Crew{free: make(chan struct{}, max(n, 0))} }

// Do calls work in the calling goroutine and, at the same time, in as many helpers as are free, at most most; work takes its
// share from what is left, and returns when nothing is. Do returns when all have returned. Where work panics in a helper, Do
// panics with that, a *fault.Error, in the calling goroutine, so that the fault is that of its session.
func (c *Crew) Do(most int, work func(helper bool)) {
	defer c.Begin(most, func() { work(true) })() // waits also when work panics here
	work(false)
}

// Begin is Do without the calling goroutine: that goes on, and calls wait, once, where Do would return or panic.
func (c *Crew) Begin(most int, work func()) (wait func()) {
	var others sync.WaitGroup
	var failure atomic.Value
	for i := 0; i < most && c.take(); i++ {
		others.Go(func() {
			defer c.give()
			if err := fault.Guard(func() error { work(); return nil }); err != nil {
				failure.Store(err)
			}
		})
	}
	return func() {
		others.Wait()
		if err := failure.Load(); err != nil {
			panic(err)
		}
	}
}

func (c *Crew) take() bool {
	if c == nil {
		return false
	}
	select {
	case c.free <- struct{}{}:
		return true
	default:
		return false
	}
}

func (c *Crew) give() { <-c.free }
