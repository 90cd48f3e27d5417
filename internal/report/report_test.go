package report

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"postrider/internal/address"
	"postrider/internal/envelope"
	"postrider/internal/logline"
	"postrider/internal/reply"
	"postrider/internal/smtpc"
	"postrider/internal/spool"
)

// desk is a channel with a message in it and an smtpd that takes reports.
type desk struct {
	t        *testing.T
	root     string
	channel  *spool.Channel
	reporter *Reporter
	s        *Settings
	log      logBuffer
	item     *spool.Item

	mu     sync.Mutex
	asked  int
	sent   []handed
	answer func(e *smtpc.Envelope) error // nil: yes
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

// handed is a message that smtpd took.
type handed struct {
	*smtpc.Envelope
	text string
}

func (h handed) to() string { return h.To[0].Addr.String() }

func (h handed) field(name string) string {
	for l := range strings.SplitSeq(h.text, "\r\n") {
		if value, ok := strings.CutPrefix(l, name+": "); ok {
			return value
		}
	}
	return ""
}

func (d *desk) Submit(_ context.Context, e *smtpc.Envelope, message io.Reader) error {
	b, err := io.ReadAll(message)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked++
	if d.answer != nil {
		if err := d.answer(e); err != nil {
			return err
		}
	}
	d.sent = append(d.sent, handed{e, string(b)})
	return nil
}

func addr(s string) address.Address {
	a, err := address.Parse(s)
	if err != nil {
		panic(err)
	}
	return a
}

const text = "From: alice@example.org\r\nSubject: hello\r\n\r\nText\r\n"

// newDesk has a message from alice for so many recipients r0@example.net, r1@…
func newDesk(t *testing.T, n int, change func(*envelope.Envelope)) *desk {
	t.Helper()
	d := &desk{t: t, root: filepath.Join(t.TempDir(), "spool")}
	d.s = &Settings{Submitter: d, Hostname: "mail.example.org", Postmaster: addr("postmaster@example.org"), Lifetime: 120 * time.Hour, DelayAfter: 4 * time.Hour}
	e := &envelope.Envelope{
		From: envelope.Sender{Addr: addr("alice@example.org")}, Origin: envelope.OriginAuth, UID: envelope.NoUID, Time: time.Now(),
		Client: envelope.Client{Name: "unknown", Proto: "ESMTP"},
	}
	for i := range n {
		e.To = append(e.To, envelope.Recipient{Addr: addr(fmt.Sprintf("r%d@example.net", i)), Via: envelope.Remote})
	}
	if change != nil {
		change(e)
	}
	d.queue(e)
	d.open()
	return d
}

func (d *desk) queue(e *envelope.Envelope) {
	d.t.Helper()
	if err := spool.Init(d.root); err != nil {
		d.t.Fatal(err)
	}
	stage, err := spool.OpenStage(d.root, spool.StageOptions{MessageSize: 1 << 20})
	if err != nil {
		d.t.Fatal(err)
	}
	defer stage.Close()
	m, err := stage.Create(e, false)
	if err != nil {
		d.t.Fatal(err)
	}
	defer m.Abort()
	if _, err := io.WriteString(m, text); err != nil {
		d.t.Fatal(err)
	}
	if err := m.Commit(); err != nil {
		d.t.Fatal(err)
	}
}

// open takes the channel and the message, as a start does.
func (d *desk) open() {
	d.t.Helper()
	log := logline.NewWriter(&d.log, "relayd", logline.Text)
	var err error
	if d.channel, err = spool.OpenChannel(d.root, envelope.Remote, spool.ChannelOptions{Log: log}); err != nil {
		d.t.Fatal(err)
	}
	d.reporter = New(d.channel, log)
	d.t.Cleanup(func() { d.close() })
	var name spool.Name
	if err := d.channel.Scan(func(n spool.Name) error { name = n; return nil }); err != nil {
		d.t.Fatal(err)
	}
	if name.ID != "" {
		d.item, err = d.channel.Open(name)
	} else {
		ctx, cancel := context.WithCancel(d.t.Context())
		err = d.channel.Watch(ctx, func(s string) {
			d.item, err = d.channel.Pickup(s, func(*envelope.Envelope) string { return "example.net" })
			cancel()
		})
	}
	if err != nil || d.item == nil {
		d.t.Fatal("no message: ", err)
	}
}

func (d *desk) close() {
	if d.item != nil {
		d.item.Close()
		d.channel.Close()
		d.item = nil
	}
}

// restart is the death of the daemon and its next life.
func (d *desk) restart() {
	d.t.Helper()
	d.close()
	d.open()
}

func (d *desk) round() *Round { return d.reporter.Round(d.t.Context(), d.s, d.item) }

// record gives recipients, by their numbers, a result.
func (d *desk) record(status spool.Status, rep *reply.Reply, which ...int) {
	d.t.Helper()
	res := spool.Result{Status: status, Reply: rep, Attempts: 1, Relay: "mx.example.net[192.0.2.1]:25"}
	for _, i := range which {
		res.Lines = append(res.Lines, d.item.Envelope.To[i].Line)
	}
	if err := d.channel.Record(d.item, res); err != nil {
		d.t.Fatal(err)
	}
}

// age makes the message older.
func (d *desk) age(by time.Duration) { d.item.Envelope.Time = d.item.Envelope.Time.Add(-by) }

func all(n int) []int {
	list := make([]int, n)
	for i := range list {
		list[i] = i
	}
	return list
}

// told lists whom all reports are to and which recipients they are about.
func (d *desk) told() string {
	var out []string
	for _, h := range d.sent {
		var about []string
		for l := range strings.SplitSeq(h.text, "\r\n") {
			if who, ok := strings.CutPrefix(l, "Final-Recipient: rfc822; "); ok {
				about = append(about, strings.TrimSuffix(who, "@example.net"))
			}
		}
		out = append(out, h.to()+" "+h.field("Action")+" "+strings.Join(about, ","))
	}
	return strings.Join(out, "; ")
}

func (d *desk) expect(want string) {
	d.t.Helper()
	if got := d.told(); got != want {
		d.t.Errorf("told %q, want %q\n%s", got, want, d.log.String())
	}
}

var unknown = reply.New(550, 1, 1, "unknown user")

var later = reply.New(451, 7, 1, "greylisted")

// refuses is smtpd with an answer to RCPT for some addresses.
func refuses(rep *reply.Reply, to ...string) func(*smtpc.Envelope) error {
	return func(e *smtpc.Envelope) error {
		if slices.Contains(to, e.To[0].Addr.String()) {
			return &RefusedError{Recipients: []int{0}, Err: rep.With(smtpc.ErrRecipients)}
		}
		return nil
	}
}

// TestFailures has two rounds of failures: each recipient is in one report, whatever happens in between.
func TestFailures(t *testing.T) {
	t.Parallel()
	d := newDesk(t, 5, func(e *envelope.Envelope) {
		e.To[1].Notify = []string{"never"}
		e.To[2].Notify = []string{"success", "delay"}
		e.To[3].Notify = []string{"failure"}
	})
	if !d.round().Failures() || d.asked > 0 {
		t.Error("told of nothing")
	}
	d.record(spool.Failed, unknown, 0, 1, 2)
	for range 2 {
		if !d.round().Failures() {
			t.Error("not told")
		}
	}
	d.restart()
	if !d.round().Failures() {
		t.Error("not told after a restart")
	}
	d.record(spool.Expired, later, 3)
	if !d.round().Failures() {
		t.Error("not told the second time")
	}
	d.expect("alice@example.org failed r0; alice@example.org failed r3")
	first, second := d.sent[0], d.sent[1]
	if first.field("Status") != "5.1.1" || first.field("Remote-MTA") != "dns; mx.example.net" || first.field("Diagnostic-Code") != "smtp; 550 5.1.1 unknown user" {
		t.Errorf("%s", first.text)
	}
	if second.field("Status") != "5.4.7" || !strings.Contains(second.text, "451 4.7.1 greylisted") {
		t.Errorf("%s", second.text)
	}
	if a, b := first.field("Message-ID"), second.field("Message-ID"); a == b || a == "" {
		t.Errorf("Message-IDs %s and %s", a, b)
	}
	for _, h := range d.sent {
		if !h.From.Addr.IsNull() || h.Parent != d.item.Envelope.ID || h.UID != envelope.NoUID || !slices.Equal(h.To[0].Notify, []string{"never"}) {
			t.Errorf("envelope %+v", h.Envelope)
		}
	}
}

// TestWho says which host said it.
func TestWho(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		res  spool.Result
		want string // Remote-MTA; where it is this host, Diagnostic-Code
	}{
		{spool.Result{Relay: "mx.example.net[192.0.2.1]:25", Reply: unknown}, "dns; mx.example.net"},
		{spool.Result{Relay: "192.0.2.1[192.0.2.1]:25", Reply: unknown}, "dns; [192.0.2.1]"},
		{spool.Result{Relay: "mx.example.net[2001:db8::1]:25", Reply: unknown, Ours: true}, "X-Postrider; mx.example.net[2001:db8::1]: unknown user"},
		{spool.Result{Relay: "mx.example.net[192.0.2.1]:25", Reply: reply.New(451, 4, 2, "lost connection with mx.example.net"), Ours: true}, "X-Postrider; lost connection with mx.example.net"},
		{spool.Result{Relay: "local", Reply: unknown}, "X-Postrider; unknown user"},
		{spool.Result{Relay: "none", Reply: unknown, Ours: true}, "X-Postrider; unknown user"},
		{spool.Result{Relay: "a]b", Reply: unknown}, "X-Postrider; unknown user"},
		{spool.Result{Reply: unknown}, "X-Postrider; unknown user"},
		{spool.Result{}, "X-Postrider; no reason is on record"},
		{spool.Result{Status: spool.Expired, Relay: "mx.example.net[192.0.2.1]:25", Reply: later}, "dns; mx.example.net"},
		{spool.Result{Status: spool.Expired, Relay: "mx.example.net[192.0.2.1]:25", Reply: unknown}, "dns; mx.example.net"},
		{spool.Result{Status: spool.Expired, Relay: "mx.example.net[192.0.2.1]:25", Reply: reply.New(554, 4, 7, "gave up: mx.example.net is slow")}, "X-Postrider; gave up: mx.example.net is slow"},
	} {
		d := newDesk(t, 1, nil)
		res := test.res
		res.Lines = []int{d.item.Envelope.To[0].Line}
		if res.Status == "" {
			res.Status = spool.Failed
		}
		if err := d.channel.Record(d.item, res); err != nil {
			t.Fatal(err)
		}
		d.restart()
		if !d.round().Failures() || len(d.sent) != 1 {
			t.Fatalf("%+v: %d reports", res, len(d.sent))
		}
		code := d.sent[0].field("Remote-MTA")
		if code == "" {
			code = d.sent[0].field("Diagnostic-Code")
		}
		if code != test.want {
			t.Errorf("%+v: %q, want %q", res, code, test.want)
		}
		if wait := res.Status == spool.Expired; wait && d.sent[0].field("Status") != "5.4.7" {
			t.Errorf("%s", d.sent[0].text)
		}
		d.close()
	}
}

// TestSenderRefused has nobody but the postmaster to tell.
func TestSenderRefused(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(*desk)
		want   string
		log    string
	}{
		"refused":      {func(d *desk) { d.answer = refuses(unknown, "alice@example.org") }, "postmaster@example.org failed r0", "the postmaster was told"},
		"null":         {func(d *desk) { d.item.Envelope.From.Addr = address.Address{} }, "postmaster@example.org failed r0", "the postmaster was told"},
		"both refused": {func(d *desk) { d.answer = refuses(unknown, "alice@example.org", "postmaster@example.org") }, "", "the postmaster's address is refused"},
		"a report": {func(d *desk) {
			d.item.Envelope.From.Addr, d.item.Envelope.Origin = address.Address{}, envelope.OriginDSN
		}, "", "itself a report"},
		"a forged report": {func(d *desk) {
			d.answer, d.item.Envelope.Origin = refuses(unknown, "alice@example.org"), envelope.OriginDSN
		}, "", "itself a report"},
		"to him": {func(d *desk) { d.item.Envelope.From.Addr, d.s.Postmaster = address.Address{}, addr("R0@example.net") }, "", "mail to the postmaster dropped"},
		"to him, by alias": {func(d *desk) {
			d.item.Envelope.From.Addr, d.item.Envelope.To[0].Orig = address.Address{}, addr("Postmaster@example.org")
		}, "", "mail to the postmaster dropped"},
		"there is none": {func(d *desk) { d.item.Envelope.From.Addr, d.s.Postmaster = address.Address{}, address.Address{} }, "", "no postmaster"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t, 1, nil)
			d.record(spool.Failed, unknown, 0)
			test.change(d)
			if !d.round().Failures() {
				t.Error("to be tried again")
			}
			asked := d.asked
			if !d.round().Failures() || d.asked != asked {
				t.Error("told twice")
			}
			d.expect(test.want)
			if !strings.Contains(d.log.String(), test.log) {
				t.Errorf("the log lacks %q:\n%s", test.log, d.log.String())
			}
		})
	}
}

// TestLater has smtpd answer, or not, that a report has to wait: it waits, is made once in the end, and does not count as made.
func TestLater(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		err   error
		asked int // in one round that has more to hand over
	}{
		"away":              {errors.New("connect: no such file"), 1},
		"temporary refusal": {reply.New(451, 3, 0, "lookup failed"), 3},
		"recipient later":   {&RefusedError{Err: reply.New(451, 3, 0, "lookup failed").With(smtpc.ErrRecipients)}, 3},
		"no room":           {reply.New(452, 3, 1, "disk full"), 3},
		"refusal of ours":   {reply.New(554, 3, 0, "no"), 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t, 2, nil)
			d.age(5 * time.Hour)
			d.record(spool.Failed, unknown, 0)
			d.record(spool.Deferred, later, 1)
			d.answer = func(*smtpc.Envelope) error { return test.err }
			r := d.round()
			if r.Failures() {
				t.Error("it passes for told")
			}
			r.Delays()
			if err := r.Hand(&smtpc.Envelope{To: d.item.Envelope.To[:1]}, strings.NewReader(text)); !errors.Is(err, test.err) {
				t.Errorf("handed over: %v", err)
			}
			if d.asked != test.asked {
				t.Errorf("asked %d times", d.asked)
			}
			d.answer = nil
			d.restart()
			d.age(5 * time.Hour)
			r = d.round()
			if !r.Failures() {
				t.Error("not told")
			}
			r.Delays()
			r.Delays()
			d.expect("alice@example.org failed r0; alice@example.org delayed r1")
		})
	}
}

// forgetful is a journal that the disk does not take reports into.
type forgetful struct{ *spool.Channel }

var errDisk = errors.New("no space left on device")

func (f forgetful) Record(i *spool.Item, results ...spool.Result) error {
	if results[0].Status == spool.Reported || results[0].Status == spool.Delayed {
		return errDisk
	}
	return f.Channel.Record(i, results...)
}

// TestCrash has the daemon die between smtpd's 250 and the journal: the report comes again, as the same.
func TestCrash(t *testing.T) {
	t.Parallel()
	d := newDesk(t, 3, nil)
	d.record(spool.Failed, unknown, 1)
	d.record(spool.Deferred, later, 2)
	d.age(5 * time.Hour)
	d.reporter.journal = forgetful{d.channel}
	r := d.round()
	if r.Failures() {
		t.Error("it passes for told")
	}
	r.Delays()
	d.restart()
	d.age(5 * time.Hour)
	r = d.round()
	if !r.Failures() {
		t.Error("not told")
	}
	r.Delays()
	d.expect("alice@example.org failed r1; alice@example.org delayed r2; alice@example.org failed r1; alice@example.org delayed r2")
	for i := range 2 {
		if a, b := d.sent[i].field("Message-ID"), d.sent[i+2].field("Message-ID"); a != b {
			t.Errorf("Message-IDs %s and %s", a, b)
		}
	}
}

// TestMany has more failures than one report takes: each is in one of them, and what was taken is not sent again.
func TestMany(t *testing.T) {
	t.Parallel()
	const n = 2*maxRecipients + 500
	d := newDesk(t, n, nil)
	d.record(spool.Failed, unknown, all(n)...)
	d.answer = func(*smtpc.Envelope) error {
		if d.asked == 2 {
			return errors.New("smtpd is away")
		}
		return nil
	}
	if d.round().Failures() {
		t.Error("it passes for told")
	}
	d.restart()
	if !d.round().Failures() {
		t.Error("not told")
	}
	about := make(map[string]int)
	ids := make(map[string]bool)
	for _, h := range d.sent {
		ids[h.field("Message-ID")] = true
		for l := range strings.SplitSeq(h.text, "\r\n") {
			if who, ok := strings.CutPrefix(l, "Final-Recipient: "); ok {
				about[who]++
			}
		}
		if got := strings.Count(h.text, "said: "); got != 1 {
			t.Errorf("%d times the same, for people", got)
		}
	}
	if len(d.sent) != 3 || len(ids) != 3 || len(about) != n {
		t.Errorf("%d reports, %d Message-IDs, %d recipients", len(d.sent), len(ids), len(about))
	}
	for who, times := range about {
		if times != 1 {
			t.Errorf("%s: %d times", who, times)
		}
	}
}

// TestFullRefused has smtpd refuse a report with the whole message: its header goes.
func TestFullRefused(t *testing.T) {
	t.Parallel()
	d := newDesk(t, 1, func(e *envelope.Envelope) { e.From.Ret = "full" })
	d.record(spool.Failed, unknown, 0)
	d.answer = func(*smtpc.Envelope) error {
		if d.asked == 1 {
			return reply.New(552, 3, 4, "too large")
		}
		return nil
	}
	if !d.round().Failures() {
		t.Error("not told")
	}
	if d.expect("alice@example.org failed r0"); strings.Contains(d.sent[0].text, "message/rfc822") {
		t.Error("returned whole")
	}
	d = newDesk(t, 1, func(e *envelope.Envelope) { e.From.Ret = "full" })
	d.record(spool.Failed, unknown, 0)
	if !d.round().Failures() || !strings.Contains(d.sent[0].text, "Content-Type: message/rfc822") {
		t.Error("not returned whole")
	}
}

// TestPostmasterShare bounds what the postmaster gets of strangers' and of our own users' mail.
func TestPostmasterShare(t *testing.T) {
	t.Parallel()
	d := newDesk(t, 1, func(e *envelope.Envelope) { e.From.Addr = address.Address{} })
	d.record(spool.Failed, unknown, 0)
	d.s.DelayAfter = 0
	d.reporter.journal = forgetful{d.channel}
	for origin, want := range map[envelope.Origin]int{envelope.OriginMX: 3, envelope.OriginLocal: 10} {
		before := len(d.sent)
		for range 20 {
			d.item.Envelope.Origin = origin
			d.round().Failures()
		}
		if got := len(d.sent) - before; got != want {
			t.Errorf("%s: %d", origin, got)
		}
	}
}

// TestDelays tells the sender once for each recipient.
func TestDelays(t *testing.T) {
	t.Parallel()
	d := newDesk(t, 6, func(e *envelope.Envelope) {
		e.To[2].Notify = []string{"never"}
		e.To[3].Notify = []string{"failure", "success"}
		e.To[4].Notify = []string{"delay"}
	})
	d.record(spool.Deferred, later, 0, 2, 3, 4) // r5 is not tried yet
	d.record(spool.Sent, reply.New(250, 0, 0, "ok"), 1)
	at, ok := d.round().WarnAt()
	if age := at.Sub(d.item.Envelope.Time); !ok || age < 4*time.Hour || age > 4*time.Hour+time.Second || at.Nanosecond() != 0 {
		t.Errorf("warn at an age of %v, %v", age, ok)
	}
	d.age(4*time.Hour - time.Minute)
	d.round().Delays()
	d.expect("")
	d.age(time.Minute + 2*time.Second)
	d.round().Delays()
	d.expect("alice@example.org delayed r0,r4")
	h := d.sent[0]
	if h.field("Status") != "4.7.1" || h.field("Will-Retry-Until") == "" || !strings.HasPrefix(h.field("Subject"), "Delayed mail") || !strings.Contains(h.text, "need not send it again") {
		t.Errorf("%s", h.text)
	}
	d.round().Delays()
	d.restart()
	d.age(200 * time.Hour)
	d.record(spool.Deferred, later, 0, 4, 5)
	d.round().Delays()
	d.expect("alice@example.org delayed r0,r4; alice@example.org delayed r5")
	if d.sent[1].field("Will-Retry-Until") != "" {
		t.Error("it is tried until a time that has passed")
	}
	if at, ok := d.round().WarnAt(); ok {
		t.Errorf("once more at %v", at)
	}
}

// TestNoDelay has those who are not told, and nobody in their place.
func TestNoDelay(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*desk){
		"null sender": func(d *desk) { d.item.Envelope.From.Addr = address.Address{} },
		"a report":    func(d *desk) { d.item.Envelope.Origin = envelope.OriginDSN },
		"switched":    func(d *desk) { d.s.DelayAfter = 0 },
		"refused":     func(d *desk) { d.answer = refuses(unknown, "alice@example.org") },
		"delivered":   func(d *desk) { d.record(spool.Sent, reply.New(250, 0, 0, "ok"), 0) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t, 1, nil)
			d.age(5 * time.Hour)
			d.record(spool.Deferred, later, 0)
			change(d)
			d.round().Delays()
			d.round().Delays()
			d.expect("")
			if _, ok := d.round().WarnAt(); ok || d.asked > 1 {
				t.Errorf("asked %d times, once more: %v", d.asked, ok)
			}
		})
	}
}

// TestSuccess tells those who asked, and nobody else.
func TestSuccess(t *testing.T) {
	t.Parallel()
	d := newDesk(t, 4, func(e *envelope.Envelope) {
		e.To[0].Notify = []string{"success"}
		e.To[1].Notify = []string{"success", "failure"}
		e.To[2].Notify = []string{"never"}
	})
	result := func(i int) spool.Result {
		return spool.Result{Lines: []int{d.item.Envelope.To[i].Line}, Status: spool.Sent, Relay: "mx.example.net[192.0.2.1]:25", Reply: &reply.Reply{Code: 250, Text: "queued as 1"}}
	}
	r := d.round()
	r.Relayed(result(1), result(2), result(3))
	r.Delivered(result(0), result(3))
	r.Delivered()
	d.expect("alice@example.org relayed r1; alice@example.org delivered r0")
	if got := d.sent[0].field("Status"); got != "2.0.0" {
		t.Errorf("status %s", got)
	}
	d.answer = refuses(unknown, "alice@example.org")
	r.Relayed(result(1))
	d.item.Envelope.From.Addr = address.Address{}
	r.Delivered(result(0))
	if len(d.sent) != 2 {
		t.Errorf("told somebody else: %s", d.told())
	}
}

// TestHeld has a message that was released from hold: the report about it is not held.
func TestHeld(t *testing.T) {
	t.Parallel()
	d := newDesk(t, 1, nil)
	d.item.Envelope.Hold = "suspicious"
	d.record(spool.Failed, unknown, 0)
	if !d.round().Failures() {
		t.Error("not told")
	}
	d.expect("alice@example.org failed r0")
}

// TestUTF8 has an address that cannot be told in ASCII: to a sender who can read it, as it is.
func TestUTF8(t *testing.T) {
	t.Parallel()
	for announced, want := range map[bool]string{true: "utf-8; r\u00fc@example.net", false: `utf-8; r\x{FC}@example.net`} {
		d := newDesk(t, 1, func(e *envelope.Envelope) {
			e.From.SMTPUTF8 = announced
			e.To[0].Addr.Local = "r\u00fc"
		})
		d.record(spool.Failed, unknown, 0)
		if !d.round().Failures() {
			t.Error("not told")
		}
		if h := d.sent[0]; h.field("Final-Recipient") != want || h.From.SMTPUTF8 != announced {
			t.Errorf("%+v %s", h.From, h.text)
		}
	}
}
