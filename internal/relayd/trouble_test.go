package relayd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"postrider/internal/config"
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
