package story

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"postrider/internal/address"
	"postrider/internal/config"
	"postrider/internal/control"
	"postrider/internal/envelope"
	"postrider/internal/logline"
	"postrider/internal/reply"
	"postrider/internal/spool"
)

var update = flag.Bool("update", false, "write the golden files anew")

var (
	came = time.Date(2026, 11, 21, 10, 0, 0, 123456000, time.UTC)
	now  = came.Add(20 * time.Minute)
)

// rig is a spool and a log. Ids in what it compares are those of the tests.
type rig struct {
	t     *testing.T
	root  string
	log   strings.Builder
	names map[string]string // given to ids
}

func newRig(t *testing.T) *rig {
	r := &rig{t: t, root: filepath.Join(t.TempDir(), "spool"), names: make(map[string]string)}
	if err := spool.Init(r.root); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

func addr(t *testing.T, s string) address.Address {
	t.Helper()
	if s == "" {
		return address.Address{}
	}
	a, err := address.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// put accepts a message for hosts elsewhere under a name and returns its id.
func (r *rig) put(name string, edit func(e *envelope.Envelope), to ...string) string {
	r.t.Helper()
	s, err := spool.OpenStage(r.root, spool.StageOptions{MessageSize: 1})
	r.must(err)
	defer s.Close()
	e := &envelope.Envelope{From: envelope.Sender{Addr: addr(r.t, "alice@example.org")}, Origin: envelope.OriginLocal, UID: 1000, Client: envelope.Client{Name: "localhost"}, Time: came}
	for _, s := range to {
		e.To = append(e.To, envelope.Recipient{Addr: addr(r.t, s), Via: envelope.Remote})
	}
	if edit != nil {
		edit(e)
	}
	m, err := s.Create(e, false)
	r.must(err)
	_, err = m.Write([]byte("Received: x\r\nMessage-ID:\r\n <" + name + "@example.org>\r\nSubject: x\r\n\r\nMessage-ID: <no@x>\r\n"))
	r.must(err)
	r.must(m.Commit())
	r.names[m.ID()] = strings.ToUpper(name)
	return m.ID()
}

// with does something with a message that its daemon has picked up.
func (r *rig) with(id string, do func(c *spool.Channel, i *spool.Item) error) {
	r.t.Helper()
	c, err := spool.OpenChannel(r.root, envelope.Remote, spool.ChannelOptions{AllowRemote: true})
	r.must(err)
	defer c.Close()
	i, err := c.Pickup(id, func(*envelope.Envelope) string { return "example.net" })
	r.must(err)
	r.must(do(c, i))
}

// write logs an event.
func (r *rig) write(at time.Duration, program string, e logline.Event) {
	var out strings.Builder
	logline.NewWriter(&out, program, logline.Text).Log(e)
	fmt.Fprintf(&r.log, "%s mx %s", came.Add(at).Format("2006-01-02T15:04:05.000000Z0700"), &out)
}

func (r *rig) request(what string) *Request {
	r.t.Helper()
	q, _, err := parse([]string{what})
	r.must(err)
	q.Config, q.Now = config.Default(), now
	q.Config.SpoolDir, q.Config.RunDir = r.root, filepath.Join(r.t.TempDir(), "run")
	file := filepath.Join(r.t.TempDir(), "log")
	r.must(os.WriteFile(file, []byte(r.log.String()), 0o600))
	q.Logs = []string{file}
	return q
}

// expect compares an answer with a golden file.
func (r *rig) expect(what, name string, status int) {
	r.t.Helper()
	var out, errs bytes.Buffer
	if got := r.request(what).Run(r.t.Context(), &out, &errs); got != status {
		r.t.Errorf("%s: status %d, want %d", what, got, status)
	}
	text := out.String()
	if errs.Len() > 0 {
		text += "stderr:\n" + errs.String()
	}
	for id, name := range r.names {
		text = strings.ReplaceAll(text, id, name)
	}
	text = strings.ReplaceAll(text, r.root, "/spool")
	text = regexp.MustCompile(`[0-9]{10},`).ReplaceAllString(text, "DUE,")
	path := filepath.Join("testdata", name+".txt")
	if *update {
		r.must(os.WriteFile(path, []byte(text), 0o644))
	}
	want, err := os.ReadFile(path)
	if err != nil || string(want) != text {
		r.t.Errorf("%v, got\n%s\nwant\n%s", err, text, want)
	}
}

// record makes results of an attempt, one for each recipient in turn.
func record(c *spool.Channel, i *spool.Item, due time.Duration, results ...spool.Result) error {
	for k := range results {
		results[k].Lines = []int{i.Envelope.To[k].Line}
	}
	return errors.Join(c.Record(i, results...), c.Defer(i, came.Add(due)))
}

const mx = "mx1.example.net[192.0.2.1]:25"

var greylisted = spool.Result{Time: came.Add(10 * time.Minute), Status: spool.Deferred, Attempts: 2, Relay: mx, Reply: reply.New(451, 7, 1, "greylisted\x1b[31m")}

func TestDeferred(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.put("one", func(e *envelope.Envelope) { e.Client.Auth = "alice" }, "bob@example.net", "carol@example.net", "nobody@example.net")
	r.with(id, func(c *spool.Channel, i *spool.Item) error {
		return record(c, i, 25*time.Minute, greylisted,
			spool.Result{Time: came.Add(time.Minute), Status: spool.Sent, Attempts: 1, Relay: mx, Reply: reply.New(250, 0, 0, "Ok: queued")},
			spool.Result{Time: came.Add(time.Minute), Status: spool.Failed, Attempts: 1, Relay: mx, Reply: reply.New(550, 1, 1, "no such user")})
	})
	r.expect(id, "deferred-journal", exitOK)

	notice := r.put("notice", func(e *envelope.Envelope) {
		e.From.Addr, e.Parent, e.Origin = address.Address{}, id, envelope.OriginDSN
	}, "alice@example.org")
	other := r.put("other", nil, "x@example.net")
	r.write(0, "smtpd", logline.Accept{ID: id, Client: "local[uid=1000]", Username: "alice", Method: "PLAIN", UID: "1000"})
	r.write(0, "smtpd", logline.MessageID{ID: id, MessageID: "<one@example.org>"})
	r.write(0, "smtpd", logline.Accept{ID: other, Client: "local[uid=1000]"})
	r.write(time.Second, "relayd", logline.Active{ID: id, From: "alice@example.org", Size: 100, Rcpt: 3})
	r.write(time.Minute, "relayd", logline.Delivery{ID: id, To: "carol@example.net", Relay: mx, DSN: "2.0.0", Status: "sent", Text: "250 2.0.0 Ok: queued"})
	r.write(time.Minute, "relayd", logline.Delivery{ID: id, To: "nobody@example.net", OrigTo: "n@example.org", Relay: mx, DSN: "5.1.1", Status: "bounced", Text: "host mx1 said: 550 5.1.1 no such user"})
	r.write(time.Minute, "relayd", logline.Delivery{ID: id, To: "bob@example.net", Relay: "none", DSN: "4.4.1", Status: "deferred", Text: "connection refused"})
	r.write(time.Minute, "smtpd", logline.Accept{ID: notice, Client: "local[uid=999]", Parent: id})
	r.write(time.Minute, "smtpd", logline.MessageID{ID: notice, MessageID: "<" + id + ".r3@mail.example.com>"})
	r.write(time.Minute, "relayd", logline.Active{ID: notice, From: "", Size: 1, Rcpt: 1})
	r.write(time.Minute, "relayd", logline.Queue{ID: id, Action: "sender non-delivery notification", Text: "<x@y>"})
	r.write(time.Minute+time.Second, "relayd", logline.Delivery{ID: notice, To: "alice@example.org", Relay: mx, DSN: "2.0.0", Status: "sent", Text: "ok"})
	r.write(2*time.Minute, "relayd", logline.Notice{Severity: logline.LevelWarning, Text: id + ": something"})
	r.write(3*time.Minute, "relayd", logline.Notice{Severity: logline.LevelError, Text: id + ": worse"})
	r.expect(id, "deferred", exitOK)
	r.expect("<one@example.org>", "deferred", exitOK)
	r.expect(notice, "notice", exitOK)
}

func TestStates(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	incoming := r.put("incoming", func(e *envelope.Envelope) { e.To[0].Via = envelope.Local }, "bob@example.org")
	r.expect(incoming, "incoming", exitOK)

	held := r.put("held", func(e *envelope.Envelope) { e.Hold = "suspicious" }, "bob@example.net")
	c, err := spool.OpenChannel(r.root, envelope.Remote, spool.ChannelOptions{AllowRemote: true})
	r.must(err)
	if _, err := c.Pickup(held, func(*envelope.Envelope) string { return "example.net" }); !errors.Is(err, spool.ErrHeld) {
		t.Fatalf("picked up with %v", err)
	}
	c.Close()
	r.expect(held, "held", exitOK)

	bad := r.put("bad", nil, "bob@example.net")
	r.with(bad, func(c *spool.Channel, i *spool.Item) error { return c.Bad(i, errors.New("test")) })
	r.expect(bad, "bad", exitOK)

	active := r.put("active", func(e *envelope.Envelope) { e.From.Addr = address.Address{} }, "bob@example.net")
	r.with(active, func(c *spool.Channel, i *spool.Item) error { return record(c, i, 0, greylisted) })
	r.expect(active, "active", exitOK)
}

func TestGone(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id, lost := "b8bby5wdt90bpmfm", "b8bby5wdt90bpmfx"
	r.expect(id, "unknown", exitUnknown)
	r.write(0, "smtpd", logline.Accept{ID: id, Client: "mail.example.com[192.0.2.9]", Parent: "b8bby5wdt90bpmfb"})
	r.write(0, "localdeliver", logline.Active{ID: id, From: "x@example.com", Size: 10, Rcpt: 1})
	r.write(time.Second, "localdeliver", logline.Delivery{ID: id, To: "bob@example.org", Relay: "local", DSN: "2.0.0", Status: "sent", Text: "delivered to maildir"})
	r.write(time.Second, "localdeliver", logline.Removed{ID: id})
	r.write(0, "relayd", logline.Delivery{ID: lost, To: "bob@example.org", Relay: "none", DSN: "4.0.0", Status: "deferred", Text: "x"})
	r.expect(id, "gone", exitOK)
	r.expect(lost, "lost", exitOK)
	r.expect("nobody@example.org", "unknown-message-id", exitUnknown)
}

// A forwarded copy has the Message-ID of the message that it was made from; its story belongs to that one's.
func TestForward(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	first, copied, again := "b8bby5wdt90bpmfb", "b8bby5wdt90bpmfc", "b8bby5wdt90bpmfd"
	for _, id := range []string{first, again} {
		r.write(0, "smtpd", logline.Accept{ID: id, Client: "u[192.0.2.9]"})
		r.write(0, "smtpd", logline.MessageID{ID: id, MessageID: "<same@x>"})
	}
	r.write(time.Second, "smtpd", logline.Accept{ID: copied, Client: "local[uid=9]", Parent: first})
	r.write(time.Second, "smtpd", logline.MessageID{ID: copied, MessageID: "<same@x>"})
	r.write(2*time.Second, "relayd", logline.Active{ID: copied, From: "a@b", Size: 1, Rcpt: 1})
	r.expect("same@x", "forward", exitOK)
}

func TestMessageIDInQueue(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.put("wanted", nil, "bob@example.net")
	r.put("unwanted", nil, "bob@example.net")
	r.expect("<wanted@example.org>", "by-message-id", exitOK)
	r.expect("<no@x>", "not-in-header", exitUnknown)
}

func TestManyEvents(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for n := range 1000 {
		r.write(time.Duration(n)*time.Second, "relayd", logline.Delivery{ID: "b8bby5wdt90bpmfm", To: fmt.Sprintf("u%d@example.org", n), Relay: "none", DSN: "4.0.0", Status: "deferred", Text: "x"})
	}
	var out, errs bytes.Buffer
	r.request("b8bby5wdt90bpmfm").Run(t.Context(), &out, &errs)
	if text := out.String(); strings.Count(text, "\n") != maxEvents+4 || !strings.Contains(text, "… 800 more …") || !strings.Contains(text, "<u99@") || strings.Contains(text, "<u100@") || !strings.Contains(text, "<u900@") {
		t.Errorf("%d lines:\n%.2000s", strings.Count(text, "\n"), text)
	}
}

// entries is a daemon's queue.
type entries []*control.Entry

func (q entries) List(_ context.Context, _ control.Selection, show func(*control.Entry) error) error {
	for _, e := range q {
		if err := show(e); err != nil {
			return err
		}
	}
	return nil
}

func (entries) Flush(context.Context, control.Selection) (int, error) { return 0, nil }

func (entries) Steer(context.Context, control.Action, []string, control.Selection) ([]control.Outcome, error) {
	return nil, nil
}

func (entries) Open(context.Context, control.Selection) (io.ReadCloser, int64, error) {
	return nil, 0, fs.ErrNotExist
}

// A user who may not read the queue is told by the daemon of the mail that he sent.
func TestDaemon(t *testing.T) {
	t.Parallel()
	dir, id := t.TempDir(), "b8bby5wdt90bpmfm"
	l, err := net.Listen("unix", filepath.Join(dir, "relay.ctl"))
	if err != nil {
		t.Fatal(err)
	}
	mine := &control.Entry{ID: id, State: control.Deferred, Channel: "remote", Arrival: came, Size: 100, Sender: "alice@example.org", UID: int64(os.Getuid()), Due: came.Truncate(time.Second).Add(time.Hour), Attempts: 3, Hop: "example.net",
		Recipients: []control.Recipient{{Address: "bob@example.net", Relay: mx, Reply: "451 4.7.1 greylisted", Tried: came.Add(time.Minute)}, {Address: "carol@example.net"}}}
	others := *mine
	others.ID, others.UID = "b8bby5wdt90bpmfx", mine.UID+1
	server := &control.Server{Queue: entries{mine, &others}}
	go server.Serve(t.Context(), l)

	q := &queue{config: config.Default(), now: now}
	q.config.RunDir = dir
	found, err := q.askDaemon(t.Context(), "relay.ctl", id)
	if err != nil || len(found) != 1 {
		t.Fatalf("%v, %v", found, err)
	}
	m := found[0]
	if m.state != control.Deferred || m.hop != "example.net" || !m.due.Equal(mine.Due) || len(m.recipients) != 2 || !m.recipients[0].waits ||
		m.recipients[0].attempts != 3 || m.recipients[0].reply != "451 4.7.1 greylisted" || !m.recipients[1].tried.IsZero() {
		t.Errorf("%+v", m)
	}
	if _, err := q.askDaemon(t.Context(), "local.ctl", id); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a daemon: %v", err)
	}
}

func TestSources(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"mail.log", "mail.log.1", "postrider-smtpd/current", "postrider-relayd/current", "postrider-smtpd/@400000006.s", "syslog"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	since := time.Now().Add(-time.Hour)
	if err := os.Chtimes(filepath.Join(dir, "mail.log.1"), since, since.Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range usualFiles(dir, since) {
		name, err := filepath.Rel(dir, s.file)
		if err != nil || !s.usual {
			t.Fatal(err, s)
		}
		got = append(got, name)
	}
	if want := "mail.log postrider-smtpd/@400000006.s postrider-smtpd/current postrider-relayd/current"; strings.Join(got, " ") != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestCommand(t *testing.T) {
	t.Parallel()
	const id = "b8bby5wdt90bpmfm"
	n := 0
	add := func(*logline.Entry) { n++ }
	good := source{command: []string{"/bin/echo", "x\npostrider/smtpd[1]: " + id + ": removed"}}
	if err := good.read(t.Context(), now, add); err != nil || n != 1 {
		t.Errorf("%d entries, %v", n, err)
	}
	if err := (source{command: []string{"/bin/false"}}).read(t.Context(), now, add); err == nil || !strings.Contains(err.Error(), "false: exit status 1") {
		t.Errorf("error %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := scan(ctx, strings.NewReader("x\n"), now, add); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if err := (source{file: "/nonexistent"}).read(t.Context(), now, add); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v", err)
	}
}

func TestLongLines(t *testing.T) {
	t.Parallel()
	n := 0
	text := "postrider/smtpd[1]: b8bby5wdt90bpmfm: " + strings.Repeat("x", 3*maxLogLine) + "\npostrider/smtpd[1]: b8bby5wdt90bpmfm: removed"
	if err := scan(t.Context(), strings.NewReader(text), now, func(*logline.Entry) { n++ }); err != nil || n != 1 {
		t.Errorf("%d entries, %v", n, err)
	}
}

func TestHeaderID(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"Subject: x\r\nMESSAGE-ID :  <a@b> \r\n\r\n":     "<a@b>",
		"Message-ID:\r\n\t<a@b>\r\nX: y\r\n\r\n":         "<a@b>",
		"Message-ID: <a@b>":                              "<a@b>",
		"X: y\r\n Message-ID: <a@b>\r\n\r\n":             "",
		"X: y\r\n\r\nMessage-ID: <a@b>\r\n":              "",
		"Message-ID: <a@b>\r\nMessage-ID: <c@d>\r\n\r\n": "<a@b>",
		"": "",
	} {
		if got := headerID(strings.NewReader(text)); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestArguments(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{"": "expected one message, not 0", "a b": "expected one message, not 2", "xyz": "neither a queue id nor a Message-ID", "-x": "not defined"} {
		var out, errs bytes.Buffer
		if status := run(t.Context(), strings.Fields(args), &out, &errs); status != exitUsage || !strings.Contains(errs.String(), want) {
			t.Errorf("%q: %d, %s", args, status, &errs)
		}
	}
	r, path, err := parse([]string{"-l", "a", "<x@y>", "-l", "-", "-c", "f"})
	if err != nil || r.MessageID != "x@y" || strings.Join(r.Logs, " ") != "a -" || path != "f" {
		t.Errorf("%+v, %q, %v", r, path, err)
	}
}

func FuzzHeaderID(f *testing.F) {
	f.Add("Message-ID: <a@b>\r\n\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		if got := headerID(strings.NewReader(text)); strings.ContainsAny(got, "\n") {
			t.Fatalf("%q gives %q", text, got)
		}
	})
}
