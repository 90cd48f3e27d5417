package resolver

import "context"

// flight is a question on its way, for all who want to know.
type flight struct {
	upstream *upstream
	done     chan struct{} // closed when answer and err are there
	waiters  int           // guarded by Resolver.mu
	cancel   context.CancelFunc

	answer answer
	err    error
}

// shared answers from memory, or asks once for all who ask the same at the same time. The question stays on its way until it
// is answered or nobody waits any more.
func (r *Resolver) shared(ctx context.Context, q question) (answer, error) {
	up := r.servers.current()
	r.mu.Lock()
	if up != r.asked { // what other servers said may not hold here
		r.asked, r.known = up, newCache(r.known.most)
	}
	if e, ok := r.known.get(q, r.now()); ok {
		r.mu.Unlock()
		return e.answer, e.err
	}
	f := r.flights[q]
	if f == nil {
		f = r.launch(q, up)
	}
	f.waiters++
	r.mu.Unlock()

	select {
	case <-f.done:
		return f.answer, f.err
	case <-ctx.Done():
		r.leave(q, f)
		return answer{}, temporary(ctx.Err(), "%v while asking for %s", ctx.Err(), q)
	}
}

// launch sends a question on its way. The caller holds r.mu.
func (r *Resolver) launch(q question, up *upstream) *flight {
	ctx, cancel := context.WithCancel(context.Background())
	f := &flight{upstream: up, done: make(chan struct{}), cancel: cancel}
	r.flights[q] = f
	go func() {
		defer cancel()
		a, err := r.query(ctx, f.upstream, q)
		r.land(q, f, a, err)
	}()
	return f
}

// land hands out what came back and remembers it, unless the flight was cancelled or other servers are asked by now.
func (r *Resolver) land(q question, f *flight, a answer, err error) {
	hold := a.ttl
	if err != nil {
		hold = failureFor
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.flights[q] == f {
		delete(r.flights, q)
		if r.asked == f.upstream {
			r.known.put(q, entry{a, err, r.now().Add(hold)})
		}
	}
	f.answer, f.err = a, err
	close(f.done)
}

// leave cancels a flight when the last one who waited is gone.
func (r *Resolver) leave(q question, f *flight) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if f.waiters--; f.waiters == 0 && r.flights[q] == f {
		delete(r.flights, q)
		f.cancel()
	}
}
