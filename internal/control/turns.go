package control

import (
	"context"
	"sync"
	"time"
)

// pace is the least time from the begin of one request of a uid to that of its next.
const pace = time.Second

// turns lets each uid make one request at a time and one a second, whatever the number of its connections: a request may
// read the whole queue. A uid is known only while its turn lasts.
type turns struct {
	mu    sync.Mutex
	taken map[uint32]chan struct{} // closed when the next may begin
}

// begin waits for the uid's turn; end has to be called when the request is answered. The only error is that of ctx.
func (t *turns) begin(ctx context.Context, uid uint32) (end func(), err error) {
	for {
		over, ok := t.take(uid)
		if ok {
			next := time.Now().Add(pace)
			return func() { time.AfterFunc(time.Until(next), func() { t.give(uid) }) }, nil
		}
		select {
		case <-over:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// take takes the turn, or tells when to try again.
func (t *turns) take(uid uint32) (over <-chan struct{}, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if over, taken := t.taken[uid]; taken {
		return over, false
	}
	if t.taken == nil {
		t.taken = make(map[uint32]chan struct{})
	}
	t.taken[uid] = make(chan struct{})
	return nil, true
}

func (t *turns) give(uid uint32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	close(t.taken[uid])
	delete(t.taken, uid)
}
