package mailstore

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

func benchStore(b *testing.B, n int) *Store {
	s := newStore(b, Options{})
	for i := range n {
		f, err := os.Create(fmt.Sprintf("%s/cur/%d.M%dP1.bench.example.org,S=2000,W=2050:2,S", s.root, 1_700_000_000+i, i))
		if err != nil {
			b.Fatal(err)
		}
		f.Close()
	}
	return s
}

func BenchmarkSync(b *testing.B) {
	for _, n := range []int{10_000, 100_000} {
		s := benchStore(b, n)
		box := openBox(b, s, "INBOX")
		b.Run(fmt.Sprintf("open/%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				fresh := newStoreAt(s.root, s.opts)
				m, err := fresh.Open(b.Context(), "INBOX", false)
				if err != nil || len(m.Messages()) < n {
					b.Fatal(err)
				}
				m.Close()
			}
		})
		b.Run(fmt.Sprintf("nothing/%d", n), func(b *testing.B) {
			for b.Loop() {
				syncBox(b, box)
			}
		})
		b.Run(fmt.Sprintf("one-new/%d", n), func(b *testing.B) {
			i := 0
			for b.Loop() {
				i++
				write(b, fmt.Sprintf("%s/new/%d.N%d", s.root, 1_800_000_000+i, i), "x\n")
				if c := syncBox(b, box); c.New != 1 {
					b.Fatal(c)
				}
			}
		})
		b.Run(fmt.Sprintf("store-one/%d", n), func(b *testing.B) {
			i := 0
			for b.Loop() {
				i++
				if _, err := box.StoreFlags(b.Context(), box.Messages()[:1], FlagOp(i%2), Flagged, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkAppend is what a message of 8 KiB costs, on the filesystem of TMPDIR.
func BenchmarkAppend(b *testing.B) {
	s := newStore(b, Options{})
	text := []byte(strings.Repeat("a line of a message of some length\r\n", 228))
	for b.Loop() {
		a, err := s.Append("INBOX")
		if err != nil {
			b.Fatal(err)
		}
		m, err := a.Create(0, nil, time.Time{})
		if err == nil {
			_, err = m.Write(text)
		}
		if err == nil {
			_, _, err = a.Commit(b.Context())
		}
		if err != nil {
			b.Fatal(err)
		}
		a.Close()
	}
}
