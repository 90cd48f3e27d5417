package relayd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"postrider/internal/reply"
	"postrider/internal/smtpc"
)

// idler is a Session that nothing is sent over.
type idler struct {
	quit func()
	ends atomic.Int32
}

func (*idler) Send(context.Context, *smtpc.Envelope, io.Reader) (smtpc.Result, error) {
	return smtpc.Result{}, errors.New("not here")
}
func (*idler) Extension(string) (string, bool) { return "", false }
func (*idler) Usable() bool                    { return true }
func (s *idler) Quit() {
	s.ends.Add(1)
	if s.quit != nil {
		s.quit()
	}
}

var testLimits = limits{initial: 5, most: 20, rest: time.Minute, longest: 8 * time.Minute}

// someHosts are hosts in a bubble.
func someHosts(t *testing.T, connections int, test func(t *testing.T, hs *hosts)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		hs := newHosts(connections)
		hs.configure(testLimits)
		test(t, hs)
		hs.close()
		time.Sleep(time.Second)
		hs.check(t)
		hs.checkEmpty(t)
	})
}

// checkEmpty says what is left that should not be.
func (hs *hosts) checkEmpty(t testing.TB) {
	t.Helper()
	hs.mu.Lock()
	defer hs.mu.Unlock()
	for key, h := range hs.known {
		if h.open != 0 || len(h.idle) > 0 || len(h.waiting) > 0 {
			t.Errorf("%s: %d open, %d idle, %d waiting", key, h.open, len(h.idle), len(h.waiting))
		}
	}
	if len(hs.tokens) != 0 || hs.dialing.free != max(cap(hs.tokens)/2, 1) || hs.short != 0 || hs.idle != 0 {
		t.Errorf("%d tokens, %d dialing, %d short, %d idle", len(hs.tokens), hs.dialing.free, hs.short, hs.idle)
	}
}

// check says what of the hosts does not fit together. Nobody may be between two steps.
func (hs *hosts) check(t testing.TB) {
	t.Helper()
	hs.mu.Lock()
	defer hs.mu.Unlock()
	open, idle := 0, 0
	for key, h := range hs.known {
		open, idle = open+h.open, idle+len(h.idle)
		if h.open < len(h.idle) || h.window < 1 || h.window > float64(hs.limits.most) {
			t.Errorf("%s: %d open, %d idle, window %v", key, h.open, len(h.idle), h.window)
		}
		if len(h.waiting) > 0 && (h.open < int(h.window) || len(h.idle) > 0) {
			t.Errorf("%s: %d wait, %d open, %d idle, window %v", key, len(h.waiting), h.open, len(h.idle), h.window)
		}
	}
	if len(hs.tokens) > open || idle != hs.idle {
		t.Errorf("%d tokens for %d connections, %d idle of %d", len(hs.tokens), open, idle, hs.idle)
	}
}

func (hs *hosts) mustAcquire(t *testing.T, key, needs string) *connection {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	c, err := hs.acquire(ctx, key, needs)
	if err != nil {
		t.Fatalf("%s: %v", key, err)
	}
	if c == nil {
		c = &connection{Session: &idler{}, host: key, needs: needs}
	}
	return c
}

// mustWait tries for a while, in vain.
func (hs *hosts) mustWait(t *testing.T, key, needs string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if c, err := hs.acquire(ctx, key, needs); err != context.DeadlineExceeded {
		t.Fatalf("%s: did not wait: %v, %v", key, c, err)
	}
	hs.check(t)
}

func ends(c *connection) int { return int(c.Session.(*idler).ends.Load()) }

var errTrouble = reply.New(451, 4, 1, "trouble")

func TestWindow(t *testing.T) {
	t.Parallel()
	const good, bad, slow = '+', '-', '<'
	for _, c := range []struct {
		events string
		window int
		dead   bool
	}{
		{"", 0, false},
		{"-", 1, false},
		{"--", 1, true}, // one that was never good for anything
		{"+", 5, false},
		{"++++++", 6, false},
		{"+--", 3, false},
		{"+---", 1, true},
		{"+--+", 3, false},
		{"+--+--", 1, true},
		{"+<<<<<<<", 1, false},
		{"+<<<<<<<-", 1, true},
		{"--+", 5, false},
		{"--+-", 4, false},
		{"<", 0, false},
	} {
		someHosts(t, 10, func(t *testing.T, hs *hosts) {
			for _, e := range c.events {
				switch e {
				case good:
					hs.succeeded("x")
				case bad:
					hs.failedFor("x", errTrouble)
				case slow:
					hs.slower("x")
				}
			}
			if got := hs.window("x"); got != c.window {
				t.Errorf("%q: window %d, not %d", c.events, got, c.window)
			}
			if h := hs.known["x"]; h != nil && h.dead.After(time.Now()) != c.dead {
				t.Errorf("%q: dead until %v", c.events, h.dead)
			}
		})
	}
	someHosts(t, 10, func(t *testing.T, hs *hosts) {
		for range 1000 {
			hs.succeeded("x")
		}
		if got := hs.window("x"); got != testLimits.most {
			t.Errorf("window %d", got)
		}
	})
}

// TestDead: a dead host rests for twice as long each time, and one connection finds out whether it lives.
func TestDead(t *testing.T) {
	t.Parallel()
	someHosts(t, 10, func(t *testing.T, hs *hosts) {
		hs.failedFor("x", errTrouble)
		hs.failedFor("x", errTrouble)
		for _, want := range []time.Duration{1, 2, 4, 8, 8} {
			_, err := hs.acquire(t.Context(), "x", "")
			dead, ok := errors.AsType[*deadError](err)
			if !ok || !errors.Is(err, errDead) || dead.why != errTrouble {
				t.Fatalf("%v", err)
			}
			rest := time.Until(dead.until)
			if low := want * 54 * time.Second; rest < low || rest > want*66*time.Second {
				t.Errorf("rest %v, not about %d min", rest, want)
			}
			hs.failedFor("x", errTrouble) // by those that were under way
			time.Sleep(rest)
			hs.mustAcquire(t, "x", "")
			hs.mustWait(t, "x", "")
			hs.failedFor("x", errTrouble)
			hs.release("x")
		}
		hs.revive([]string{"y", "x"})
		c := hs.mustAcquire(t, "x", "")
		hs.succeeded("x")
		hs.end(c)
		if h := hs.known["x"]; h.rest != testLimits.rest || !h.dead.IsZero() {
			t.Errorf("%+v", h)
		}
		hs.failedFor("y", errTrouble)
		hs.failedFor("y", errTrouble)
		hs.revive(nil)
		hs.end(hs.mustAcquire(t, "y", ""))
	})
}

// TestDying: those who wait for a host hear of its death.
func TestDying(t *testing.T) {
	t.Parallel()
	someHosts(t, 10, func(t *testing.T, hs *hosts) {
		a, b := hs.mustAcquire(t, "x", ""), hs.mustAcquire(t, "x", "")
		told := make(chan error, 3)
		for range cap(told) {
			go func() {
				_, err := hs.acquire(t.Context(), "x", "")
				told <- err
			}()
		}
		synctest.Wait()
		hs.failedFor("x", errTrouble)
		hs.failedFor("x", errTrouble)
		for range cap(told) {
			if err := <-told; !errors.Is(err, errDead) {
				t.Error(err)
			}
		}
		hs.park(a) // one too many by now
		hs.park(b)
		if ends(a) != 1 || ends(b) != 0 {
			t.Errorf("%d, %d ended", ends(a), ends(b))
		}
	})
}

func TestTurns(t *testing.T) {
	t.Parallel()
	someHosts(t, 10, func(t *testing.T, hs *hosts) {
		a, b := hs.mustAcquire(t, "x", "same"), hs.mustAcquire(t, "x", "same")
		hs.mustWait(t, "x", "same")
		got := make(chan string, 3)
		wait := func(name, needs string) {
			go func() {
				c := hs.mustAcquireFor(t, "x", needs, time.Hour)
				got <- fmt.Sprint(name, " ", c == nil)
				if c == nil {
					c = &connection{Session: &idler{}, host: "x", needs: needs}
				}
				time.Sleep(time.Minute)
				hs.end(c)
			}()
			synctest.Wait()
		}
		wait("first", "same")
		wait("second", "other")
		wait("third", "same")
		hs.park(a)
		if s := <-got; s != "first false" { // it took over the session
			t.Error(s)
		}
		hs.park(b)
		if s := <-got; s != "second true" || ends(b) != 1 { // of other needs: it makes its own
			t.Error(s, ends(b))
		}
		if s := <-got; s != "third true" { // when one of them had ended
			t.Error(s)
		}
		time.Sleep(2 * time.Minute)
	})
}

func (hs *hosts) mustAcquireFor(t *testing.T, key, needs string, d time.Duration) *connection {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	c, err := hs.acquire(ctx, key, needs)
	if err != nil {
		t.Errorf("%s: %v", key, err)
	}
	return c
}

func TestIdle(t *testing.T) {
	t.Parallel()
	someHosts(t, 3, func(t *testing.T, hs *hosts) {
		a := hs.mustAcquire(t, "x", "one")
		hs.park(a)
		if c := hs.mustAcquire(t, "x", "one"); c != a {
			t.Error("not used again")
		}
		hs.park(a)
		other := hs.mustAcquire(t, "x", "two") // there is room for it
		if ends(a) != 0 {
			t.Error("ended")
		}
		third := hs.mustAcquire(t, "x", "two") // there is none: the idle one gives its place
		if ends(a) != 1 {
			t.Error("not ended")
		}
		hs.park(other)
		time.Sleep(idleTime + time.Second)
		if ends(other) != 1 {
			t.Error("not ended")
		}
		hs.end(third)
	})
}

// TestTokens: connections are bounded; idle sessions elsewhere make room, at once.
func TestTokens(t *testing.T) {
	t.Parallel()
	someHosts(t, 2, func(t *testing.T, hs *hosts) {
		a, b := hs.mustAcquire(t, "a", ""), hs.mustAcquire(t, "b", "")
		hs.mustWait(t, "c", "")
		if hs.wanted("a") {
			t.Error("wanted by nobody")
		}
		got := make(chan time.Duration, 1)
		begun := time.Now()
		take := func(key string) {
			c := hs.mustAcquireFor(t, key, "", time.Hour)
			got <- time.Since(begun)
			hs.end(&connection{Session: &idler{}, host: key})
			if c != nil {
				t.Error("a session of nobody")
			}
		}
		go take("c")
		synctest.Wait()
		if !hs.wanted("a") || !hs.wanted("b") {
			t.Error("not wanted")
		}
		hs.park(a)
		if took := <-got; took != 0 || ends(a) != 1 {
			t.Errorf("it took %v", took)
		}
		synctest.Wait()
		hs.mustAcquire(t, "a", "")
		hs.park(b)
		go take("d")
		if took := <-got; took != 0 || ends(b) != 1 {
			t.Errorf("it took %v", took)
		}
		hs.release("a")
	})
}

// TestSlower: where the window has closed, a session that is given up is not handed on.
func TestSlower(t *testing.T) {
	t.Parallel()
	someHosts(t, 10, func(t *testing.T, hs *hosts) {
		hs.succeeded("x")
		var list []*connection
		for range 5 {
			list = append(list, hs.mustAcquire(t, "x", ""))
		}
		got := make(chan *connection, 1)
		go func() { got <- hs.mustAcquireFor(t, "x", "", time.Hour) }()
		synctest.Wait()
		hs.slower("x")
		hs.slower("x")
		for i, c := range list[:3] {
			hs.park(c)
			synctest.Wait()
			if len(got) > 0 != (i == 2) || ends(c) == 1 != (i < 2) {
				t.Errorf("%d: %d served, %d ended", i, len(got), ends(c))
			}
		}
		for _, c := range append(list[3:], <-got) {
			hs.end(c)
		}
	})
}

// TestForget: a host that is in use is never forgotten.
func TestForget(t *testing.T) {
	t.Parallel()
	someHosts(t, 10, func(t *testing.T, hs *hosts) {
		used, idle := hs.mustAcquire(t, "used", ""), hs.mustAcquire(t, "idle", "")
		waiting := make(chan *connection)
		hs.mustAcquire(t, "waited for", "")
		hs.mustAcquire(t, "waited for", "")
		go func() { waiting <- hs.mustAcquireFor(t, "waited for", "", 100*time.Hour) }()
		synctest.Wait()
		time.Sleep(time.Hour)
		hs.park(idle)
		for i := range 3 * maxHosts {
			if i == maxHosts/2 {
				time.Sleep(idleTime / 2)
			}
			hs.failedFor(fmt.Sprint(i), errTrouble)
			if n := len(hs.known); n > maxHosts {
				t.Fatalf("%d hosts", n)
			}
		}
		for _, key := range []string{"used", "idle", "waited for"} {
			if hs.known[key] == nil {
				t.Errorf("%s is forgotten", key)
			}
		}
		hs.release("waited for")
		<-waiting
		hs.release("waited for")
		hs.release("waited for")
		hs.end(used)
	})
}

// TestExpiredTwice has the timer of an idle session fire when somebody has just taken that, and its host is forgotten.
func TestExpiredTwice(t *testing.T) {
	t.Parallel()
	someHosts(t, 10, func(t *testing.T, hs *hosts) {
		c := hs.mustAcquire(t, "x", "")
		hs.end(c)
		delete(hs.known, "x")
		hs.expired(c)
		if ends(c) != 1 {
			t.Errorf("%d ends", ends(c))
		}
	})
}

// TestHostsTogether has many who want connections at the same time, and hosts that are good and bad by chance: no host has more
// than it may, there are no more than are allowed, everybody is served or told, and at the end nothing is left.
func TestHostsTogether(t *testing.T) {
	t.Parallel()
	const connections, workers, rounds, keys = 12, 60, 60, 5
	someHosts(t, connections, func(t *testing.T, hs *hosts) {
		var live [keys]atomic.Int32
		var all, served, told, gaveUp, reused atomic.Int32
		var done sync.WaitGroup
		for n := range workers {
			r := rand.New(rand.NewPCG(uint64(n), 1))
			done.Go(func() {
				for range rounds {
					k := r.IntN(keys)
					key, needs := fmt.Sprint("host", k), fmt.Sprint(r.IntN(3))
					ctx, cancel := t.Context(), func() {}
					if r.IntN(3) == 0 {
						ctx, cancel = context.WithTimeout(ctx, time.Duration(r.IntN(2000))*time.Millisecond)
					}
					c, err := hs.acquire(ctx, key, needs)
					cancel()
					switch {
					case errors.Is(err, errDead):
						told.Add(1)
						time.Sleep(time.Duration(r.IntN(20)) * time.Second)
						continue
					case err != nil:
						gaveUp.Add(1)
						continue
					case c != nil:
						reused.Add(1)
						if c.host != key || c.needs != needs || ends(c) != 0 {
							t.Errorf("asked for %s %s, got %+v", key, needs, c)
						}
					default:
						if n := live[k].Add(1); int(n) > testLimits.most {
							t.Errorf("%s: %d connections", key, n)
						}
						if n := all.Add(1); n > connections {
							t.Errorf("%d connections", n)
						}
						c = &connection{host: key, needs: needs, Session: &idler{quit: func() { live[k].Add(-1); all.Add(-1) }}}
						time.Sleep(time.Duration(r.IntN(100)) * time.Millisecond)
					}
					time.Sleep(time.Duration(r.IntN(3000)) * time.Millisecond)
					switch r.IntN(12) {
					case 0, 1:
						hs.failedFor(key, errTrouble)
						hs.end(c)
					case 2:
						hs.slower(key)
						hs.end(c)
					case 3:
						hs.revive([]string{key})
						fallthrough
					default:
						hs.succeeded(key)
						served.Add(1)
						if hs.wanted(key) || r.IntN(2) == 0 {
							hs.park(c)
						} else {
							hs.end(c)
						}
					}
				}
			})
		}
		done.Wait()
		if served.Load() == 0 || told.Load() == 0 || gaveUp.Load() == 0 || reused.Load() == 0 {
			t.Errorf("%d served, %d told, %d gave up, %d reused: not all came about", served.Load(), told.Load(), gaveUp.Load(), reused.Load())
		}
		time.Sleep(time.Minute)
		for k := range live {
			if n := live[k].Load(); n != 0 {
				t.Errorf("host%d: %d connections left", k, n)
			}
		}
	})
}

// TestCloseEnds: close leaves no idle session, and no token.
func TestCloseEnds(t *testing.T) {
	t.Parallel()
	someHosts(t, 50, func(t *testing.T, hs *hosts) {
		var list []*connection
		for i := range 50 {
			c := hs.mustAcquire(t, fmt.Sprint(i/2), "")
			c.Session.(*idler).quit = func() { time.Sleep(5 * time.Second) }
			list = append(list, c)
		}
		for _, c := range list {
			hs.park(c)
		}
		begun := time.Now()
		hs.close()
		if took := time.Since(begun); took > 20*time.Second {
			t.Errorf("it took %v", took)
		}
		time.Sleep(time.Minute)
		for _, c := range list {
			if ends(c) != 1 {
				t.Errorf("%d ends", ends(c))
			}
		}
	})
}
