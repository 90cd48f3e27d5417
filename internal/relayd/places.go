package relayd

import (
	"context"
	"net/netip"
	"slices"
	"sync"
)

// maxPerNetwork is how many places one network may have: names cost nothing, and many hosts that never greet may be one.
const maxPerNetwork = 12

// places are for connections that have not got as far as EHLO. They are given first come, first served, but to those whose network
// has its share of them.
type places struct {
	mu      sync.Mutex
	free    int
	taken   map[netip.Prefix]int
	waiting []*applicant
}

type applicant struct {
	network netip.Prefix
	granted chan struct{}
}

func newPlaces(n int) *places { return &places{free: n, taken: make(map[netip.Prefix]int)} }

// networkOf is whose share a connection to an address counts for; the zero Prefix is nobody's, as is this host's own.
func networkOf(a netip.Addr) netip.Prefix {
	if a.IsLoopback() {
		return netip.Prefix{}
	}
	bits := 48
	if a.Is4() {
		bits = 24
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}

// acquire waits for a place, or for the end of ctx.
func (p *places) acquire(ctx context.Context, network netip.Prefix) error {
	a := &applicant{network, make(chan struct{})}
	p.mu.Lock()
	p.waiting = append(p.waiting, a)
	p.grant()
	p.mu.Unlock()
	select {
	case <-a.granted:
		return nil
	case <-ctx.Done():
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := slices.Index(p.waiting, a); i >= 0 {
		p.waiting = slices.Delete(p.waiting, i, i+1)
	} else { // granted meanwhile
		p.giveBack(network)
	}
	return ctx.Err()
}

// release gives a place back.
func (p *places) release(network netip.Prefix) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.giveBack(network)
}

// giveBack does so. The caller holds mu.
func (p *places) giveBack(network netip.Prefix) {
	p.free++
	if p.taken[network]--; p.taken[network] <= 0 {
		delete(p.taken, network)
	}
	p.grant()
}

// grant gives out what is free. The caller holds mu.
func (p *places) grant() {
	for i := 0; i < len(p.waiting) && p.free > 0; {
		a := p.waiting[i]
		if a.network.IsValid() && p.taken[a.network] >= maxPerNetwork {
			i++
			continue
		}
		p.free--
		p.taken[a.network]++
		p.waiting = slices.Delete(p.waiting, i, i+1)
		close(a.granted)
	}
}
