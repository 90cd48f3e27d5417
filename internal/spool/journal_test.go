package spool

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"postrider/internal/envelope"
	"postrider/internal/reply"
)

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
