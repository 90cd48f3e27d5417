package resolver

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"postrider/test/fakedns"
)

// eventually waits until ok.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

// waiting are those who wait for a question that is on its way.
func (r *Resolver) waiting(name string, qtype uint16) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if f := r.flights[question{name, qtype}]; f != nil {
		return f.waiters
	}
	return 0
}

func TestShared(t *testing.T) {
	t.Parallel()
	s := fakedns.Start(t, testZone)
	s.SetFault("example.org", fakedns.Silent)
	r := hurried(s)
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if got, err := look(t.Context(), r, "MX example.org"); got != "temporary" {
				t.Errorf("%s (%v)", got, err)
			}
		})
	}
	all.Wait()
	if n := s.Asked("example.org", dns.TypeMX); n != 1 {
		t.Errorf("asked %d times", n)
	}
}

// One who gives up does not take the answer from the others; the last one takes the question along.
func TestCancel(t *testing.T) {
	t.Parallel()
	s := fakedns.Start(t, testZone)
	s.SetFault("example.org", fakedns.Silent)
	r := New(Options{Server: s.Addr, Timeout: time.Hour, Attempts: 1})
	var cancels []context.CancelFunc
	errs := make(chan error, 2)
	for i := range 2 {
		ctx, cancel := context.WithCancel(t.Context())
		cancels = append(cancels, cancel)
		go func() {
			_, _, err := r.MX(ctx, "example.org")
			errs <- err
		}()
		eventually(t, "somebody waits", func() bool { return r.waiting("example.org", dns.TypeMX) == i+1 })
	}
	cancels[0]()
	if err := <-errs; !errors.Is(err, ErrTemporary) || !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if n := r.waiting("example.org", dns.TypeMX); n != 1 {
		t.Errorf("%d wait", n)
	}
	cancels[1]()
	if err := <-errs; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	eventually(t, "the slot is given back", func() bool { return len(r.slots) == 0 })
	s.SetFault("example.org", fakedns.None)
	if mx, _, err := r.MX(t.Context(), "example.org"); err != nil || len(mx) != 3 {
		t.Errorf("after that: %v (%v)", mx, err)
	}
}

func TestDeadline(t *testing.T) {
	t.Parallel()
	s := fakedns.Start(t, testZone)
	s.SetFault("example.org", fakedns.Silent)
	r := New(Options{Server: s.Addr, Timeout: time.Hour})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, _, err := r.MX(ctx, "example.org"); !errors.Is(err, ErrTemporary) || !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

func TestBudget(t *testing.T) {
	t.Parallel()
	s := fakedns.Start(t, testZone)
	s.SetFault("example.org", fakedns.Silent)
	s.SetFault("slow.example.org", fakedns.Silent)
	r := New(Options{Server: s.Addr, Timeout: 50 * time.Millisecond, Attempts: 3, Concurrent: 1})
	begin := time.Now()
	var all sync.WaitGroup
	for _, name := range []string{"example.org", "slow.example.org"} { // one of them waits for the other
		all.Go(func() {
			if _, _, err := r.TXT(t.Context(), name); !isTemporary(err) {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if took := time.Since(begin); took < 150*time.Millisecond || took > 5*time.Second {
		t.Errorf("took %v", took)
	}
}

// No more than Concurrent questions are on their way, and who waits for a turn does not wait for ever.
func TestConcurrent(t *testing.T) {
	t.Parallel()
	s := fakedns.Start(t, testZone)
	r := New(Options{Server: s.Addr, Timeout: soon, Attempts: 1, Concurrent: 2})
	r.slots <- struct{}{}
	r.slots <- struct{}{}
	if _, _, err := r.TXT(t.Context(), "example.org"); !isTemporary(err) {
		t.Error(err)
	}
	if n := len(s.Queries()); n != 0 {
		t.Errorf("%d questions out of turn", n)
	}
	<-r.slots
	if _, _, err := r.TXT(t.Context(), "mx1.example.org"); err != nil {
		t.Error(err)
	}
}

func TestCrowd(t *testing.T) {
	t.Parallel()
	s, r := newTest(t, "*.example.org. 0 IN A 192.0.2.1\n*.example.org. 0 IN MX 1 mx.example.org.\n")
	s.SetFault("n7.example.org", fakedns.Truncated)
	c := &clock{now: time.Unix(1_800_000_000, 0)}
	r.now = c.Now
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			for j := range 20 {
				ctx, cancel := context.WithCancel(t.Context())
				if j%7 == 3 {
					go cancel()
				}
				name := fmt.Sprintf("n%d.example.org", (i+j)%10)
				addrs, _, err := r.Addresses(ctx, name)
				if err == nil && len(addrs) != 1 || err != nil && ctx.Err() == nil {
					t.Errorf("%s: %v (%v)", name, addrs, err)
				}
				cancel()
				c.advance(minTTL / 5)
			}
		})
	}
	all.Wait()
	eventually(t, "nothing is on its way", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return len(r.flights) == 0 && len(r.slots) == 0
	})
}

// The next server is asked, and then stays the first.
func TestServersInTurn(t *testing.T) {
	t.Parallel()
	for _, fault := range []fakedns.Fault{fakedns.ServFail, fakedns.Refused, fakedns.Silent, fakedns.Garbage, fakedns.Referral} {
		bad, good := fakedns.Start(t, testZone), fakedns.Start(t, testZone)
		for _, name := range []string{"example.org", "null.example.org"} {
			bad.SetFault(name, fault)
		}
		r := hurried(bad)
		r.servers.now.servers = append(r.servers.now.servers, netip.MustParseAddrPort(good.Addr))
		for _, name := range []string{"example.org", "null.example.org"} {
			if mx, _, err := r.MX(t.Context(), name); err != nil || len(mx) == 0 {
				t.Errorf("%d: %v (%v)", fault, mx, err)
			}
		}
		if b, g := len(bad.Queries()), len(good.Queries()); b != 1 || g != 2 {
			t.Errorf("%d: asked %d and %d times", fault, b, g)
		}
	}
}

func TestConf(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, want string }{
		{"", "[127.0.0.1:53] 5s 2 true"},
		{"nameserver 127.0.0.53\nnameserver ::1\n", "[127.0.0.53:53 [::1]:53] 5s 2 true"},
		{"nameserver 192.0.2.1\noptions trust-ad timeout:1 attempts:4 rotate", "[192.0.2.1:53] 1s 4 true"},
		{"; nameserver 192.0.2.9\nnameserver\t192.0.2.1 # ours\nnameserver ::1\n", "[192.0.2.1:53 [::1]:53] 5s 2 false"},
		{"nameserver fe80::1%eth0\nnameserver localhost\nnameserver\nsearch example.org", "[[fe80::1%eth0]:53] 5s 2 false"},
		{"options timeout:99999999999 attempts:0\noptions timeout:-1 attempts:x timeout:\n", "[127.0.0.1:53] 1s 1 true"},
		{"nameserver 127.0.0.1\nnameserver 127.0.0.2\nnameserver 127.0.0.3\nnameserver 127.0.0.4\noptions timeout:77 attempts:77",
			"[127.0.0.1:53 127.0.0.2:53 127.0.0.3:53] 30s 5 true"},
	} {
		path := filepath.Join(t.TempDir(), "resolv.conf")
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		u := newServers(Options{Conf: path}).current()
		if got := fmt.Sprint(u.servers, " ", u.timeout, " ", u.attempts, " ", u.trusted); got != c.want {
			t.Errorf("%q: %s, want %s", c.text, got, c.want)
		}
	}
}

func TestTrust(t *testing.T) {
	t.Parallel()
	for server, want := range map[string]bool{
		"127.0.0.1:53": true, "127.9.9.9:5353": true, "[::1]:53": true, "[::ffff:127.0.0.1]:53": true, "192.0.2.1:53": false, "[2001:db8::1]:53": false,
	} {
		if got := newServers(Options{Server: server}).current().trusted; got != want {
			t.Errorf("%s: trusted %v", server, got)
		}
		if !newServers(Options{Server: server, Trust: true}).current().trusted {
			t.Errorf("%s: not trusted though told to", server)
		}
	}
}

func TestConfChanges(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "resolv.conf")
	s := newServers(Options{Conf: path, Attempts: 3})
	first := func() string {
		s.mu.Lock()
		s.checked = time.Time{}
		s.mu.Unlock()
		u := s.current()
		return fmt.Sprint(u.servers[0].Addr(), " ", u.attempts)
	}
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	if got := first(); got != "127.0.0.1 3" {
		t.Errorf("no file: %s", got)
	}
	write("nameserver 192.0.2.1\n")
	if got := first(); got != "192.0.2.1 3" {
		t.Errorf("a file: %s", got)
	}
	before := s.current()
	if first(); s.current() != before {
		t.Error("read again without a change")
	}
	write("nameserver 192.0.2.2\n")
	if got := first(); got != "192.0.2.2 3" {
		t.Errorf("another file: %s", got)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if got := first(); got != "192.0.2.2 3" {
		t.Errorf("no file any more: %s", got)
	}
}

// What one set of servers said is forgotten when others are asked.
func TestForget(t *testing.T) {
	t.Parallel()
	s, r := newTest(t, testZone)
	r.MX(t.Context(), "example.org")
	r.servers.now = newServers(r.servers.options).now
	r.MX(t.Context(), "example.org")
	if n := s.Asked("example.org", dns.TypeMX); n != 2 {
		t.Errorf("asked %d times", n)
	}
}
