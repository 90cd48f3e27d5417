package relayd

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postrider/internal/config"
	"postrider/internal/envelope"
	"postrider/internal/logline"
	"postrider/internal/nexthop"
	"postrider/internal/reply"
	"postrider/internal/spool"
)

// TestLifetime has messages that never arrive: the sender is warned once, in time, and told once that they were given up, in
// time. Meanwhile they are tried, but not all the time.
func TestLifetime(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		prepare func(w *world)
		to      string
		others  int // messages in the same lane
		status  string
		least   int // attempts of a host, or lookups
	}{
		"deferred":   {func(w *world) { w.peer("mx.example.net").says("RCPT", "450 4.2.1 full") }, "alice@example.net", 0, "4.2.1", 100},
		"dead":       {func(w *world) { w.peer("mx.example.net").refuse(refused) }, "alice@example.net", 0, "4.4.1", 60},
		"dead, many": {func(w *world) { w.peer("mx.example.net").refuse(blackHole) }, "alice@example.net", 20, "4.4.1", 60},
		"no DNS": {func(w *world) {
			w.find["example.net"] = func() ([]nexthop.Host, error) { return nil, reply.New(451, 4, 3, "no DNS") }
		}, "alice@example.net", 0, "4.4.3", 0},
		"several": {func(w *world) {
			w.peer("mx.example.net").refuse(refused)
			w.peer("mx.example.com").says("MAIL", "450 4.7.1 later")
		}, "alice@example.net bob@example.com", 0, "4.7.1", 60},
		"hangs":  {func(w *world) { w.peer("mx.example.net").says("end", "hang") }, "alice@example.net", 0, "4.4.2", 60},
		"tables": {func(w *world) { w.setWay("example.net", Way{}) }, "alice@example.net", 0, "4.3.0", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(w *world) {
				c.prepare(w)
				w.run()
				begun := time.Now()
				id := w.queue(nil, strings.Fields(c.to)...)
				for range c.others {
					w.queue(func(e *envelope.Envelope) { e.To[0].Notify = []string{"never"} }, "dave@example.net")
				}
				lifetime := w.cfg.Relayd.QueueLifetime.D()
				w.sleep(lifetime + 2*time.Hour)
				if q := w.queued(); len(q) > 0 {
					t.Fatalf("queue: %v", q)
				}
				got := w.submit.messages()
				if len(got) != 2 {
					t.Fatalf("%d reports: %q\n%s", len(got), got, strings.Join(w.lines(id), "\n"))
				}
				for i, want := range []struct {
					action string
					at     time.Duration
				}{{"Action: delayed", w.cfg.Relayd.DelayWarning.D()}, {"Action: failed", lifetime}} {
					at := w.submit.times[i].Sub(begun)
					if !strings.Contains(got[i], want.action) || at < want.at || at > want.at+15*time.Minute {
						t.Errorf("after %v, not %v: %q", at, want.at, got[i])
					}
				}
				if !strings.Contains(got[1], "alice@example.net") || len(strings.Fields(c.to)) > 1 && !strings.Contains(got[1], "bob@example.com") {
					t.Errorf("not all are told of: %q", got[1])
				}
				w.wantLog(len(strings.Fields(c.to)), id, "status=expired")
				w.wantLog(1, id, ": removed")
				if len(w.lines(id, "dsn="+c.status+", status=expired")) == 0 {
					t.Errorf("no status %s", c.status)
				}
				if n := w.peer("mx.example.net").attempts(); n < c.least || n > 300+2*c.others {
					t.Errorf("%d attempts", n)
				}
			})
		})
	}
}

// TestNotYet: nothing is given up in the hour after a start, nor before the third attempt.
func TestNotYet(t *testing.T) {
	inWorld(t, func(w *world) {
		w.peer("mx.example.net").says("RCPT", "450 4.2.1 full")
		old := func(e *envelope.Envelope) { e.Time = time.Now().Add(-w.cfg.Relayd.QueueLifetime.D() - time.Hour) }
		id := w.queue(old, "alice@example.net")
		w.run()
		w.sleep(59 * time.Minute)
		w.wantLog(0, id, "status=expired")
		w.awaitLog(3*time.Hour, id, "status=expired")
		w.cfg.Relayd.MinBackoff, w.cfg.Relayd.MaxBackoff = config.Duration(time.Minute), config.Duration(time.Minute)
		w.configure()
		id = w.queue(old, "alice@example.net")
		w.awaitLog(time.Hour, id, "status=expired")
		w.wantLog(leastAttempts-1, id, "status=deferred")
	})
}

// TestNoWarning: whoever does not want to hear of a delay, does not.
func TestNoWarning(t *testing.T) {
	inWorld(t, func(w *world) {
		w.peer("mx.example.net").says("RCPT", "450 4.2.1 full")
		w.run()
		w.queue(func(e *envelope.Envelope) { e.To[0].Notify = []string{"failure"} }, "alice@example.net")
		w.sleep(10 * time.Hour)
		w.cfg.Relayd.DelayWarning = 0
		w.configure()
		w.queue(nil, "alice@example.net")
		w.sleep(10 * time.Hour)
		if got := w.submit.messages(); len(got) > 0 {
			t.Errorf("%q", got)
		}
	})
}

// TestWarningLater has smtpd away when it is time to warn: that is made good at the next attempt, once.
func TestWarningLater(t *testing.T) {
	inWorld(t, func(w *world) {
		w.peer("mx.example.net").says("RCPT", "450 4.2.1 full")
		w.submit.hangs = true
		w.run()
		w.queue(nil, "alice@example.net")
		w.sleep(6 * time.Hour)
		w.submit.mu.Lock()
		w.submit.hangs = false
		w.submit.mu.Unlock()
		w.sleep(6 * time.Hour)
		if got := w.submit.messages(); len(got) != 1 || !strings.Contains(got[0], "Action: delayed") {
			t.Errorf("%q", got)
		}
	})
}

// TestRestart: what waits is due when its name says so, not before, and what is on record is not sent again.
func TestRestart(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.peer("mx.example.net")
		p.says("RCPT TO:<later", "450 4.2.1 full")
		w.run()
		w.queue(nil, "alice@example.net", "later@example.net")
		w.sleep(time.Minute)
		due := w.entry().Name.Due
		for range 3 {
			w.stop()
			w.run()
		}
		w.sleep(2 * time.Minute)
		if e := w.entry(); e.Name.Due != due || p.attempts() != 1 {
			t.Errorf("due at %d, not %d; %d attempts", e.Name.Due, due, p.attempts())
		}
		p.on(nil)
		w.gone(10 * time.Minute)
		if got := p.sorted(); got != "<alice@example.net> <later@example.net>" {
			t.Errorf("taken: %s", got)
		}
	})
}

// TestShutdown ends the process in every phase: it ends in time, nothing is lost, and what had not come to an end does not count.
func TestShutdown(t *testing.T) {
	t.Parallel()
	until := func(ctx context.Context) { <-ctx.Done() }
	for name, c := range map[string]struct {
		prepare func(w *world)
		wait    time.Duration // before
		within  time.Duration // it ends
		left    int           // messages of 4
	}{
		"dialing": {func(w *world) {
			w.peer("mx.example.net").refuse(func(ctx context.Context, _ Target) error { until(ctx); return ctx.Err() })
		}, time.Second, drainTime, 4},
		"greeting":  {func(w *world) { w.peer("mx.example.net").says("connect", "hang") }, time.Second, drainTime, 4},
		"EHLO":      {func(w *world) { w.peer("mx.example.net").says("EHLO", "hang") }, time.Second, drainTime, 4},
		"MAIL":      {func(w *world) { w.peer("mx.example.net").says("MAIL", "hang") }, time.Second, drainTime, 4},
		"RCPT":      {func(w *world) { w.peer("mx.example.net").says("RCPT", "hang") }, time.Second, drainTime, 4},
		"DATA":      {func(w *world) { w.peer("mx.example.net").says("DATA", "hang") }, time.Second, drainTime, 4},
		"the end":   {func(w *world) { w.peer("mx.example.net").says("end", "hang") }, time.Second, drainTime, 4},
		"QUIT":      {func(w *world) { w.peer("mx.example.net").says("QUIT", "hang") }, time.Second, 20 * time.Second, 0},
		"slow":      {func(w *world) { w.peer("mx.example.net").on(slow(30 * time.Second)) }, 10 * time.Second, 35 * time.Second, 2},
		"idle":      {func(w *world) {}, time.Second, time.Second, 0},
		"waiting":   {func(w *world) { w.peer("mx.example.net").says("RCPT", "450 4.2.1 full") }, 10 * time.Minute, time.Second, 4},
		"at once":   {func(w *world) {}, 0, drainTime, -1},
		"few":       {func(w *world) { w.cfg.Relayd.MaxConnections = 1; w.peer("mx.example.net").on(slow(40 * time.Second)) }, 10 * time.Second, 45 * time.Second, 3},
		"a report":  {func(w *world) { w.peer("mx.example.net").says("RCPT", "550 5.1.1 who"); w.submit.hangs = true }, time.Second, drainTime, 4},
		"hand back": {func(w *world) { w.setWay("example.net", Way{Ours: true}); w.submit.hangs = true }, time.Second, drainTime, 4},
		"the DNS": {func(w *world) {
			w.find["example.net"] = func() ([]nexthop.Host, error) {
				time.Sleep(20 * time.Second)
				return hosts1("mx.example.net"), nil
			}
		}, time.Second, 25 * time.Second, 4},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(w *world) {
				c.prepare(w)
				w.run()
				ids := []string{w.queue(nil, "a@example.net"), w.queue(nil, "b@example.net"), w.queue(nil, "c@example.net"), w.queue(nil, "d@example.net")}
				w.sleep(c.wait)
				before := make(map[string]spool.Name)
				for _, q := range w.queued() {
					before[q.Name.ID] = q.Name
				}
				asked := time.Now()
				w.stop()
				if took := time.Since(asked) - afterwards; took > c.within+time.Second {
					t.Errorf("it took %v", took)
				}
				q := w.queued()
				if len(q) != c.left && c.left >= 0 {
					t.Errorf("%d left: %v\n%s", len(q), q, w.log)
				}
				for _, e := range q {
					if name != "a report" && name != "hand back" && e.State == spool.Queued && e.Name != before[e.Name.ID] && before[e.Name.ID].Dest != "" {
						t.Errorf("%v was %v", e.Name, before[e.Name.ID])
					}
				}
				if name != "waiting" && name != "hand back" {
					w.wantLog(0, "status=deferred")
				}
				p := w.peer("mx.example.net")
				p.refuse(nil)
				p.on(nil)
				if name == "hand back" {
					w.setWay("example.net", Way{})
					delete(w.ways, "example.net")
				}
				w.submit.mu.Lock()
				w.submit.hangs = false
				w.submit.mu.Unlock()
				w.run()
				w.gone(2 * time.Hour)
				for _, id := range ids {
					if n := len(w.lines(id, "status=sent")); n != 1 && name != "a report" {
						t.Errorf("%d deliveries", n)
					}
					w.wantLog(1, id, ": removed")
				}
				if n := len(p.messages()) + len(w.submit.messages()); n != 4 {
					t.Errorf("%d outcomes", n)
				}
			})
		})
	}
}

// TestShutdownInPart: what is done for one recipient is on record when the process ends while another one is under way.
func TestShutdownInPart(t *testing.T) {
	inWorld(t, func(w *world) {
		w.peer("mx.example.com").says("MAIL", "hang")
		w.peer("mx.example.org").says("RCPT", "550 5.1.1 who")
		w.run()
		w.queue(nil, "alice@example.net", "bob@example.com", "dave@example.org")
		w.sleep(time.Second)
		w.stop()
		if got := w.journal(); got != "alice@example.net sent 2.0.0; bob@example.com -; dave@example.org failed 5.1.1" {
			t.Errorf("journal: %s", got)
		}
		w.peer("mx.example.com").on(nil)
		w.run()
		w.gone(time.Hour)
		if n := len(w.peer("mx.example.net").messages()); n != 1 {
			t.Errorf("%d copies", n)
		}
		if got := w.submit.messages(); len(got) != 1 || !strings.Contains(got[0], "dave@example.org") {
			t.Errorf("%q", got)
		}
	})
}

// TestBusy has a message come to its turn while its id is looked at for another reason: it comes again.
func TestBusy(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.peer("mx.example.net")
		p.says("RCPT", "450 4.2.1 full")
		w.run()
		id := w.queue(nil, "alice@example.net")
		w.awaitLog(time.Minute, id, "status=deferred")
		w.sleep(time.Second)
		p.on(nil)
		item, err := w.channel.Open(w.entry().Name)
		if err != nil {
			t.Fatal(err)
		}
		w.flush(id)
		w.sleep(time.Second)
		item.Close()
		w.gone(5 * time.Minute)
	})
}

// TestFlushed: a flush reaches messages that are tried at that moment.
func TestFlushed(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.peer("mx.example.net")
		first := true
		p.on(func(_ *dialogue, c string) string {
			if strings.HasPrefix(c, "RCPT") && first {
				first = false
				time.Sleep(time.Minute)
				return "450 4.2.1 full"
			}
			return ""
		})
		w.run()
		w.queue(nil, "alice@example.net")
		w.sleep(time.Second)
		w.manager.Revive(nil)
		w.manager.Schedule().Flush(nil)
		w.gone(2 * time.Minute)
	})
}

// TestRetried has a message moved back to new/ by hand, in every state.
func TestRetried(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.peer("mx.example.net")
		back := func() {
			e := w.entry()
			if err := os.Rename(e.Path, filepath.Join(w.root, "remote/new", filepath.Base(e.Path))); err != nil {
				t.Fatal(err)
			}
			w.kicked()
		}
		p.says("RCPT", "450 4.2.1 full")
		w.run()
		id := w.queue(nil, "alice@example.net")
		w.awaitLog(time.Minute, id, "status=deferred")
		w.sleep(time.Second)
		back()
		w.await(time.Minute, "another attempt", func() bool { return len(w.lines(id, "status=deferred")) == 2 })
		p.on(slow(40 * time.Second)) // and while it is sent
		w.sleep(time.Second)
		back()
		w.sleep(10 * time.Second)
		back()
		w.gone(time.Hour)
		w.sleep(time.Hour)
		if got := len(p.messages()); got != 1 {
			t.Errorf("%d copies\n%s", got, w.log)
		}
	})
}

// TestLarge has more large messages than may be active at once, and their recipients everywhere.
func TestLarge(t *testing.T) {
	inWorld(t, func(w *world) {
		w.run()
		const messages, domains = maxLarge + 3, largeFrom * weightOf
		for range messages {
			var to []string
			for i := range domains {
				to = append(to, fmt.Sprintf("alice@d%d.example", i))
			}
			w.queue(nil, to...)
		}
		small := w.queue(nil, "bob@example.net")
		w.awaitLog(time.Second, small, ": removed")
		w.gone(5 * time.Minute)
		for i := range domains {
			if n := len(w.peer(fmt.Sprintf("mx.d%d.example", i)).messages()); n != messages {
				t.Errorf("d%d: %d taken", i, n)
			}
		}
		w.wantLog(0, "status=deferred")
	})
}

// TestRun has the kernel watch new/, and real time.
func TestRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t, t.TempDir())
	log := logline.NewWriter(w.log, "relayd", logline.Text)
	channel, err := spool.OpenChannel(w.root, envelope.Remote, spool.ChannelOptions{Log: log})
	if err != nil {
		t.Fatal(err)
	}
	defer channel.Close()
	w.manager = New(channel, 10, log)
	w.configure()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.manager.Run(ctx) }()
	id := w.queue(nil, "alice@example.net")
	for range 3000 {
		if len(w.lines(id, ": removed")) > 0 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	w.wantLog(1, id, "status=sent")
	w.wantLog(1, id, ": removed")
}
