package authd

import (
	"testing"
	"time"
)

func TestTrust(t *testing.T) {
	t.Parallel()
	c := &clock{time.Unix(1_800_000_000, 0)}
	trusted := make(trust)
	trusted.add(1, 10, c.now())
	if !trusted.has(1, 10, c.now()) || trusted.has(1, 11, c.now()) || trusted.has(2, 10, c.now()) {
		t.Error("not the pair that has logged in")
	}
	for range maxSlips {
		trusted.slip(1, 10)
	}
	trusted.add(1, 10, c.now())
	for range maxSlips {
		trusted.slip(1, 10)
	}
	if !trusted.has(1, 10, c.now()) {
		t.Error("failures count that a login has come between")
	}
	trusted.slip(1, 10)
	if trusted.slip(1, 10); len(trusted) != 0 {
		t.Errorf("left behind: %v", trusted)
	}
	trusted.add(1, 10, c.now())
	c.advance(trustFor)
	if !trusted.has(1, 10, c.now()) {
		t.Error("forgotten too early")
	}
	c.advance(time.Second)
	if trusted.has(1, 10, c.now()) {
		t.Error("never forgotten")
	}
}

// An account owner with very many addresses drives out nobody else, and the places that the user does use stay.
func TestTrustIsBounded(t *testing.T) {
	t.Parallel()
	c := &clock{time.Unix(1_800_000_000, 0)}
	trusted := make(trust)
	trusted.add(1, 10, c.now())
	for i := range uint64(10 * maxTrustedPlaces) {
		c.advance(time.Second)
		trusted.add(2, i, c.now())
		trusted.add(2, 5, c.now())
	}
	if !trusted.has(1, 10, c.now()) || !trusted.has(2, 5, c.now()) || len(trusted[2]) != maxTrustedPlaces {
		t.Errorf("left: %v", trusted)
	}
	for i := range uint64(maxTrustedUsers + 100) {
		c.advance(time.Millisecond)
		trusted.add(100+i, 10, c.now())
	}
	if n := len(trusted); n != maxTrustedUsers {
		t.Errorf("%d users", n)
	}
}
