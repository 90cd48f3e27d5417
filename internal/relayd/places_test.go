package relayd

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestNetworkOf(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"192.0.2.77": "192.0.2.0/24", "2001:db8:1:2::3": "2001:db8:1::/48", "127.0.0.1": "invalid Prefix", "::1": "invalid Prefix",
	} {
		if got := networkOf(netip.MustParseAddr(text)).String(); got != want {
			t.Errorf("%s: %s, not %s", text, got, want)
		}
	}
	if networkOf(netip.Addr{}).IsValid() {
		t.Error("a Unix socket has a network")
	}
}

// TestPlaces: places are given in turns, but one network has no more than its share; nobody waits for ever, and none is lost.
func TestPlaces(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const free = 3 * maxPerNetwork
		p := newPlaces(free)
		one, other := netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("198.51.100.0/24")
		take := func(network netip.Prefix) bool {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			return p.acquire(ctx, network) == nil
		}
		for range maxPerNetwork {
			if !take(one) {
				t.Fatal("no place")
			}
		}
		if take(one) {
			t.Error("more than its share")
		}
		waits := make(chan bool)
		go func() { waits <- p.acquire(t.Context(), one) == nil }()
		synctest.Wait()
		if !take(other) || !take(netip.Prefix{}) {
			t.Error("others wait behind it")
		}
		p.release(one)
		if !<-waits {
			t.Error("not served")
		}
		for range free - maxPerNetwork - 2 {
			if !take(netip.Prefix{}) {
				t.Fatal("no place")
			}
		}
		if take(other) || take(netip.Prefix{}) {
			t.Error("more than there are")
		}
	})
}

func TestPlacesTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const free = 15
		p := newPlaces(free)
		networks := []netip.Prefix{{}, netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("198.51.100.0/24")}
		taken := make([]atomic.Int32, len(networks))
		var all, served, gaveUp atomic.Int32
		var done sync.WaitGroup
		for n := range 100 {
			r := rand.New(rand.NewPCG(uint64(n), 3))
			done.Go(func() {
				for range 50 {
					k := r.IntN(len(networks))
					ctx, cancel := t.Context(), func() {}
					if r.IntN(2) == 0 {
						ctx, cancel = context.WithTimeout(ctx, time.Duration(r.IntN(10))*time.Second)
					}
					err := p.acquire(ctx, networks[k])
					cancel()
					if err != nil {
						gaveUp.Add(1)
						continue
					}
					served.Add(1)
					if here, sum := taken[k].Add(1), all.Add(1); sum > free || k > 0 && here > maxPerNetwork {
						t.Errorf("%d places, %d of them of network %d", sum, here, k)
					}
					time.Sleep(time.Duration(r.IntN(2000)) * time.Millisecond)
					taken[k].Add(-1)
					all.Add(-1)
					p.release(networks[k])
				}
			})
		}
		done.Wait()
		if p.free != free || len(p.taken) > 0 || len(p.waiting) > 0 || served.Load() == 0 || gaveUp.Load() == 0 {
			t.Errorf("%+v; %d served, %d gave up", p, served.Load(), gaveUp.Load())
		}
	})
}
