package spool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"postrider/internal/address"
	"postrider/internal/envelope"
	"postrider/internal/logline"
	"postrider/internal/reply"
)

const body = "Subject: hello\r\n\r\nworld\r\n"

func envelopeFor(vias ...envelope.Via) *envelope.Envelope {
	e := &envelope.Envelope{From: envelope.Sender{Addr: address.Address{Local: "alice", Domain: "example.org"}}, Origin: envelope.OriginMX,
		UID: envelope.NoUID, Client: envelope.Client{Name: "unknown", IP: netip.MustParseAddr("192.0.2.1")}, Time: time.Now()}
	for i, v := range vias {
		e.To = append(e.To, envelope.Recipient{Addr: address.Address{Local: fmt.Sprint("r", i), Domain: "example.net"}, Via: v})
	}
	return e
}

// rig is a spool with both its sides.
type rig struct {
	t     *testing.T
	root  string
	log   bytes.Buffer
	mu    sync.Mutex
	stage *Stage
	local *Channel
}

func (r *rig) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.Write(p)
}

func (r *rig) logged() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.String()
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, root: filepath.Join(t.TempDir(), "spool")}
	if err := Init(r.root); err != nil {
		t.Fatal(err)
	}
	r.open()
	t.Cleanup(func() { r.stage.Close(); r.local.Close() })
	return r
}

func (r *rig) open() {
	r.t.Helper()
	var err error
	log := logline.NewWriter(r, "test", logline.Text)
	if r.stage, err = OpenStage(r.root, StageOptions{MessageSize: 1 << 20, Log: log}); err != nil {
		r.t.Fatal(err)
	}
	if r.local, err = OpenChannel(r.root, envelope.Local, ChannelOptions{Log: log}); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) accept(e *envelope.Envelope, text string) string {
	r.t.Helper()
	m, err := r.stage.Create(e, false)
	if err != nil {
		r.t.Fatal(err)
	}
	io.WriteString(m, text)
	if err := m.Commit(); err != nil {
		r.t.Fatal(err)
	}
	return m.ID()
}

func dest(e *envelope.Envelope) string { return e.To[0].Addr.Domain }

func (r *rig) pickup(name string) *Item {
	r.t.Helper()
	i, err := r.local.Pickup(name, dest)
	if err != nil {
		r.t.Fatalf("pick up %s: %v", name, err)
	}
	return i
}

func (r *rig) names(dir string) []string {
	r.t.Helper()
	var names []string
	if err := eachName(filepath.Join(r.root, dir), func(s string) error { names = append(names, s); return nil }); err != nil {
		r.t.Fatal(err)
	}
	slices.Sort(names)
	return names
}

func TestID(t *testing.T) {
	t.Parallel()
	var g ids
	now := time.UnixMicro(1760000000123456)
	a, b := g.next(now), g.next(now)
	if a >= b || !envelope.ValidID(a) || !envelope.ValidID(b) {
		t.Errorf("%s, %s", a, b)
	}
	if got, err := IDTime(a); err != nil || !got.Equal(now) {
		t.Errorf("IDTime(%s) = %v, %v", a, got, err)
	}
	for _, us := range []int64{0, 1, 1<<52 - 1} {
		for _, rnd := range []uint64{0, 1<<randomBits - 1} {
			if got, err := IDTime(formatID(us, rnd)); err != nil || got.UnixMicro() != us {
				t.Errorf("%d, %d: %s is %v, %v", us, rnd, formatID(us, rnd), got.UnixMicro(), err)
			}
		}
	}
}

func TestName(t *testing.T) {
	t.Parallel()
	for _, d := range []string{"example.org", "[IPv6:2001:db8::1]:25", "lmtp:unix:/run/x,y", strings.Repeat("ü", 200), "*", ""} {
		n := Name{1760000000, "0123456789bcdfgh", EscapeDest(d)}
		got, ok := ParseName(n.String())
		if !ok || got != n || len(n.String()) > 255 {
			t.Errorf("%q: %s: %+v, %v", d, n, got, ok)
		}
	}
	for _, s := range []string{"", "1,2,3", "1760000000,0123456789bcdfgh", "1760000000,0123456789bcdfga,x", "176000000,0123456789bcdfgh,x", "1760000000,0123456789bcdfgh,x,y"} {
		if n, ok := ParseName(s); ok {
			t.Errorf("%q: %+v", s, n)
		}
	}
}

func TestAcceptAndDeliver(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.accept(envelopeFor(envelope.Local, envelope.Remote), body)
	if got := r.names("stage"); len(got) != 0 {
		t.Errorf("stage holds %v", got)
	}
	if got := r.names("remote/new"); !slices.Equal(got, []string{id}) {
		t.Errorf("remote/new holds %v", got)
	}
	i := r.pickup(id)
	text, err := io.ReadAll(i.Body())
	if err != nil || string(text) != body || i.Size != int64(len(body)) || i.Again || len(i.Pending()) != 1 {
		t.Errorf("%q, %v, %+v", text, err, i)
	}
	if _, err := r.local.Open(i.Name); err != ErrBusy {
		t.Errorf("opened twice: %v", err)
	}
	if err := r.local.Defer(i, time.Unix(4000000000, 0)); err != nil {
		t.Fatal(err)
	}
	var seen []Name
	if err := r.local.Scan(func(n Name) error { seen = append(seen, n); return nil }); err != nil || len(seen) != 1 || seen[0] != (Name{4000000000, id, "example.net"}) {
		t.Fatalf("%v, %v", seen, err)
	}
	if i, err = r.local.Open(seen[0]); err != nil || !i.Again {
		t.Fatalf("%+v, %v", i, err)
	}
	if err := r.local.Done(i); err != nil {
		t.Fatal(err)
	}
	if _, err := r.local.Open(seen[0]); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after Done: %v", err)
	}
}

func TestLargeMessage(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	text := strings.Repeat("0123456789abcdef\r\n", 20_000)
	i := r.pickup(r.accept(envelopeFor(slices.Repeat([]envelope.Via{envelope.Local}, 3000)...), text))
	got, err := io.ReadAll(i.Body())
	if err != nil || string(got) != text || len(i.Envelope.To) != 3000 || i.Envelope.To[2999].Line != 3002 {
		t.Errorf("%d octets, %v, %d recipients", len(got), err, len(i.Envelope.To))
	}
	i.Close()
}

func TestAbort(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	m, err := r.stage.Create(envelopeFor(envelope.Local), false)
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(m, body)
	m.Abort()
	if err := m.Commit(); err == nil {
		t.Error("commit after abort")
	}
	if s, n := r.names("stage"), r.names("local/new"); len(s)+len(n) != 0 {
		t.Errorf("left behind: %v %v", s, n)
	}
}

func TestAdministratorRemoves(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	m, err := r.stage.Create(envelopeFor(envelope.Local), false)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(r.root, "stage", m.ID()+".local")); err != nil {
		t.Fatal(err)
	}
	if err := m.Commit(); !errors.Is(err, ErrRemoved) {
		t.Errorf("got %v", err)
	}
}

func TestRenameFailsThenWorks(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	m, err := r.stage.Create(envelopeFor(envelope.Local), false)
	if err != nil {
		t.Fatal(err)
	}
	blocker := filepath.Join(r.root, "local/new", m.ID())
	if err := os.Mkdir(blocker, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := m.Commit(); err != nil {
		t.Fatalf("durable, but %v", err)
	}
	if err := os.Remove(blocker); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; {
		if i, err := r.local.Pickup(m.ID(), dest); err == nil {
			i.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("never published")
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func TestGuard(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	var st unix.Statfs_t
	if err := unix.Statfs(r.root, &st); err != nil {
		t.Fatal(err)
	}
	r.stage.SetMessageSize(int64(st.Bavail) * st.Bsize * 3 / 4) // between the two marks
	if _, err := r.stage.Create(envelopeFor(envelope.Local), false); !errors.Is(err, ErrFull) {
		t.Errorf("got %v", err)
	}
	m, err := r.stage.Create(envelopeFor(envelope.Local), true)
	if err != nil {
		t.Fatalf("a notice: %v", err)
	}
	m.Abort()
	r.stage.fail(fmt.Errorf("fsync: %w", unix.EIO))
	if _, err := r.stage.Create(envelopeFor(envelope.Local), true); err != ErrBroken {
		t.Errorf("after EIO: %v", err)
	}
	if !strings.Contains(r.logged(), "input/output error") {
		t.Errorf("not logged: %s", r.logged())
	}
}

// put writes a queue file by hand.
func (r *rig) put(path, id string, e *envelope.Envelope, spoil func([]byte) []byte) {
	r.t.Helper()
	b := envelope.Blank()
	b = e.Append(b)
	env := int64(len(b))
	b = append(b, body...)
	copy(b, envelope.Line1{ID: id, Size: int64(len(body)), Env: env, CRC: crcOf(b)}.Append(nil))
	if spoil != nil {
		b = spoil(b)
	}
	if err := os.WriteFile(filepath.Join(r.root, path), b, 0o640); err != nil {
		r.t.Fatal(err)
	}
}

func TestRecover(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	e := envelopeFor(envelope.Local, envelope.Remote)
	id := func(c string) string { return "0123456789bcdfg" + c }
	r.put("stage/"+id("0")+".local", id("0"), e, nil)
	if err := os.Link(filepath.Join(r.root, "stage", id("0")+".local"), filepath.Join(r.root, "stage", id("0")+".remote")); err != nil {
		t.Fatal(err)
	}
	r.put("stage/"+id("1")+".local", id("1"), e, func(b []byte) []byte { copy(b, envelope.Blank()); return b })
	r.put("stage/"+id("2")+".local", id("2"), e, func([]byte) []byte { return nil })
	r.put("stage/"+id("3")+".local", id("3"), e, func(b []byte) []byte { b[len(b)-3] ^= 1; return b })
	r.put("stage/"+id("4")+".local", id("4"), e, func(b []byte) []byte { return b[:len(b)-1] })
	r.put("stage/"+id("5")+".local", id("6"), e, nil)
	r.put("stage/README", id("7"), e, nil)
	living, err := r.stage.Create(envelopeFor(envelope.Local), false)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.stage.Recover(); err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string][]string{
		"local/new": {id("0") + ",again"}, "remote/new": {id("0") + ",again"},
		"stage/bad": {id("3") + ".local", id("4") + ".local", id("5") + ".local"},
	} {
		if got := r.names(dir); !slices.Equal(got, want) {
			t.Errorf("%s holds %v, want %v", dir, got, want)
		}
	}
	if err := living.Commit(); err != nil {
		t.Errorf("a living message was taken for a dead one: %v", err)
	}
	if i := r.pickup(id("0") + ",again"); !i.Again {
		t.Error("not marked again")
	} else {
		i.Close()
	}
}

func TestPickupTrustsNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	e := envelopeFor(envelope.Local)
	ids := make([]string, 12)
	for k := range ids {
		ids[k] = "0123456789bcdf" + fmt.Sprintf("%02d", k)
	}
	in := func(name string) string { return filepath.Join(r.root, "local/new", name) }
	r.put("victim", ids[0], e, nil)
	os.Symlink(filepath.Join(r.root, "victim"), in(ids[0]))
	unix.Mkfifo(in(ids[1]), 0o600)
	os.Mkdir(in(ids[2]), 0o700)
	r.put("local/new/garbage", ids[3], e, nil)
	for _, name := range []string{ids[0], ids[1], ids[2], "garbage", "../cur", ids[3] + ",x"} {
		if i, err := r.local.Pickup(name, dest); !errors.Is(err, ErrSkip) {
			t.Errorf("%s: %v, %v", name, i, err)
		}
	}
	r.put("local/new/"+ids[4], ids[5], e, nil)
	r.put("local/new/"+ids[6], ids[6], e, func(b []byte) []byte { b[100] ^= 1; return b })
	r.put("local/new/"+ids[7], ids[7], envelopeFor(envelope.Remote), nil)
	r.put("local/new/"+ids[8], ids[8], e, func([]byte) []byte { return []byte("garbage\n") })
	r.put("local/new/"+ids[9], ids[9], e, func(b []byte) []byte { copy(b, envelope.Blank()); return b })
	for _, k := range []int{4, 6, 7, 8, 9} {
		if i, err := r.local.Pickup(ids[k], dest); !errors.Is(err, ErrSkip) {
			t.Errorf("%d: %v, %v", k, i, err)
		}
	}
	if got := r.names("local/bad"); len(got) != 5 {
		t.Errorf("bad/ holds %v", got)
	}
	if os.Geteuid() == 0 {
		r.put("local/new/"+ids[10], ids[10], e, nil)
		if err := os.Chown(in(ids[10]), 4242, 4242); err != nil {
			t.Fatal(err)
		}
		if _, err := r.local.Pickup(ids[10], dest); !errors.Is(err, ErrSkip) {
			t.Errorf("foreign owner: %v", err)
		}
	}
	before := len(r.logged())
	r.local.Pickup(ids[0], dest)
	if len(r.logged()) != before {
		t.Error("the same name logged twice")
	}
	if _, err := r.local.Pickup(ids[11], dest); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("removed meanwhile: %v", err)
	}
}

func TestHoldAndRelease(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	e := envelopeFor(envelope.Local)
	e.Hold = "odd"
	id := r.accept(e, body)
	if _, err := r.local.Pickup(id, dest); err != ErrHeld {
		t.Fatalf("got %v", err)
	}
	release := func(from string) string {
		names := r.names(from)
		if len(names) != 1 {
			t.Fatalf("%s holds %v", from, names)
		}
		if err := os.Rename(filepath.Join(r.root, from, names[0]), filepath.Join(r.root, "local/new", names[0])); err != nil {
			t.Fatal(err)
		}
		return names[0]
	}
	i := r.pickup(release("local/hold"))
	if err := r.local.Hold(i); err != nil {
		t.Fatal(err)
	}
	i = r.pickup(release("local/hold"))
	if err := r.local.Defer(i, time.Unix(4000000000, 0)); err != nil {
		t.Fatal(err)
	}
	i = r.pickup(release("local/cur/" + Hash(id))) // a retry by hand
	if i.Name.Due > time.Now().Unix() || !i.Again {
		t.Errorf("%+v", i.Name)
	}
	old := filepath.Join(r.root, "local/cur", curPath(i.Name))
	copied, err := os.ReadFile(old)
	if err != nil {
		t.Fatal(err)
	}
	again := Name{1, id, "x"}.String()
	os.WriteFile(filepath.Join(r.root, "local/new", again), copied, 0o640)
	if _, err := r.local.Pickup(again, dest); err != ErrBusy {
		t.Errorf("in flight: %v", err)
	}
	i.Close()
	i = r.pickup(again)
	if got := r.names("local/cur/" + Hash(id)); len(got) != 1 {
		t.Errorf("an id in cur/ twice: %v", got)
	}
	i.Close()
}

func TestJournal(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.accept(envelopeFor(envelope.Local, envelope.Remote, envelope.Local, envelope.Local, envelope.Local), body)
	i := r.pickup(id)
	no := reply.New(550, 1, 1, "no such user =+\nhere")
	if err := r.local.Record(i, Result{Lines: []int{3}, Status: Sent, Text: "file"}, Result{Lines: []int{5, 6}, Status: Deferred, Attempts: 2, Reply: reply.New(451, 3, 0, "later")}); err != nil {
		t.Fatal(err)
	}
	if err := r.local.Record(i, Result{Lines: []int{7}, Status: Failed, Reply: no, Relay: "host[192.0.2.1]:25"}); err != nil {
		t.Fatal(err)
	}
	check := func(i *Item) {
		t.Helper()
		p := i.Pending()
		if len(p) != 2 || p[0].Line != 5 || p[1].Line != 6 || i.Attempts() != 2 {
			t.Errorf("pending %+v, attempts %d", p, i.Attempts())
		}
		u := i.Unreported()
		if len(u) != 1 || u[0].Lines[0] != 7 || u[0].Reply.Error() != no.Error() || u[0].Relay != "host[192.0.2.1]:25" {
			t.Errorf("unreported %+v", u)
		}
	}
	check(i)
	i.Close()
	log := filepath.Join(r.root, "local/log", Hash(id), id)
	whole, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	for _, torn := range [][]byte{whole, append(bytes.Clone(whole), "1760000000.0 5 sen"...), append(bytes.Clone(whole), make([]byte, 100)...)} {
		os.WriteFile(log, torn, 0o600)
		if i, err = r.local.Open(i.Name); err != nil {
			t.Fatal(err)
		}
		check(i)
		i.Close()
	}
	if i, err = r.local.Open(i.Name); err != nil {
		t.Fatal(err)
	}
	if err := r.local.Record(i, Result{Lines: []int{5, 6}, Status: Sent}, Result{Lines: []int{7}, Status: Reported, Text: "id"}); err != nil {
		t.Fatal(err)
	}
	if len(i.Pending())+len(i.Unreported()) != 0 {
		t.Errorf("%+v %+v", i.Pending(), i.Unreported())
	}
	if err := r.local.compact(i); err != nil {
		t.Fatal(err)
	}
	i.Close()
	if i, err = r.local.Open(i.Name); err != nil || len(i.Pending())+len(i.Unreported()) != 0 {
		t.Fatalf("after compaction: %+v, %v", i, err)
	}
	if err := r.local.Done(i); err != nil {
		t.Fatal(err)
	}
	r.local.Close()
	if _, err := os.Stat(log); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the journal outlived its message: %v", err)
	}
	r.stage.Close()
	r.open()
}

func TestForeignJournal(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.accept(envelopeFor(envelope.Local), body)
	log := filepath.Join(r.root, "local/log", Hash(id), id)
	os.WriteFile(log, []byte(journalHead(id, 1)), 0o600)
	if _, err := r.local.Pickup(id, dest); !errors.Is(err, ErrSkip) {
		t.Fatalf("got %v", err)
	}
	if got := r.names("local/bad"); !slices.Equal(got, []string{id}) {
		t.Errorf("bad/ holds %v", got)
	}
	id = r.accept(envelopeFor(envelope.Local), body)
	i := r.pickup(id)
	i.Close()
	os.WriteFile(filepath.Join(r.root, "local/log", Hash(id), id), []byte(journalHead(id, 1)), 0o600)
	if _, err := r.local.Open(i.Name); !errors.Is(err, ErrSkip) {
		t.Fatalf("got %v", err)
	}
	if got := r.names("local/bad"); !slices.Contains(got, id+".log") {
		t.Errorf("bad/ holds %v", got)
	}
}

// TestForgedID: a compromised smtpd may know ids; what it puts under them must not touch the messages that have them.
func TestForgedID(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		forged  func(id string) string
		journal bool
		held    bool
		empty   bool
	}{
		{name: "fresh", forged: func(id string) string { return id }},
		{name: "again", forged: func(id string) string { return id + ",again" }, journal: true},
		{name: "moved back", forged: func(id string) string { return Name{0, id, "x"}.String() }, held: true},
		{name: "empty", forged: func(id string) string { return id }, journal: true, empty: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			id := r.accept(envelopeFor(envelope.Local, envelope.Local), body)
			i := r.pickup(id)
			if c.journal {
				r.local.Record(i, Result{Lines: []int{3}, Status: Sent})
			}
			where := "local/cur/" + Hash(id)
			if c.held {
				where = "local/hold"
				r.local.Hold(i)
			}
			i.Close()
			honest := r.names(where)
			e := envelopeFor(envelope.Local, envelope.Local, envelope.Local)
			r.put("local/new/"+c.forged(id), id, e, func(b []byte) []byte {
				if c.empty {
					return nil
				}
				return b
			})
			if _, err := r.local.Pickup(c.forged(id), dest); !errors.Is(err, ErrSkip) {
				t.Fatalf("got %v", err)
			}
			if got := r.names(where); !slices.Equal(got, honest) {
				t.Errorf("%s holds %v, held %v", where, got, honest)
			}
			if c.journal {
				i, err := r.local.Open(i.Name)
				if err != nil || len(i.Pending()) != 1 {
					t.Fatalf("the journal was taken away: %v", err)
				}
				i.Close()
			}
			if n := len(r.names("local/bad")); n != 1 {
				t.Errorf("%d files in bad/", n)
			}
		})
	}
}

func TestSparseFile(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := "0123456789bcdfgh"
	var env int64
	r.put("local/new/"+id, id, envelopeFor(envelope.Local), func(b []byte) []byte {
		l, err := envelope.ParseLine1(b)
		if err != nil {
			t.Fatal(err)
		}
		l.Size = 900_000_000_000
		env = l.Env
		copy(b, l.Append(nil))
		return b
	})
	if err := os.Truncate(filepath.Join(r.root, "local/new", id), 900_000_000_000+env); err != nil {
		t.Skip("no sparse files here: ", err)
	}
	if _, err := r.local.Pickup(id, dest); !errors.Is(err, ErrSkip) {
		t.Errorf("got %v", err)
	}
}

// TestRecordFails: what the disk did not take is written with what it takes next.
func TestRecordFails(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	i := r.pickup(r.accept(envelopeFor(envelope.Local, envelope.Local), body))
	dir := filepath.Join(r.root, "local/log", Hash(i.Name.ID))
	if err := os.Rename(dir, dir+"x"); err != nil {
		t.Fatal(err)
	}
	if err := r.local.Record(i, Result{Lines: []int{3}, Status: Sent}); err == nil {
		t.Fatal("no error")
	}
	if err := os.Rename(dir+"x", dir); err != nil {
		t.Fatal(err)
	}
	r.local.Defer(i, time.Unix(4000000000, 0))
	i, err := r.local.Open(i.Name)
	if err != nil || len(i.Pending()) != 1 {
		t.Fatalf("forgotten: %v", err)
	}
	if err := r.local.Record(i, Result{Lines: []int{4}, Status: Deferred}); err != nil {
		t.Fatal(err)
	}
	i.Close()
	if i, err = r.local.Open(i.Name); err != nil || len(i.Pending()) != 1 || i.Pending()[0].Line != 4 {
		t.Fatalf("not on disk: %v", err)
	}
	i.Close()
}

// TestMovedWhileDelivered: what was delivered is not delivered again when its file comes back.
func TestMovedWhileDelivered(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	i := r.pickup(r.accept(envelopeFor(envelope.Local), body))
	back := filepath.Join(r.root, "local/new", i.Name.String())
	if err := os.Rename(filepath.Join(r.root, "local/cur", curPath(i.Name)), back); err != nil {
		t.Fatal(err)
	}
	if err := r.local.Done(i); err != nil {
		t.Fatal(err)
	}
	i = r.pickup(i.Name.String())
	if n := len(i.Pending()); n != 0 {
		t.Errorf("%d recipients pending", n)
	}
	i.Close()
}

// TestEnvelopeThatCannotBeRead: what a consumer would refuse is refused before the 250.
func TestEnvelopeThatCannotBeRead(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for k, spoil := range []func(*envelope.Envelope){
		func(e *envelope.Envelope) { e.Origin = "" },
		func(e *envelope.Envelope) { e.To[0].Via = "" },
		func(e *envelope.Envelope) { e.To[0].Addr = address.Address{} },
		func(e *envelope.Envelope) { e.To[0].Addr.Local = "a\nto: <b@c>" },
		func(e *envelope.Envelope) { e.From.Addr.Local = "a\u0085b" },
		func(e *envelope.Envelope) { e.UID = -7 },
		func(e *envelope.Envelope) { e.Parent = "x" },
		func(e *envelope.Envelope) { e.Score = strings.Repeat("=", 3000) },
		func(e *envelope.Envelope) { e.From.Addr.Domain = "Example.ORG" },
	} {
		e := envelopeFor(envelope.Local, envelope.Local)
		spoil(e)
		if m, err := r.stage.Create(e, false); err == nil {
			t.Errorf("%d: written: %+v", k, e)
			m.Abort()
		}
	}
	if got := r.names("stage"); len(got) != 0 {
		t.Errorf("left behind: %v", got)
	}
}

func TestBrokenDirectory(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	m, err := r.stage.Create(envelopeFor(envelope.Local), false)
	if err != nil {
		t.Fatal(err)
	}
	r.stage.fail(unix.EIO)
	if err := m.Commit(); err != ErrBroken {
		t.Errorf("a message begun before the disk failed: %v", err)
	}
	if got := r.names("stage"); len(got) != 0 {
		t.Errorf("left behind: %v", got)
	}
}

func TestConcurrentRecord(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	i := r.pickup(r.accept(envelopeFor(slices.Repeat([]envelope.Via{envelope.Local}, 40)...), body))
	var wg sync.WaitGroup
	for k := range 4 {
		wg.Go(func() {
			for l := range 10 {
				if err := r.local.Record(i, Result{Lines: []int{3 + k*10 + l}, Status: Sent}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	i.Close()
	i, err := r.local.Open(i.Name)
	if err != nil || len(i.Pending()) != 0 {
		t.Fatalf("%d pending, %v", len(i.Pending()), err)
	}
	if err := r.local.Record(i, Result{Lines: []int{0}, Status: Sent}); err == nil {
		t.Error("line 0 was recorded")
	}
	r.local.Record(i, Result{Lines: []int{3}, Status: Delayed})
	if !i.Delayed(3) || i.Last(3).Status != Sent {
		t.Error("a note on a delay is not kept, or is taken for a result")
	}
	if err := r.local.Defer(i, time.Time{}); err != nil {
		t.Fatal(err)
	}
	if _, ok := ParseName(i.Name.String()); !ok {
		t.Errorf("stranded as %s", i.Name)
	}
}

func TestCloseBeforeAbort(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	m, err := r.stage.Create(envelopeFor(envelope.Local), false)
	if err != nil {
		t.Fatal(err)
	}
	r.stage.Close()
	if _, err := r.stage.Create(envelopeFor(envelope.Local), false); err == nil {
		t.Error("created after Close")
	}
	m.Abort()
	if got := r.names("stage"); len(got) != 0 {
		t.Errorf("left behind: %v", got)
	}
}

func TestSweep(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	i := r.pickup(r.accept(envelopeFor(envelope.Local), body))
	r.local.Record(i, Result{Lines: []int{3}, Status: Deferred})
	orphan := filepath.Join(r.root, "local/log", Hash("0123456789bcdfgh"), "0123456789bcdfgh")
	os.WriteFile(orphan, []byte("x"), 0o600)
	i.Close()
	r.local.sweepJournals(time.Now().Add(6 * 24 * time.Hour))
	if _, err := os.Stat(orphan); err != nil {
		t.Error("swept too early")
	}
	r.local.sweepJournals(time.Now().Add(8 * 24 * time.Hour))
	if _, err := os.Stat(orphan); err == nil {
		t.Error("orphan kept")
	}
	if _, err := os.Stat(r.local.journalPath(i.Name.ID)); err != nil {
		t.Error("a journal in use was swept")
	}
}

func TestOneProcessPerChannel(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	if _, err := OpenChannel(r.root, envelope.Local, ChannelOptions{}); !errors.Is(err, ErrLocked) {
		t.Errorf("got %v", err)
	}
}

func TestWatch(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	want := map[string]bool{r.accept(envelopeFor(envelope.Local), body): true}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	found := make(chan string, 100)
	done := make(chan error)
	go func() { done <- r.local.Watch(ctx, func(s string) { found <- s }) }()
	first := <-found
	if !want[first] {
		t.Fatalf("found %s", first)
	}
	delete(want, first)
	for range 20 {
		want[r.accept(envelopeFor(envelope.Local), body)] = true
	}
	for len(want) > 0 {
		select {
		case s := <-found:
			delete(want, s)
		case <-ctx.Done():
			t.Fatalf("never heard of %v", want)
		}
	}
	cancel()
	<-done
}

func TestGroupSync(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			for range 20 {
				m, err := r.stage.Create(envelopeFor(envelope.Local, envelope.Remote), false)
				if err != nil {
					t.Error(err)
					return
				}
				io.WriteString(m, body)
				if err := m.Commit(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if n := len(r.names("local/new")); n != 400 {
		t.Errorf("%d of 400 published", n)
	}
}

func TestList(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a := r.pickup(r.accept(envelopeFor(envelope.Local, envelope.Local), body))
	r.local.Record(a, Result{Lines: []int{3}, Status: Sent}, Result{Lines: []int{4}, Status: Deferred, Reply: reply.New(451, 3, 0, "later")})
	r.local.Defer(a, time.Unix(4000000000, 0))
	r.local.Hold(r.pickup(r.accept(envelopeFor(envelope.Local), body)))
	r.accept(envelopeFor(envelope.Local), body)
	states := map[State]int{}
	err := List(r.root, envelope.Local, func(e Entry) error {
		states[e.State]++
		info, err := e.Read()
		if err != nil {
			return err
		}
		if e.Name.ID == a.Name.ID && (len(info.Pending()) != 1 || info.Last(4).Reply.Text != "later" || info.Size != int64(len(body))) {
			t.Errorf("%+v", info)
		}
		return nil
	})
	if err != nil || states[Incoming] != 1 || states[Queued] != 1 || states[Held] != 1 {
		t.Errorf("%v, %v", states, err)
	}
}

func FuzzJournal(f *testing.F) {
	r := Result{Time: time.Unix(1, 2000), Lines: []int{1, 2, 3, 9}, Status: Failed, Attempts: 3, Reply: reply.New(550, 1, 1, "x y"), Relay: "h", Text: "t"}
	f.Add(string(r.append(nil)))
	f.Add("1.0 1-3,5 sent ;00000000")
	f.Fuzz(func(t *testing.T, s string) {
		if r, ok := parseRecord(strings.TrimSuffix(s, "\n")); ok {
			if _, ok := parseRecord(strings.TrimSuffix(string(r.append(nil)), "\n")); !ok {
				t.Fatalf("%q: written as %q", s, r.append(nil))
			}
		}
		parseRanges(s)
		parseNew(s)
	})
}

func BenchmarkAccept(b *testing.B) {
	root := filepath.Join(b.TempDir(), "spool")
	if err := Init(root); err != nil {
		b.Fatal(err)
	}
	s, err := OpenStage(root, StageOptions{MessageSize: 1 << 20})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	text := []byte(strings.Repeat("0123456789abcdef\r\n", 230))
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			m, err := s.Create(envelopeFor(envelope.Local), false)
			if err != nil {
				b.Fatal(err)
			}
			m.Write(text)
			if err := m.Commit(); err != nil {
				b.Fatal(err)
			}
		}
	})
}
