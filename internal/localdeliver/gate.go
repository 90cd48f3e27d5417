package localdeliver

import (
	"context"
	"sync"
)

// gate bounds what is active. Weight may be added to what is inside beyond the limit; then nobody else gets in.
type gate struct {
	mu          sync.Mutex
	held, limit int
	open        chan struct{} // closed when there may be room; nil = nobody waits
}

func newGate(limit int) *gate { return &gate{limit: limit} }

// acquire takes a weight of one, or returns the error of ctx.
func (g *gate) acquire(ctx context.Context) error {
	for {
		g.mu.Lock()
		if g.held < g.limit {
			g.held++
			g.mu.Unlock()
			return nil
		}
		if g.open == nil {
			g.open = make(chan struct{})
		}
		open := g.open
		g.mu.Unlock()
		select {
		case <-open:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// add puts more weight on what is inside; release takes weight off.
func (g *gate) add(n int)     { g.change(n, 0) }
func (g *gate) release(n int) { g.change(-n, 0) }

// extend raises or lowers the limit.
func (g *gate) extend(n int) { g.change(0, n) }

func (g *gate) change(held, limit int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.held += held
	g.limit += limit
	if g.open != nil && g.held < g.limit {
		close(g.open)
		g.open = nil
	}
}
