package localdeliver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"postrider/internal/address"
	"postrider/internal/config"
	"postrider/internal/envelope"
	"postrider/internal/localdeliver/job"
	"postrider/internal/reply"
	"postrider/internal/report"
	"postrider/internal/sandbox"
	"postrider/internal/smtpc"
	"postrider/internal/spool"
	"postrider/internal/table"
	"postrider/internal/usertest"
)

func (h *host) answer(f func(*smtpc.Envelope) error) {
	h.submit.mu.Lock()
	defer h.submit.mu.Unlock()
	h.submit.answer = f
}

func (h *host) forwards(user, text string) {
	h.t.Helper()
	if err := os.WriteFile(h.home(user)+"/.forward", []byte(text), 0o600); err != nil {
		h.t.Fatal(err)
	}
}

// awaitDeferral waits until the only message in the queue waits for its time.
func (h *host) awaitDeferral() {
	h.t.Helper()
	h.await("deferral", func() bool { q := h.queued(); return len(q) == 1 && q[0].Name.Due > time.Now().Unix()+1000 })
}

// count counts lines of the log.
func (h *host) count(text string) int { return strings.Count(h.log.String(), text) }

// TestReportHoldsNobody has the report on one recipient refused for now: the others are tried all the same, and expire.
func TestReportHoldsNobody(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.later = map[string]bool{"u1": true, "u2": true}
	h.answer(func(*smtpc.Envelope) error { return reply.New(451, 3, 0, "lookup of the sender failed for now") })
	h.cfg.LocalDeliver.QueueLifetime = config.Duration(time.Nanosecond)
	h.run()
	id := h.queue(nil, "nobody", "u1", "u2")
	h.awaitDeferral()
	h.stop()
	h.later = map[string]bool{"u2": true}
	h.run()
	h.flush(id)
	h.await("u1's mail", func() bool { return len(h.mail(h.home("u1"))) == 1 })
	h.flush(id)
	h.awaitLog(id, "to=<u2@example.org>, relay=local")
	h.awaitLog(id, "status=expired")
	h.answer(nil)
	h.flush(id)
	h.awaitLog(id, ": removed")
	got := strings.Join(h.submit.messages(), "|")
	if !strings.Contains(got, "Status: 5.1.1") || !strings.Contains(got, "Status: 5.4.7") {
		t.Errorf("%q", got)
	}
}

// TestReportRefused has a report refused for another reason than its recipient: it is not dropped.
func TestReportRefused(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.answer(func(*smtpc.Envelope) error { return reply.New(554, 3, 0, "no") })
	h.run()
	id := h.queue(nil, "nobody")
	h.awaitDeferral()
	h.answer(func(e *smtpc.Envelope) error {
		if e.To[0].Addr.Local == "carol" {
			return &report.RefusedError{Err: reply.New(550, 1, 1, "no such user").With(smtpc.ErrRecipients)}
		}
		return nil
	})
	h.flush(id)
	h.awaitLog(id, ": removed")
	if got := h.submit.messages(); len(got) != 1 || !strings.Contains(got[0], "-> postmaster@example.org") {
		t.Errorf("%q", got)
	}
}

// TestDelay has a user of whom nobody can tell for long: the message is tried when its sender is to be told, and he is told once.
func TestDelay(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.later = map[string]bool{"u1": true, "u2": true}
	h.cfg.LocalDeliver.DelayWarning = config.Duration(2 * time.Second)
	h.run()
	id := h.queue(func(e *envelope.Envelope) { e.To[2].Notify = []string{"failure"} }, "u0", "u1", "u2")
	h.awaitLog(id, "sender delay notification")
	h.awaitDeferral()
	h.flush(id)
	h.await("another try", func() bool { return h.count("to=<u1@example.org>, relay=local") == 3 })
	h.awaitDeferral()
	got := h.submit.messages()
	if len(got) != 1 || !strings.HasPrefix(got[0], "<> -> carol@example.net: ") || !strings.Contains(got[0], "Action: delayed\r\nStatus: 4.3.0") ||
		strings.Count(got[0], "Final-Recipient: ") != 1 || !strings.Contains(got[0], "Will-Retry-Until: ") {
		t.Errorf("%q", got)
	}
}

// TestDelayAtStart has a message that waited for a start: its sender is not told before it had another chance.
func TestDelayAtStart(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.later = map[string]bool{"u0": true}
	id := h.queue(func(e *envelope.Envelope) { e.Time = time.Now().Add(-5 * time.Hour) }, "u0")
	h.run()
	h.awaitDeferral()
	if got := h.submit.messages(); len(got) > 0 {
		t.Errorf("%q", got)
	}
	h.flush(id)
	h.awaitLog(id, "sender delay notification")
}

// TestForwardedReport has a notice of ours forwarded: it stays one, so that nobody is told when the copy fails. A notice of
// somebody else's does not become one.
func TestForwardedReport(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.forwards("u0", "dave@example.net")
	uids := make(map[envelope.Origin]int64)
	var origin envelope.Origin
	h.answer(func(e *smtpc.Envelope) error { uids[origin] = e.UID; return nil })
	h.run()
	for _, origin = range []envelope.Origin{envelope.OriginDSN, envelope.OriginMX} {
		h.awaitLog(h.queue(func(e *envelope.Envelope) { e.From.Addr, e.Origin = address.Address{}, origin }, "u0"), ": removed")
	}
	if want := map[envelope.Origin]int64{envelope.OriginDSN: envelope.NoUID, envelope.OriginMX: 1000}; !maps.Equal(uids, want) {
		t.Errorf("copies count as mail of %v, not %v", uids, want)
	}
}

// TestKeptOnce takes the kept copy away while the forwarded one waits: it does not come again.
func TestKeptOnce(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.forwards("u0", "\\u0, dave@example.net")
	h.answer(func(*smtpc.Envelope) error { return errors.New("smtpd is away") })
	h.run()
	id := h.queue(nil, "u0")
	for i := range 3 {
		h.await("deferral", func() bool { return h.count("status=deferred") == i+1 })
		h.awaitDeferral()
		switch got := h.mail(h.home("u0")); {
		case i == 0 && len(got) == 1:
			if err := os.Remove(got[0]); err != nil {
				t.Fatal(err)
			}
		case i == 0 || len(got) > 0:
			t.Fatalf("round %d: %v", i, got)
		}
		if i == 1 {
			h.later = map[string]bool{"u0": true} // a round that does not get as far leaves what is known
		} else {
			h.later = nil
		}
		if i == 2 {
			h.answer(nil)
		}
		h.stop()
		h.run()
		h.flush(id)
	}
	h.awaitLog(id, ": removed")
	if len(h.mail(h.home("u0"))) > 0 || len(h.submit.messages()) != 1 {
		t.Errorf("%v, %q", h.mail(h.home("u0")), h.submit.messages())
	}
}

// TestForwardSome has one member of a .forward refused for good: the others get theirs, once.
func TestForwardSome(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.forwards("u0", "bad@example.net, dave@example.net, erin@example.net")
	away := true
	h.answer(func(e *smtpc.Envelope) error {
		switch {
		case e.From.Addr.IsNull():
		case e.To[0].Addr.Local == "bad":
			return &report.RefusedError{Recipients: []int{0}, Err: reply.New(550, 1, 1, "no such user").With(smtpc.ErrRecipients)}
		case away:
			away = false
			return reply.New(452, 3, 1, "full")
		}
		return nil
	})
	h.run()
	id := h.queue(nil, "u0")
	h.awaitDeferral()
	h.flush(id)
	h.awaitLog(id, ": removed")
	got := h.submit.messages()
	if len(got) != 2 || !strings.HasPrefix(got[0], "<carol@example.net> -> dave@example.net erin@example.net: ") || !strings.Contains(got[1], "Status: 5.1.1") {
		t.Errorf("%q", got)
	}
}

// feeder is an smtpd that has nothing but local users.
type feeder struct{ h *host }

func (f feeder) Submit(_ context.Context, e *smtpc.Envelope, message io.Reader) error {
	x := &envelope.Envelope{From: e.From, Origin: envelope.OriginMX, UID: envelope.NoUID, Client: envelope.Client{Name: "unknown", Proto: "ESMTP"}}
	for _, r := range e.To {
		r.Via = envelope.Local
		x.To = append(x.To, r)
	}
	m, err := f.h.stage.Create(x, false)
	if err != nil {
		return err
	}
	defer m.Abort()
	if _, err := io.Copy(m, message); err != nil {
		return err
	}
	return m.Commit()
}

// TestForwardBomb has .forward files that name each other's extensions: each gets one copy.
func TestForwardBomb(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	const n = 5
	var all []string
	for i := range n {
		all = append(all, fmt.Sprint("u0+", i))
	}
	for i := range n {
		if err := os.WriteFile(fmt.Sprint(h.home("u0"), "/.forward+", i), []byte(strings.Join(all, ",")), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	h.forwards("u0", strings.Join(all, ","))
	h.run()
	s := *h.manager.settings.Load()
	s.Submitter = feeder{h}
	h.manager.Configure(s)
	first := h.queue(nil, "u0")
	h.awaitLog(first, ": removed")
	h.await("the end", func() bool { return len(h.queued()) == 0 })
	if got := len(h.mail(h.home("u0"))); got != n || strings.Contains(h.log.String(), "bounced") {
		t.Errorf("%d copies:\n%s", got, h.log)
	}
}

// TestPostmasterShare floods the postmaster with strangers' failures: there is room left for the others.
func TestPostmasterShare(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.run()
	send := func(origin envelope.Origin) {
		h.awaitLog(h.queue(func(e *envelope.Envelope) { e.From.Addr, e.Origin = address.Address{}, origin }, "nobody"), ": removed")
	}
	for range 12 {
		send(envelope.OriginMX)
	}
	if got := len(h.submit.messages()); got != 3 {
		t.Errorf("%d copies of strangers' mail", got)
	}
	send(envelope.OriginLocal)
	if got := len(h.submit.messages()); got != 4 {
		t.Error("no room for others")
	}
	send(envelope.OriginDSN)
	if got := len(h.submit.messages()); got != 4 {
		t.Error("a report on a report")
	}
}

// crowded has room for a few workers, whosever they are.
type crowded struct {
	*starter
	mu    sync.Mutex
	alive int
	limit int
}

func (s *crowded) Start(ctx context.Context, uid, gid uint32) (Process, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.alive >= s.limit {
		return nil, fmt.Errorf("start worker for uid %d: %w", uid, sandbox.ErrBusy)
	}
	p, err := s.starter.Start(ctx, uid, gid)
	if err == nil {
		s.alive++
		go func() {
			<-p.Done()
			s.mu.Lock()
			defer s.mu.Unlock()
			s.alive--
		}()
	}
	return p, err
}

// TestCrowd has more homes under one uid than that may have workers: all get their mail, and nobody calls it a failure.
func TestCrowd(t *testing.T) {
	t.Parallel()
	for name, own := range map[string]bool{"manager's limit": true, "spawner's limit": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			h.run()
			h.manager.slots = make(chan struct{}, 16)
			starter := &crowded{starter: h.starter, limit: 2}
			h.manager.starter = starter
			if own {
				starter.limit = 100
			}
			const n = 3 * ordinaryWorkers
			var to []string
			for i := range n {
				to = append(to, fmt.Sprint("u", i))
				if err := os.MkdirAll(h.home(to[i]), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			s := *h.manager.settings.Load()
			s.Router = sharedUID{h}
			h.manager.Configure(s)
			for range 2 {
				for _, u := range to {
					h.queue(nil, u)
				}
				h.await("all gone", func() bool { return len(h.queued()) == 0 })
			}
			for _, u := range to {
				if len(h.mail(h.home(u))) != 2 {
					t.Errorf("%s: %v", u, h.mail(h.home(u)))
				}
			}
			if l := h.log.String(); strings.Contains(l, "status=deferred") || strings.Contains(l, "worker for uid") {
				t.Errorf("taken for a failure:\n%s", l)
			}
		})
	}
}

// sharedUID has all users under one uid.
type sharedUID struct{ *host }

func (s sharedUID) User(ctx context.Context, a address.Address) (table.User, string, error) {
	u, ext, err := s.host.User(ctx, a)
	u.UID, u.GID = 1000, 1000
	return u, ext, err
}

// undying is a worker that no signal ends.
type undying struct {
	net.Conn
	done chan struct{}
}

func (undying) Kill()                   {}
func (u undying) Done() <-chan struct{} { return u.done }

type undyingStarter struct {
	*starter
	done chan struct{}
}

func (s undyingStarter) Start(ctx context.Context, uid, gid uint32) (Process, error) {
	p, err := s.starter.Start(ctx, uid, gid)
	if err != nil || uid != 1000 {
		return p, err
	}
	return undying{p, s.done}, nil
}

// TestUnended has a worker that hangs in the kernel: there is no second one until it ends.
func TestUnended(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.cfg.LocalDeliver.WorkerTimeout = config.Duration(500 * time.Millisecond)
	h.starter.serve = func(uid uint32, n int) func(net.Conn) {
		if uid == 1000 && n == 1 {
			return func(c net.Conn) { io.Copy(io.Discard, c) }
		}
		return honest
	}
	h.run()
	starter := undyingStarter{h.starter, make(chan struct{})}
	h.manager.starter = starter
	id := h.queue(nil, "u0")
	h.awaitLog(id, "status=deferred")
	h.awaitDeferral()
	h.flush(id)
	other := h.queue(nil, "u1")
	h.awaitLog(other, ": removed")
	time.Sleep(3 * stallTime) // long enough for another attempt
	h.starter.mu.Lock()
	starts := h.starter.starts[1000]
	h.starter.mu.Unlock()
	if starts != 1 {
		t.Errorf("%d workers", starts)
	}
	close(starter.done)
	h.awaitLog(id, ": removed")
	if len(h.mail(h.home("u0"))) != 1 || h.count("status=deferred") != 1 {
		t.Errorf("%v\n%s", h.mail(h.home("u0")), h.log)
	}
}

// TestFuture has a message whose next attempt is years away, as a wrong clock left it.
func TestFuture(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.later = map[string]bool{"u0": true}
	h.run()
	id := h.queue(nil, "u0")
	h.awaitDeferral()
	h.stop()
	h.later = nil
	q := h.queued()[0]
	n := q.Name
	n.Due = time.Now().AddDate(10, 0, 0).Unix()
	if err := os.Rename(q.Path, filepath.Join(filepath.Dir(q.Path), n.String())); err != nil {
		t.Fatal(err)
	}
	h.cfg.LocalDeliver.MaxBackoff = config.Duration(time.Second)
	h.run()
	h.awaitLog(id, ": removed")
}

// TestHostage has one recipient's worker hang: the other's copy goes out, and is on record, meanwhile.
func TestHostage(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.forwards("u1", "dave@example.net")
	release := make(chan struct{})
	h.starter.serve = func(uid uint32, n int) func(net.Conn) {
		return func(c net.Conn) {
			if uid == 1000 {
				<-release
			}
			honest(c)
		}
	}
	h.run()
	id := h.queue(nil, "u0", "u1", "u2")
	h.await("copy", func() bool { return len(h.submit.messages()) == 1 })
	h.await("journal", func() bool {
		info, err := h.queued()[0].Read()
		return err == nil && len(info.Pending()) == 1
	})
	close(release)
	h.awaitLog(id, ": removed")
	if n := h.count("status=sent"); n != 3 {
		t.Errorf("%d deliveries in the log:\n%s", n, h.log)
	}
}

// TestSlowReader has a worker that takes a little just before a deadline would be over, again and again: a batch has one for
// all of it.
func TestSlowReader(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.cfg.LocalDeliver.WorkerTimeout = config.Duration(time.Second)
	h.starter.serve = func(uint32, int) func(net.Conn) {
		return func(c net.Conn) {
			for b := make([]byte, 64<<10); ; {
				time.Sleep(800 * time.Millisecond)
				if _, err := io.ReadFull(c, b); err != nil {
					return
				}
			}
		}
	}
	e := &envelope.Envelope{Origin: envelope.OriginMX, UID: envelope.NoUID, Client: envelope.Client{Name: "unknown", Proto: "ESMTP"},
		To: []envelope.Recipient{{Addr: address.Address{Local: "u0", Domain: "example.org"}, Via: envelope.Local}}}
	m, err := h.stage.Create(e, false)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Abort()
	if _, err := io.WriteString(m, strings.Repeat("Subject: hello\r\n", 60_000)); err != nil {
		t.Fatal(err)
	}
	if err := m.Commit(); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	h.run()
	h.awaitLog(m.ID(), "status=deferred")
	if took := time.Since(begun); took > 8*time.Second {
		t.Errorf("it held the message for %v", took)
	}
}

// TestParkedIsFresh has messages without room: they are no repetitions, for which the whole mailbox would be searched.
func TestParkedIsFresh(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.cfg.LocalDeliver.BatchSize = 2
	release := make(chan struct{})
	var again atomic.Int64
	h.starter.serve = func(_ uint32, n int) func(net.Conn) {
		return func(c net.Conn) {
			<-release
			in, out := job.NewDecoder(c), job.NewEncoder(c)
			in.Hello()
			for {
				n, err := in.Batch()
				if err != nil {
					return
				}
				var list []*job.Result
				for range n {
					j, err := in.Job()
					if err != nil {
						return
					}
					if j.Again {
						again.Add(1)
					}
					in.Discard(int(j.Size))
					list = append(list, &job.Result{Kind: job.Delivered, File: j.Unique, Reply: reply.New(250, 0, 0, "")})
				}
				for _, r := range list {
					out.Result(r)
				}
				out.Flush()
			}
		}
	}
	h.run()
	const n = 20
	for range n {
		h.queue(nil, "u0")
	}
	h.await("parked messages", func() bool {
		h.manager.mu.Lock()
		defer h.manager.mu.Unlock()
		for _, l := range h.manager.lanes {
			return len(l.parked) >= n-2 // a lane that stalls gives back what it was not sent
		}
		return false
	})
	close(release)
	h.await("all mail", func() bool { return h.count(": removed") == n })
	if again.Load() > 0 {
		t.Errorf("%d repetitions", again.Load())
	}
}

// TestCannotRemove has a queue file that cannot be removed: its mail is not delivered again.
func TestCannotRemove(t *testing.T) {
	t.Parallel()
	if !usertest.Run(t) {
		return
	}
	h := newHost(t)
	h.later = map[string]bool{"u0": true}
	h.run()
	id := h.queue(nil, "u0")
	h.awaitDeferral()
	h.stop()
	h.later = nil
	dir := filepath.Join(h.root, "local/cur", spool.Hash(id))
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Chmod(dir, 0o700) })
	h.run()
	h.flush(id)
	h.awaitLog(id, "remove "+id)
	for _, f := range h.mail(h.home("u0")) {
		if err := os.Remove(f); err != nil {
			t.Fatal(err)
		}
	}
	h.flush(id)
	h.await("a second try", func() bool { return h.count("remove "+id) == 2 })
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	h.flush(id)
	h.awaitLog(id, ": removed")
	if got := h.mail(h.home("u0")); len(got) > 0 {
		t.Errorf("delivered again: %v", got)
	}
}
