package spool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"postrider/internal/address"
	"postrider/internal/envelope"
	"postrider/internal/reply"
)

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
		t.Skipf("this test has a message larger than the disk, and the filesystem has no such sparse file: %v", err)
	}
	if _, err := r.local.Pickup(id, dest); !errors.Is(err, ErrSkip) {
		t.Errorf("got %v", err)
	}
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
