package relayd

import (
	"context"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"postrider/internal/address"
	"postrider/internal/envelope"
	"postrider/internal/nexthop"
)

// slow takes so long for each message.
func slow(d time.Duration) func(*dialogue, string) string {
	return func(_ *dialogue, c string) string {
		if c == "end" {
			time.Sleep(d)
		}
		return ""
	}
}

// TestDeadLane: after a few attempts nothing is sent to a dead host, nor are messages opened for it; one connection finds out
// when it is back, and all are delivered.
func TestDeadLane(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.peer("mx.example.net")
		p.refuse(blackHole)
		w.run()
		for range 40 {
			w.queue(nil, "alice@example.net")
		}
		w.sleep(3 * time.Minute)
		if n := p.attempts(); n != unproven {
			t.Errorf("%d attempts", n)
		}
		w.wantLog(40-unproven, "status=deferred (delivery temporarily suspended: connect to mx.example.net[192.0.2.1]:25: connection timed out)")
		w.sleep(100 * time.Minute) // rests of 5, 10, 20 and 40 minutes
		if n := p.attempts(); n < unproven+2 || n > unproven+5 {
			t.Errorf("%d attempts", n)
		}
		if n := len(w.lines("status=deferred")); n > 40+60 {
			t.Errorf("%d deferrals: messages are opened in vain", n)
		}
		p.refuse(nil)
		w.gone(2 * time.Hour)
		if got := len(p.messages()); got != 40 {
			t.Errorf("%d taken", got)
		}
	})
}

// TestRevive: a flush forgets that hosts are dead, whether the lane was found dead or not, and so does a retry, of messages for
// several destinations, too.
func TestRevive(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		messages int // so many attempts
		to       string
		all      bool
	}{
		{2, "alice@example.net", true},
		{4, "alice@example.net", true},
		{2, "alice@example.net", false},
		{4, "alice@example.net", false},
		{4, "alice@example.net bob@example.com", true},
		{4, "alice@example.net bob@example.com", false},
	} {
		bubble(t, func(w *world) {
			for _, d := range []string{"example.net", "example.com"} {
				w.peer("mx." + d).refuse(refused)
			}
			w.run()
			var ids []string
			for range c.messages {
				ids = append(ids, w.queue(nil, strings.Fields(c.to)...))
				w.awaitLog(time.Minute, ids[len(ids)-1], "status=deferred")
				w.sleep(time.Second)
			}
			for _, d := range []string{"example.net", "example.com"} {
				w.peer("mx." + d).refuse(nil)
			}
			if c.all {
				w.flush("")
				w.gone(time.Minute)
				return
			}
			w.flush(ids[0])
			w.awaitLog(time.Minute, ids[0], ": removed")
		})
	}
}

// TestAliveLane: that one host is dead does not make the lane dead when messages are called back that wait for the other.
func TestAliveLane(t *testing.T) {
	inWorld(t, func(w *world) {
		w.mx("example.net", "mx1.example.net", "mx2.example.net")
		w.peer("mx1.example.net").refuse(refused)
		w.peer("mx2.example.net").on(slow(time.Minute))
		w.run()
		for range 4 {
			w.queue(nil, "alice@example.net")
		}
		w.sleep(10 * time.Second)
		w.queue(nil, "bob@example.net", "bob@example.com") // waits for the second host, and is called back
		w.sleep(30 * time.Second)
		if until, _ := w.manager.deadUntil("example.net"); until.After(time.Now()) {
			t.Errorf("dead until %v", until)
		}
		w.gone(10 * time.Minute)
		w.wantLog(0, "status=deferred")
	})
}

// TestManyLanes: dead destinations do not pile up.
func TestManyLanes(t *testing.T) {
	inWorld(t, func(w *world) {
		w.run()
		for i := range 3 * maxLanes {
			l := &lane{dead: time.Now().Add(time.Hour)}
			w.manager.mu.Lock()
			w.manager.sweep(time.Now())
			w.manager.lanes[fmt.Sprint(i)] = l
			n := len(w.manager.lanes)
			w.manager.mu.Unlock()
			if n > maxLanes {
				t.Fatalf("%d lanes", n)
			}
		}
	})
}

// TestReuse: a session carries many messages, but no more than it may, and does not live for longer than it may, however it goes
// from hand to hand.
func TestReuse(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		messages int
		pause    time.Duration
		sessions int
	}{
		"one":           {1, 0, 1},
		"in a row":      {30, 0, 3},
		"with pauses":   {30, idleTime / 2, 3},
		"long pauses":   {5, idleTime * 2, 5},
		"one at a time": {30, time.Millisecond, 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(w *world) {
				w.cfg.Relayd.InitialWindow, w.cfg.Relayd.MaxWindow, w.cfg.Relayd.MaxReuse = 1, 1, 10
				w.run()
				for range c.messages {
					w.queue(nil, "alice@example.net")
					if c.pause > 0 {
						w.sleep(c.pause)
					}
				}
				w.gone(time.Minute)
				p := w.peer("mx.example.net")
				if n := p.attempts(); n != c.sessions {
					t.Errorf("%d sessions", n)
				}
				carried := make(map[int]int)
				for _, m := range p.messages() {
					if carried[m.number]++; carried[m.number] > 10 {
						t.Errorf("session %d carried %d", m.number, carried[m.number])
					}
				}
			})
		})
	}
	t.Run("age", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(w *world) {
			w.cfg.Relayd.MaxWindow, w.cfg.Relayd.InitialWindow = 1, 1
			w.run()
			for range 40 {
				w.queue(nil, "alice@example.net")
				w.sleep(15 * idleTime / 16)
			}
			for range 8 {
				w.sleep(idleTime * 2)
			}
			p := w.peer("mx.example.net")
			if n := p.attempts(); n != 1 {
				t.Fatalf("%d sessions", n)
			}
			p.on(slow(time.Minute))
			for range 12 {
				w.queue(nil, "alice@example.net")
			}
			w.gone(time.Hour)
			if n := p.attempts(); n < 3 || n > 4 {
				t.Errorf("%d sessions in 12 minutes", n)
			}
		})
	})
}

// TestNeeds: a session is not used for what demands more, or for another hop where a certificate was verified or a login made, or
// with other settings; otherwise it is.
func TestNeeds(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		first, second Demands
		reload        bool
		shared        bool
	}{
		"alike":           {Demands{}, Demands{}, false, true},
		"encrypted":       {Demands{Level: "encrypt"}, Demands{Level: "encrypt"}, false, true},
		"another level":   {Demands{}, Demands{Level: "encrypt"}, false, false},
		"verified":        {Demands{Level: "verify"}, Demands{Level: "verify"}, false, false},
		"verified by MX":  {Demands{Level: "verify-mx"}, Demands{Level: "verify-mx"}, false, false},
		"login":           {Demands{User: "u", Password: "p"}, Demands{User: "u", Password: "p"}, false, false},
		"after a reload":  {Demands{}, Demands{}, true, false},
		"login and none":  {Demands{User: "u", Password: "p"}, Demands{}, false, false},
		"none, and login": {Demands{}, Demands{User: "u", Password: "p"}, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(w *world) {
				w.mx("example.net", "mx")
				w.mx("example.com", "mx")
				w.demands["example.net"], w.demands["example.com"] = c.first, c.second
				w.run()
				w.queue(nil, "alice@example.net")
				w.sleep(time.Second)
				if c.reload {
					w.configure()
				}
				w.queue(nil, "bob@example.com")
				w.sleep(time.Second)
				p := w.peer("mx")
				if got := p.messages(); len(got) != 2 || (got[0].number == got[1].number) != c.shared {
					t.Errorf("taken: %+v", got)
				}
				for i, target := range p.targets() {
					if want := []Demands{c.first, c.second}[i]; want.Level != "" && target.Demands != want || target.Demands.User != want.User {
						t.Errorf("demands: %+v", target.Demands)
					}
				}
			})
		})
	}
}

// TestStaleSession: that a host has ended a session meanwhile is no trouble of the host, and costs the message nothing.
func TestStaleSession(t *testing.T) {
	t.Parallel()
	for _, reply := range []string{"close", "421 4.4.2 idle", "hang"} {
		bubble(t, func(w *world) {
			p := w.peer("mx.example.net")
			p.on(func(d *dialogue, c string) string {
				if strings.HasPrefix(c, "MAIL") && d.sent > 0 {
					return reply
				}
				return ""
			})
			w.run()
			for range 6 {
				w.queue(nil, "alice@example.net")
			}
			w.gone(2 * time.Hour)
			w.wantLog(0, "status=deferred")
			if h := w.manager.hosts.known["smtp:mx.example.net:25"]; h.failed > 0 || h.window < 5 {
				t.Errorf("%s: %+v", reply, h)
			}
			if got := len(p.messages()); got != 6 {
				t.Errorf("%s: %d taken", reply, got)
			}
		})
	}
}

// TestWindowOpens: a host that is good gets more connections one after the other, and no more than it may have; one that says 421
// has fewer.
func TestWindowOpens(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.peer("mx.example.net")
		p.on(slow(time.Second))
		w.run()
		for range 15 {
			w.queue(nil, "alice@example.net")
		}
		w.sleep(500 * time.Millisecond)
		if n := p.maximum(); n != unproven {
			t.Errorf("%d connections at first", n)
		}
		w.gone(time.Hour)
		for range 400 {
			w.queue(nil, "alice@example.net")
		}
		w.gone(time.Hour)
		if n := p.maximum(); n < w.cfg.Relayd.InitialWindow+5 || n > w.cfg.Relayd.MaxWindow {
			t.Errorf("%d connections", n)
		}
		var refusing atomic.Int32
		p.on(func(_ *dialogue, c string) string {
			if strings.HasPrefix(c, "RCPT") && refusing.Add(1) <= 100 {
				return "421 4.7.0 too many connections"
			}
			return ""
		})
		for range 30 {
			w.queue(nil, "alice@example.net")
		}
		w.sleep(time.Minute)
		if n := w.manager.hosts.window("smtp:mx.example.net:25"); n != 1 {
			t.Errorf("window %d", n)
		}
		if h := w.manager.hosts.known["smtp:mx.example.net:25"]; h.failed > 0 {
			t.Error("it is blamed")
		}
		w.gone(3 * time.Hour)
	})
}

// TestSharedHost: several lanes that lead to one host have one window together.
func TestSharedHost(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.peer("mx")
		p.on(slow(time.Second))
		w.cfg.Relayd.InitialWindow, w.cfg.Relayd.MaxWindow = 3, 3
		w.run()
		for i := range 10 {
			d := fmt.Sprintf("d%d.example", i)
			w.mx(d, "mx")
			for range 6 {
				w.queue(nil, "alice@"+d)
			}
		}
		w.sleep(11 * time.Second)
		turn := make(map[string]bool)
		for _, m := range p.messages() {
			turn[m.to[0]] = true
		}
		if len(turn) < 10 {
			t.Errorf("%d of %d messages are for %d destinations", len(p.messages()), 60, len(turn))
		}
		w.gone(10 * time.Minute)
		if p.maximum() > 3 {
			t.Errorf("%d connections", p.maximum())
		}
		w.wantLog(0, "status=deferred")
	})
}

// TestFewConnections: with few connections in all, every destination has its turn.
func TestFewConnections(t *testing.T) {
	inWorld(t, func(w *world) {
		w.cfg.Relayd.MaxConnections = 4
		w.run()
		const hosts, each = 30, 5
		for i := range hosts {
			d := fmt.Sprintf("d%d.example", i)
			w.peer("mx." + d).on(slow(time.Second))
			for range each {
				w.queue(nil, "alice@"+d)
			}
		}
		w.gone(hosts * each * time.Second)
		open := 0
		for i := range hosts {
			open += w.peer(fmt.Sprintf("mx.d%d.example", i)).maximum()
		}
		w.wantLog(0, "status=deferred")
	})
}

// TestCallBack: what has not begun gives its place to others, but is not called back for ever: a message for several destinations
// has its turn at a host that is busy with those of others.
func TestCallBack(t *testing.T) {
	inWorld(t, func(w *world) {
		w.cfg.Relayd.InitialWindow, w.cfg.Relayd.MaxWindow = 1, 10
		w.peer("mx.busy.example").on(func(_ *dialogue, c string) string {
			if c == "end" {
				time.Sleep(10 * time.Second)
			}
			return ""
		})
		w.run()
		ctx, cancel := context.WithCancel(w.t.Context())
		defer cancel()
		go func() { // there is always more
			for ctx.Err() == nil {
				w.queue(nil, "alice@busy.example")
				time.Sleep(5 * time.Second)
			}
		}()
		w.sleep(10 * time.Minute)
		h := w.manager.hosts.known["smtp:mx.busy.example:25"]
		w.manager.hosts.mu.Lock()
		h.window, w.manager.hosts.limits.most = 1, 1 // it stays that busy
		w.manager.hosts.mu.Unlock()
		w.sleep(10 * time.Minute)
		w.mx("other.example", "mx.busy.example")
		id := w.queue(nil, "bob@busy.example", "bob@other.example", "bob@example.com")
		for _, d := range []string{"example.com", "busy.example", "other.example"} {
			w.awaitLog(time.Hour, id, "to=<bob@"+d+">", "status=sent")
		}
		cancel()
	})
}

// TestRecalledDial: a transaction that is called back while all who may begin a session do so is no trouble of its host.
func TestRecalledDial(t *testing.T) {
	inWorld(t, func(w *world) {
		w.cfg.Relayd.MaxConnections = 4 // 2 of them before EHLO
		for i := range 2 {
			w.peer(fmt.Sprintf("mx.tar%d.example", i)).says("connect", "hang")
		}
		w.run()
		for i := range 2 {
			w.queue(nil, fmt.Sprintf("alice@tar%d.example", i))
		}
		w.sleep(time.Second)
		id := w.queue(nil, "bob@example.net", "bob@example.com")
		w.sleep(4 * time.Minute)
		for _, d := range []string{"example.net", "example.com"} {
			if h := w.manager.hosts.known["smtp:mx."+d+":25"]; h != nil && h.failed > 0 {
				t.Errorf("%s is blamed", d)
			}
		}
		w.wantLog(0, id, "status=deferred")
		w.awaitLog(10*time.Minute, id, ": removed")
	})
}

// TestSlowDNS: a lookup that takes long costs the message no attempt.
func TestSlowDNS(t *testing.T) {
	inWorld(t, func(w *world) {
		for _, d := range []string{"example.net", "example.com"} {
			w.find[d] = func() ([]nexthop.Host, error) {
				time.Sleep(20 * time.Second)
				return hosts1("mx." + d), nil
			}
		}
		w.run()
		w.queue(nil, "bob@example.net", "bob@example.com")
		w.gone(3 * time.Minute)
		w.wantLog(0, "status=deferred")
		for key, h := range w.manager.hosts.known {
			if h.failed > 0 {
				t.Errorf("%s is blamed", key)
			}
		}
	})
}

// TestPrivateTrouble: what a hop demands and the host does not give is trouble of that hop only.
func TestPrivateTrouble(t *testing.T) {
	inWorld(t, func(w *world) {
		w.mx("example.net", "mx")
		w.mx("example.com", "mx")
		w.demands["example.net"] = Demands{Level: "verify"}
		p := w.peer("mx")
		p.refuse(func(_ context.Context, t Target) error {
			if t.Demands.Level == "verify" {
				return fmt.Errorf("%w: no TLS", ErrDemands)
			}
			return nil
		})
		w.run()
		for range 5 {
			w.queue(nil, "alice@example.net")
		}
		w.sleep(time.Minute)
		w.queue(nil, "bob@example.com")
		w.sleep(time.Second)
		if got := p.recipients(); len(got) != 1 {
			t.Errorf("taken: %v", got)
		}
		w.wantLog(5, "dsn=4.7.0, status=deferred")
		if n := p.attempts(); n > 2+1+1 {
			t.Errorf("%d attempts: the lane does not rest", n)
		}
		delete(w.demands, "example.net")
		w.configure()
		w.flush("")
		w.gone(time.Minute)
	})
}

// TestRoom: of many messages for a slow destination few are active, more when its window opens; the others wait as names, and those
// for other destinations do not wait for them.
func TestRoom(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.peer("mx.slow.example")
		p.on(slow(time.Minute))
		w.run()
		for range 100 {
			w.queue(nil, "alice@slow.example")
		}
		active := func() int {
			w.manager.mu.Lock()
			defer w.manager.mu.Unlock()
			l := w.manager.lanes["slow.example"]
			return l.carriers + len(l.queue)
		}
		w.sleep(10 * time.Second)
		if n := active(); n != 4+4*unproven {
			t.Errorf("%d active", n)
		}
		id := w.queue(nil, "bob@example.net")
		w.awaitLog(time.Second, id, ": removed")
		w.sleep(2 * time.Minute)
		if n := active(); n < 4+4*w.cfg.Relayd.InitialWindow || n > 4+4*(w.cfg.Relayd.InitialWindow+1) {
			t.Errorf("%d active", n)
		}
		w.gone(time.Hour)
		w.wantLog(0, "status=deferred")
	})
}

// TestCrowd has many destinations with many messages each, one of them dead, one that takes for ever to say anything, and one that
// takes for ever to take a message: the others have theirs at once.
func TestCrowd(t *testing.T) {
	inWorld(t, func(w *world) {
		const hosts, each = 200, 50
		w.peer("mx.d0.example").refuse(blackHole)
		w.peer("mx.d1.example").says("connect", "hang")
		w.peer("mx.d2.example").says("end", "hang")
		w.preload(hosts, each)
		begun := time.Now()
		w.run()
		good := func() (n int) {
			for i := 3; i < hosts; i++ {
				n += len(w.peer(fmt.Sprintf("mx.d%d.example", i)).messages())
			}
			return n
		}
		w.await(20*time.Second, "the others' mail", func() bool { return good() == (hosts-3)*each })
		t.Logf("all others after %v", time.Since(begun))
		w.sleep(time.Minute)
		if q := w.queued(); len(q) != 3*each {
			t.Errorf("%d in the queue", len(q))
		}
		for i := range 3 {
			p := w.peer(fmt.Sprintf("mx.d%d.example", i))
			p.refuse(nil)
			p.on(nil)
		}
		w.gone(12 * time.Hour)
		for i := range 3 {
			if n := len(w.peer(fmt.Sprintf("mx.d%d.example", i)).messages()); n != each {
				t.Errorf("d%d: %d taken", i, n)
			}
		}
	})
}

// preload puts messages into the queue without the syncs that smtpd owes its clients.
func (w *world) preload(hosts, each int) {
	w.t.Helper()
	id := w.queue(nil, "alice@example.net")
	if err := os.Remove(filepath.Join(w.root, "remote/new", id)); err != nil {
		w.t.Fatal(err)
	}
	const base = len(envelope.Alphabet)
	for n := range hosts * each {
		b := []byte(id) // of which the end is random
		for i, rest := 1, n; i < 5; i, rest = i+1, rest/base {
			b[len(b)-i] = envelope.Alphabet[rest%base]
		}
		text := queueFile(string(b), fmt.Sprintf("d%d.example", n%hosts))
		if err := os.WriteFile(filepath.Join(w.root, "remote/new", string(b)), text, 0o640); err != nil {
			w.t.Fatal(err)
		}
	}
}

// queueFile is what smtpd writes.
func queueFile(id, domain string) []byte {
	e := &envelope.Envelope{
		ID: id, From: envelope.Sender{Addr: address.Address{Local: "carol", Domain: "example.org"}}, Origin: envelope.OriginAuth, UID: envelope.NoUID,
		Client: envelope.Client{Name: "unknown", Proto: "ESMTP"}, Time: time.Now(),
		To: []envelope.Recipient{{Addr: address.Address{Local: "alice", Domain: domain}, Via: envelope.Remote}},
	}
	head := e.Append(envelope.Blank())
	text := append(head, body...)
	sum := crc32.Checksum(text[envelope.Line1Size:], crc32.MakeTable(crc32.Castagnoli))
	copy(text, envelope.Line1{ID: id, Size: int64(len(body)), Env: int64(len(head)), CRC: sum}.Append(nil))
	return text
}
