package authd

import (
	"context"
	"errors"
	"testing"
	"time"
)

// newTestVerifier has a clock that its sleep moves.
func newTestVerifier(t *testing.T) (*verifier, *clock) {
	t.Helper()
	turns, c := newTestThrottle()
	s := testSettings(t, &recorder{})
	s.FailureDelay, s.MaxDelay = time.Second, 16*time.Second
	v := newVerifier(s, turns)
	v.sleep = func(ctx context.Context, d time.Duration) error {
		c.advance(d)
		return ctx.Err()
	}
	return v, c
}

// Whatever the check did and for how long, a failure is answered at the same moment.
func TestFailureMoment(t *testing.T) {
	t.Parallel()
	for _, work := range []time.Duration{0, time.Millisecond, 300 * time.Millisecond, time.Second} {
		v, c := newTestVerifier(t)
		start := c.now()
		_, err := v.decide(t.Context(), attempt{remote: abuse}, identity{name: "x"}, func(attempt) (verdict, error) {
			c.advance(work)
			return verdict{reason: unknownUser}, nil
		})
		if got := c.now().Sub(start); err != errRefused || got != time.Second {
			t.Errorf("after %v of work: answered after %v, %v", work, got, err)
		}
	}
	if got := untilMoment(2500*time.Millisecond, time.Second, time.Second); got != 500*time.Millisecond {
		t.Errorf("overlong work: %v to wait", got)
	}
	if got := untilMoment(time.Second, 0, 0); got != 0 {
		t.Errorf("no delay: %v to wait", got)
	}
}

func TestSuccessAndLaterDoNotWait(t *testing.T) {
	t.Parallel()
	v, c := newTestVerifier(t)
	start := c.now()
	if _, err := v.decide(t.Context(), attempt{remote: home}, identity{name: "x"}, func(attempt) (verdict, error) { return verdict{}, nil }); err != nil {
		t.Error(err)
	}
	_, err := v.decide(t.Context(), attempt{remote: home}, identity{name: "x"}, func(attempt) (verdict, error) { return verdict{}, errors.New("no table") })
	if err == nil || errors.Is(err, errRefused) {
		t.Errorf("got %v", err)
	}
	if got := c.now().Sub(start); got != 0 {
		t.Errorf("waited %v", got)
	}
	for key, r := range v.turns.records {
		t.Errorf("left behind: %x %+v", key, r)
	}
	if n := len(v.turns.pending); n > 0 {
		t.Errorf("%d attempts left behind", n)
	}
}

func TestTooManyFailuresAreNotVerified(t *testing.T) {
	t.Parallel()
	v, c := newTestVerifier(t)
	a, id := attempt{remote: abuse}, identity{name: "alice"}
	refuse := func(attempt) (verdict, error) { return verdict{reason: passwordMismatch}, nil }
	v.decide(t.Context(), a, id, refuse)
	s := v.turns.subject("alice", abuse)
	v.turns.mu.Lock()
	r := v.turns.records[s.user]
	r.next = c.now().Add(time.Hour)
	v.turns.records[s.user] = r
	v.turns.mu.Unlock()
	_, err := v.decide(t.Context(), a, id, func(attempt) (verdict, error) {
		t.Error("verified out of turn")
		return verdict{}, nil
	})
	if err == nil || errors.Is(err, errRefused) {
		t.Errorf("got %v", err)
	}
}

// The same steps are taken for every name: one hash, and the same question to PAM.
func TestUnknownUserCostsTheSame(t *testing.T) {
	t.Parallel()
	v, _ := newTestVerifier(t)
	hashes := 0
	v.decoy = countingSecret{&hashes}
	system := &fakeSystem{}
	v.Checkpassword = system
	for _, name := range []string{"nobody", "dave", "x y", "nobody@example.org"} {
		hashes = 0
		if _, err := v.password(t.Context(), attempt{service: "smtp", remote: home}, name, "guess"); err == nil {
			t.Errorf("%s logs in", name)
		}
		if hashes != 1 {
			t.Errorf("%s costs %d hashes", name, hashes)
		}
	}
	if len(system.asked) != 2 {
		t.Errorf("PAM was asked about %q", system.asked)
	}
	system.asked = nil
	v.password(t.Context(), attempt{service: "smtp", remote: home}, "alice", "guess")
	if len(system.asked) != 1 {
		t.Error("PAM is not asked about a user of the table")
	}
}

// countingSecret counts verifications and matches nothing.
type countingSecret struct{ n *int }

func (c countingSecret) Verify(string) bool { *c.n++; return false }
func (c countingSecret) String() string     { return "" }

func TestHashesAreLimited(t *testing.T) {
	t.Parallel()
	v, _ := newTestVerifier(t)
	v.gate = newGate(2, 1)
	leave := mustEnter(t, v.gate, false)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	_, err := v.password(ctx, attempt{service: "smtp", remote: home}, "alice", "wonderland")
	if err == nil || errors.Is(err, errRefused) {
		t.Errorf("without a free hash: %v", err)
	}
	address := v.turns.subject("alice", home)
	v.turns.trust.add(address.user, address.address, v.turns.now())
	if _, err := v.password(t.Context(), attempt{service: "smtp", remote: home}, "alice", "wonderland"); err != nil {
		t.Errorf("a trusted pair, while strangers have all other hashes: %v", err)
	}
	leave()
	if u, err := v.password(t.Context(), attempt{service: "smtp", remote: abuse}, "alice", "wonderland"); err != nil || u.Name != "alice" {
		t.Errorf("afterwards: %v, %v", u, err)
	}
	if v.gate.free != 2 {
		t.Error("a place is not given back")
	}
}

func TestIdentify(t *testing.T) {
	t.Parallel()
	domains := fakeDomains{"local.test": Local, "example.org": Virtual}
	for _, tt := range []struct {
		typed string
		want  identity
	}{
		{"Alice", identity{name: "Alice", ours: true}},
		{"alice@LOCAL.test", identity{name: "alice", ours: true, public: true}},
		{"Carol@Example.org", identity{name: "carol@example.org", virtual: true, ours: true, public: true}},
		{"x@elsewhere.test", identity{name: "x@elsewhere.test"}},
		{"a:b", identity{name: "a:b"}},
		{"../x", identity{name: "../x"}},
		{"", identity{}},
	} {
		got, err := identify(domains, tt.typed)
		if err != nil || got.ours != tt.want.ours || got.ours && got != tt.want {
			t.Errorf("%q: %+v, %v", tt.typed, got, err)
		}
	}
}

func FuzzIdentify(f *testing.F) {
	domains := fakeDomains{"local.test": Local, "example.org": Virtual}
	for _, s := range []string{"alice", "alice@local.test", "\"a b\"@example.org", "@", "a@", "<a@b>", "a%b@local.test", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, typed string) {
		id, err := identify(domains, typed)
		if err != nil || !id.ours {
			return
		}
		again, err := identify(domains, id.name)
		if err != nil || again.name != id.name || again.virtual != id.virtual {
			t.Fatalf("%q is %+v, which is %+v", typed, id, again)
		}
		if p := printable(id.name); len(p) == 0 {
			t.Fatalf("%q is printed as nothing", typed)
		}
	})
}
