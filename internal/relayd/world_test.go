package relayd

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"postrider/internal/address"
	"postrider/internal/config"
	"postrider/internal/control"
	"postrider/internal/envelope"
	"postrider/internal/hop"
	"postrider/internal/logline"
	"postrider/internal/nexthop"
	"postrider/internal/queue"
	"postrider/internal/report"
	"postrider/internal/smtpc"
	"postrider/internal/spool"
)

// world is a real spool, a manager, and around it a DNS, tables and hosts that answer by script. It lives in a bubble of
// testing/synctest, so that days pass in no time.
type world struct {
	t       testing.TB
	root    string // of the spool
	stage   *spool.Stage
	channel *spool.Channel
	manager *Manager
	cfg     *config.Config
	log     *logBuffer
	submit  *submitted
	stop    func()
	kick    chan struct{} // new/ has changed

	mu      sync.Mutex
	ways    map[string]Way                            // by domain; others are derived
	demands map[string]Demands                        // by hop
	find    map[string]func() ([]nexthop.Host, error) // by hop; others have the host mx.DOMAIN
	peers   map[string]*peer                          // by host
}

type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// submitted remembers what came for smtpd.
type submitted struct {
	mu     sync.Mutex
	list   []string // "from -> to: message"
	envs   []smtpc.Envelope
	times  []time.Time
	answer func(e *smtpc.Envelope) error
	hangs  bool
}

func (s *submitted) Submit(ctx context.Context, e *smtpc.Envelope, message io.Reader) error {
	b, err := io.ReadAll(message)
	if err != nil {
		return err
	}
	s.mu.Lock()
	hangs := s.hangs
	s.mu.Unlock()
	if hangs {
		<-ctx.Done()
		return ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.answer != nil {
		if err := s.answer(e); err != nil {
			return err
		}
	}
	var to []string
	for _, r := range e.To {
		to = append(to, r.Addr.String())
	}
	s.list = append(s.list, fmt.Sprintf("<%s> -> %s: %s", e.From.Addr, strings.Join(to, " "), b))
	s.envs, s.times = append(s.envs, *e), append(s.times, time.Now())
	return nil
}

func (s *submitted) messages() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.list...)
}

func (s *submitted) answers(f func(*smtpc.Envelope) error) {
	s.mu.Lock()
	s.answer = f
	s.mu.Unlock()
}

// inWorld runs a test in a new world.
func inWorld(t *testing.T, test func(w *world)) {
	t.Helper()
	t.Parallel()
	bubble(t, test)
}

// bubble is inWorld for one of several.
func bubble(t *testing.T, test func(w *world)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) { test(newWorld(t, dir)) })
}

func newWorld(t testing.TB, dir string) *world {
	t.Helper()
	w := &world{
		t: t, root: dir + "/spool", log: &logBuffer{}, submit: &submitted{}, kick: make(chan struct{}, 1), stop: func() {},
		ways: make(map[string]Way), demands: make(map[string]Demands), find: make(map[string]func() ([]nexthop.Host, error)), peers: make(map[string]*peer),
	}
	w.cfg = config.Default()
	w.cfg.Hostname, w.cfg.Origin = "mail.example.org", "example.org"
	if err := spool.Init(w.root); err != nil {
		t.Fatal(err)
	}
	var err error
	if w.stage, err = spool.OpenStage(w.root, spool.StageOptions{MessageSize: 1 << 20}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.stage.Close() })
	return w
}

// run starts a manager; stop ends it, and sees to it that nothing is left of it.
func (w *world) run() {
	w.t.Helper()
	log := logline.NewWriter(w.log, "relayd", logline.Text)
	var err error
	if w.channel, err = spool.OpenChannel(w.root, envelope.Remote, spool.ChannelOptions{Log: log}); err != nil {
		w.t.Fatal(err)
	}
	w.manager = New(w.channel, w.cfg.Relayd.MaxConnections, log)
	w.configure()
	ctx, cancel := context.WithCancel(w.t.Context())
	done := make(chan error, 1)
	go func() { done <- w.manager.run(ctx, w.watch) }()
	w.stop = func() {
		w.t.Helper()
		w.stop = func() {}
		asked := time.Now()
		cancel()
		if err := <-done; err != nil {
			w.t.Errorf("manager: %v", err)
		}
		if took := time.Since(asked); took > drainTime+20*time.Second {
			w.t.Errorf("the manager took %v to end", took)
		}
		w.checkEmpty()
		if err := w.channel.Close(); err != nil {
			w.t.Error(err)
		}
	}
	w.t.Cleanup(func() { w.stop() })
}

func (w *world) configure() {
	c := &w.cfg.Relayd
	w.manager.Configure(Settings{Config: w.cfg, Router: w, Finder: w, Dialer: w, Report: report.Settings{
		Submitter: w.submit, Hostname: w.cfg.Hostname, Postmaster: address.Address{Local: "postmaster", Domain: "example.org"},
		Lifetime: c.QueueLifetime.D(), DelayAfter: c.DelayWarning.D(),
	}})
}

// watch stands for the watching of new/, for which the kernel would be needed.
func (w *world) watch(ctx context.Context, found func(string)) error {
	tick := time.NewTicker(30 * time.Second)
	defer tick.Stop()
	for {
		list, err := os.ReadDir(filepath.Join(w.root, "remote/new"))
		if err != nil {
			return err
		}
		for _, e := range list {
			found(e.Name())
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-w.kick:
		}
	}
}

func (w *world) kicked() {
	select {
	case w.kick <- struct{}{}:
	default:
	}
}

// afterwards is for sessions that expired at the last moment to take their leave, and for slow peers to see that.
const afterwards = 30 * time.Second

// checkEmpty says what a manager that has ended has left.
func (w *world) checkEmpty() {
	w.t.Helper()
	time.Sleep(afterwards)
	synctest.Wait()
	m := w.manager
	m.hosts.check(w.t)
	m.hosts.checkEmpty(w.t)
	for key, l := range m.lanes {
		if l.carriers != 0 || len(l.queue) > 0 {
			w.t.Errorf("lane %s has %d carriers, %d transactions", key, l.carriers, len(l.queue))
		}
	}
	if len(m.large) != 0 {
		w.t.Errorf("%d large", len(m.large))
	}
	for name, p := range w.peers {
		if n := p.connected(); n != 0 {
			w.t.Errorf("%s has %d connections", name, n)
		}
	}
}

// Hop is the Router's.
func (w *world) Hop(rcpt *envelope.Recipient, _ *envelope.Envelope) (Way, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if way, ok := w.ways[rcpt.Addr.Domain]; ok {
		if way.Hop.Kind == "" && !way.Ours {
			return Way{}, errors.New("table is gone")
		}
		return way, nil
	}
	return Way{Hop: hop.ForDomain(rcpt.Addr.Domain), Derived: true}, nil
}

// Demands are the Router's, too.
func (w *world) Demands(h hop.Hop) (Demands, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	d := w.demands[h.String()]
	d.Level = cmp.Or(d.Level, "may")
	return d, nil
}

// route sends a domain over a configured hop.
func (w *world) route(domain, to string) {
	w.t.Helper()
	h, err := hop.Parse(to)
	if err != nil {
		w.t.Fatal(err)
	}
	w.setWay(domain, Way{Hop: h})
}

func (w *world) setWay(domain string, way Way) {
	w.mu.Lock()
	w.ways[domain] = way
	w.mu.Unlock()
}

// Find is the Finder's.
func (w *world) Find(_ context.Context, h hop.Hop) ([]nexthop.Host, error) {
	w.mu.Lock()
	find := w.find[h.String()]
	w.mu.Unlock()
	switch {
	case find != nil:
		return find()
	case h.ByMX:
		return hosts1("mx." + h.Host), nil
	case h.Path != "":
		return []nexthop.Host{{Name: h.Path}}, nil
	}
	return hosts1(h.Host), nil
}

// hosts1 are hosts with one address each.
func hosts1(names ...string) (list []nexthop.Host) {
	for i, name := range names {
		list = append(list, nexthop.Host{Name: name, Port: 25, Addrs: []netip.Addr{netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)})}})
	}
	return list
}

// mx names the hosts of a domain.
func (w *world) mx(domain string, names ...string) {
	w.mu.Lock()
	w.find[domain] = func() ([]nexthop.Host, error) { return hosts1(names...), nil }
	w.mu.Unlock()
}

// peer is the host of that name.
func (w *world) peer(name string) *peer {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.peers[name]
	if p == nil {
		p = &peer{extensions: []string{"PIPELINING", "SIZE 10000000", "8BITMIME", "SMTPUTF8", "DSN"}}
		w.peers[name] = p
	}
	return p
}

// Dial is the Dialer's.
func (w *world) Dial(ctx context.Context, t Target) (Session, error) {
	return w.peer(cmp.Or(t.Host, t.Path)).dialled(ctx, t)
}

const body = "From: carol@example.org\r\nSubject: hello\r\n\r\nText\r\n"

// queue accepts a message and returns its id.
func (w *world) queue(change func(*envelope.Envelope), to ...string) string {
	w.t.Helper()
	return w.queueBody(body, change, to...)
}

func (w *world) queueBody(body string, change func(*envelope.Envelope), to ...string) string {
	w.t.Helper()
	e := &envelope.Envelope{
		From: envelope.Sender{Addr: address.Address{Local: "carol", Domain: "example.org"}}, Origin: envelope.OriginAuth, UID: envelope.NoUID,
		Client: envelope.Client{Name: "unknown", Proto: "ESMTP"},
	}
	for _, s := range to {
		a, err := address.Parse(s)
		if err != nil {
			w.t.Fatal(err)
		}
		e.To = append(e.To, envelope.Recipient{Addr: a, Via: envelope.Remote})
	}
	if change != nil {
		change(e)
	}
	m, err := w.stage.Create(e, false)
	if err != nil {
		w.t.Fatal(err)
	}
	defer m.Abort()
	if _, err := io.WriteString(m, body); err != nil {
		w.t.Fatal(err)
	}
	if err := m.Commit(); err != nil {
		w.t.Fatal(err)
	}
	w.kicked()
	return m.ID()
}

// sleep lets time pass, and all that it brings come to rest.
func (w *world) sleep(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// await lets time pass, at most that much, until ok.
func (w *world) await(limit time.Duration, what string, ok func() bool) {
	w.t.Helper()
	step := max(limit/2000, 10*time.Millisecond)
	for end := time.Now().Add(limit); ; time.Sleep(step) {
		synctest.Wait()
		if ok() {
			return
		}
		if time.Now().After(end) {
			w.t.Fatalf("waited %v in vain for %s:\n%s", limit, what, w.log)
		}
	}
}

// lines are those of the log with all these texts.
func (w *world) lines(texts ...string) (list []string) {
	for l := range strings.SplitSeq(w.log.String(), "\n") {
		has := l != ""
		for _, text := range texts {
			has = has && strings.Contains(l, text)
		}
		if has {
			list = append(list, l)
		}
	}
	return list
}

func (w *world) awaitLog(limit time.Duration, texts ...string) {
	w.t.Helper()
	w.await(limit, "log: "+strings.Join(texts, " … "), func() bool { return len(w.lines(texts...)) > 0 })
}

func (w *world) wantLog(n int, texts ...string) {
	w.t.Helper()
	if got := w.lines(texts...); len(got) != n {
		w.t.Errorf("%d lines in the log, not %d, with %q:\n%s", len(got), n, texts, w.log)
	}
}

// queued lists the entries of the queue.
func (w *world) queued() (list []spool.Entry) {
	w.t.Helper()
	if err := spool.List(w.root, envelope.Remote, func(e spool.Entry) error { list = append(list, e); return nil }); err != nil {
		w.t.Fatal(err)
	}
	return list
}

// entry is the only one of the queue.
func (w *world) entry() spool.Entry {
	w.t.Helper()
	q := w.queued()
	if len(q) != 1 {
		w.t.Fatalf("queue: %v\n%s", q, w.log)
	}
	return q[0]
}

// journal says what is known of the recipients of the only message in the queue: "a@b deferred 4.4.1; …".
func (w *world) journal() string {
	w.t.Helper()
	return w.journalOf(w.entry())
}

func (w *world) journalOf(e spool.Entry) string {
	w.t.Helper()
	info, err := e.Read()
	if err != nil {
		w.t.Fatal(err)
	}
	var list []string
	for _, r := range info.Envelope.To {
		text := r.Addr.String() + " -"
		if last := info.Last(r.Line); last != nil {
			text = fmt.Sprintf("%s %s %s", r.Addr, last.Status, last.Reply.Status())
		}
		list = append(list, text)
	}
	return strings.Join(list, "; ")
}

// flush makes messages due: that of an id, or all.
func (w *world) flush(id string) {
	w.t.Helper()
	s := queue.Steering{Schedule: w.manager.Schedule(), Spool: w.root, Via: envelope.Remote, Revive: w.manager.Revive}
	n, err := s.Flush(w.t.Context(), control.Selection{Anyone: true, ID: id})
	if n == 0 || err != nil {
		w.t.Fatalf("flush of %q: %d, %v", id, n, err)
	}
}

// gone waits until the queue is empty.
func (w *world) gone(limit time.Duration) {
	w.t.Helper()
	for end := time.Now().Add(limit); len(w.queued()) > 0; w.sleep(max(limit/50, 100*time.Millisecond)) {
		if time.Now().After(end) {
			w.t.Fatalf("left after %v: %v\n%s", limit, w.queued(), w.log)
		}
	}
	synctest.Wait()
}
