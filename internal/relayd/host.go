package relayd

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"postrider/internal/reply"
)

// errDead is a host that is not asked for now; deadError says until when and why.
var errDead = errors.New("host is dead for now")

// deadError is an errDead with what is known of the host.
type deadError struct {
	until time.Time
	why   *reply.Reply
}

func (e *deadError) Error() string        { return e.why.Error() }
func (e *deadError) Is(target error) bool { return target == errDead }

// host is a name and port that connections are made to. Its window bounds them, whoever has them.
type host struct {
	window  float64
	open    int // connections, idle ones included
	idle    []*connection
	waiting []chan grant // first come, first served
	proven  bool         // it has once been good for a transaction
	failed  int          // attempts in a row
	dead    time.Time
	rest    time.Duration // when it dies next
	why     *reply.Reply  // of the last trouble
	used    time.Time
}

// connection is a session with what it takes to use it again.
type connection struct {
	Session
	host    string // key of hosts
	needs   string // only a transaction with equal demands may use it
	relay   string // for the log: name[address]:port
	began   time.Time
	carried int
	expire  *time.Timer
}

// peer is the host as Postfix's log names it, without the port.
func (c *connection) peer() string { return peerOf(c.relay) }

func peerOf(relay string) string {
	if i := strings.LastIndexByte(relay, ']'); i >= 0 {
		return relay[:i+1]
	}
	return relay
}

// grant is what a waiter gets: a session, or the right to make one; or nothing, because the host died.
type grant struct {
	session *connection
	err     error
}

// hosts are all hosts that are known, and the sessions that nobody uses at the moment.
type hosts struct {
	tokens  chan struct{} // one for each connection
	dialing *places       // of those that have not got as far as EHLO

	mu     sync.Mutex
	limits limits
	known  map[string]*host
	idle   int
	short  int // of those who wait for a token
}

// limits are the settings of windows.
type limits struct {
	initial, most int
	rest, longest time.Duration // of a dead host; doubles each time
}

// unproven is the window of a host that was never good for anything: many of them must not take all connections.
const unproven = 2

// maxHosts bounds what is remembered.
const maxHosts = 10_000

// Life of a session.
const (
	idleTime   = 2 * time.Second
	sessionAge = 5 * time.Minute
)

func newHosts(connections int) *hosts {
	return &hosts{tokens: make(chan struct{}, connections), dialing: newPlaces(max(connections/2, 1)), known: make(map[string]*host)}
}

func (hs *hosts) configure(l limits) {
	hs.mu.Lock()
	hs.limits = l
	hs.mu.Unlock()
}

// get finds a host, or makes it. The caller holds mu.
func (hs *hosts) get(key string, now time.Time) *host {
	h := hs.known[key]
	if h == nil {
		if len(hs.known) >= maxHosts {
			hs.forget(now)
		}
		h = &host{window: float64(min(hs.limits.initial, unproven)), rest: hs.limits.rest}
		hs.known[key] = h
	}
	h.used = now
	return h
}

// forget drops hosts that are not in use: all that were not for a minute, or else any. The caller holds mu.
func (hs *hosts) forget(now time.Time) {
	for _, age := range []time.Duration{time.Minute, 0} {
		for key, h := range hs.known {
			if h.open == 0 && len(h.waiting) == 0 && now.Sub(h.used) >= age {
				delete(hs.known, key)
			}
		}
		if len(hs.known) < maxHosts {
			return
		}
	}
}

// acquire waits for a session with a host: an idle one with these needs, or, with a nil connection, the right to make one, which
// release gives back. A dead host is a deadError.
func (hs *hosts) acquire(ctx context.Context, key, needs string) (*connection, error) {
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	g, wait := hs.ask(key, needs)
	if wait != nil {
		select {
		case g = <-wait:
		case <-ctx.Done():
			hs.withdraw(key, wait)
			return nil, ctx.Err()
		}
	}
	if g.err != nil {
		return nil, g.err
	}
	if g.session != nil {
		if g.session.needs == needs {
			return g.session, nil
		}
		g.session.Quit() // its place in the window is ours, its token too
		return nil, nil
	}
	if err := hs.token(ctx); err != nil {
		hs.yield(key)
		return nil, err
	}
	return nil, nil
}

// ask takes what there is, or queues up.
func (hs *hosts) ask(key, needs string) (grant, chan grant) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	now := time.Now()
	h := hs.get(key, now)
	if now.Before(h.dead) {
		return grant{err: &deadError{h.dead, h.why}}, nil
	}
	for i := len(h.idle) - 1; i >= 0; i-- { // the last used is the least likely to have been closed
		if h.idle[i].needs == needs {
			return grant{session: hs.takeIdle(h, i)}, nil
		}
	}
	if h.open < int(h.window) {
		h.open++
		return grant{}, nil
	}
	if len(h.idle) > 0 {
		return grant{session: hs.takeIdle(h, 0)}, nil
	}
	wait := make(chan grant, 1)
	h.waiting = append(h.waiting, wait)
	return grant{}, wait
}

// takeIdle takes a session out. The caller holds mu.
func (hs *hosts) takeIdle(h *host, i int) *connection {
	c := h.idle[i]
	h.idle = append(h.idle[:i], h.idle[i+1:]...)
	hs.idle--
	c.expire.Stop()
	return c
}

// withdraw ends waiting. What was granted meanwhile goes to the next.
func (hs *hosts) withdraw(key string, wait chan grant) {
	if hs.unqueue(key, wait) {
		return
	}
	switch g := <-wait; {
	case g.session != nil:
		hs.park(g.session)
	case g.err == nil:
		hs.yield(key)
	}
}

func (hs *hosts) unqueue(key string, wait chan grant) bool {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	h := hs.known[key]
	if h == nil {
		return false
	}
	i := slices.Index(h.waiting, wait)
	if i >= 0 {
		h.waiting = slices.Delete(h.waiting, i, i+1)
	}
	return i >= 0
}

// token waits for a connection to be allowed; one that is idle somewhere makes room.
func (hs *hosts) token(ctx context.Context) error {
	select {
	case hs.tokens <- struct{}{}:
		return nil
	default:
	}
	hs.needy(1)
	defer hs.needy(-1)
	hs.evict()
	select {
	case hs.tokens <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (hs *hosts) needy(n int) {
	hs.mu.Lock()
	hs.short += n
	hs.mu.Unlock()
}

// wanted says whether others wait for a connection to a host, or for one at all.
func (hs *hosts) wanted(key string) bool {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	h := hs.known[key]
	return hs.short > 0 || h != nil && len(h.waiting) > 0
}

// evict ends one idle session.
func (hs *hosts) evict() {
	hs.mu.Lock()
	for _, h := range hs.known {
		if len(h.idle) > 0 {
			c := hs.takeIdle(h, 0)
			hs.mu.Unlock()
			hs.end(c)
			return
		}
	}
	hs.mu.Unlock()
}

// park keeps a session for whoever wants it next. Where the window has closed meanwhile it is one too many.
func (hs *hosts) park(c *connection) {
	hs.mu.Lock()
	h := hs.known[c.host]
	crowded := h.open > int(h.window)
	if len(h.waiting) > 0 && !crowded {
		next := h.waiting[0]
		h.waiting = h.waiting[1:]
		hs.mu.Unlock()
		next <- grant{session: c}
		return
	}
	if crowded || hs.short > 0 {
		hs.mu.Unlock()
		hs.end(c)
		return
	}
	c.expire = time.AfterFunc(idleTime, func() { hs.expired(c) })
	h.idle = append(h.idle, c)
	hs.idle++
	hs.mu.Unlock()
}

// expired ends a session that nobody wanted. It may have been taken, and its host forgotten, at this very moment.
func (hs *hosts) expired(c *connection) {
	hs.mu.Lock()
	idle := -1
	if h := hs.known[c.host]; h != nil {
		if idle = slices.Index(h.idle, c); idle >= 0 {
			hs.takeIdle(h, idle)
		}
	}
	hs.mu.Unlock()
	if idle >= 0 {
		hs.end(c)
	}
}

// end takes leave of a session and gives its places back.
func (hs *hosts) end(c *connection) {
	c.Quit()
	hs.release(c.host)
}

// release gives a connection's place and token back.
func (hs *hosts) release(key string) {
	<-hs.tokens
	hs.yield(key)
}

// yield gives a place in a host's window to the next.
func (hs *hosts) yield(key string) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	h := hs.known[key]
	h.open--
	hs.admit(h)
}

// admit lets those who wait take what room there is. The caller holds mu.
func (hs *hosts) admit(h *host) {
	for len(h.waiting) > 0 && h.open < int(h.window) {
		h.open++
		h.waiting[0] <- grant{}
		h.waiting = h.waiting[1:]
	}
}

// succeeded opens the window a little: a transaction was carried through.
func (hs *hosts) succeeded(key string) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	h := hs.get(key, time.Now())
	h.failed, h.dead, h.why, h.rest = 0, time.Time{}, nil, hs.limits.rest
	if !h.proven {
		h.proven, h.window = true, max(h.window, float64(hs.limits.initial))
	}
	h.window = min(h.window+1/h.window, float64(hs.limits.most))
	hs.admit(h)
}

// failedFor notes trouble of the host: its window closes by one, and after as many attempts in a row as it was wide the host is
// dead. Those who wait for it hear so.
func (hs *hosts) failedFor(key string, why *reply.Reply) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	now := time.Now()
	h := hs.get(key, now)
	h.why = why
	if now.Before(h.dead) {
		return
	}
	h.failed++
	wide := int(h.window)
	h.window = max(h.window-1, 1)
	if h.failed < wide {
		return
	}
	h.failed, h.window = 0, 1
	h.dead = now.Add(jitter(h.rest))
	h.rest = min(2*h.rest, hs.limits.longest)
	for _, w := range h.waiting {
		w <- grant{err: &deadError{h.dead, why}}
	}
	h.waiting = nil
}

// isProven says that a host was once good for a transaction.
func (hs *hosts) isProven(key string) bool {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	h := hs.known[key]
	return h != nil && h.proven
}

// slower closes a host's window by one: it wants less, but is there.
func (hs *hosts) slower(key string) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	if h := hs.known[key]; h != nil {
		h.window = max(h.window-1, 1)
	}
}

// window is how wide a host's window is; 0 = it is not known.
func (hs *hosts) window(key string) int {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	if h := hs.known[key]; h != nil {
		return int(h.window)
	}
	return 0
}

// revive forgets that hosts are dead (nil: all). One connection finds out.
func (hs *hosts) revive(keys []string) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	if keys == nil {
		keys = slices.Collect(maps.Keys(hs.known))
	}
	for _, key := range keys {
		if h := hs.known[key]; h != nil {
			h.dead = time.Time{}
		}
	}
}

// close ends all idle sessions.
func (hs *hosts) close() {
	for {
		hs.mu.Lock()
		left := hs.idle
		hs.mu.Unlock()
		if left == 0 {
			return
		}
		hs.evict()
	}
}

// jitter is d, give or take a tenth.
func jitter(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (0.9 + rand.Float64()/5))
}
