package listen

import "sync"

// slot is what connections are counted by, besides all of them: a client of one service.
type slot struct {
	service string
	client  client
}

// limiter counts living connections. It holds no more entries than these are.
type limiter struct {
	mu       sync.Mutex
	total    int
	network  int            // of these, not from this host's Unix sockets
	services map[string]int // of these, by service
	slots    map[slot]int
}

// takeTotal counts a connection unless max are there. Strangers cannot take everything: one service of the network gets at
// most three quarters, all of them nine tenths, and the rest is for Unix sockets.
func (l *limiter) takeTotal(service string, unix bool, max int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.total >= max || !unix && (l.network >= max-max/10 || l.services[service] >= max-max/4) {
		return false
	}
	l.count(service, unix, 1)
	return true
}

func (l *limiter) giveTotal(service string, unix bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count(service, unix, -1)
}

func (l *limiter) count(service string, unix bool, n int) {
	if l.services == nil {
		l.services = make(map[string]int)
	}
	l.total += n
	l.services[service] += n
	if !unix {
		l.network += n
	}
}

// take counts a connection of s unless max are there; a negative max is none.
func (l *limiter) take(s slot, max int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if max >= 0 && l.slots[s] >= max {
		return false
	}
	if l.slots == nil {
		l.slots = make(map[slot]int)
	}
	l.slots[s]++
	return true
}

func (l *limiter) give(s slot) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.slots[s]--; l.slots[s] == 0 {
		delete(l.slots, s)
	}
}
