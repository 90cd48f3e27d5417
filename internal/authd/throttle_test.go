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
	wait, ok := t.enter(s)
	if !ok {
		return -1
	}
	if holds {
		t.succeeded(s)
	} else {
		t.failed(s)
	}
	return wait
}

func TestDelayDoubles(t *testing.T) {
	t.Parallel()
	turns, c := newTestThrottle()
	s := turns.subject("alice", abuse)
	for i, want := range []time.Duration{1, 2, 4, 8, 16, 16, 16} {
		wait, ok := turns.enter(s)
		if !ok || wait > 0 {
			t.Errorf("attempt %d waits %v, %v", i, wait, ok)
		}
		if got := turns.failed(s); got != want*time.Second {
			t.Errorf("failure %d is answered after %v, want %v", i+1, got, want*time.Second)
		}
		c.advance(want * time.Second)
	}
	c.advance(forgetAfter + time.Second)
	turns.enter(s)
	if got := turns.failed(s); got != time.Second {
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
	turns, _ := newTestThrottle()
	s := turns.subject("alice", abuse)
	for range maxPending {
		if _, ok := turns.enter(s); !ok {
			t.Fatal("refused too early")
		}
	}
	if _, ok := turns.enter(s); ok {
		t.Error("no bound")
	}
	turns.leave(s)
	if _, ok := turns.enter(s); !ok {
		t.Error("a place given back is not free")
	}
	for range maxPending {
		turns.leave(s)
	}
	if len(turns.records) != 0 {
		t.Errorf("%d records of nothing", len(turns.records))
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

func TestSuccessClearsUserOnly(t *testing.T) {
	t.Parallel()
	turns, _ := newTestThrottle()
	for range 3 {
		turns.enter(turns.subject("alice", abuse))
		turns.failed(turns.subject("alice", abuse))
	}
	own := turns.subject("mallory", abuse)
	turns.enter(own)
	turns.succeeded(own)
	if wait, ok := turns.enter(turns.subject("bob", abuse)); ok && wait == 0 {
		t.Error("an account of one's own clears the address")
	}
	elsewhere := turns.subject("alice", home)
	turns.enter(elsewhere)
	turns.succeeded(elsewhere)
	if wait, _ := turns.enter(turns.subject("alice", netip.MustParseAddr("192.0.2.2"))); wait != 0 {
		t.Errorf("a success leaves the user waiting %v", wait)
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
	turns.subject("x", netip.Addr{})
}

func TestTableIsBounded(t *testing.T) {
	t.Parallel()
	turns, _ := newTestThrottle()
	victim := turns.subject("alice", abuse)
	for range 10 {
		turns.enter(victim)
		turns.failed(victim)
	}
	for i := range 2 * maxRecords {
		s := turns.subject(fmt.Sprint("name", i), netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}))
		turns.enter(s)
		turns.failed(s)
	}
	if n := len(turns.records); n > maxRecords {
		t.Errorf("%d records", n)
	}
	if r := turns.records[victim.user]; r.failures != 10 {
		t.Errorf("a flood of names makes us forget: %d failures left", r.failures)
	}
}
