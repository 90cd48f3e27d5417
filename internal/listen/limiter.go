package listen

import "sync"

// slot is what connections are counted by, besides all of them: a client of one service.
type slot struct {
	service string
	client  client
}

// limiter counts living connections. It holds no more entries than these are.
type limiter struct {
	mu    sync.Mutex
	total int
	slots map[slot]int
}

// takeTotal counts a connection unless max are there.
func (l *limiter) takeTotal(max int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.total >= max {
		return false
	}
	l.total++
	return true
}

func (l *limiter) giveTotal() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.total--
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
