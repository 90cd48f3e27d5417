package authd

import (
	"fmt"
	"net/netip"
	"testing"
	"time"
)

// clock is a time that tests move.
type clock struct{ t time.Time }

func (c *clock) now() time.Time          { return c.t }
func (c *clock) advance(d time.Duration) { c.t = c.t.Add(d) }

func newTestThrottle() (*throttle, *clock) {
	c := &clock{time.Unix(1_800_000_000, 0)}
	t := newThrottle(time.Second, 16*time.Second)
	t.now = c.now
	return t, c
}

var (
	home  = netip.MustParseAddr("192.0.2.1")
	abuse = netip.MustParseAddr("203.0.113.9")
)

// try makes an attempt and returns its wait, or -1 if it was refused.
func try(t *throttle, s subject, holds bool) time.Duration {
	turn, ok := t.enter(s)
	if !ok {
		return -1
	}
	if holds {
		t.succeeded(turn)
	} else {
		t.failed(turn)
	}
	return turn.wait
}

func TestDelayDoubles(t *testing.T) {
	t.Parallel()
	turns, c := newTestThrottle()
	s := turns.subject("alice", abuse)
	for i, want := range []time.Duration{1, 2, 4, 8, 16, 16, 16} {
		turn, ok := turns.enter(s)
		if !ok || turn.wait > 0 {
			t.Errorf("attempt %d waits %v, %v", i, turn.wait, ok)
		}
		if got := turns.failed(turn); got != want*time.Second {
			t.Errorf("failure %d is answered after %v, want %v", i+1, got, want*time.Second)
		}
		c.advance(want * time.Second)
	}
	c.advance(forgetAfter + time.Second)
	turn, _ := turns.enter(s)
	if got := turns.failed(turn); got != time.Second {
		t.Errorf("not forgotten: %v", got)
	}
}

func TestParallelGuesses(t *testing.T) {
	t.Parallel()
	turns, _ := newTestThrottle()
	try(turns, turns.subject("alice", abuse), false)
	admitted := 0
	for i := range 1000 { // one user, many addresses
		if _, ok := turns.enter(turns.subject("alice", netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}))); ok {
			admitted++
		}
	}
	if admitted > 17 {
		t.Errorf("%d guesses in 16 seconds", admitted)
	}
	admitted = 0
	for i := range 1000 { // one address, many users
		if _, ok := turns.enter(turns.subject(fmt.Sprint("user", i), abuse)); ok {
			admitted++
		}
	}
	if admitted > 17 {
		t.Errorf("%d guesses in 16 seconds", admitted)
	}
}

func TestPendingIsBounded(t *testing.T) {
	t.Parallel()
	bob := func(t *throttle, i int) subject { return t.subject("bob", netip.AddrFrom4([4]byte{10, 0, 0, byte(i)})) }
	for _, tt := range []struct {
		what    string
		attempt func(*throttle, int) subject
		most    int
	}{
		{"from an address", func(t *throttle, i int) subject { return t.subject(fmt.Sprint("user", i), abuse) }, maxPending},
		{"from a network", func(t *throttle, i int) subject { return t.subject(fmt.Sprint("user", i), inNetwork(i)) }, maxPending},
		{"for a user who has not failed", bob, maxGuesses},
		{"from where the user has logged in", func(t *throttle, i int) subject { return t.subject("alice", home) }, maxTrusted},
	} {
		turns, _ := newTestThrottle()
		try(turns, turns.subject("alice", home), true)
		var all []turn
		for i := range tt.most {
			turn, ok := turns.enter(tt.attempt(turns, i))
			if !ok {
				t.Fatalf("%s: %d at once are too many", tt.what, i+1)
			}
			all = append(all, turn)
		}
		if _, ok := turns.enter(tt.attempt(turns, tt.most)); ok {
			t.Errorf("%s: no bound", tt.what)
		}
		turns.leave(all[0])
		if _, ok := turns.enter(tt.attempt(turns, 0)); !ok {
			t.Errorf("%s: a place given back is not free", tt.what)
		}
		for _, turn := range all {
			turns.leave(turn)
		}
		if len(turns.records) != 0 || len(turns.pending) != 0 {
			t.Errorf("%s: left behind: %v, %v", tt.what, turns.records, turns.pending)
		}
	}
}

func TestGuesserDoesNotLockOut(t *testing.T) {
	t.Parallel()
	turns, c := newTestThrottle()
	user := turns.subject("alice", home)
	try(turns, user, true)
	for range 20 {
		try(turns, turns.subject("alice", abuse), false)
		c.advance(16 * time.Second)
	}
	try(turns, turns.subject("alice", abuse), false)
	if wait := try(turns, user, false); wait != 0 {
		t.Errorf("a typing error at home waits %v", wait)
	}
	if wait := try(turns, user, true); wait != 0 {
		t.Errorf("a login from home waits %v", wait)
	}
	for range maxSlips + 1 {
		try(turns, user, false)
	}
	if wait := try(turns, user, true); wait == 0 {
		t.Error("guessing from a trusted address is never slowed")
	}
}

func TestSuccessClearsNothing(t *testing.T) {
	t.Parallel()
	turns, c := newTestThrottle()
	for range 3 {
		try(turns, turns.subject("alice", abuse), false)
		c.advance(16 * time.Second)
	}
	try(turns, turns.subject("alice", abuse), false)
	if wait := try(turns, turns.subject("mallory", abuse), true); wait <= 0 {
		t.Errorf("an address that has failed waits %v", wait)
	}
	if wait := try(turns, turns.subject("bob", abuse), true); wait <= 0 {
		t.Error("an account of one's own clears the address")
	}
	try(turns, turns.subject("alice", home), true)
	if wait := try(turns, turns.subject("alice", home), true); wait != 0 {
		t.Errorf("a login leaves its own address waiting %v", wait)
	}
	if wait := try(turns, turns.subject("alice", netip.MustParseAddr("192.0.2.2")), false); wait <= 0 {
		t.Error("a login of the user clears what others have failed")
	}
}

// inNetwork returns addresses of one /48, each in a /64 of its own.
func inNetwork(i int) netip.Addr {
	return netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 6: byte(i >> 8), 7: byte(i)})
}

// A guesser with all addresses of the world has few guesses in an hour, also while the user's own clients log in.
func TestGuessesInAnHour(t *testing.T) {
	t.Parallel()
	turns, c := newTestThrottle()
	alice := turns.subject("alice", home)
	try(turns, alice, true)
	waiting := make(map[turn]time.Time)
	guesses, next := 0, 0
	for range 3600 {
		if wait := try(turns, alice, true); wait != 0 {
			t.Fatalf("alice waits %v", wait)
		}
		for ok := true; ok; next++ { // as fast as they are let in
			var guess turn
			guess, ok = turns.enter(turns.subject("alice", netip.AddrFrom16([16]byte{0x20, 1, byte(next >> 16), byte(next >> 8), byte(next)})))
			if ok {
				waiting[guess] = c.t.Add(guess.wait)
			}
		}
		for guess, at := range waiting {
			if !at.After(c.t) {
				turns.failed(guess)
				delete(waiting, guess)
				guesses++
			}
		}
		c.advance(time.Second)
	}
	if most := 3600/16 + maxGuesses + 5; guesses > most {
		t.Errorf("%d guesses, at most %d expected", guesses, most)
	}
}

func TestAddressOfIPv6(t *testing.T) {
	t.Parallel()
	turns, _ := newTestThrottle()
	a := turns.subject("x", netip.MustParseAddr("2001:db8::1"))
	b := turns.subject("x", netip.MustParseAddr("2001:db8::ffff:1%eth0"))
	c := turns.subject("x", netip.MustParseAddr("2001:db8:0:1::1"))
	d := turns.subject("x", netip.MustParseAddr("::ffff:192.0.2.1"))
	if a != b || a.address == c.address || d != turns.subject("x", home) {
		t.Error("IPv6 addresses are not taken by /64, or mapped ones not as IPv4")
	}
	e := turns.subject("x", netip.MustParseAddr("2001:db8:1::1"))
	if a.network != c.network || a.network == e.network || a.network == a.address || d.network != d.address {
		t.Error("IPv6 networks are not taken by /48")
	}
	for i := range 4 { // of another user each time
		try(turns, turns.subject(fmt.Sprint("user", i), inNetwork(i)), false)
	}
	if wait := try(turns, turns.subject("y", inNetwork(9)), false); wait <= 0 {
		t.Error("guessing from many addresses of a network is never slowed")
	}
	turns.subject("x", netip.Addr{})
}

func TestTableIsBounded(t *testing.T) {
	t.Parallel()
	turns, c := newTestThrottle()
	try(turns, turns.subject("bob", home), true)
	victim := turns.subject("alice", abuse)
	for range 10 {
		try(turns, victim, false)
		c.advance(16 * time.Second)
	}
	for i := range 2 * maxRecords {
		try(turns, turns.subject(fmt.Sprint("name", i), netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})), false)
	}
	if n := len(turns.records); n > maxRecords {
		t.Errorf("%d records", n)
	}
	if r := turns.records[victim.user]; r.failures != 10 {
		t.Errorf("a flood of names makes us forget: %d failures left", r.failures)
	}
	if turn, ok := turns.enter(turns.subject("bob", home)); !ok || !turn.known {
		t.Error("a flood of failures makes us forget who has logged in")
	}
}
