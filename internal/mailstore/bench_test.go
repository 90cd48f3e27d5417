package mailstore

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

func fillFolder(b *testing.B, dir string, n int) {
	for i := range n {
		f, err := os.Create(fmt.Sprintf("%s/cur/%d.M%dP1.bench.example.org,S=2000,W=2050:2,S", dir, 1_700_000_000+i, i))
		if err != nil {
			b.Fatal(err)
		}
		f.Close()
	}
	old := time.Now().Add(-time.Hour)
	for _, sub := range []string{"cur", "new"} {
		if err := os.Chtimes(dir+"/"+sub, old, old); err != nil {
			b.Fatal(err)
		}
	}
}

func benchOpen(b *testing.B, s *Store, n int) {
	b.Helper()
	box, err := s.Open(b.Context(), "INBOX", false)
	if err != nil || len(box.Messages()) < n || box.Counts().Messages < n {
		b.Fatal(err)
	}
	box.Close()
}

// BenchmarkFolder measures what a session waits for, in folders of several sizes.
func BenchmarkFolder(b *testing.B) {
	for _, n := range []int{1000, 10_000, 100_000} {
		s := newStore(b, Options{})
		fillFolder(b, s.root, n)
		run := func(name string, do func(b *testing.B)) {
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) { b.ReportAllocs(); do(b) })
		}
		run("open-first", func(b *testing.B) {
			for b.Loop() {
				for _, name := range []string{indexFile, uidlistFile, modSeqFile} {
					os.Remove(s.root + "/" + name)
				}
				benchOpen(b, newStoreAt(s.root, s.opts), n)
			}
		})
		run("open-cold", func(b *testing.B) {
			for b.Loop() {
				os.Remove(s.root + "/" + indexFile)
				benchOpen(b, newStoreAt(s.root, s.opts), n)
			}
		})
		run("open-index", func(b *testing.B) {
			for b.Loop() {
				benchOpen(b, newStoreAt(s.root, s.opts), n)
			}
		})
		benchOpen(b, s, n)
		run("open-kept", func(b *testing.B) {
			for b.Loop() {
				benchOpen(b, s, n)
			}
		})
		run("status-index", func(b *testing.B) {
			for b.Loop() {
				if st, err := newStoreAt(s.root, s.opts).Status(b.Context(), "INBOX"); err != nil || st.Messages < n {
					b.Fatal(st, err)
				}
			}
		})
		box := openBox(b, s, "INBOX")
		run("nothing", func(b *testing.B) {
			for b.Loop() {
				syncBox(b, box)
			}
		})
		i := 0
		run("one-new", func(b *testing.B) {
			for b.Loop() {
				i++
				write(b, fmt.Sprintf("%s/new/%d.N%d", s.root, 1_800_000_000+i, i), "x\n")
				if c := syncBox(b, box); c.New != 1 {
					b.Fatal(c)
				}
			}
		})
		run("store-one", func(b *testing.B) {
			for b.Loop() {
				i++
				benchStoreFlags(b, box, box.Messages()[:1], FlagOp(i%2), Flagged)
			}
		})
		run("store-all", func(b *testing.B) {
			for b.Loop() {
				i++
				benchStoreFlags(b, box, box.Messages(), FlagOp(i%2), Flagged)
			}
		})
		run("keyword-all", func(b *testing.B) {
			for b.Loop() {
				i++
				benchStoreFlags(b, box, box.Messages(), FlagOp(i%2), 0, "kw")
			}
		})
	}
}

func benchStoreFlags(b *testing.B, box *Mailbox, msgs []*Message, op FlagOp, flags Flags, keywords ...string) {
	if _, err := box.StoreFlags(b.Context(), msgs, op, flags, keywords); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkFolders measures a thousand of them.
func BenchmarkFolders(b *testing.B) {
	const folders = 1000
	b.Run("create", func(b *testing.B) {
		for b.Loop() {
			s := newStore(b, Options{})
			each(b, folders, func(name string) error { return s.Create(name) })
		}
	})
	s := newStore(b, Options{})
	each(b, folders, func(name string) error { return s.Create(name) })
	b.Run("subscribe", func(b *testing.B) {
		for b.Loop() {
			os.Remove(s.root + "/" + subscriptionsFile)
			each(b, folders, func(name string) error { return s.Subscribe(context.Background(), name, true) })
		}
	})
	status := func(name string) error { _, err := s.Status(context.Background(), name); return err }
	each(b, folders, status)
	b.Run("status", func(b *testing.B) {
		for b.Loop() {
			each(b, folders, status)
		}
	})
	b.Run("list", func(b *testing.B) {
		for b.Loop() {
			if list, err := s.List(); err != nil || len(list) != folders+1 {
				b.Fatal(len(list), err)
			}
		}
	})
}

func each(b *testing.B, n int, do func(name string) error) {
	for i := range n {
		if err := do(fmt.Sprintf("Folder%d", i)); err != nil {
			b.Fatal(err)
		}
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
