package localdeliver

import (
	"bytes"
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
	"testing"
	"time"

	"postrider/internal/address"
	"postrider/internal/config"
	"postrider/internal/control"
	"postrider/internal/envelope"
	"postrider/internal/localdeliver/job"
	"postrider/internal/localdeliver/worker"
	"postrider/internal/logline"
	"postrider/internal/queue"
	"postrider/internal/reply"
	"postrider/internal/report"
	"postrider/internal/route"
	"postrider/internal/smtpc"
	"postrider/internal/spool"
	"postrider/internal/table"
)

// host is a host with a spool, users below homes, and a manager whose workers are goroutines.
type host struct {
	t       *testing.T
	root    string // of the spool
	homes   string
	stage   *spool.Stage
	channel *spool.Channel
	manager *Manager
	cfg     *config.Config
	log     *logBuffer
	submit  *submitted
	starter *starter
	stop    func()
	aliases map[string]table.Alias
	later   map[string]bool // users that nobody can tell of
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

// starter runs workers as goroutines; serve may be replaced by something worse.
type starter struct {
	mu     sync.Mutex
	serve  func(uid uint32, n int) func(net.Conn)
	starts map[uint32]int
	err    error
}

type goroutine struct {
	net.Conn
	done chan struct{}
}

func (g goroutine) Kill()                 { g.Close() }
func (g goroutine) Done() <-chan struct{} { return g.done }

func honest(c net.Conn) { (&worker.Worker{}).Serve(c) }

func (s *starter) Start(_ context.Context, uid, gid uint32) (Process, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return nil, s.err
	}
	s.starts[uid]++
	serve := honest
	if s.serve != nil {
		serve = s.serve(uid, s.starts[uid])
	}
	here, there := net.Pipe()
	g := goroutine{here, make(chan struct{})}
	go func() {
		defer close(g.done)
		defer there.Close()
		serve(there)
	}()
	return g, nil
}

// submitted remembers what came for smtpd.
type submitted struct {
	mu     sync.Mutex
	list   []string // "from -> to: message"
	answer func(e *smtpc.Envelope) error
}

func (s *submitted) Submit(_ context.Context, e *smtpc.Envelope, message io.Reader) error {
	b, err := io.ReadAll(message)
	if err != nil {
		return err
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
	return nil
}

func (s *submitted) messages() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.list...)
}

// Users are u0, u1, …: uid 1000, 1001, …; v0, v1, … share uid 900 and have homes below the root of mailboxes.
func (h *host) User(_ context.Context, a address.Address) (table.User, string, error) {
	name, ext := address.SplitExtension(a.Local, "+")
	if h.later[name] {
		return table.User{}, "", route.ErrLater
	}
	var n uint32
	if _, err := fmt.Sscanf(name, "u%d", &n); err == nil {
		home := filepath.Join(h.homes, name)
		return table.User{Name: name, UID: 1000 + n, GID: 1000 + n, Home: home, Maildir: home + "/Maildir"}, ext, nil
	}
	if _, err := fmt.Sscanf(name, "v%d", &n); err == nil {
		home := filepath.Join(h.cfg.MailRoot, a.Domain, name)
		return table.User{Name: name + "@" + a.Domain, UID: 900, GID: 900, Home: home, Maildir: home + "/Maildir"}, ext, nil
	}
	return table.User{}, "", fmt.Errorf("%w: %s", route.ErrUnknown, a)
}

func (h *host) Alias(a address.Address) (table.Alias, bool, error) {
	alias, ok := h.aliases[a.Local]
	return alias, ok, nil
}

func (h *host) Qualify(a address.Address) address.Address {
	if a.Domain == "" {
		a.Domain = "example.org"
	}
	return a
}

// newHost makes a host; run starts its manager.
func newHost(t *testing.T) *host {
	t.Helper()
	dir := t.TempDir()
	h := &host{t: t, root: dir + "/spool", homes: dir + "/home", log: &logBuffer{}, submit: &submitted{}, starter: &starter{starts: make(map[uint32]int)}}
	h.cfg = config.Default()
	h.cfg.Hostname, h.cfg.Origin, h.cfg.MailRoot = "mail.example.org", "example.org", dir+"/vmail"
	l := &h.cfg.LocalDeliver
	l.WorkerTimeout, l.MinBackoff, l.MaxBackoff = config.Duration(20*time.Second), config.Duration(time.Hour), config.Duration(time.Hour)
	for _, d := range []string{h.homes, h.cfg.MailRoot, h.homes + "/u0", h.homes + "/u1", h.homes + "/u2"} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := spool.Init(h.root); err != nil {
		t.Fatal(err)
	}
	var err error
	if h.stage, err = spool.OpenStage(h.root, spool.StageOptions{MessageSize: 1 << 20}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.stage.Close() })
	return h
}

func (h *host) run() {
	h.t.Helper()
	log := logline.NewWriter(h.log, "localdeliver", logline.Text)
	channel, err := spool.OpenChannel(h.root, envelope.Local, spool.ChannelOptions{Log: log})
	if err != nil {
		h.t.Fatal(err)
	}
	h.channel = channel
	h.manager = New(channel, h.starter, 4, log)
	h.manager.Configure(Settings{Config: h.cfg, Router: h, Submitter: h.submit, Host: h.cfg.Hostname})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.manager.Run(ctx) }()
	h.stop = func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				h.t.Errorf("manager: %v", err)
			}
		case <-time.After(60 * time.Second):
			h.t.Fatalf("the manager does not end:\n%s", h.log)
		}
		if err := channel.Close(); err != nil {
			h.t.Error(err)
		}
		h.stop = func() {}
	}
	h.t.Cleanup(func() { h.stop() })
}

const body = "From: carol@example.net\r\nSubject: hello\r\n\r\nText\r\n"

// queue accepts a message and returns its id.
func (h *host) queue(change func(*envelope.Envelope), to ...string) string {
	h.t.Helper()
	e := &envelope.Envelope{
		From: envelope.Sender{Addr: address.Address{Local: "carol", Domain: "example.net"}}, Origin: envelope.OriginMX, UID: envelope.NoUID,
		Client: envelope.Client{Name: "unknown", Proto: "ESMTP"},
	}
	for _, s := range to {
		e.To = append(e.To, envelope.Recipient{Addr: address.Address{Local: s, Domain: "example.org"}, Via: envelope.Local})
	}
	if change != nil {
		change(e)
	}
	m, err := h.stage.Create(e, false)
	if err != nil {
		h.t.Fatal(err)
	}
	defer m.Abort()
	if _, err := io.WriteString(m, body); err != nil {
		h.t.Fatal(err)
	}
	if err := m.Commit(); err != nil {
		h.t.Fatal(err)
	}
	return m.ID()
}

// await polls until ok, and tells the log when that never comes.
func (h *host) await(what string, ok func() bool) {
	h.t.Helper()
	for range 3000 {
		if ok() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	h.t.Fatalf("waited in vain for %s:\n%s", what, h.log)
}

func (h *host) awaitLog(id, text string) {
	h.t.Helper()
	h.await(id+": "+text, func() bool {
		for l := range strings.SplitSeq(h.log.String(), "\n") {
			if strings.Contains(l, id) && strings.Contains(l, text) {
				return true
			}
		}
		return false
	})
}

// queued lists the entries of the queue.
func (h *host) queued() (list []spool.Entry) {
	h.t.Helper()
	if err := spool.List(h.root, envelope.Local, func(e spool.Entry) error { list = append(list, e); return nil }); err != nil {
		h.t.Fatal(err)
	}
	return list
}

// mail lists the files of a Maildir's new/.
func (h *host) mail(home string) []string {
	h.t.Helper()
	list, err := filepath.Glob(filepath.Join(home, "Maildir/new/*"))
	if err != nil {
		h.t.Fatal(err)
	}
	return list
}

func (h *host) home(user string) string { return filepath.Join(h.homes, user) }

// flush makes a message due that waits, or is about to.
func (h *host) flush(id string) {
	h.t.Helper()
	h.await("flush of "+id, func() bool {
		n, err := queue.Steering{Schedule: h.manager.schedule, Spool: h.root, Via: envelope.Local}.Flush(h.t.Context(), control.Selection{Anyone: true, ID: id})
		return n == 1 && err == nil
	})
}

func TestDeliver(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	before := h.queue(nil, "u0")
	h.run()
	after := h.queue(nil, "u1", "v0", "u0+list")
	for _, id := range []string{before, after} {
		h.awaitLog(id, ": removed")
	}
	if len(h.mail(h.home("u0"))) != 2 || len(h.mail(h.home("u1"))) != 1 || len(h.mail(h.cfg.MailRoot+"/example.org/v0")) != 1 {
		t.Errorf("mail: %v %v", h.mail(h.home("u0")), h.mail(h.home("u1")))
	}
	if q := h.queued(); len(q) > 0 {
		t.Errorf("left: %v", q)
	}
	log := h.log.String()
	for _, want := range []string{
		before + ": from=<carol@example.net>, size=49, nrcpt=1 (queue active)",
		after + ": to=<v0@example.org>, relay=virtual, delay=",
		"dsn=2.0.0, status=sent (delivered to maildir)",
	} {
		if !strings.Contains(log, want) {
			t.Errorf("log lacks %q:\n%s", want, log)
		}
	}
	if got := h.mail(h.home("u1"))[0]; !strings.Contains(got, "."+after+".mail.example.org,S=") {
		t.Errorf("name %s", got)
	}
}

func TestUnknown(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.run()
	id := h.queue(func(e *envelope.Envelope) { e.To[1].Notify = []string{"never"} }, "nobody", "noone", "u0")
	h.awaitLog(id, ": removed")
	got := h.submit.messages()
	if len(got) != 1 || !strings.HasPrefix(got[0], "<> -> carol@example.net: ") || !strings.Contains(got[0], "Final-Recipient: rfc822; nobody@example.org") ||
		strings.Contains(got[0], "noone@") || !strings.Contains(got[0], "Status: 5.1.1") {
		t.Errorf("reports: %q", got)
	}
	if len(h.mail(h.home("u0"))) != 1 {
		t.Error("the good recipient got nothing")
	}
}

func TestDeferred(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.later = map[string]bool{"u2": true}
	h.aliases = map[string]table.Alias{
		"prog": {Name: "prog", Members: []table.Member{{Kind: table.MemberCommand, Text: "x"}}},
		"u1":   {Name: "u1", Members: []table.Member{{Kind: table.MemberMailbox}}},
	}
	h.run()
	id := h.queue(nil, "u0", "u1", "u2", "prog", "postmaster")
	h.awaitLog(id, "to=<u2@example.org>, relay=local")
	h.await("deferral", func() bool { q := h.queued(); return len(q) == 1 && q[0].Name.Due > time.Now().Unix()+1000 })
	info, err := h.queued()[0].Read()
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, r := range info.Pending() {
		left = append(left, fmt.Sprintf("%s %s", r.Addr.Local, info.Last(r.Line).Reply.Status()))
	}
	if got := strings.Join(left, ", "); got != "u2 4.3.0, prog 4.3.5, postmaster 4.3.5" {
		t.Errorf("left: %s", got)
	}
	h.stop()
	h.later, h.aliases = nil, nil
	h.run()
	h.flush(id)
	h.awaitLog(id, "to=<prog@example.org>, relay=local")
	h.await("u2", func() bool { return len(h.mail(h.home("u2"))) == 1 })
	if len(h.mail(h.home("u0"))) != 1 || len(h.mail(h.home("u1"))) != 1 {
		t.Error("delivered twice")
	}
}

func TestExpire(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.later = map[string]bool{"u2": true}
	h.aliases = map[string]table.Alias{"prog": {Name: "prog", Members: []table.Member{{Kind: table.MemberCommand, Text: "x"}}}}
	h.cfg.LocalDeliver.QueueLifetime = config.Duration(time.Nanosecond)
	h.run()
	id := h.queue(nil, "u2")
	h.awaitLog(id, "status=deferred") // the first attempt of this process
	h.flush(id)
	h.awaitLog(id, "status=expired")
	h.awaitLog(id, ": removed")
	if got := h.submit.messages(); len(got) != 1 || !strings.Contains(got[0], "Status: 5.4.7") {
		t.Errorf("reports: %q", got)
	}
	id = h.queue(nil, "prog")
	h.awaitLog(id, "status=deferred")
	h.flush(id)
	h.await("deferral", func() bool { return h.count("status=deferred (alias") == 2 && len(h.queued()) == 1 })
	if h.count("status=expired") != 1 {
		t.Errorf("it expired:\n%s", h.log)
	}
}

func TestForward(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	write := func(user, text string) {
		if err := os.WriteFile(h.home(user)+"/.forward", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("u0", "dave@example.net, erin")
	write("u1", "\\u1, dave@example.net")
	write("u2", "refused@example.net")
	uids := make(map[string]int64) // of the copies
	h.submit.answer = func(e *smtpc.Envelope) error {
		uids[fmt.Sprint(e.To[0].Addr, " ", len(e.To))] = e.UID
		if len(e.To) > 0 && e.To[0].Addr.Local == "refused" {
			return &report.RefusedError{Recipients: []int{0}, Err: reply.New(550, 1, 1, "refused@example.net is no such user").With(smtpc.ErrRecipients)}
		}
		return nil
	}
	h.run()
	id := h.queue(nil, "u0", "u1", "u2")
	h.awaitLog(id, ": removed")
	got := strings.Join(h.submit.messages(), "|")
	for _, want := range []string{
		"<carol@example.net> -> dave@example.net erin@example.org: Delivered-To: u0@example.org\r\n" + body,
		"<carol@example.net> -> dave@example.net: Delivered-To: u1@example.org\r\n" + body,
		"Final-Recipient: rfc822; u2@example.org\r\nAction: failed\r\nStatus: 5.1.1",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in %q", want, got)
		}
	}
	if strings.Contains(got, "refused@example.net") {
		t.Errorf("the sender was told a private address: %q", got)
	}
	if want := map[string]int64{"dave@example.net 2": 1000, "dave@example.net 1": 1001, "refused@example.net 1": 1002, "carol@example.net 1": envelope.NoUID}; !maps.Equal(uids, want) {
		t.Errorf("copies count as mail of %v, not %v", uids, want)
	}
	if len(h.mail(h.home("u0"))) != 0 || len(h.mail(h.home("u1"))) != 1 {
		t.Error("mailboxes")
	}
}

func TestDoubleBounce(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.run()
	null := func(e *envelope.Envelope) { e.From.Addr = address.Address{} }
	h.awaitLog(h.queue(null, "nobody"), ": removed")
	got := h.submit.messages()
	if len(got) != 1 || !strings.HasPrefix(got[0], "<> -> postmaster@example.org: ") || !strings.Contains(got[0], "Postmaster copy") {
		t.Errorf("%q", got)
	}
	h.awaitLog(h.queue(func(e *envelope.Envelope) {
		null(e)
		e.To[0].Orig = address.Address{Local: "postmaster", Domain: "example.org"}
	}, "nobody"), ": removed")
	if got := h.submit.messages(); len(got) != 1 {
		t.Errorf("the postmaster was told of himself: %q", got)
	}
}

// TestReportLater has the report refused for now: it is made again, from the journal.
func TestReportLater(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.submit.answer = func(*smtpc.Envelope) error { return errors.New("smtpd is away") }
	h.run()
	id := h.queue(nil, "nobody")
	h.awaitLog(id, "notification failed for now")
	h.await("deferral", func() bool { q := h.queued(); return len(q) == 1 && q[0].Name.Due > time.Now().Unix()+1000 })
	h.submit.mu.Lock()
	h.submit.answer = nil
	h.submit.mu.Unlock()
	h.flush(id)
	h.awaitLog(id, ": removed")
	if got := h.submit.messages(); len(got) != 1 || !strings.Contains(got[0], "Status: 5.1.1") {
		t.Errorf("%q", got)
	}
	if n := strings.Count(h.log.String(), "status=bounced"); n != 1 {
		t.Errorf("%d failures in the log", n)
	}
}

func TestSuccessReport(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.run()
	id := h.queue(func(e *envelope.Envelope) { e.To[0].Notify = []string{"success"} }, "u0")
	h.awaitLog(id, ": removed")
	if got := h.submit.messages(); len(got) != 1 || !strings.Contains(got[0], "Action: delivered\r\nStatus: 2.0.0") {
		t.Errorf("%q", got)
	}
}

// TestBadWorkers gives one user workers that lie, die or hang: that user waits, the others do not, and nothing is lost.
func TestBadWorkers(t *testing.T) {
	t.Parallel()
	lie := func(r *job.Result) func(net.Conn) {
		return func(c net.Conn) {
			in, out := job.NewDecoder(c), job.NewEncoder(c)
			in.Hello()
			n, _ := in.Batch()
			for range n {
				j, err := in.Job()
				if err != nil {
					return
				}
				in.Discard(int(j.Size))
			}
			for range n {
				out.Result(r)
			}
			out.Flush()
			io.Copy(io.Discard, c)
		}
	}
	for name, bad := range map[string]func(net.Conn){
		"dies":                  func(net.Conn) {},
		"hangs":                 func(c net.Conn) { io.Copy(io.Discard, c) },
		"garbage":               func(c net.Conn) { go io.Copy(io.Discard, c); c.Write(bytes.Repeat([]byte{0xff}, 1000)) },
		"claims another's file": lie(&job.Result{Kind: job.Delivered, File: "1.other.host,S=1,W=1", Reply: reply.New(250, 0, 0, "")}),
		"has no reason":         lie(&job.Result{Kind: job.Failed, Reply: &reply.Reply{}}),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			h.cfg.LocalDeliver.WorkerTimeout = config.Duration(1500 * time.Millisecond)
			h.starter.serve = func(uid uint32, n int) func(net.Conn) {
				if uid == 1000 && n == 1 {
					return bad
				}
				return honest
			}
			h.run()
			first := h.queue(nil, "u0")
			second := h.queue(nil, "u1")
			h.awaitLog(second, ": removed")
			h.awaitLog(first, "dsn=4.3.0, status=deferred (delivery process failed")
			h.flush(first)
			h.awaitLog(first, ": removed")
			if len(h.mail(h.home("u0"))) != 1 {
				t.Error("lost or doubled")
			}
		})
	}
}

// TestStall holds one user's worker while many messages come for it: another user's mail passes, and all arrives in the end.
func TestStall(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	release := make(chan struct{})
	h.starter.serve = func(uid uint32, n int) func(net.Conn) {
		return func(c net.Conn) {
			if uid == 1000 && n == 1 {
				<-release
			}
			honest(c)
		}
	}
	h.cfg.LocalDeliver.BatchSize = 4
	h.run()
	h.manager.gate.Extend(20 - maxActive) // a small host
	const n = 60
	for range n {
		h.queue(nil, "u0")
	}
	other := h.queue(nil, "u1")
	h.awaitLog(other, ": removed")
	if len(h.mail(h.home("u0"))) != 0 {
		t.Error("it did not stall")
	}
	close(release)
	h.await("all mail", func() bool { return len(h.mail(h.home("u0"))) == n && len(h.queued()) == 0 })
	if strings.Contains(h.log.String(), "status=deferred") {
		t.Errorf("deferred:\n%s", h.log)
	}
}

// TestManyRecipients has more recipients of one lane than it takes at a time, and more lanes than workers.
func TestManyRecipients(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.cfg.LocalDeliver.BatchSize = 5
	h.run()
	var to []string
	for i := range 60 {
		to = append(to, fmt.Sprintf("v%d", i))
	}
	for i := range 12 {
		user := fmt.Sprintf("u%d", i)
		if err := os.MkdirAll(h.home(user), 0o700); err != nil {
			t.Fatal(err)
		}
		to = append(to, user)
	}
	id := h.queue(nil, to...)
	h.awaitLog(id, ": removed")
	for _, user := range to {
		home := h.home(user)
		if user[0] == 'v' {
			home = filepath.Join(h.cfg.MailRoot, "example.org", user)
		}
		if len(h.mail(home)) != 1 {
			t.Errorf("%s: %v", user, h.mail(home))
		}
	}
}

// TestAgain starts over with a message that was delivered though the queue does not know: it comes once.
func TestAgain(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	id := h.queue(nil, "u0")
	path := filepath.Join(h.root, "local/new", id)
	if err := os.Link(path, path+".kept"); err != nil {
		t.Fatal(err)
	}
	h.run()
	h.awaitLog(id, ": removed")
	h.stop()
	got := h.mail(h.home("u0"))
	if len(got) != 1 {
		t.Fatal(got)
	}
	read := filepath.Join(h.home("u0"), "Maildir/cur", filepath.Base(got[0])+":2,S")
	if err := os.Rename(got[0], read); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".kept", path+",again"); err != nil {
		t.Fatal(err)
	}
	h.run()
	h.await("removal", func() bool { return strings.Count(h.log.String(), id+": removed") == 2 })
	if _, err := os.Stat(read); err != nil || len(h.mail(h.home("u0"))) != 0 {
		t.Errorf("it came twice: %v %v", err, h.mail(h.home("u0")))
	}
}
