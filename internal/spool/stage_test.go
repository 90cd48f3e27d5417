package spool

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"postrider/internal/envelope"
)

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
