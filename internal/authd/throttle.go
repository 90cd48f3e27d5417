package authd

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"time"
)

// Bounds of the memory of failures.
const (
	maxRecords  = 1 << 16            // of users, addresses and pairs of both; about 5 MB
	evictSample = 8                  // records looked at to find one to drop
	forgetAfter = 30 * time.Minute   // without another failure
	trustFor    = 7 * 24 * time.Hour // a pair of user and address that has logged in is not made to wait
	maxPending  = 64                 // attempts of one user or one address that are being worked on
	maxSlips    = 5                  // failures in a row after which a pair is no longer trusted
)

// throttle remembers failures per user and per address. Once either has one, attempts are let through one by one, a delay
// apart that doubles with each failure; so guessing in parallel gains nothing. Keys are hashes with a secret seed: a name
// of any length costs the same, and nobody can aim at another's record.
type throttle struct {
	seed maphash.Seed
	now  func() time.Time

	mu      sync.Mutex
	base    time.Duration // of the first failure
	max     time.Duration
	records map[uint64]record
}

// record is what is known about one key.
type record struct {
	failures int
	pending  int
	next     time.Time // when the next attempt may start
	last     time.Time // of the last failure, or of the success if trusted
	trusted  bool      // pairs only: has logged in
}

// subject is who is trying: the keys under which an attempt counts.
type subject struct {
	user, address, pair uint64
}

func newThrottle(base, max time.Duration) *throttle {
	return &throttle{seed: maphash.MakeSeed(), now: time.Now, base: base, max: max, records: make(map[uint64]record)}
}

// configure changes the delays and keeps what is remembered.
func (t *throttle) configure(base, max time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.base, t.max = base, max
}

// subject returns the keys of an attempt. An IPv6 client has the choice of a whole /64, so that is its address.
func (t *throttle) subject(user string, ip netip.Addr) subject {
	ip = ip.Unmap().WithZone("")
	if ip.Is6() {
		if p, err := ip.Prefix(64); err == nil {
			ip = p.Addr()
		}
	}
	address := ip.String()
	return subject{
		user:    maphash.String(t.seed, "u\x00"+user),
		address: maphash.String(t.seed, "a\x00"+address),
		pair:    maphash.String(t.seed, "p\x00"+address+"\x00"+user),
	}
}

// enter reserves a turn and returns how long to wait for it. It is false if the turn would be too far away: the attempt
// must not be made, and leave must not be called.
func (t *throttle) enter(s subject) (time.Duration, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	user, address := t.get(s.user, now), t.get(s.address, now)
	if user.pending >= maxPending || address.pending >= maxPending {
		return 0, false
	}
	start := now
	if !t.get(s.pair, now).trusted {
		start = latest(start, t.turn(user), t.turn(address))
		if start.Sub(now) > t.max {
			return 0, false
		}
		user, address = t.reserve(user, start), t.reserve(address, start)
	}
	user.pending++
	address.pending++
	t.put(s.user, user)
	t.put(s.address, address)
	return start.Sub(now), true
}

// turn is the earliest start for a record.
func (t *throttle) turn(r record) time.Time {
	if r.failures == 0 {
		return time.Time{}
	}
	return r.next
}

func (t *throttle) reserve(r record, start time.Time) record {
	if r.failures > 0 {
		r.next = start.Add(t.delay(r.failures))
	}
	return r
}

// failed ends an attempt that did not hold and returns how long after its start it is to be answered.
func (t *throttle) failed(s subject) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	d := max(t.fail(s.user, now), t.fail(s.address, now))
	if pair := t.get(s.pair, now); pair.trusted {
		t.slip(s.pair, pair)
	}
	return d
}

// slip is a failure of a pair that has logged in before: a typing error, or an old password in one of the user's devices.
func (t *throttle) slip(key uint64, pair record) {
	pair.failures++
	if pair.failures > maxSlips {
		delete(t.records, key)
		return
	}
	t.records[key] = pair
}

func (t *throttle) fail(key uint64, now time.Time) time.Duration {
	r := t.get(key, now)
	r.failures++
	r.pending = max(r.pending-1, 0)
	r.last = now
	d := t.delay(r.failures)
	r.next = latest(r.next, now.Add(d))
	t.put(key, r)
	return d
}

// succeeded ends an attempt that held. It clears the user but not the address: a guesser may own an account.
func (t *throttle) succeeded(s subject) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	user := t.get(s.user, now)
	user.failures = 0
	t.end(s.user, user)
	t.end(s.address, t.get(s.address, now))
	t.put(s.pair, record{trusted: true, last: now})
}

// leave ends an attempt that came to no result.
func (t *throttle) leave(s subject) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	t.end(s.user, t.get(s.user, now))
	t.end(s.address, t.get(s.address, now))
}

// end takes a pending attempt off a record and drops one that says nothing more.
func (t *throttle) end(key uint64, r record) {
	if r.pending > 0 {
		r.pending--
	}
	if r.pending == 0 && r.failures == 0 && !r.trusted {
		delete(t.records, key)
		return
	}
	t.put(key, r)
}

// delay is that of the nth failure.
func (t *throttle) delay(n int) time.Duration {
	d := t.base
	for ; n > 1 && d > 0 && d < t.max; n-- {
		d *= 2
	}
	return min(d, t.max)
}

// get returns what is known of a key and not yet forgotten.
func (t *throttle) get(key uint64, now time.Time) record {
	r := t.records[key]
	if r.expired(now) {
		return record{pending: r.pending}
	}
	return r
}

func (r record) expired(now time.Time) bool {
	if r.trusted {
		return now.Sub(r.last) > trustFor
	}
	return r.failures > 0 && now.Sub(r.last) > forgetAfter
}

// put stores a record. When there are too many, one of a few random ones goes: the one that says least, so that a flood of
// names, which fail once each, drives out itself and not a record of many failures.
func (t *throttle) put(key uint64, r record) {
	if _, ok := t.records[key]; !ok && len(t.records) >= maxRecords {
		t.evict()
	}
	t.records[key] = r
}

func (t *throttle) evict() {
	now := t.now()
	var worst uint64
	lowest, seen := int(^uint(0)>>1), 0
	for key, r := range t.records {
		if w := r.weight(now); w < lowest {
			worst, lowest = key, w
		}
		if seen++; seen == evictSample {
			break
		}
	}
	delete(t.records, worst)
}

// weight orders records by what would be lost with them. A trusted pair is worth three failures: it takes a password to
// make one.
func (r record) weight(now time.Time) int {
	switch {
	case r.pending > 0:
		return 1 << 20
	case r.expired(now):
		return 0
	case r.trusted:
		return 3
	}
	return r.failures
}

func latest(times ...time.Time) time.Time {
	var l time.Time
	for _, t := range times {
		if t.After(l) {
			l = t
		}
	}
	return l
}
