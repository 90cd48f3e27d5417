package queue

import (
	"fmt"
	"testing"
	"time"
	"unsafe"

	"postrider/internal/spool"
)

func TestSchedule(t *testing.T) {
	t.Parallel()
	s := NewSchedule(nil)
	at := time.Unix(1_760_000_000, 0)
	name := func(i int) spool.Name {
		return spool.Name{Due: at.Unix() + int64(i), ID: fmt.Sprintf("%016d", i), Dest: fmt.Sprint(i % 3)}
	}
	for _, i := range []int{5, 1, 3, 2, 4} {
		s.Add(Known{Name: name(i), Tries: uint8(i)}, name(i).Due)
	}
	if _, ok := s.Next(at); ok {
		t.Error("due too early")
	}
	if d, due := s.wait(at); due || d != time.Second {
		t.Errorf("wait %v, %v", d, due)
	}
	for i := 1; i <= 2; i++ {
		if n, ok := s.Next(at.Add(2 * time.Second)); !ok || n != (Known{Name: name(i), Tries: uint8(i)}) {
			t.Errorf("%d: %+v, %v", i, n, ok)
		}
	}
	if n := s.Flush(func(id string) bool { return id == name(4).ID }); n != 1 {
		t.Errorf("%d flushed", n)
	}
	if n, ok := s.Next(at); !ok || n.Name != name(4) {
		t.Errorf("flushed: %+v, %v", n, ok)
	}
	if n := s.Flush(nil); n != 2 {
		t.Errorf("%d flushed", n)
	}
}

// TestEntrySize says what a waiting message costs: a million of them must not matter.
func TestEntrySize(t *testing.T) {
	t.Parallel()
	if size := unsafe.Sizeof(Entry{}); size > 32 {
		t.Errorf("an entry has %d octets", size)
	}
}

// TestTurns: destinations have their turn one after the other, and no more active messages than their limit.
func TestTurns(t *testing.T) {
	t.Parallel()
	s := NewSchedule(func(string) int { return 2 })
	at := time.Unix(1_760_000_000, 0)
	add := func(dest string, n int) {
		for i := range n {
			s.Add(Known{Name: spool.Name{Due: at.Unix() + int64(i), ID: fmt.Sprintf("%16d", i), Dest: dest}}, at.Unix())
		}
	}
	next := func() string {
		n, ok := s.Next(at)
		if !ok {
			return ""
		}
		return n.Dest
	}
	add("bulk", 100)
	add("a", 1)
	add("b", 1)
	got := map[string]int{}
	for range 4 {
		got[next()]++
	}
	if got["bulk"] != 2 || got["a"] != 1 || got["b"] != 1 {
		t.Errorf("got %v", got)
	}
	if d := next(); d != "" {
		t.Errorf("%q has no room", d)
	}
	if s.Enter("bulk") || !s.Enter("a") {
		t.Error("room for the wrong one")
	}
	s.SetLimit("bulk", 3)
	if d := next(); d != "bulk" {
		t.Errorf("raised: got %q", d)
	}
	for range 3 {
		s.Leave("bulk")
	}
	for range 97 {
		if d := next(); d != "bulk" {
			t.Fatalf("got %q", d)
		}
		s.Leave("bulk")
	}
	s.Leave("a")
	s.Leave("a")
	s.Leave("b")
	if len(s.index) != 0 || len(s.free) != len(s.dests) || next() != "" {
		t.Errorf("left: %v, %d of %d free", s.index, len(s.free), len(s.dests))
	}
}

func BenchmarkSchedule(b *testing.B) {
	s := NewSchedule(nil)
	at := time.Unix(1_760_000_000, 0)
	n := Known{Name: spool.Name{Due: at.Unix(), ID: fmt.Sprintf("%16d", 7), Dest: "example.org"}}
	b.ReportAllocs()
	for b.Loop() {
		s.Add(n, at.Unix())
		if _, ok := s.Next(at); !ok {
			b.Fatal("nothing due")
		}
	}
}
