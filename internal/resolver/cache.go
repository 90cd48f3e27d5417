package resolver

import "time"

// Bounds of how long an answer holds, whatever it says, and of what is remembered.
const (
	minTTL     = time.Second
	maxTTL     = 24 * time.Hour
	maxNoTTL   = 15 * time.Minute // of "there is none"
	failureFor = 2 * time.Second  // a temporary failure

	maxOctets = 16 << 20 // in all answers that are remembered
	samples   = 8        // answers of which one has to go
)

// entry is an answer or a temporary failure that holds for a while.
type entry struct {
	answer answer
	err    error
	until  time.Time
}

// octets is about what an entry takes.
func (e *entry) octets() int {
	n := 400 + len(e.answer.target) + 24*len(e.answer.addrs)
	for _, mx := range e.answer.mx {
		n += 24 + len(mx.Host)
	}
	for _, s := range e.answer.names {
		n += 16 + len(s)
	}
	for _, s := range e.answer.texts {
		n += 16 + len(s)
	}
	return n
}

// cache is what is remembered.
type cache struct {
	entries map[question]entry
	most    int
	octets  int
}

func newCache(most int) cache {
	return cache{entries: make(map[question]entry), most: most}
}

func (c *cache) get(q question, now time.Time) (entry, bool) {
	e, ok := c.entries[q]
	if ok && !now.Before(e.until) {
		c.remove(q)
		return entry{}, false
	}
	return e, ok
}

func (c *cache) put(q question, e entry) {
	c.remove(q)
	for len(c.entries) > 0 && (len(c.entries) >= c.most || c.octets+e.octets() > maxOctets) {
		c.evict()
	}
	c.entries[q] = e
	c.octets += e.octets()
}

func (c *cache) remove(q question) {
	if e, ok := c.entries[q]; ok {
		c.octets -= e.octets()
		delete(c.entries, q)
	}
}

// evict removes the one of a few entries that ends first. The order of a map is random enough.
func (c *cache) evict() {
	var victim question
	var until time.Time
	n := 0
	for q, e := range c.entries {
		if n == 0 || e.until.Before(until) {
			victim, until = q, e.until
		}
		if n++; n == samples {
			break
		}
	}
	c.remove(victim)
}
