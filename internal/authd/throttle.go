package authd

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"time"
)

// Bounds of the memory of failures.
const (
	maxRecords  = 1 << 16          // of users, addresses and networks; about 5 MB
	evictSample = 8                // records looked at to find one to drop
	forgetAfter = 30 * time.Minute // without another failure
)

// Attempts that are worked on at the same time.
const (
	maxPending = 64 // from one address, or for a user who has failed: those wait for each other
	maxGuesses = 4  // of strangers for a user who has not failed: nothing slows them yet
	maxTrusted = 16 // of one user, from where that user has logged in
)

// throttle remembers failures per user, per address, and per network of IPv6 addresses. Once one of them has one, attempts
// are let through one by one, a delay apart that doubles with each failure; so guessing in parallel gains nothing. A login
// clears nothing: an address may belong to a guesser with an account, a user may be logging in all day. It makes the pair of
// user and address trusted: that waits for nobody. Keys are hashes with a secret seed: a name of any length costs the same,
// and nobody can aim at another's record.
type throttle struct {
	seed maphash.Seed
	now  func() time.Time

	mu      sync.Mutex
	base    time.Duration // of the first failure
	max     time.Duration
	records map[uint64]record
	trust   trust
	pending map[uint64]int // attempts being worked on; no more than there are connections
}

// record is what is known about a key that has failed.
type record struct {
	failures int
	next     time.Time // when the next attempt may start
	last     time.Time // failure
}

// subject is who is trying: the keys under which an attempt counts.
type subject struct {
	user, address uint64
	network       uint64 // the address again if it is not IPv6
	trusted       uint64 // the user, in attempts of trusted pairs
}

// turn is an attempt that may be made.
type turn struct {
	subject
	wait  time.Duration // before it is made
	known bool          // the pair of user and address is trusted
}

func newThrottle(base, max time.Duration) *throttle {
	return &throttle{seed: maphash.MakeSeed(), now: time.Now, base: base, max: max,
		records: make(map[uint64]record), trust: make(trust), pending: make(map[uint64]int)}
}

// configure changes the delays and keeps what is remembered.
func (t *throttle) configure(base, max time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.base, t.max = base, max
}

// subject returns the keys of an attempt. An IPv6 client has the choice of a whole /64, so that is its address, and often
// of a /48, its network.
func (t *throttle) subject(user string, ip netip.Addr) subject {
	ip = ip.Unmap().WithZone("")
	address, network := ip.BitLen(), ip.BitLen()
	if ip.Is6() {
		address, network = 64, 48
	}
	return subject{
		user:    maphash.String(t.seed, "u\x00"+user),
		trusted: maphash.String(t.seed, "t\x00"+user),
		address: t.prefix(ip, address),
		network: t.prefix(ip, network),
	}
}

// prefix is the key of the first bits of an address, one and the same for all that are not valid.
func (t *throttle) prefix(ip netip.Addr, bits int) uint64 {
	p, err := ip.Prefix(bits)
	if err != nil {
		p = netip.Prefix{}
	}
	return maphash.String(t.seed, "a\x00"+p.String())
}

// counted are the keys under which a failure counts.
func (s subject) counted() []uint64 {
	if s.network == s.address {
		return []uint64{s.user, s.address}
	}
	return []uint64{s.user, s.address, s.network}
}

// busy are the keys under which the attempt counts while it lasts.
func (a turn) busy() []uint64 {
	if a.known {
		return []uint64{a.trusted}
	}
	return a.counted()
}

// enter reserves a turn. It is false if there are too many or the turn would be too far away: the attempt must not be made.
// Otherwise it ends with one call of failed, succeeded or leave.
func (t *throttle) enter(s subject) (turn, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	a := turn{subject: s, known: t.trust.has(s.user, s.address, now)}
	if t.full(a, now) {
		return turn{}, false
	}
	if !a.known {
		var ok bool
		if a.wait, ok = t.reserve(s, now); !ok {
			return turn{}, false
		}
	}
	for _, key := range a.busy() {
		t.pending[key]++
	}
	return a, true
}

// full says whether too many such attempts are being worked on.
func (t *throttle) full(a turn, now time.Time) bool {
	if a.known {
		return t.pending[a.trusted] >= maxTrusted
	}
	if t.get(a.user, now).failures == 0 && t.pending[a.user] >= maxGuesses {
		return true
	}
	for _, key := range a.counted() {
		if t.pending[key] >= maxPending {
			return true
		}
	}
	return false
}

// reserve finds the time until the first moment at which none of the records makes the attempt wait, and keeps others away
// from it. It is false if that is too long.
func (t *throttle) reserve(s subject, now time.Time) (wait time.Duration, ok bool) {
	start := now
	for _, key := range s.counted() {
		start = latest(start, t.get(key, now).next)
	}
	if start.Sub(now) > t.max {
		return 0, false
	}
	for _, key := range s.counted() {
		if r := t.get(key, now); r.failures > 0 {
			r.next = start.Add(t.delay(r.failures))
			t.records[key] = r
		}
	}
	return start.Sub(now), true
}

// failed ends an attempt that did not hold and returns how long after its start it is to be answered.
func (t *throttle) failed(a turn) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.end(a)
	if a.known {
		t.trust.slip(a.user, a.address)
	}
	now := t.now()
	var d time.Duration
	for _, key := range a.counted() {
		d = max(d, t.fail(key, now))
	}
	return d
}

func (t *throttle) fail(key uint64, now time.Time) time.Duration {
	r := t.get(key, now)
	r.failures++
	r.last = now
	d := t.delay(r.failures)
	r.next = latest(r.next, now.Add(d))
	if _, ok := t.records[key]; !ok && len(t.records) >= maxRecords {
		t.evict(now)
	}
	t.records[key] = r
	return d
}

// succeeded ends an attempt that held.
func (t *throttle) succeeded(a turn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.end(a)
	t.trust.add(a.user, a.address, t.now())
}

// leave ends an attempt that came to no result.
func (t *throttle) leave(a turn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.end(a)
}

func (t *throttle) end(a turn) {
	for _, key := range a.busy() {
		if t.pending[key]--; t.pending[key] <= 0 {
			delete(t.pending, key)
		}
	}
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
		return record{}
	}
	return r
}

func (r record) expired(now time.Time) bool { return now.Sub(r.last) > forgetAfter }

// evict drops the record, of a few random ones, that says least: so a flood of names, which fail once each, drives out
// itself and not a record of many failures.
func (t *throttle) evict(now time.Time) {
	var worst uint64
	lowest, seen := int(^uint(0)>>1), 0
	for key := range t.records {
		if n := t.get(key, now).failures; n < lowest {
			worst, lowest = key, n
		}
		if seen++; seen == evictSample {
			break
		}
	}
	delete(t.records, worst)
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
