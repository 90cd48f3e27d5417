package relayd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"postrider/internal/envelope"
	"postrider/internal/nexthop"
	"postrider/internal/reply"
	"postrider/internal/report"
	"postrider/internal/smtpc"
)

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
