package spool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"postrider/internal/envelope"
	"postrider/internal/reply"
)

func (r *rig) hand() *Hand {
	r.t.Helper()
	h, err := OpenHand(r.root, envelope.Local)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(h.Close)
	return h
}

func anyone(int64) bool { return true }

// do does something to one message.
func (r *rig) do(act Action, id string) error {
	r.t.Helper()
	h := r.hand()
	out := h.Do(r.t.Context(), act, []string{id}, anyone)
	if len(out) != 1 || out[0].ID != id {
		r.t.Fatalf("%+v", out)
	}
	return out[0].Err
}

// where is the directory in which the one file of an id lies; "" = none.
func (r *rig) where(id string) string {
	r.t.Helper()
	found := ""
	h := r.hand()
	if err := h.List(map[string]bool{id: true}, func(e Entry) error {
		found += string(e.State)
		return nil
	}); err != nil {
		r.t.Fatal(err)
	}
	return found
}

func (r *rig) deferred(e *envelope.Envelope) *Item {
	r.t.Helper()
	i := r.pickup(r.accept(e, body))
	line := e.To[0].Line
	if line == 0 {
		line = i.Envelope.To[0].Line
	}
	if err := errors.Join(r.local.Record(i, Result{Lines: []int{line}, Status: Deferred, Attempts: 1, Reply: reply.New(451, 3, 0, "later")}),
		r.local.Defer(i, time.Now().Add(time.Hour))); err != nil {
		r.t.Fatal(err)
	}
	return i
}

// TestActions: every action on a message in every state.
func TestActions(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		act  Action
		from State
		want State // "" = gone
		err  error
	}{
		{ActHold, Incoming, Held, nil},
		{ActHold, Queued, Held, nil},
		{ActHold, Held, Held, nil},
		{ActHold, Damaged, Damaged, ErrDamaged},
		{ActRelease, Incoming, Incoming, ErrNotHeld},
		{ActRelease, Queued, Queued, ErrNotHeld},
		{ActRelease, Held, Incoming, nil},
		{ActRelease, Damaged, Damaged, ErrDamaged},
		{ActRetry, Incoming, Incoming, nil},
		{ActRetry, Queued, Incoming, nil},
		{ActRetry, Held, Held, ErrOnHold},
		{ActRetry, Damaged, Damaged, ErrDamaged},
		{ActDelete, Incoming, "", nil},
		{ActDelete, Queued, "", nil},
		{ActDelete, Held, "", nil},
		{ActDelete, Damaged, "", nil},
	} {
		t.Run(fmt.Sprint(c.act, " ", c.from), func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			id := r.accept(envelopeFor(envelope.Local), body)
			if c.from != Incoming {
				i := r.pickup(id)
				r.local.Record(i, Result{Lines: []int{i.Envelope.To[0].Line}, Status: Deferred, Attempts: 1})
				switch c.from {
				case Queued:
					r.local.Defer(i, time.Now().Add(time.Hour))
				case Held:
					r.local.Hold(i)
				case Damaged:
					r.local.Bad(i, errors.New("test"))
				}
			}
			if err := r.do(c.act, id); err != c.err {
				t.Errorf("got %v, want %v", err, c.err)
			}
			if got := r.where(id); got != string(c.want) {
				t.Errorf("it is in %q, not %q", got, c.want)
			}
			journals := append(r.names("local/log/"+Hash(id)), slices.DeleteFunc(r.names("local/bad"), func(s string) bool { return !strings.HasSuffix(s, ".log") })...)
			if want := c.from != Incoming && c.want != ""; (len(journals) == 1) != want {
				t.Errorf("journals: %v", journals)
			}
		})
	}
}

// TestHoldOfNew: what never was picked up gets a name, and goes on from there.
func TestHoldOfNew(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	e := envelopeFor(envelope.Local, envelope.Remote, envelope.Local)
	e.To[1].Addr.Domain = "example.org"
	id := r.accept(e, body)
	if err := r.do(ActHold, id); err != nil {
		t.Fatal(err)
	}
	names := r.names("local/hold")
	if n, ok := ParseName(names[0]); len(names) != 1 || !ok || n.ID != id || n.Dest != "example.net" {
		t.Fatalf("%v", names)
	}
	if err := r.do(ActRelease, id); err != nil {
		t.Fatal(err)
	}
	i := r.pickup(names[0])
	if len(i.Pending()) != 2 || !i.Again {
		t.Errorf("%+v", i)
	}
	i.Close()
}

// TestReleaseOfHeldByEnvelope: a release counts more than what the envelope wants.
func TestReleaseOfHeldByEnvelope(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	e := envelopeFor(envelope.Local)
	e.Hold = "odd"
	id := r.accept(e, body)
	if _, err := r.local.Pickup(id, dest); err != ErrHeld {
		t.Fatal(err)
	}
	if err := r.do(ActRelease, id); err != nil {
		t.Fatal(err)
	}
	r.pickup(r.names("local/new")[0]).Close()
}

// TestOwners: to who did not submit a message it is not there.
func TestOwners(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	mine := envelopeFor(envelope.Local)
	mine.Origin, mine.UID = envelope.OriginLocal, 1000
	a, b := r.accept(mine, body), r.accept(envelopeFor(envelope.Local), body)
	torn := "0123456789bcdfgh"
	r.put("local/new/"+torn, torn, mine, func([]byte) []byte { return []byte("garbage\n") })
	ids := []string{b, a, torn, "../" + a, a + "/", "", a[:15], "0000000000000000", a}
	h := r.hand()
	for uid, want := range map[int64]int{1001: 0, 1000: 2} {
		n := 0
		for k, o := range h.Do(t.Context(), ActHold, ids, func(u int64) bool { return u == uid }) {
			if o.ID != ids[k] {
				t.Errorf("%d: %+v", k, o)
			}
			if o.Err == nil {
				n++
			} else if o.Err != fs.ErrNotExist {
				t.Errorf("%d: %v", k, o.Err)
			}
		}
		if n != want { // twice the same id is twice the same answer
			t.Errorf("uid %d: %d held", uid, n)
		}
	}
	if r.where(a) != "hold" || r.where(b) != "new" || r.where(torn) != "new" {
		t.Errorf("%s %s %s", r.where(a), r.where(b), r.where(torn))
	}
	if err := r.do(ActHold, torn); err != ErrDamaged {
		t.Errorf("hold of garbage: %v", err)
	}
	if err := r.do(ActDelete, torn); err != nil || r.where(torn) != "" {
		t.Errorf("delete of garbage: %v", err)
	}
}

// TestScheduledRetry: a process that knows the file keeps it where it knows it to be.
func TestScheduledRetry(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	i := r.deferred(envelopeFor(envelope.Local))
	h := r.hand()
	h.Scheduled = true
	out := h.Do(t.Context(), ActRetry, []string{i.Name.ID}, anyone)
	if out[0] != (Outcome{i.Name.ID, Queued, "example.net", nil}) || r.where(i.Name.ID) != "cur" {
		t.Errorf("%+v, in %s", out, r.where(i.Name.ID))
	}
}

// TestInFlight: an attempt that is under way ends as it would have; what it achieved is not repeated, and what it did not is not
// lost.
func TestInFlight(t *testing.T) {
	t.Parallel()
	sent := func(r *rig, i *Item, n int) error {
		return r.local.Record(i, Result{Lines: []int{i.Envelope.To[n].Line}, Status: Sent})
	}
	done := func(r *rig, i *Item) error { return r.local.Done(i) }
	part := func(r *rig, i *Item) error {
		err := errors.Join(sent(r, i, 0), r.local.Defer(i, time.Now().Add(time.Hour)))
		if !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("defer of what is gone: %v", err)
		}
		return nil
	}
	for _, c := range []struct {
		name    string
		acts    []Action
		end     func(*rig, *Item) error
		where   string
		pending int // once it comes back
	}{
		{"hold, done", []Action{ActHold}, done, "hold", 0},
		{"hold, deferred", []Action{ActHold}, part, "hold", 1},
		{"hold, released, done", []Action{ActHold, ActRelease}, done, "new", 0},
		{"hold, released, deferred", []Action{ActHold, ActRelease}, part, "new", 1},
		{"retry, done", []Action{ActRetry}, done, "new", 0},
		{"retry, deferred", []Action{ActRetry}, part, "new", 1},
		{"deleted, done", []Action{ActDelete}, done, "", 0},
		{"deleted, deferred", []Action{ActDelete}, part, "", 0},
		{"hold, deleted, done", []Action{ActHold, ActDelete}, done, "", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			i := r.pickup(r.accept(envelopeFor(envelope.Local, envelope.Local), body))
			id := i.Name.ID
			for _, act := range c.acts {
				if err := r.do(act, id); err != nil {
					t.Fatal(err)
				}
			}
			if names := r.names("local/new"); len(names) > 0 {
				if _, err := r.local.Pickup(names[0], dest); err != ErrBusy {
					t.Errorf("picked up while it is delivered: %v", err)
				}
			}
			if err := c.end(r, i); err != nil {
				t.Fatal(err)
			}
			if got := r.where(id); got != c.where {
				t.Fatalf("it is in %q", got)
			}
			if c.where == "" {
				return
			}
			if c.where == "hold" {
				if err := r.do(ActRelease, id); err != nil {
					t.Fatal(err)
				}
			}
			again := r.pickup(r.names("local/new")[0])
			if n := len(again.Pending()); n != c.pending || !again.Again {
				t.Errorf("%d recipients pending, again = %t", n, again.Again)
			}
			again.Close()
		})
	}
}

// TestForgeryKeepsOut: a file that somebody put into new/ under the id of another's message costs that nothing.
func TestForgeryKeepsOut(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	i := r.deferred(envelopeFor(envelope.Local))
	id := i.Name.ID
	forged := envelopeFor(envelope.Local)
	forged.Origin, forged.UID = envelope.OriginLocal, 1000
	r.put("local/new/"+id, id, forged, nil)
	h := r.hand()
	mine := func(uid int64) bool { return uid == 1000 }
	if out := h.Do(t.Context(), ActHold, []string{id}, mine); out[0].Err != fs.ErrNotExist || r.where(id) != "newcur" {
		t.Errorf("hold: %+v, in %s", out, r.where(id))
	}
	if out := h.Do(t.Context(), ActDelete, []string{id}, mine); out[0].Err != nil || r.where(id) != "cur" {
		t.Errorf("delete: %+v, in %s", out, r.where(id))
	}
	if len(r.names("local/log/"+Hash(id))) != 1 {
		t.Error("the journal went with the forgery")
	}
}

// TestNoLinks: no directory below a channel is reached through a symbolic link.
func TestNoLinks(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.accept(envelopeFor(envelope.Local), body)
	if err := r.do(ActHold, id); err != nil {
		t.Fatal(err)
	}
	elsewhere := t.TempDir()
	dir := filepath.Join(r.root, "local")
	if err := errors.Join(os.Remove(dir+"/new"), os.Symlink(elsewhere, dir+"/new")); err != nil {
		t.Fatal(err)
	}
	if h, err := OpenHand(r.root, envelope.Local); err == nil {
		h.Close()
		t.Error("a link was followed")
	}
	if err := errors.Join(os.Remove(dir+"/new"), os.Mkdir(dir+"/new", 0o700)); err != nil {
		t.Fatal(err)
	}
	cur := filepath.Join(dir, "cur", Hash(id))
	if err := errors.Join(os.Remove(cur), os.Symlink(elsewhere, cur)); err != nil {
		t.Fatal(err)
	}
	r.put("victim", id, envelopeFor(envelope.Local), nil)
	os.Rename(filepath.Join(r.root, "victim"), filepath.Join(elsewhere, Name{1, id, "x"}.String()))
	r.do(ActDelete, id)
	if left, _ := os.ReadDir(elsewhere); len(left) != 1 {
		t.Error("a file elsewhere was removed")
	}
}

// TestNoJournalElsewhere: a link in place of a directory of journals leads to none, neither for reading nor for removal.
func TestNoJournalElsewhere(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.deferred(envelopeFor(envelope.Local)).Name.ID
	elsewhere := t.TempDir()
	log := filepath.Join(r.root, "local", "log", Hash(id))
	if err := errors.Join(os.Rename(filepath.Join(log, id), filepath.Join(elsewhere, id)), os.Remove(log), os.Symlink(elsewhere, log)); err != nil {
		t.Fatal(err)
	}
	h := r.hand()
	if err := h.List(map[string]bool{id: true}, func(e Entry) error {
		if fd, err := h.openJournal(e); err == nil {
			unix.Close(fd)
			t.Error("the journal elsewhere was read")
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := r.do(ActDelete, id); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(elsewhere); len(left) != 1 {
		t.Error("the journal elsewhere was removed")
	}
}

// TestMakeHold: a channel that no process ever opened has no hold/.
func TestMakeHold(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.accept(envelopeFor(envelope.Local, envelope.Remote), body)
	h, err := OpenHand(r.root, envelope.Remote)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if os.Geteuid() == 0 {
		if err := os.Chown(filepath.Join(r.root, "remote"), 4242, 4243); err != nil {
			t.Fatal(err)
		}
	}
	if out := h.Do(t.Context(), ActHold, []string{id}, anyone); out[0].Err != nil || len(r.names("remote/hold")) != 1 {
		t.Fatalf("%+v", out)
	}
	var st unix.Stat_t
	if err := unix.Stat(filepath.Join(r.root, "remote/hold"), &st); err != nil || st.Mode&0o7777 != 0o700 || os.Geteuid() == 0 && (st.Uid != 4242 || st.Gid != 4243) {
		t.Errorf("%+v, %v", st, err)
	}
}

// TestNoChannel: what is not there is empty, and what may not be read says so.
func TestNoChannel(t *testing.T) {
	t.Parallel()
	h, err := OpenHand(t.TempDir(), envelope.Local)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if out := h.Do(t.Context(), ActHold, []string{"0123456789bcdfgh"}, anyone); out[0].Err != fs.ErrNotExist {
		t.Errorf("%+v", out)
	}
	if os.Geteuid() == 0 {
		return
	}
	r := newRig(t)
	dir := filepath.Join(r.root, "local/hold")
	if err := os.Chmod(dir, 0); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(dir, 0o700)
	if _, err := OpenHand(r.root, envelope.Local); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("got %v", err)
	}
}

// TestSameName: two files of an id, which a crash can leave, do not stand in each other's way.
func TestSameName(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	i := r.deferred(envelopeFor(envelope.Local))
	id := i.Name.ID
	name := i.Name.String()
	b, err := os.ReadFile(filepath.Join(r.root, "local/cur", Hash(id), name))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(r.root, "local/hold", name), b, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := r.do(ActHold, id); err != nil || len(r.names("local/hold")) != 2 || r.where(id) != "holdhold" {
		t.Fatalf("%v, %v", err, r.names("local/hold"))
	}
	if err := r.do(ActDelete, id); err != nil || r.where(id) != "" || len(r.names("local/log/"+Hash(id))) != 0 {
		t.Errorf("%v, %s", err, r.where(id))
	}
}

// TestFailure: what cannot be done is not said to be done.
func TestFailure(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := "0123456789bcdfgh"
	if err := os.Mkdir(filepath.Join(r.root, "local/new", id), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := r.do(ActDelete, id); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a directory: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	id = r.accept(envelopeFor(envelope.Local), body)
	h := r.hand()
	if out := h.Do(ctx, ActDelete, []string{id}, anyone); out[0].Err != context.Canceled || r.where(id) != "new" {
		t.Errorf("%+v", out)
	}
}

// TestLook: the same is read as by the strict reader, however long envelope and journal are.
func TestLook(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	e := envelopeFor(slices.Repeat([]envelope.Via{envelope.Local}, 500)...)
	i := r.pickup(r.accept(e, body))
	for k := range 400 {
		to := i.Envelope.To[k]
		if err := r.local.Record(i, Result{Lines: []int{to.Line}, Status: Deferred, Attempts: 1, Reply: reply.New(451, 3, 0, strings.Repeat("later ", 20)), Relay: "mx"}); err != nil {
			t.Fatal(err)
		}
	}
	r.local.Record(i, Result{Lines: []int{i.Envelope.To[7].Line}, Status: Sent})
	r.local.Defer(i, time.Now().Add(time.Hour))
	h := r.hand()
	n := 0
	if err := h.List(nil, func(e Entry) error {
		n++
		got, err := h.Read(e)
		want, err2 := e.Read()
		if err != nil || err2 != nil || got.Size != want.Size || len(got.Pending()) != 499 || len(want.Pending()) != 499 {
			t.Errorf("%v, %v", err, err2)
			return nil
		}
		for _, to := range want.Envelope.To {
			a, b := got.Last(to.Line), want.Last(to.Line)
			if (a == nil) != (b == nil) || a != nil && string(a.append(nil)) != string(b.append(nil)) {
				t.Errorf("line %d: %+v, %+v", to.Line, a, b)
			}
		}
		f, env, err := h.Open(e)
		if err != nil || env.ID != e.Name.ID {
			t.Fatal(err)
		}
		defer f.Close()
		b, err := io.ReadAll(f)
		if err != nil || !strings.HasPrefix(string(b), envelope.Magic) || !strings.HasSuffix(string(b), body) {
			t.Errorf("%d octets, %v", len(b), err)
		}
		return nil
	}); err != nil || n != 1 {
		t.Errorf("%d, %v", n, err)
	}
}

// FuzzParseJournal: records that a later one makes outdated are passed over, and nothing else changes.
func FuzzParseJournal(f *testing.F) {
	f.Add([]byte("dddsd"), 0)
	f.Add([]byte("\x00\x41\x82\xc3\x04\x45"), 3)
	f.Fuzz(func(t *testing.T, script []byte, cut int) {
		b := []byte(journalHead("0123456789bcdfgh", 1))
		for k, c := range script[:min(len(script), 100)] {
			r := Result{Time: time.Unix(int64(k), 0), Lines: []int{3 + int(c>>6)}, Status: all[int(c)%len(all)], Attempts: k + 1, Text: fmt.Sprint(k)}
			if c&0x20 != 0 {
				r.Lines = []int{3, 4}
			}
			b = r.append(b)
		}
		b = b[:len(b)-min(max(cut, 0), len(b))]
		got, err := parseJournal(b, "0123456789bcdfgh", 1)
		if err != nil && cut < len(b) {
			t.Fatal(err)
		}
		var want journal
		good := int64(0)
		_, rest, ok := strings.Cut(string(b), "\n")
		if ok {
			good = int64(len(b) - len(rest))
		}
		for l := range strings.Lines(rest) {
			r, ok := parseRecord(strings.TrimSuffix(l, "\n"))
			if !ok || !strings.HasSuffix(l, "\n") {
				break
			}
			want.note(r)
			good += int64(len(l))
		}
		if got.good != good || got.size != int64(len(b)) || !reflect.DeepEqual(got.last, want.last) || !reflect.DeepEqual(got.told, want.told) {
			t.Fatalf("%s\ngot  %+v\nwant %+v", b, got, want)
		}
	})
}

// TestSteeringARunningChannel lets actions run against pick-up, attempts and each other. In the end every message is somewhere, and
// no recipient was sent to twice.
func TestSteeringARunningChannel(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const messages = 60
	ids := make([]string, messages)
	for k := range ids {
		ids[k] = r.accept(envelopeFor(envelope.Local, envelope.Local), body)
	}
	var mu sync.Mutex
	sent := make(map[string]int) // deliveries, by id and line
	var deleted sync.Map
	ctx, cancel := context.WithCancel(t.Context())
	var steering, working sync.WaitGroup
	for n := range 2 {
		steering.Go(func() {
			h := r.hand()
			for k := range 600 {
				act := []Action{ActHold, ActRelease, ActRetry, ActRelease}[(k+n)%4]
				some := []string{ids[(k*7+n)%messages], ids[(k*11)%messages]}
				if k%100 == 99 {
					act = ActDelete
				}
				for _, o := range h.Do(ctx, act, some, anyone) {
					switch {
					case o.Err == nil && act == ActDelete:
						deleted.Store(o.ID, true)
					case o.Err != nil && !impossible(o.Err):
						t.Errorf("%s %s: %v", act, o.ID, o.Err)
					}
				}
			}
		})
	}
	working.Go(func() {
		for ctx.Err() == nil {
			r.round(func(i *Item, line int) {
				mu.Lock()
				sent[fmt.Sprint(i.Name.ID, line)]++
				mu.Unlock()
			})
		}
	})
	steering.Wait()
	cancel()
	working.Wait()
	h := r.hand()
	h.Do(t.Context(), ActRelease, ids, anyone)
	for range 4 {
		r.round(func(i *Item, line int) { sent[fmt.Sprint(i.Name.ID, line)]++ })
	}
	for _, id := range ids {
		if left := r.where(id); left != "" {
			t.Errorf("%s is in %s", id, left)
		}
		if _, gone := deleted.Load(id); gone {
			continue
		}
		for line := 3; line < 5; line++ {
			if n := sent[fmt.Sprint(id, line)]; n != 1 {
				t.Errorf("%s line %d: sent %d times", id, line, n)
			}
		}
	}
	for what, n := range sent {
		if n > 1 {
			t.Errorf("%s: sent %d times", what, n)
		}
	}
}

// round works as a channel's process does: it picks up what is new, opens what is queued, and delivers to one recipient of each
// in an attempt.
func (r *rig) round(send func(i *Item, line int)) {
	var items []*Item
	for _, name := range r.names("local/new") {
		if i, err := r.local.Pickup(name, dest); err == nil {
			items = append(items, i)
		}
	}
	var names []Name
	r.local.Scan(func(n Name) error { names = append(names, n); return nil })
	for _, n := range names {
		if i, err := r.local.Open(n); err == nil {
			items = append(items, i)
		}
	}
	for _, i := range items {
		pending := i.Pending()
		if len(pending) > 0 {
			send(i, pending[0].Line)
			r.local.Record(i, Result{Lines: []int{pending[0].Line}, Status: Sent})
		}
		if len(pending) > 1 {
			r.local.Defer(i, time.Now())
		} else {
			r.local.Done(i)
		}
	}
}

// TestWhoseHold: users take back the holds that they made, and no others.
func TestWhoseHold(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	e := envelopeFor(envelope.Local)
	e.UID = 1000
	id := r.deferred(e).Name.ID
	user := func(uid int64) bool { return uid == 1000 }
	for n, step := range []struct {
		who  func(int64) bool
		act  Action
		want State
		err  error
	}{
		{user, ActHold, Held, nil},
		{user, ActHold, Held, nil},
		{user, ActRelease, Incoming, nil},
		{anyone, ActHold, Held, nil},
		{user, ActRelease, Held, ErrNotOurs},
		{user, ActDelete, Held, ErrNotOurs},
		{user, ActHold, Held, nil}, // which does not make it his
		{user, ActRelease, Held, ErrNotOurs},
		{anyone, ActRelease, Incoming, nil},
		{user, ActHold, Held, nil},
		{anyone, ActHold, Held, nil}, // takes it over
		{user, ActDelete, Held, ErrNotOurs},
		{anyone, ActRelease, Incoming, nil},
		{user, ActHold, Held, nil},
		{user, ActDelete, "", nil},
	} {
		out := r.hand().Do(t.Context(), step.act, []string{id}, step.who)
		if at := r.where(id); out[0].Err != step.err || at != string(step.want) {
			t.Fatalf("%d: %s: %v, in %q", n, step.act, out[0].Err, at)
		}
	}
}
