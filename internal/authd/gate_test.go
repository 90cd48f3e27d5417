package authd

import (
	"context"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// arrive enters a gate that is full and returns when the caller waits in its line. The result comes through the channel.
func arrive(t *testing.T, ctx context.Context, g *gate, trusted bool) <-chan func() {
	t.Helper()
	l := &g.strangers
	if trusted {
		l = &g.trusted
	}
	length := func() int {
		g.mu.Lock()
		defer g.mu.Unlock()
		return len(l.waiting)
	}
	before := length()
	entered := make(chan func(), 1)
	go func() {
		leave, _ := g.enter(ctx, trusted)
		entered <- leave
	}()
	for deadline := time.Now().Add(10 * time.Second); length() == before; {
		if time.Now().After(deadline) {
			t.Fatal("nobody waits")
		}
		runtime.Gosched()
	}
	return entered
}

func mustEnter(t *testing.T, g *gate, trusted bool) (leave func()) {
	t.Helper()
	leave, err := g.enter(t.Context(), trusted)
	if err != nil {
		t.Fatal(err)
	}
	return leave
}

func TestGateReservesPlaces(t *testing.T) {
	t.Parallel()
	g := newGate(3, 1)
	strangers := []func(){mustEnter(t, g, false), mustEnter(t, g, false)}
	next := arrive(t, t.Context(), g, false)
	mustEnter(t, g, true)()
	select {
	case <-next:
		t.Error("a stranger has the place that is reserved")
	default:
	}
	strangers[0]()
	(<-next)()
	strangers[1]()
	for range 3 {
		defer mustEnter(t, g, true)()
	}
}

// The rest function is called once nobody works any more, and not before.
func TestGateRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rests := 0
		g := newGate(2, 0).rest(func() { rests++ })
		leave := mustEnter(t, g, false)
		time.Sleep(2 * restTime)
		if synctest.Wait(); rests != 0 {
			t.Error("rested while somebody worked")
		}
		mustEnter(t, g, false)()
		leave()
		time.Sleep(2 * restTime)
		if synctest.Wait(); rests != 1 {
			t.Errorf("rested %d times", rests)
		}
	})
}

// Each line is served in its order, and both in turn: neither can keep the other from ever being served.
func TestGateOrder(t *testing.T) {
	t.Parallel()
	g := newGate(1, 0)
	leave := mustEnter(t, g, false)
	var lines [2][]<-chan func()
	for range 4 {
		lines[0] = append(lines[0], arrive(t, t.Context(), g, false))
	}
	for range 2 {
		lines[1] = append(lines[1], arrive(t, t.Context(), g, true))
	}
	var order []int
	for range 6 {
		leave()
		select {
		case leave = <-first(lines[0]):
			order, lines[0] = append(order, 0), lines[0][1:]
		case leave = <-first(lines[1]):
			order, lines[1] = append(order, 1), lines[1][1:]
		}
	}
	leave()
	if want := []int{1, 0, 1, 0, 0, 0}; !slices.Equal(order, want) {
		t.Errorf("served in the order %v, want %v", order, want)
	}
	if g.free != 1 || g.strangers.room != 1 || g.trusted.room != 1 {
		t.Errorf("left behind: %+v", g)
	}
}

// first is the one who waits longest, or nil.
func first(line []<-chan func()) <-chan func() {
	if len(line) == 0 {
		return nil
	}
	return line[0]
}

func TestGateIsBounded(t *testing.T) {
	t.Parallel()
	g := newGate(1, 0)
	leave := mustEnter(t, g, false)
	ctx, cancel := context.WithCancel(t.Context())
	var waiting []<-chan func()
	for range maxWaiting {
		waiting = append(waiting, arrive(t, ctx, g, false))
	}
	if _, err := g.enter(t.Context(), false); err == nil {
		t.Error("the line has no end")
	}
	trusted := arrive(t, t.Context(), g, true)
	cancel()
	for _, w := range waiting {
		if <-w != nil {
			t.Error("a caller who gave up has a place")
		}
	}
	leave()
	(<-trusted)()
	if g.free != 1 || len(g.strangers.waiting) != 0 {
		t.Errorf("left behind: %+v", g)
	}
}

// A place that comes at the moment when its caller gives up goes to the next.
func TestGateGivenUpTooLate(t *testing.T) {
	t.Parallel()
	g := newGate(1, 0)
	turn, _ := g.queue(&g.strangers)
	<-turn
	next := arrive(t, t.Context(), g, false)
	g.giveUp(&g.strangers, turn)
	(<-next)()
}
