package queue

import (
	"context"
	"sync"
)

// Gate bounds what is active. Weight may be added to what is inside beyond the limit; then nobody else gets in.
type Gate struct {
	mu          sync.Mutex
	held, limit int
	open        chan struct{} // closed when there may be room; nil = nobody waits
}

// NewGate returns a gate for a weight of at most limit.
func NewGate(limit int) *Gate { return &Gate{limit: limit} }

// Acquire takes a weight of one, or returns the error of ctx.
func (g *Gate) Acquire(ctx context.Context) error {
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

// Crowded says that somebody waits to get in.
func (g *Gate) Crowded() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.open != nil && g.held >= g.limit
}

// Add puts more weight on what is inside; Release takes weight off.
func (g *Gate) Add(n int)     { g.change(n, 0) }
func (g *Gate) Release(n int) { g.change(-n, 0) }

// Extend raises or lowers the limit.
func (g *Gate) Extend(n int) { g.change(0, n) }

func (g *Gate) change(held, limit int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.held += held
	g.limit += limit
	if g.open != nil && g.held < g.limit {
		close(g.open)
		g.open = nil
	}
}
