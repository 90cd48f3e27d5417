package authd

import (
	"slices"
	"time"
)

// Bounds of trust. A user cannot drive out others by logging in from many addresses, and who cannot log in drives out
// nobody.
const (
	trustFor         = 7 * 24 * time.Hour // since the last login
	maxSlips         = 5                  // failures in a row after which a pair is no longer trusted
	maxTrustedUsers  = 1 << 16
	maxTrustedPlaces = 16 // of one user
)

// trust remembers from which addresses users have logged in. Users and addresses are known by hashes.
type trust map[uint64][]place

// place is an address of one user.
type place struct {
	address uint64
	last    time.Time // login
	slips   int       // failures in a row since
}

// has says whether the user has logged in from this address.
func (t trust) has(user, address uint64, now time.Time) bool {
	i := t.index(user, address)
	return i >= 0 && now.Sub(t[user][i].last) <= trustFor
}

func (t trust) index(user, address uint64) int {
	return slices.IndexFunc(t[user], func(p place) bool { return p.address == address })
}

// add is a login. The places of a user stay in the order of their last logins: the oldest goes when there are too many.
func (t trust) add(user, address uint64, now time.Time) {
	if _, ok := t[user]; !ok && len(t) >= maxTrustedUsers {
		t.evict()
	}
	places := t[user]
	if i := t.index(user, address); i >= 0 {
		places = slices.Delete(places, i, i+1)
	} else if len(places) >= maxTrustedPlaces {
		places = slices.Delete(places, 0, 1)
	}
	t[user] = append(places, place{address: address, last: now})
}

// slip is a failure of a pair that has logged in before: a typing error, or an old password in one of the user's devices.
func (t trust) slip(user, address uint64) {
	i := t.index(user, address)
	if i < 0 {
		return
	}
	t[user][i].slips++
	if t[user][i].slips > maxSlips {
		t[user] = slices.Delete(t[user], i, i+1)
	}
	if len(t[user]) == 0 {
		delete(t, user)
	}
}

// evict drops the user, of a few random ones, who has not logged in for the longest time.
func (t trust) evict() {
	var oldest uint64
	var since time.Time
	seen := 0
	for user, places := range t {
		if last := places[len(places)-1].last; seen == 0 || last.Before(since) {
			oldest, since = user, last
		}
		if seen++; seen == evictSample {
			break
		}
	}
	delete(t, oldest)
}
