package relayd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"postrider/internal/address"
	"postrider/internal/config"
	"postrider/internal/envelope"
	"postrider/internal/nexthop"
	"postrider/internal/reply"
	"postrider/internal/report"
	"postrider/internal/smtpc"
	"postrider/internal/spool"
)

func refused(context.Context, Target) error { return syscall.ECONNREFUSED }

// blackHole answers nothing, as long as a connection may take.
func blackHole(ctx context.Context, _ Target) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(30 * time.Second):
		return errors.New("connection timed out")
	}
}

func TestSent(t *testing.T) {
	inWorld(t, func(w *world) {
		before := w.queue(nil, "alice@example.net")
		w.run()
		after := w.queue(nil, "alice@example.net", "bob@example.net", "dave@example.com")
		w.gone(time.Minute)
		if got := w.peer("mx.example.net").sorted(); got != "<alice@example.net> <alice@example.net> <bob@example.net>" {
			t.Errorf("taken: %s", got)
		}
		m := w.peer("mx.example.com").messages()
		if len(m) != 1 || m[0].body != body || m[0].from != "FROM:<carol@example.org> SIZE=49" {
			t.Errorf("taken: %+v", m)
		}
		for _, id := range []string{before, after} {
			w.wantLog(1, id, ": removed")
			w.wantLog(1, id, "(queue active)")
		}
		w.wantLog(2, after, "relay=mx.example.net[192.0.2.1]:25", "dsn=2.0.0, status=sent (250 2.0.0 queued)")
		if list, _ := filepath.Glob(w.root + "/remote/log/*/*"); w.sleepThen(2*time.Second) && len(list) > 0 && exists(list[0]) {
			t.Errorf("journals: %v", list)
		}
		if got := w.submit.messages(); len(got) > 0 {
			t.Errorf("reports: %q", got)
		}
	})
}

func (w *world) sleepThen(d time.Duration) bool {
	w.sleep(d)
	return true
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// stepTrouble is what a host does at a step, and what comes of it.
type stepTrouble struct {
	command, reply string
	status         string // of the recipient, when there is no other host
	next           bool   // another host is asked
	blamed         bool   // the host's window closes, and one more such attempt kills it
	text           string // in the log
}

var stepTroubles = []stepTrouble{
	{"dial", "refused", "deferred 4.4.1", true, true, "connection refused"},
	{"dial", "timeout", "deferred 4.4.1", true, true, "timed out"},
	{"connect", "554 5.7.1 go away", "deferred 4.4.1", true, true, "refused to talk to me: 554 5.7.1 go away"},
	{"connect", "421 4.3.2 busy", "deferred 4.4.1", true, true, "refused to talk to me: 421 4.3.2 busy"},
	{"connect", "close", "deferred 4.4.1", true, true, "[192.0.2.1] while receiving the initial server greeting"},
	{"connect", "hang", "deferred 4.4.1", true, true, "timed out while receiving the initial server greeting"},
	{"connect", "garbage", "deferred 4.4.1", true, true, "protocol error"},
	{"EHLO", "550 5.5.0 no", "deferred 4.4.1", true, true, ""},
	{"EHLO", "421 4.3.2 busy", "deferred 4.4.1", true, true, "421 4.3.2 busy"},
	{"EHLO", "close", "deferred 4.4.1", true, true, "lost connection"},
	{"EHLO", "hang", "deferred 4.4.1", true, true, ""},
	{"MAIL", "450 4.7.1 greylisted", "deferred 4.7.1", false, false, "said: 450 4.7.1 greylisted (in reply to MAIL FROM command)"},
	{"MAIL", "550 5.7.1 no", "failed 5.7.1", false, false, "said: 550 5.7.1 no (in reply to MAIL FROM command)"},
	{"MAIL", "421 4.3.2 busy", "deferred 4.3.2", true, true, "421 4.3.2 busy"},
	{"MAIL", "close", "deferred 4.4.2", true, true, "lost connection"},
	{"MAIL", "hang", "deferred 4.4.2", true, true, "timed out while sending MAIL FROM"},
	{"MAIL", "garbage", "deferred 4.4.2", true, true, "protocol error"},
	{"MAIL", "250", "", false, false, "status=sent"},
	{"RCPT", "450 4.2.1 full", "deferred 4.2.1", false, false, "said: 450 4.2.1 full (in reply to RCPT TO command)"},
	{"RCPT", "550 5.1.1 who", "failed 5.1.1", false, false, "said: 550 5.1.1 who (in reply to RCPT TO command)"},
	{"RCPT", "452 4.5.3 too many recipients", "deferred 4.5.3", false, false, ""},
	{"RCPT", "421 4.3.2 busy", "deferred 4.3.2", false, false, "421 4.3.2 busy"},
	{"RCPT", "close", "deferred 4.4.2", true, true, "lost connection"},
	{"RCPT", "hang", "deferred 4.4.2", true, true, "timed out while sending RCPT TO"},
	{"DATA", "451 4.3.0 later", "deferred 4.3.0", false, false, "in reply to DATA command"},
	{"DATA", "554 5.7.1 no", "failed 5.7.1", false, false, "in reply to DATA command"},
	{"DATA", "421 4.3.2 busy", "deferred 4.3.2", false, false, "421 4.3.2 busy"},
	{"DATA", "close", "deferred 4.4.2", true, true, "lost connection"},
	{"DATA", "hang", "deferred 4.4.2", true, true, "timed out"},
	{"DATA", "garbage", "deferred 4.4.2", true, true, "protocol error"},
	{"end", "451 4.3.0 later", "deferred 4.3.0", false, false, "(in reply to end of DATA command)"},
	{"end", "554 5.6.0 spam", "failed 5.6.0", false, false, "(in reply to end of DATA command)"},
	{"end", "421 4.3.2 busy", "deferred 4.3.2", false, false, "421 4.3.2 busy"},
	{"end", "close", "deferred 4.4.2", false, true, "message may be sent more than once"},
	{"end", "hang", "deferred 4.4.2", false, true, "message may be sent more than once"},
	{"end", "garbage", "deferred 4.4.2", false, true, "more than once"},
}

func (s *stepTrouble) install(p *peer) {
	switch {
	case s.command == "dial" && s.reply == "refused":
		p.refuse(refused)
	case s.command == "dial":
		p.refuse(blackHole)
	default:
		p.says(s.command, s.reply)
	}
}

// TestTrouble has each kind of trouble at each step, at the only host and at the first of two.
func TestTrouble(t *testing.T) {
	inWorld(t, func(w *world) {
		w.cfg.Relayd.MinBackoff, w.cfg.Relayd.MaxBackoff = config.Duration(time.Hour), config.Duration(3*time.Hour)
		w.run()
		ids := make(map[string]string)
		for i := range stepTroubles {
			for _, d := range []string{fmt.Sprintf("one%d.example", i), fmt.Sprintf("two%d.example", i)} {
				hosts := []string{"mx1." + d, "mx2." + d}
				if d[0] == 'o' {
					hosts = hosts[:1]
				}
				w.mx(d, hosts...)
				stepTroubles[i].install(w.peer("mx1." + d))
				ids[d] = w.queue(nil, "alice@"+d)
			}
		}
		w.sleep(30 * time.Minute)
		left := make(map[string]spool.Entry)
		for _, q := range w.queued() {
			left[q.Name.ID] = q
		}
		for i := range stepTroubles {
			s := &stepTroubles[i]
			one, two := fmt.Sprintf("one%d.example", i), fmt.Sprintf("two%d.example", i)
			w.wantLog(1, ids[one], "to=<alice@"+one+">", s.text)
			s.check(w, one, ids[one], left)
			if !s.next {
				s.check(w, two, ids[two], left)
			} else if got := w.lines(ids[two], "relay=mx2."+two, "status=sent"); len(got) != 1 || len(w.peer("mx2."+two).messages()) != 1 {
				t.Errorf("%s: %s: the second host did not get it: %q", s.command, s.reply, w.lines(ids[two]))
			}
			if n := w.peer("mx2." + two).attempts(); (n > 0) != s.next {
				t.Errorf("%s: %s: %d attempts at the second host", s.command, s.reply, n)
			}
		}
	})
}

// check looks at what is left of a message after its first attempt.
func (s *stepTrouble) check(w *world, domain, id string, left map[string]spool.Entry) {
	w.t.Helper()
	fail := func(format string, args ...any) {
		w.t.Helper()
		w.t.Errorf("%s: %s: %s: %s\n%s", domain, s.command, s.reply, fmt.Sprintf(format, args...), strings.Join(w.lines(id), "\n"))
	}
	var reports []string
	for _, m := range w.submit.messages() {
		if strings.Contains(m, "Final-Recipient: rfc822; alice@"+domain+"\r\n") {
			reports = append(reports, m)
		}
	}
	q, waits := left[id]
	if waits != strings.HasPrefix(s.status, "deferred") {
		fail("in the queue: %t", waits)
	}
	switch {
	case waits:
		if got := w.journalOf(q); got != "alice@"+domain+" "+s.status {
			fail("journal: %s", got)
		}
		wait, least := time.Unix(q.Name.Due, 0).Sub(arrived(q.Name)), time.Hour*8/10
		if strings.Contains(s.text, "more than once") {
			least = 3 * time.Hour * 8 / 10
		}
		if wait < least || wait > least*16/10 {
			fail("the next attempt is after %v", wait)
		}
		if len(reports) > 0 {
			fail("reports: %q", reports)
		}
	case strings.HasPrefix(s.status, "failed"):
		if len(reports) != 1 || !strings.Contains(reports[0], "Status: "+strings.TrimPrefix(s.status, "failed ")) || !strings.Contains(reports[0], "-> carol@example.org") {
			fail("reports: %q", reports)
		}
	}
	w.manager.hosts.mu.Lock()
	defer w.manager.hosts.mu.Unlock()
	h := w.manager.hosts.known["smtp:mx1."+domain+":25"]
	if got := h.failed > 0; got != s.blamed {
		fail("host: failed %d times, window %v", h.failed, h.window)
	}
	if s.blamed && h.window != 1 || !s.blamed && !strings.HasPrefix(s.reply, "421") && h.window < 5 {
		fail("host: window %v", h.window)
	}
}

func arrived(n spool.Name) time.Time {
	t, _ := spool.IDTime(n.ID)
	return t
}

// TestPartly has one of each kind of recipient: what is final is on record, and only the rest is tried again.
func TestPartly(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.peer("mx.example.net")
		p.on(func(_ *dialogue, c string) string {
			switch {
			case strings.HasPrefix(c, "RCPT TO:<no"):
				return "550 5.1.1 who"
			case strings.HasPrefix(c, "RCPT TO:<later"):
				return "450 4.2.1 full"
			}
			return ""
		})
		w.run()
		id := w.queue(func(e *envelope.Envelope) { e.To[3].Notify = []string{"never"} }, "alice@example.net", "no@example.net", "later@example.net", "nobody@example.net")
		w.awaitLog(time.Minute, id, "status=deferred")
		w.await(time.Second, "report", func() bool { return len(w.submit.messages()) == 1 })
		w.sleep(time.Second)
		if got := w.journal(); got != "alice@example.net sent 2.0.0; no@example.net failed 5.1.1; later@example.net deferred 4.2.1; nobody@example.net failed 5.1.1" {
			t.Errorf("journal: %s", got)
		}
		got := w.submit.messages()
		if !strings.Contains(got[0], "Final-Recipient: rfc822; no@example.net") || strings.Contains(got[0], "nobody@") || strings.Contains(got[0], "later@") {
			t.Errorf("reports: %q", got)
		}
		w.stop()
		p.on(nil)
		w.run()
		w.gone(time.Hour)
		if got := p.sorted(); got != "<alice@example.net> <later@example.net>" {
			t.Errorf("taken: %s", got)
		}
		if got := w.submit.messages(); len(got) != 1 {
			t.Errorf("reports: %q", got)
		}
		w.wantLog(1, id, ": removed")
	})
}

// TestExcess has a host that takes a few recipients in a transaction: the others follow at once, though others wait for the host,
// and though its sessions end.
func TestExcess(t *testing.T) {
	t.Parallel()
	for _, closes := range []bool{false, true} {
		t.Run(fmt.Sprint("closes=", closes), func(t *testing.T) {
			t.Parallel()
			bubble(t, func(w *world) {
				w.cfg.Relayd.InitialWindow, w.cfg.Relayd.MaxWindow = 1, 4
				if closes {
					w.cfg.Relayd.MaxReuse = 2
				}
				p := w.peer("mx.example.net")
				p.on(func(d *dialogue, c string) string {
					switch {
					case strings.HasPrefix(c, "RCPT") && len(d.msg.to) == 5:
						return "452 4.5.3 too many recipients"
					case c == "end":
						time.Sleep(time.Second)
					}
					return ""
				})
				var to []string
				for i := range 23 {
					to = append(to, fmt.Sprintf("u%d@example.net", i))
				}
				var ids []string
				for range 8 {
					ids = append(ids, w.queue(nil, to...))
				}
				w.run()
				w.gone(10 * time.Minute)
				if got := p.recipients(); len(got) != 8*23 {
					t.Errorf("%d taken", len(got))
				}
				w.wantLog(0, "status=deferred")
				for _, id := range ids {
					w.wantLog(23, id, "status=sent")
				}
			})
		})
	}
}

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

// TestBounds: no more addresses are tried in an attempt than may be, of one host two while there are others, and no more sessions
// are begun.
func TestBounds(t *testing.T) {
	t.Parallel()
	many := func() ([]nexthop.Host, error) {
		list := hosts1("a", "b", "c", "d", "e", "f", "g")
		for i := range list {
			list[i].Addrs = slices.Repeat(list[i].Addrs, 4)
		}
		return list, nil
	}
	for name, c := range map[string]struct {
		trouble  func(p *peer)
		attempts string
		rests    bool // the lane
	}{
		"no connection": {func(p *peer) { p.refuse(refused) }, "2 2 1 0 0 0 0", false},
		"unreachable":   {func(p *peer) { p.refuse(func(context.Context, Target) error { return syscall.ENETUNREACH }) }, "4 4 4 4 4 4 4", true},
		"no TLS":        {func(p *peer) { p.refuse(func(context.Context, Target) error { return ErrDemands }) }, "1 1 1 1 1 0 0", true},
		"lost":          {func(p *peer) { p.says("MAIL", "close") }, "1 1 0 0 0 0 0", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(w *world) {
				w.find["example.net"] = many
				list, _ := many()
				for _, h := range list {
					c.trouble(w.peer(h.Name))
				}
				w.run()
				id := w.queue(nil, "alice@example.net")
				w.awaitLog(time.Minute, id, "status=deferred")
				var got []string
				for _, h := range list {
					got = append(got, fmt.Sprint(w.peer(h.Name).attempts()))
				}
				if s := strings.Join(got, " "); s != c.attempts {
					t.Errorf("attempts: %s", s)
				}
				if until, _ := w.manager.deadUntil("example.net"); until.After(time.Now()) != c.rests {
					t.Errorf("the lane rests until %v", until)
				}
			})
		})
	}
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

// TestSoft has refusals for good that return no mail: all with soft_bounce, those about our login at a configured hop.
func TestSoft(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		reply      string
		soft       bool
		configured bool
		failed     bool
	}{
		{"550 5.7.1 no", false, false, true},
		{"550 5.7.1 no", true, false, false},
		{"550 5.7.1 no", true, true, false},
		{"530 5.7.0 log in", false, true, false},
		{"535 5.7.8 wrong", false, true, false},
		{"530 5.7.0 log in", false, false, true},
		{"550 5.7.1 no", false, true, true},
	} {
		bubble(t, func(w *world) {
			host := "mx.example.net"
			if c.configured {
				host = "relay.example.org"
				w.route("example.net", "[relay.example.org]")
			}
			w.cfg.Relayd.SoftBounce = c.soft
			w.peer(host).says("MAIL", c.reply)
			w.run()
			id := w.queue(nil, "alice@example.net")
			w.awaitLog(time.Minute, id, "status=")
			w.sleep(time.Second)
			if n := len(w.submit.messages()); (n == 1) != c.failed || (len(w.queued()) == 0) != c.failed {
				t.Errorf("%+v: %d reports, queue %v\n%s", c, n, w.queued(), w.log)
			}
		})
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

// TestHandBack: a recipient whose domain has become ours goes back to smtpd, once; not if a daemon has handed the message in.
func TestHandBack(t *testing.T) {
	inWorld(t, func(w *world) {
		w.setWay("example.net", Way{Ours: true})
		w.submit.answers(func(e *smtpc.Envelope) error {
			switch e.To[0].Addr.Local {
			case "no":
				return &report.RefusedError{Recipients: []int{0}, Err: reply.New(550, 1, 1, "no such user").With(smtpc.ErrRecipients)}
			case "later":
				return reply.New(451, 3, 0, "later")
			}
			return nil
		})
		w.run()
		id := w.queue(func(e *envelope.Envelope) { e.UID = 1000 }, "alice@example.net", "no@example.net", "later@example.net", "bob@example.com")
		w.awaitLog(time.Minute, id, "to=<later@example.net>, relay=local", "status=deferred")
		w.sleep(time.Second)
		if got := w.journal(); got != "alice@example.net forwarded 2.0.0; no@example.net failed 5.1.1; later@example.net deferred 4.3.0; bob@example.com sent 2.0.0" {
			t.Errorf("journal: %s", got)
		}
		got := w.submit.messages()
		if len(got) != 2 || got[0] != "<carol@example.org> -> alice@example.net: "+body || !strings.Contains(got[1], "no@example.net") {
			t.Errorf("%q", got)
		}
		if e := w.submit.envs[0]; e.Parent != id || e.UID != 1000 || !e.Whole {
			t.Errorf("%+v", e)
		}
		w.submit.answers(nil)
		w.flush(id)
		w.gone(time.Minute)
		if got := w.submit.messages(); len(got) != 3 {
			t.Errorf("%q", got)
		}
		again := w.queue(func(e *envelope.Envelope) { e.Parent = id }, "alice@example.net")
		w.awaitLog(time.Minute, again, "dsn=4.3.5, status=deferred")
		if got := w.submit.messages(); len(got) != 3 {
			t.Errorf("it goes round: %q", got)
		}
	})
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

// TestEightBit: what a host does not take is converted, or refused, or sent all the same where that is not needed.
func TestEightBit(t *testing.T) {
	t.Parallel()
	const (
		plain   = "Subject: x\r\n\r\nText\r\n"
		eight   = "Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nGrüße\r\n"
		header  = "Subject: Grüße\r\n\r\nText\r\n"
		neither = "Subject: Grüße\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nGrüße\r\n"
	)
	all := "8BITMIME SMTPUTF8"
	for _, c := range []struct {
		name, body, offers, from string
		utf8                     bool
		want                     string // in what the host took; or the status
	}{
		{"plain to anybody", plain, "", "", false, plain},
		{"eight bits where they are taken", eight, "8BITMIME", "", false, eight},
		{"eight bits converted", eight, "", "", false, "Gr=C3=BC=C3=9Fe"},
		{"marked, but plain", plain, "", "", true, plain},
		{"marked, eight bits, converted", eight, "", "", true, "Gr=C3=BC=C3=9Fe"},
		{"marked, eight bits, no SMTPUTF8", eight, "8BITMIME", "", true, eight},
		{"marked, header, both", header, all, "", true, header},
		{"marked, header, no SMTPUTF8", header, "8BITMIME", "", true, "5.6.7"},
		{"marked, header, neither", header, "", "", true, "5.6.7"},
		{"sender, no SMTPUTF8", plain, "8BITMIME", "grüße", true, "5.6.7"},
		{"sender, SMTPUTF8", plain, all, "grüße", true, plain},
		{"unmarked, header as it came", header, "", "", false, header},
		{"unmarked, both", neither, "", "", false, "5.6.3"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(w *world) {
				p := w.peer("mx.example.net")
				p.offers(append(strings.Fields(c.offers), "PIPELINING")...)
				w.run()
				id := w.queueBody(c.body, func(e *envelope.Envelope) {
					e.From.Body, e.From.SMTPUTF8 = "8bitmime", c.utf8
					if c.from != "" {
						e.From.Addr.Local = c.from
					}
				}, "alice@example.net")
				w.awaitLog(time.Minute, id, "status=")
				w.gone(time.Minute)
				got := p.messages()
				if strings.HasPrefix(c.want, "5.") {
					w.wantLog(1, id, "dsn="+c.want+", status=bounced")
					if len(got) > 0 {
						t.Errorf("taken: %q", got[0].body)
					}
					return
				}
				if len(got) != 1 || !strings.Contains(got[0].body, c.want) {
					t.Fatalf("taken: %+v\n%s", got, w.log)
				}
				if strings.Contains(got[0].from, "SMTPUTF8") != (c.utf8 && strings.Contains(c.offers, "SMTPUTF8")) ||
					strings.Contains(got[0].from, "BODY=8BITMIME") != strings.Contains(c.offers, "8BITMIME") {
					t.Errorf("MAIL %s", got[0].from)
				}
			})
		})
	}
}

// TestRecipientUTF8: of several recipients, those that the host cannot take fail, and the others get theirs.
func TestRecipientUTF8(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.peer("mx.example.net")
		p.offers("8BITMIME")
		w.run()
		id := w.queue(func(e *envelope.Envelope) {
			e.From.SMTPUTF8 = true
			e.To[1].Addr.Local = "grüße"
		}, "alice@example.net", "bob@example.net")
		w.gone(time.Minute)
		w.wantLog(1, id, "dsn=5.6.7, status=bounced")
		if got := p.sorted(); got != "<alice@example.net>" {
			t.Errorf("taken: %s", got)
		}
	})
}

// TestSuccess: who asked for it is told of success, by us only where the host does not.
func TestSuccess(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ offers, hop, want string }{
		{"DSN", "", ""},
		{"", "", "Action: relayed"},
		{"", "lmtp:unix:/run/lmtp", "Action: delivered"},
	} {
		bubble(t, func(w *world) {
			host := "mx.example.net"
			if c.hop != "" {
				host = "/run/lmtp"
				w.route("example.net", c.hop)
			}
			w.peer(host).offers(c.offers)
			w.run()
			w.queue(func(e *envelope.Envelope) { e.To[0].Notify = []string{"success"} }, "alice@example.net", "bob@example.net")
			w.gone(time.Minute)
			got := w.submit.messages()
			if c.want == "" && len(got) > 0 || c.want != "" && (len(got) != 1 || !strings.Contains(got[0], c.want) || strings.Contains(got[0], "bob@")) {
				t.Errorf("%+v: %q", c, got)
			}
			if m := w.peer(host).messages(); c.offers == "DSN" && m[0].to[0] != "<alice@example.net> NOTIFY=SUCCESS" {
				t.Errorf("taken: %+v", m)
			}
		})
	}
}

// TestNullSender: nobody is told of the failure of a notice but the postmaster.
func TestNullSender(t *testing.T) {
	inWorld(t, func(w *world) {
		w.peer("mx.example.net").says("RCPT", "550 5.1.1 who")
		w.run()
		w.queue(func(e *envelope.Envelope) { e.From.Addr = address.Address{} }, "alice@example.net")
		w.gone(time.Minute)
		if got := w.submit.messages(); len(got) != 1 || !strings.HasPrefix(got[0], "<> -> postmaster@example.org") {
			t.Errorf("%q", got)
		}
	})
}

// unsendable is a session to which an envelope is no set of commands.
type unsendable struct{ *idler }

func (unsendable) Send(_ context.Context, e *smtpc.Envelope, _ io.Reader) (smtpc.Result, error) {
	return smtpc.Result{Recipients: make([]*reply.Reply, len(e.To))}, &smtpc.Error{Step: smtpc.StepMAIL, Err: errors.New("control character")}
}

// oneSession is a Dialer.
type oneSession struct {
	Session
	dials int
}

func (d *oneSession) Dial(context.Context, Target) (Session, error) {
	d.dials++
	return d.Session, nil
}

// TestUnsendable: an envelope that cannot be written as commands is no host's fault, and is not tried again and again.
func TestUnsendable(t *testing.T) {
	inWorld(t, func(w *world) {
		w.run()
		s := *w.manager.settings.Load()
		d := &oneSession{Session: unsendable{&idler{}}}
		s.Dialer = d
		w.manager.Configure(s)
		id := w.queue(nil, "alice@example.net")
		w.awaitLog(time.Minute, id, "dsn=4.3.0, status=deferred (the envelope cannot be sent")
		if h := w.manager.hosts.known["smtp:mx.example.net:25"]; h.failed > 0 || d.dials != 1 {
			t.Errorf("%d sessions, host %+v", d.dials, h)
		}
	})
}

// TestCutOff: a queue file that somebody cuts off while it is sent is not taken for a whole message, converted or not.
func TestCutOff(t *testing.T) {
	t.Parallel()
	for _, converted := range []bool{false, true} {
		bubble(t, func(w *world) {
			p := w.peer("mx.example.net")
			if converted {
				p.offers()
			}
			text := "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + strings.Repeat("Grüße\r\n", 20_000)
			p.on(func(_ *dialogue, c string) string {
				if c == "DATA" {
					q := w.entry()
					if err := os.Truncate(q.Path, 50_000); err != nil {
						t.Error(err)
					}
				}
				return ""
			})
			w.run()
			id := w.queueBody(text, func(e *envelope.Envelope) { e.From.Body = "8bitmime" }, "alice@example.net")
			w.awaitLog(time.Minute, id, "status=deferred (the message cannot be read")
			if got := p.messages(); len(got) > 0 {
				t.Errorf("taken: %d octets", len(got[0].body))
			}
			if h := w.manager.hosts.known["smtp:mx.example.net:25"]; h.failed > 0 {
				t.Errorf("the host is blamed: %+v", h)
			}
		})
	}
}

// TestGone has the administrator take a message away at each step: nothing is sent that had not begun, and nothing is lost of what
// was done.
func TestGone(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		reply string // to the message
		hold  bool
	}{
		{"removed, sent", "250 2.0.0 ok", false},
		{"removed, refused", "550 5.0.0 no", false},
		{"removed, deferred", "450 4.0.0 later", false},
		{"held, sent", "250 2.0.0 ok", true},
		{"held, refused", "550 5.0.0 no", true},
		{"held, deferred", "450 4.0.0 later", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(w *world) {
				take := func() {
					q := w.entry()
					to := filepath.Join(w.root, "remote/hold", filepath.Base(q.Path))
					if !c.hold {
						to = t.TempDir() + "/x"
					}
					if err := os.Rename(q.Path, to); err != nil {
						t.Error(err)
					}
				}
				p := w.peer("mx.example.net")
				p.on(func(_ *dialogue, command string) string {
					if command == "end" {
						take()
						return c.reply
					}
					return ""
				})
				w.run()
				id := w.queue(nil, "alice@example.net")
				w.awaitLog(time.Minute, id, "status=")
				w.sleep(2 * time.Hour)
				if n := p.attempts(); n != 1 {
					t.Errorf("%d attempts", n)
				}
				if !c.hold {
					if q := w.queued(); len(q) > 0 {
						t.Errorf("queue: %v", q)
					}
					return
				}
				q := w.entry()
				if q.State != spool.Held {
					t.Fatalf("queue: %+v", q)
				}
				p.on(nil)
				if err := os.Rename(q.Path, filepath.Join(w.root, "remote/new", filepath.Base(q.Path))); err != nil {
					t.Fatal(err)
				}
				w.kicked()
				w.gone(time.Minute)
				want := map[byte]int{'2': 1, '5': 0, '4': 1}[c.reply[0]]
				if got := len(p.messages()); got != want {
					t.Errorf("%d taken, not %d", got, want)
				}
				if got := len(w.submit.messages()); (c.reply[0] == '5') != (got == 1) {
					t.Errorf("%d reports", got)
				}
			})
		})
	}
}

// TestGoneBefore: what is taken away while it waits for its turn is not sent.
func TestGoneBefore(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.peer("mx.example.net")
		p.on(func(_ *dialogue, command string) string {
			if command == "end" {
				time.Sleep(time.Minute)
			}
			return ""
		})
		w.run()
		first, second := w.queue(nil, "alice@example.net"), w.queue(nil, "bob@example.net")
		w.sleep(time.Second)
		third := w.queue(nil, "dave@example.net")
		w.sleep(time.Second)
		for _, q := range w.queued() {
			if q.Name.ID == third {
				if err := os.Remove(q.Path); err != nil {
					t.Fatal(err)
				}
			}
		}
		w.gone(10 * time.Minute)
		w.wantLog(1, first, ": removed")
		w.wantLog(1, second, ": removed")
		w.sleep(time.Hour)
		if got := len(p.messages()); got != 2 {
			t.Errorf("%d taken", got)
		}
	})
}

// TestCannotRemove has a queue file that can neither be removed nor recorded as sent: it is not sent again.
func TestCannotRemove(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root may remove everything")
	}
	inWorld(t, func(w *world) {
		w.peer("mx.example.net").says("RCPT", "450 4.0.0 later")
		w.run()
		id := w.queue(nil, "alice@example.net")
		w.awaitLog(time.Minute, id, "status=deferred")
		w.sleep(time.Second)
		for _, dir := range []string{"cur", "log"} {
			path := filepath.Join(w.root, "remote", dir, spool.Hash(id))
			if err := os.Chmod(path, 0o500); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { os.Chmod(path, 0o700) })
			if dir == "log" {
				list, _ := filepath.Glob(path + "/*")
				for _, f := range list {
					os.Chmod(f, 0o400)
				}
			}
		}
		p := w.peer("mx.example.net")
		p.on(nil)
		w.sleep(3 * time.Hour)
		if got := len(p.messages()); got != 1 {
			t.Errorf("%d copies\n%s", got, w.log)
		}
		for _, dir := range []string{"cur", "log"} {
			path := filepath.Join(w.root, "remote", dir, spool.Hash(id))
			if err := os.Chmod(path, 0o700); err != nil {
				t.Fatal(err)
			}
			list, _ := filepath.Glob(path + "/*")
			for _, f := range list {
				os.Chmod(f, 0o600)
			}
		}
		w.gone(3 * time.Hour)
		if got := len(p.messages()); got != 1 {
			t.Errorf("%d copies", got)
		}
	})
}

// TestReportLater has smtpd away when a failure is to be told: the message waits for that, across a restart.
func TestReportLater(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.peer("mx.example.net")
		p.on(func(_ *dialogue, c string) string {
			if strings.HasPrefix(c, "RCPT TO:<no") {
				return "550 5.1.1 who"
			}
			return ""
		})
		w.submit.answers(func(*smtpc.Envelope) error { return errors.New("smtpd is away") })
		w.run()
		id := w.queue(nil, "no@example.net", "alice@example.net")
		w.awaitLog(time.Minute, id, "notification failed for now")
		w.sleep(time.Second)
		w.stop()
		w.run()
		w.sleep(time.Hour)
		if len(w.queued()) != 1 || len(p.messages()) != 1 {
			t.Fatalf("queue %v, taken %+v", w.queued(), p.messages())
		}
		w.submit.answers(nil)
		w.gone(2 * time.Hour)
		if got := w.submit.messages(); len(got) != 1 || !strings.Contains(got[0], "Status: 5.1.1") {
			t.Errorf("%q", got)
		}
		w.wantLog(1, id, "status=bounced")
		w.wantLog(1, id, "status=sent")
	})
}
