package auth

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	"postrider/internal/listen"
)

// Bounds of what Places remembers.
const (
	knownFor    = 7 * 24 * time.Hour // since the last login from there
	maxKnown    = 1 << 14            // clients; about 2 MB
	evictSample = 8                  // of these, looked at to find one to forget
	maxWaiting  = 4                  // who waits, in units of all places
)

// Places bounds the logins in progress, each of which has a connection to authd. Failures are answered late on purpose, so who
// knows no password can hold places by failing: a client (an IPv4 address, an IPv6 /64) has a few, all strangers three quarters,
// and the rest is for those from where somebody has logged in lately. A client of this host may be webmail for all users, and
// has half.
type Places struct {
	total    int
	patience time.Duration

	mu        sync.Mutex
	taken     int
	strangers int                        // of these
	each      map[netip.Prefix]int       // of these, by client
	known     map[netip.Prefix]time.Time // when somebody last logged in from there
	waiting   []*Place                   // first come, first served
}

// Place is one login's. It is for one goroutine.
type Place struct {
	places   *Places
	client   netip.Prefix
	stranger bool
	ready    chan struct{} // closed when the place is there
}

// NewPlaces returns so many places, for which a login waits no longer than patience.
func NewPlaces(total int, patience time.Duration) *Places {
	return &Places{total: total, patience: patience, each: make(map[netip.Prefix]int), known: make(map[netip.Prefix]time.Time)}
}

// Take waits for a place until ctx is done or the time is over; then it is false. The address is that of the client, invalid if it
// has none. The place is taken until Leave.
func (p *Places) Take(ctx context.Context, client netip.Addr) (*Place, bool) {
	l := &Place{places: p, client: listen.Network(client), ready: make(chan struct{})}
	if !p.join(l) {
		return nil, false
	}
	ctx, cancel := context.WithTimeout(ctx, p.patience)
	defer cancel()
	select {
	case <-l.ready:
		return l, true
	case <-ctx.Done():
		return l, !p.withdraw(l)
	}
}

// join gives l a place, or else has it wait, unless too many do.
func (p *Places) join(l *Place) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.seat(l) {
		return true
	}
	if len(p.waiting) >= maxWaiting*p.total {
		return false
	}
	p.waiting = append(p.waiting, l)
	return true
}

// withdraw ends the waiting; it is false if the place has come at the last moment.
func (p *Places) withdraw(l *Place) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.Index(p.waiting, l)
	if i < 0 {
		return false
	}
	p.waiting = slices.Delete(p.waiting, i, i+1)
	return true
}

// seat gives l a place if there is one for it.
func (p *Places) seat(l *Place) bool {
	here := !l.client.IsValid() || l.client.Addr().IsLoopback()
	known := here || time.Since(p.known[l.client]) < knownFor
	most := max(p.total/32, 1)
	switch {
	case here:
		most = max(p.total/2, 1)
	case known:
		most = max(p.total/8, 1)
	}
	if p.taken >= p.total || !known && p.strangers >= p.total-p.total/4 || p.each[l.client] >= most {
		return false
	}
	l.stranger = !known
	p.count(l, 1)
	close(l.ready)
	return true
}

func (p *Places) count(l *Place, n int) {
	p.taken += n
	if l.stranger {
		p.strangers += n
	}
	if p.each[l.client] += n; p.each[l.client] == 0 {
		delete(p.each, l.client)
	}
}

// LoggedIn says that the login held.
func (l *Place) LoggedIn() {
	p := l.places
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.known[l.client]; !ok && len(p.known) >= maxKnown {
		p.evict()
	}
	p.known[l.client] = time.Now()
}

// evict forgets the client, of a few random ones, from where nobody has logged in for the longest time.
func (p *Places) evict() {
	var oldest netip.Prefix
	var since time.Time
	seen := 0
	for client, last := range p.known {
		if seen == 0 || last.Before(since) {
			oldest, since = client, last
		}
		if seen++; seen == evictSample {
			break
		}
	}
	delete(p.known, oldest)
}

// Leave gives the place to those who wait.
func (l *Place) Leave() {
	p := l.places
	p.mu.Lock()
	defer p.mu.Unlock()
	p.count(l, -1)
	p.waiting = slices.DeleteFunc(p.waiting, p.seat)
}
