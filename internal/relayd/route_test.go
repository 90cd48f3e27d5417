package relayd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"postrider/internal/nexthop"
	"postrider/internal/reply"
)

// TestHops: recipients of several hops have several transactions, none of more than it may; one that is slow holds up nobody, and
// what is done is on record meanwhile.
func TestHops(t *testing.T) {
	inWorld(t, func(w *world) {
		w.peer("mx.slow.example").on(func(_ *dialogue, c string) string {
			if c == "end" {
				time.Sleep(9 * time.Minute)
			}
			return ""
		})
		w.cfg.Relayd.MaxRecipients = 10
		to := []string{"alice@slow.example"}
		for i := range 25 {
			to = append(to, fmt.Sprintf("u%d@example.net", i), fmt.Sprintf("u%d@d%d.example", i, i))
		}
		w.run()
		id := w.queue(nil, to...)
		w.sleep(time.Minute)
		if got := w.journal(); strings.Count(got, "sent 2.0.0") != 50 || !strings.HasPrefix(got, "alice@slow.example -") {
			t.Errorf("journal: %s", got)
		}
		var sizes []int
		for _, m := range w.peer("mx.example.net").messages() {
			sizes = append(sizes, len(m.to))
		}
		if slices.Sort(sizes); !slices.Equal(sizes, []int{5, 10, 10}) {
			t.Errorf("transactions of %v", sizes)
		}
		w.wantLog(50, id, "status=sent")
		w.gone(10 * time.Minute)
		w.wantLog(51, id, "status=sent")
		w.wantLog(1, id, ": removed")
	})
}

// TestLMTP has a reply for each recipient, and a connection that ends in the middle of these.
func TestLMTP(t *testing.T) {
	inWorld(t, func(w *world) {
		w.route("example.net", "lmtp:unix:/run/lmtp")
		p := w.peer("/run/lmtp")
		p.on(func(d *dialogue, c string) string {
			switch c {
			case "end <b@example.net>":
				return "550 5.2.1 off"
			case "end <c@example.net>":
				return "452 4.2.2 full"
			case "end <d@example.net>":
				if d.number == 1 {
					return "close"
				}
			}
			return ""
		})
		w.run()
		id := w.queue(nil, "a@example.net", "b@example.net", "c@example.net", "d@example.net", "e@example.net")
		w.awaitLog(time.Minute, id, "status=deferred")
		w.sleep(time.Second)
		if got := w.journal(); got != "a@example.net sent 2.0.0; b@example.net failed 5.2.1; c@example.net deferred 4.2.2; d@example.net deferred 4.4.2; e@example.net deferred 4.4.2" {
			t.Errorf("journal: %s", got)
		}
		p.on(nil)
		w.flush(id)
		w.gone(time.Minute)
		if got := p.sorted(); got != "<a@example.net> <c@example.net> <d@example.net> <e@example.net>" {
			t.Errorf("taken: %s", got)
		}
		if got := w.submit.messages(); len(got) != 1 || !strings.Contains(got[0], "5.2.1") {
			t.Errorf("reports: %q", got)
		}
	})
}

// TestTwoHosts: the first one that is dead is passed over after two attempts; the second one takes all.
func TestTwoHosts(t *testing.T) {
	inWorld(t, func(w *world) {
		w.mx("example.net", "mx1.example.net", "mx2.example.net")
		w.peer("mx1.example.net").refuse(blackHole)
		w.run()
		for range 10 {
			w.queue(nil, "alice@example.net")
			w.gone(2 * time.Minute)
		}
		if a, b := w.peer("mx1.example.net").attempts(), len(w.peer("mx2.example.net").messages()); a != 2 || b != 10 {
			t.Errorf("%d attempts, %d taken", a, b)
		}
		w.wantLog(0, "status=deferred")
	})
}

// TestUnreachableFamily: that one family of addresses leads nowhere from here does not hide that the host is dead in the other.
func TestUnreachableFamily(t *testing.T) {
	inWorld(t, func(w *world) {
		w.find["example.net"] = func() ([]nexthop.Host, error) {
			list := hosts1("mx")
			a := list[0].Addrs[0]
			list[0].Addrs = append(list[0].Addrs, a.Next(), a.Next().Next())
			return list, nil
		}
		w.peer("mx").refuse(func(_ context.Context, t Target) error {
			if t.Addr.Addr().As4()[3] == 2 {
				return syscall.ECONNREFUSED
			}
			return syscall.ENETUNREACH
		})
		w.run()
		id := w.queue(nil, "alice@example.net")
		w.awaitLog(time.Minute, id, "192.0.2.2", "connection refused", "status=deferred")
		if w.manager.hosts.known["smtp:mx:25"].failed != 1 {
			t.Error("the host is not blamed")
		}
	})
}

// TestFound has the DNS's answers, for a domain and for what somebody configured.
func TestFound(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err     error
		derived string
		written string
	}{
		{reply.New(550, 4, 4, "domain does not exist"), "failed 5.4.4", "deferred 4.3.5"},
		{reply.New(556, 1, 10, "null MX"), "failed 5.1.10", "deferred 4.3.5"},
		{reply.New(554, 4, 6, "loops back"), "failed 5.4.6", "deferred 4.3.5"},
		{reply.New(451, 4, 3, "lookup failed"), "deferred 4.4.3", "deferred 4.4.3"},
		{reply.New(451, 3, 5, "no such host"), "deferred 4.3.5", "deferred 4.3.5"},
		{errors.New("strange"), "deferred 4.4.3", "deferred 4.4.3"},
	} {
		for _, written := range []bool{false, true} {
			bubble(t, func(w *world) {
				asked := 0
				w.find["example.net"] = func() ([]nexthop.Host, error) { asked++; return nil, c.err }
				want := c.derived
				if written {
					want = c.written
					w.route("example.com", "example.net")
				}
				w.run()
				to := map[bool]string{false: "alice@example.net", true: "alice@example.com"}[written]
				id := w.queue(nil, to)
				w.awaitLog(time.Minute, id, "status=")
				w.sleep(time.Second)
				if strings.HasPrefix(want, "failed") {
					w.gone(time.Second)
					if got := w.submit.messages(); len(got) != 1 || !strings.Contains(got[0], "Status: "+want[7:]+"\r\n") {
						t.Errorf("%v: reports %q", c.err, got)
					}
					return
				}
				if got := w.journal(); got != to+" "+want {
					t.Errorf("%v, written %t: %s", c.err, written, got)
				}
				other := w.queue(nil, to) // while the lane rests
				w.awaitLog(time.Minute, other, "status=deferred", "delivery temporarily suspended: ")
				if asked != 1 {
					t.Errorf("asked %d times", asked)
				}
			})
		}
	}
}

// TestTables: hops that are no hosts, and tables that cannot be read.
func TestTables(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ hop, log, left, report string }{
		{"error:5.7.1 not here", "relay=none, * dsn=5.7.1, status=bounced (not here)", "", "Status: 5.7.1"},
		{"retry:4.7.1 not now", "dsn=4.7.1, status=deferred (not now)", "alice@example.net deferred 4.7.1", ""},
		{"discard:", "dsn=2.0.0, status=sent (discarded)", "", ""},
		{"", "dsn=4.3.0, status=deferred (tables cannot be read for now: table is gone)", "alice@example.net deferred 4.3.0", ""},
	} {
		bubble(t, func(w *world) {
			if c.hop != "" {
				w.route("example.net", c.hop)
			} else {
				w.setWay("example.net", Way{})
			}
			w.run()
			id := w.queue(nil, "alice@example.net")
			_, last, _ := strings.Cut(c.log, "* ")
			if last == "" {
				last = c.log
			}
			w.awaitLog(time.Minute, id, last)
			w.sleep(time.Second)
			if q := w.queued(); (len(q) > 0) != (c.left != "") || c.left != "" && w.journal() != c.left {
				t.Errorf("%q: queue %v\n%s", c.hop, q, w.log)
			}
			if got := strings.Join(w.submit.messages(), ""); !strings.Contains(got, c.report) || (got != "") != (c.report != "") {
				t.Errorf("%q: reports %q", c.hop, got)
			}
		})
	}
}

// TestLoop: a host that is ourselves is a failure if it was the best.
func TestLoop(t *testing.T) {
	t.Parallel()
	loop := func(context.Context, Target) error { return fmt.Errorf("%w: it says so", ErrLoop) }
	for _, first := range []bool{true, false} {
		bubble(t, func(w *world) {
			w.mx("example.net", "mx1.example.net", "mx2.example.net")
			if first {
				w.peer("mx1.example.net").refuse(loop)
			} else {
				w.peer("mx1.example.net").refuse(refused)
				w.peer("mx2.example.net").refuse(loop)
			}
			w.run()
			id := w.queue(nil, "alice@example.net")
			w.awaitLog(time.Minute, id, map[bool]string{true: "dsn=5.4.6, status=bounced", false: "dsn=4.4.6, status=deferred"}[first])
		})
	}
}
