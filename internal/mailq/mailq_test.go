package mailq

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"postrider/internal/address"
	"postrider/internal/control"
	"postrider/internal/envelope"
	"postrider/internal/reply"
	"postrider/internal/spool"
	"postrider/internal/usertest"
)

func addr(t *testing.T, s string) address.Address {
	t.Helper()
	a, err := address.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// newSpool makes a spool with its channels.
func newSpool(t *testing.T) (root string) {
	t.Helper()
	root = filepath.Join(t.TempDir(), "spool")
	if err := spool.Init(root); err != nil {
		t.Fatal(err)
	}
	return root
}

func consumer(t *testing.T, root string, via envelope.Via) *spool.Channel {
	t.Helper()
	c, err := spool.OpenChannel(root, via, spool.ChannelOptions{AllowRemote: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// put accepts a message and returns its id.
func put(t *testing.T, root string, uid int64, to ...envelope.Recipient) string {
	t.Helper()
	s, err := spool.OpenStage(root, spool.StageOptions{MessageSize: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	m, err := s.Create(&envelope.Envelope{From: envelope.Sender{Addr: addr(t, "alice@example.org")}, To: to, Origin: envelope.OriginLocal, UID: uid,
		Client: envelope.Client{Name: "localhost"}, Time: time.Now()}, false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Write([]byte("Subject: x\r\n\r\nhello\r\n")); err != nil {
		t.Fatal(err)
	}
	if err := m.Commit(); err != nil {
		t.Fatal(err)
	}
	return m.ID()
}

func local(t *testing.T, s string) envelope.Recipient {
	return envelope.Recipient{Addr: addr(t, s), Via: envelope.Local}
}

func scan(t *testing.T, root string, via envelope.Via) map[string]*control.Entry {
	t.Helper()
	found := make(map[string]*control.Entry)
	if err := (Files{Root: root, Via: via}).List(t.Context(), nil, func(e *control.Entry) error {
		found[e.ID] = e
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return found
}

func dest(*envelope.Envelope) string { return "*" }

func here(root string) Files { return Files{Root: root, Via: envelope.Local} }

func TestScan(t *testing.T) {
	t.Parallel()
	root := newSpool(t)
	c := consumer(t, root, envelope.Local)
	orig := local(t, "carol@example.org")
	orig.Orig = addr(t, "list@example.org")
	bob := local(t, "bob@example.org")
	far := envelope.Recipient{Addr: addr(t, "far@example.net"), Via: envelope.Remote}

	incoming := put(t, root, 1000, bob, far)
	active, deferred, held, bad := put(t, root, -1, bob), put(t, root, 1000, bob, orig), put(t, root, 0, bob), put(t, root, 0, bob)
	for _, id := range []string{active, deferred, held, bad} {
		i, err := c.Pickup(id, dest)
		if err != nil {
			t.Fatal(err)
		}
		switch id {
		case active:
			err = i.Close()
		case deferred:
			err = errors.Join(
				c.Record(i, spool.Result{Lines: []int{i.Envelope.To[0].Line}, Status: spool.Sent, Attempts: 1},
					spool.Result{Lines: []int{i.Envelope.To[1].Line}, Status: spool.Deferred, Attempts: 2, Relay: "mx", Reply: reply.New(452, 2, 2, "mailbox full")}),
				c.Defer(i, time.Now().Add(time.Hour)))
		case held:
			err = c.Hold(i)
		case bad:
			err = c.Bad(i, errors.New("test"))
		}
		if err != nil {
			t.Fatal(err)
		}
	}

	got := scan(t, root, envelope.Local)
	for id, want := range map[string]control.State{incoming: control.Incoming, active: control.Active, deferred: control.Deferred, held: control.Hold, bad: control.Corrupt} {
		if e := got[id]; e == nil || e.State != want || e.Channel != "local" || e.Size != 21 || e.Sender != "alice@example.org" || time.Since(e.Arrival) > time.Hour {
			t.Errorf("%s: %+v", want, e)
		}
	}
	d := got[deferred]
	if len(d.Recipients) != 1 || d.Recipients[0].Address != "carol@example.org" || d.Recipients[0].Orig != "list@example.org" ||
		d.Recipients[0].Reason() != "mx: 452 4.2.2 mailbox full" || time.Since(d.Recipients[0].Tried) > time.Hour || d.Hop != "*" ||
		d.Attempts != 2 || d.UID != 1000 || time.Until(d.Due) < 59*time.Minute {
		t.Errorf("deferred: %+v", d)
	}
	if e := got[incoming]; len(e.Recipients) != 1 || e.Recipients[0].Address != "bob@example.org" {
		t.Errorf("incoming: %+v", e)
	}
	if e := scan(t, root, envelope.Remote)[incoming]; e == nil || len(e.Recipients) != 1 || e.Recipients[0].Address != "far@example.net" {
		t.Errorf("remote: %+v", e)
	}
}

// TestScanDirt: what is no queue file is shown as such, and holds up nothing.
func TestScanDirt(t *testing.T) {
	t.Parallel()
	root := newSpool(t)
	consumer(t, root, envelope.Local)
	good := put(t, root, 0, local(t, "bob@example.org"))
	dir := filepath.Join(root, "local", "new")
	name := func(c string) string { return filepath.Join(dir, c+good[1:]) }
	for _, err := range []error{
		os.WriteFile(name("0"), []byte("garbage"), 0o600),
		os.WriteFile(name("1"), nil, 0o600),
		os.Symlink("/etc/passwd", name("2")),
		os.Mkdir(name("3"), 0o700),
		syscall.Mkfifo(name("4"), 0o600),
		os.WriteFile(filepath.Join(dir, "README"), nil, 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	got := scan(t, root, envelope.Local)
	if len(got) != 6 || got[good].State != control.Incoming {
		t.Errorf("got %v", got)
	}
	for id, e := range got {
		if id != good && (e.State != control.Corrupt || e.Trouble == "") {
			t.Errorf("%s: %+v", id, e)
		}
	}
}

// TestScanOne: a message is found wherever it lies, by whatever name, and nothing else is touched.
func TestScanOne(t *testing.T) {
	t.Parallel()
	root := newSpool(t)
	consumer(t, root, envelope.Local)
	id, other := put(t, root, 0, local(t, "bob@example.org")), put(t, root, 0, local(t, "bob@example.org"))
	dir := filepath.Join(root, "local")
	queued := spool.Name{Due: 1760000000, ID: id, Dest: "example.org"}.String()
	at := "new/" + id
	for _, c := range []struct {
		path  string
		state control.State
	}{
		{"new/" + id, control.Incoming},
		{"new/" + id + ",again", control.Incoming},
		{"new/" + queued, control.Incoming},
		{"cur/" + spool.Hash(id) + "/" + queued, control.Active},
		{"hold/" + queued, control.Hold},
		{"bad/" + id, control.Corrupt},
		{"bad/" + id + ".1", control.Corrupt},
		{"bad/" + queued, control.Corrupt},
		{"bad/" + queued + ".1", control.Corrupt},
	} {
		if err := os.Rename(filepath.Join(dir, at), filepath.Join(dir, c.path)); err != nil {
			t.Fatal(err)
		}
		at = c.path
		var got []*control.Entry
		err := here(root).List(t.Context(), []string{id}, func(e *control.Entry) error {
			got = append(got, e)
			return nil
		})
		if err != nil || len(got) != 1 || got[0].ID != id || got[0].State != c.state || len(got[0].Recipients) != 1 {
			t.Errorf("%s: %+v, %v", c.path, got, err)
		}
	}
	elsewhere := []string{"", "0", "../../x", other + "x", strings.ToUpper(other)}
	if err := here(root).List(t.Context(), elsewhere, func(e *control.Entry) error { return errors.New(e.ID) }); err != nil {
		t.Error(err)
	}
}

// TestScanOneReadsOne: a question about one message costs the same in a long queue.
func TestScanOneReadsOne(t *testing.T) {
	t.Parallel()
	root := newSpool(t)
	consumer(t, root, envelope.Local)
	id := put(t, root, 0, local(t, "bob@example.org"))
	near := spool.Name{Due: 1, ID: id, Dest: "example.org"}.String()
	for i := range 256 { // directories that cannot be read as such
		cur := filepath.Join(root, "local", "cur", fmt.Sprintf("%02x", i))
		if filepath.Base(cur) == spool.Hash(id) {
			if err := os.Rename(filepath.Join(root, "local", "new", id), filepath.Join(cur, near)); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := errors.Join(os.Remove(cur), os.WriteFile(cur, nil, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	n := 0
	if err := here(root).List(t.Context(), []string{id}, func(*control.Entry) error { n++; return nil }); err != nil || n != 1 {
		t.Errorf("found %d, %v", n, err)
	}
}

func TestScanEnds(t *testing.T) {
	t.Parallel()
	root := newSpool(t)
	consumer(t, root, envelope.Local)
	put(t, root, 0, local(t, "bob@example.org"))
	stop := errors.New("enough")
	if err := here(root).List(t.Context(), nil, func(*control.Entry) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := here(root).List(ctx, nil, func(*control.Entry) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func examples() []*control.Entry {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.Local)
	return []*control.Entry{
		{ID: "b0123456789bcdfg", State: control.Deferred, Channel: "local", Arrival: at, Size: 1500, Sender: "alice@example.org", Due: at.Add(time.Hour), Attempts: 3, Hop: "x", UID: -1,
			Recipients: []control.Recipient{{Address: "a@x", Relay: "mx", Reply: "452 4.2.2 mailbox full"}, {Address: "b@x", Relay: "mx", Reply: "452 4.2.2 mailbox full"}, {Address: "c@x", Orig: "list@x"}}},
		{ID: "b0123456789bcdfh", State: control.Active, Channel: "remote", Arrival: at, Size: 700, Recipients: []control.Recipient{{Address: "d@x"}}},
		{ID: "b0123456789bcdfj", State: control.Hold, Channel: "local", Arrival: at, Size: 1, Sender: "evil\x1b[2J@x",
			Recipients: []control.Recipient{{Address: "e@x", Reply: strings.Repeat("long ", 30) + "\nend"}}},
		{ID: "b0123456789bcdfk", State: control.Corrupt, Channel: "local", Arrival: at, Trouble: "envelope syntax"},
	}
}

func TestText(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	out := newText(&b)
	for _, e := range examples() {
		if err := out.entry(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := out.end(); err != nil {
		t.Fatal(err)
	}
	want := `----Queue ID----- --Size-- ---Arrival Time---- --Sender/Recipient------
b0123456789bcdfg      1500 Fri Jan  2 03:04:05 alice@example.org
                                                  (mx: 452 4.2.2 mailbox full)
                                               a@x
                                               b@x
                                                          (reason unavailable)
                                               c@x

b0123456789bcdfh*      700 Fri Jan  2 03:04:05 MAILER-DAEMON
                                               d@x

b0123456789bcdfj!        1 Fri Jan  2 03:04:05 evil?[2J@x
(` + strings.Repeat("long ", 30) + ` end)
                                               e@x

b0123456789bcdfk?        0 Fri Jan  2 03:04:05 MAILER-DAEMON
                                                             (envelope syntax)

-- 2 Kbytes in 4 Requests.
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
	b.Reset()
	if err := newText(&b).end(); err != nil || b.String() != "Mail queue is empty\n" {
		t.Errorf("empty: %q, %v", b.String(), err)
	}
}

func TestJSON(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	out := newObjects(&b)
	for _, e := range examples() {
		if err := out.entry(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := out.end(); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
	if len(lines) != 4 {
		t.Fatalf("got %s", b.String())
	}
	at := examples()[0].Arrival.Unix()
	want := fmt.Sprintf(`{"queue_name":"deferred","queue_id":"b0123456789bcdfg","arrival_time":%d,"message_size":1500,"forced_expire":false,"sender":"alice@example.org",`+
		`"recipients":[{"address":"a@x","delay_reason":"mx: 452 4.2.2 mailbox full","relay":"mx","last_reply":"452 4.2.2 mailbox full"},{"address":"b@x","delay_reason":"mx: 452 4.2.2 mailbox full","relay":"mx","last_reply":"452 4.2.2 mailbox full"},{"address":"c@x","orig_address":"list@x"}],`+
		`"channel":"local","next_attempt":%d,"attempts":3,"next_hop":"x"}`, at, at+3600)
	if lines[0] != want {
		t.Errorf("got  %s\nwant %s", lines[0], want)
	}
	for _, l := range lines {
		if !json.Valid([]byte(l)) {
			t.Errorf("no JSON: %s", l)
		}
	}
}

// TestFirstLineAtOnce: the first message is shown before the second is found.
func TestFirstLineAtOnce(t *testing.T) {
	t.Parallel()
	for _, makePrinter := range []func(io.Writer) printer{
		func(w io.Writer) printer { return newText(w) }, func(w io.Writer) printer { return newObjects(w) },
	} {
		var b bytes.Buffer
		if err := makePrinter(&b).entry(examples()[0]); err != nil || !strings.Contains(b.String(), "b0123456789bcdfg") {
			t.Errorf("got %q, %v", b.String(), err)
		}
	}
}

func call(t *testing.T, r *Request) (status int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	status = r.Run(t.Context(), &out, &errs)
	return status, out.String(), errs.String()
}

func TestRun(t *testing.T) {
	t.Parallel()
	root := newSpool(t)
	for _, via := range []envelope.Via{envelope.Local, envelope.Remote} {
		consumer(t, root, via)
	}
	if status, stdout, stderr := call(t, &Request{SpoolDir: root}); status != exitOK || stdout != "Mail queue is empty\n" || stderr != "" {
		t.Errorf("empty: %d, %q, %q", status, stdout, stderr)
	}
	far := envelope.Recipient{Addr: addr(t, "far@example.net"), Via: envelope.Remote}
	both, one := put(t, root, 0, local(t, "bob@example.org"), far), put(t, root, 0, far)
	status, stdout, _ := call(t, &Request{SpoolDir: root})
	if status != exitOK || strings.Count(stdout, both) != 2 || strings.Count(stdout, one) != 1 || !strings.HasSuffix(stdout, "-- 0 Kbytes in 3 Requests.\n") {
		t.Errorf("%d, %s", status, stdout)
	}
	status, stdout, _ = call(t, &Request{SpoolDir: root, IDs: []string{one}, JSON: true})
	if status != exitOK || strings.Contains(stdout, both) || strings.Count(stdout, one) != 1 {
		t.Errorf("one: %d, %s", status, stdout)
	}
	status, stdout, _ = call(t, &Request{SpoolDir: root, IDs: []string{one, "x", "", both, one}, JSON: true})
	if status != exitOK || strings.Count(stdout, both) != 2 || strings.Count(stdout, one) != 1 {
		t.Errorf("several: %d, %s", status, stdout)
	}
}

// queue answers as a daemon does.
type queue struct{ root string }

func (q queue) List(ctx context.Context, s control.Selection, show func(*control.Entry) error) error {
	return here(q.root).List(ctx, nil, show)
}

func (queue) Flush(context.Context, control.Selection) (int, error) { return 7, nil }

func (q queue) Steer(ctx context.Context, a control.Action, ids []string, s control.Selection) ([]control.Outcome, error) {
	outcomes, err := here(q.root).Do(ctx, a, ids, s.May)
	return Told(outcomes), err
}

func (q queue) Open(ctx context.Context, s control.Selection) (io.ReadCloser, int64, error) {
	return here(q.root).Open(ctx, s.ID, s.May)
}

// TestUnprivileged: who may not read the spool asks the daemon and sees what it shows him.
func TestUnprivileged(t *testing.T) {
	t.Parallel()
	if !usertest.Run(t) {
		return
	}
	root := newSpool(t)
	consumer(t, root, envelope.Local)
	id := put(t, root, int64(os.Getuid()), local(t, "bob@example.org"))
	status, stdout, stderr := call(t, &Request{RunDir: serve(t, root, nil), SpoolDir: forbidden(t)})
	if status != exitOK || !strings.HasPrefix(stdout, "----Queue ID") || !strings.Contains(stdout, id) || stderr != "" {
		t.Errorf("%d, %q, %q", status, stdout, stderr)
	}
}

// serve answers for the local channel of a spool, and returns the run directory.
func serve(t testing.TB, root string, rights func(uint32) control.Rights) (dir string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "pr")
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(dir, "local.ctl"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- (&control.Server{Queue: queue{root}, Rights: rights}).Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		os.RemoveAll(dir)
	})
	return dir
}

// forbidden is a spool whose directories cannot be read, but by root.
func forbidden(t *testing.T) string {
	t.Helper()
	root := newSpool(t)
	for _, via := range []string{"local", "remote"} {
		dir := filepath.Join(root, via)
		if err := os.Chmod(dir, 0); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.Chmod(dir, 0o700) })
	}
	return root
}

func TestDown(t *testing.T) {
	t.Parallel()
	if !usertest.Run(t) {
		return
	}
	r := &Request{RunDir: t.TempDir(), SpoolDir: forbidden(t)}
	if status, stdout, stderr := call(t, r); status != exitUnavailable || stdout != "" || !strings.Contains(stderr, "mail system is down") {
		t.Errorf("%d, %q, %q", status, stdout, stderr)
	}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errors.New("no space") }

func TestOutputFails(t *testing.T) {
	t.Parallel()
	var errs bytes.Buffer
	if status := (&Request{SpoolDir: newSpool(t)}).Run(t.Context(), fullDisk{}, &errs); status != exitIO || !strings.Contains(errs.String(), "no space") {
		t.Errorf("%d, %q", status, errs.String())
	}
}
