package auth

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"
)

// take asks for a place without waiting.
func take(t *testing.T, p *Places, client string) (*Place, bool) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var ip netip.Addr
	if client != "" {
		ip = netip.MustParseAddr(client)
	}
	return p.Take(ctx, ip)
}

// fill takes all places that a client gets.
func fill(t *testing.T, p *Places, client string) (list []*Place) {
	t.Helper()
	for {
		l, ok := take(t, p, client)
		if !ok {
			return list
		}
		list = append(list, l)
	}
}

func TestPlaces(t *testing.T) {
	t.Parallel()
	const total = 256
	p := NewPlaces(total, time.Hour)
	known := fill(t, p, "192.0.2.1")
	if len(known) != total/32 {
		t.Errorf("a stranger has %d places", len(known))
	}
	for _, l := range known {
		l.LoggedIn()
		l.Leave()
	}
	strangers := 0
	for i := range 100 {
		n := len(fill(t, p, fmt.Sprintf("2001:db8:0:%x::1", i)))
		if n += len(fill(t, p, fmt.Sprintf("2001:db8:0:%x:1:2:3:4", i))); n > total/32 {
			t.Fatalf("a /64 has %d places", n)
		}
		strangers += n
	}
	if strangers != total-total/4 {
		t.Errorf("strangers have %d places", strangers)
	}
	if n := len(fill(t, p, "192.0.2.1")); n != total/8 {
		t.Errorf("where somebody has logged in from there are %d places", n)
	}
	if n := len(fill(t, p, "127.0.0.1")) + len(fill(t, p, "")); n != total/4-total/8 {
		t.Errorf("this host has %d places of what is left", n)
	}
	if n := len(fill(t, NewPlaces(total, time.Hour), "::1")); n != total/2 {
		t.Errorf("this host has %d places", n)
	}
}

// Who waits gets a place when one is free, in order, but nobody waits for those who may not have it.
func TestPlacesWait(t *testing.T) {
	t.Parallel()
	p := NewPlaces(1, time.Hour)
	first, ok := take(t, p, "127.0.0.1")
	if !ok {
		t.Fatal("no place")
	}
	taken := make(chan *Place)
	go func() {
		l, ok := p.Take(context.Background(), netip.MustParseAddr("192.0.2.1"))
		if !ok {
			t.Error("no place after the wait")
		}
		taken <- l
	}()
	for waits := false; !waits; time.Sleep(time.Millisecond) {
		p.mu.Lock()
		waits = len(p.waiting) == 1
		p.mu.Unlock()
	}
	if _, ok := take(t, p, "127.0.0.1"); ok {
		t.Error("two places of one")
	}
	first.Leave()
	second := <-taken
	if _, ok := take(t, p, "127.0.0.1"); ok {
		t.Error("two places of one")
	}
	second.Leave()
	if p.taken != 0 || p.strangers != 0 || len(p.each) != 0 || len(p.waiting) != 0 {
		t.Errorf("left behind: %+v", p)
	}
	brief := NewPlaces(1, time.Millisecond)
	fill(t, brief, "127.0.0.1")
	if _, ok := brief.Take(context.Background(), netip.MustParseAddr("192.0.2.1")); ok || len(brief.waiting) > 0 {
		t.Error("waited for ever")
	}
}

func TestPlacesForget(t *testing.T) {
	t.Parallel()
	p := NewPlaces(256, time.Hour)
	for i := range maxKnown + 10 {
		l, ok := take(t, p, fmt.Sprintf("10.0.%d.%d", i>>8, i&255))
		if !ok {
			t.Fatal("no place")
		}
		l.LoggedIn()
		l.Leave()
	}
	if len(p.known) != maxKnown {
		t.Errorf("%d clients are remembered", len(p.known))
	}
	for client := range p.known {
		p.known[client] = time.Now().Add(-knownFor - time.Second)
	}
	if n := len(fill(t, p, "10.0.0.200")); n != 256/32 {
		t.Errorf("%d places for who logged in long ago", n)
	}
}
