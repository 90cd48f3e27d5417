package mailstore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// model is what clients may rely on: a UID means one message for ever, and each session's sequence numbers follow from what
// it was told.
type model struct {
	t      *rapid.T
	root   string
	boxes  []*Mailbox
	told   [][]uint32 // UIDs by sequence number, from Changes alone
	bodies map[uint32]string
	count  int
}

func (m *model) names() []string {
	var list []string
	for _, d := range []string{"new", "cur"} {
		found, _ := filepath.Glob(m.root + "/" + d + "/*")
		list = append(list, found...)
	}
	return list
}

func (m *model) sync(i int) {
	b := m.boxes[i]
	c, err := b.Sync(context.Background(), All)
	if err != nil {
		m.t.Fatal(err)
	}
	for k, seq := range c.Expunged {
		if m.told[i][seq-1] != c.UIDs[k] {
			m.t.Fatalf("session %d: EXPUNGE %d is %d, not %d", i, seq, m.told[i][seq-1], c.UIDs[k])
		}
		m.told[i] = slices.Delete(m.told[i], seq-1, seq)
	}
	view := b.Messages()
	if len(m.told[i])+c.New != len(view) || c.Exists != len(view) {
		m.t.Fatalf("session %d: %d and %d new are not %d", i, len(m.told[i]), c.New, len(view))
	}
	for _, msg := range view[len(m.told[i]):] {
		if n := len(m.told[i]); n > 0 && msg.UID <= m.told[i][n-1] {
			m.t.Fatal("new message below old ones")
		}
		m.told[i] = append(m.told[i], msg.UID)
	}
	for k, msg := range view {
		if m.told[i][k] != msg.UID {
			m.t.Fatalf("session %d: number %d is %d, told %d", i, k+1, msg.UID, m.told[i][k])
		}
		m.body(b, msg)
	}
}

// body checks that a UID always has the same message.
func (m *model) body(b *Mailbox, msg *Message) {
	f, err := b.OpenMessage(context.Background(), msg)
	if errors.Is(err, ErrExpunged) {
		return
	}
	if err != nil {
		m.t.Fatal(err)
	}
	defer f.Close()
	buf := make([]byte, 100)
	n, _ := f.Read(buf)
	if old, ok := m.bodies[msg.UID]; ok && old != string(buf[:n]) {
		m.t.Fatalf("UID %d was %q, is %q", msg.UID, old, buf[:n])
	}
	m.bodies[msg.UID] = string(buf[:n])
}

func (m *model) pick(b *Mailbox) []*Message {
	var list []*Message
	for _, msg := range b.Messages() {
		if rapid.Bool().Draw(m.t, "take") {
			list = append(list, msg)
		}
	}
	return list
}

func (m *model) own(i int) {
	b, ctx := m.boxes[i], context.Background()
	var err error
	switch rapid.IntRange(0, 4).Draw(m.t, "own") {
	case 0:
		msgs, op := m.pick(b), FlagOp(rapid.IntRange(0, 2).Draw(m.t, "op"))
		flags := Flags(rapid.IntRange(0, 31).Draw(m.t, "flags"))
		var got []*Message
		got, err = b.StoreFlags(ctx, msgs, op, flags, []string{fmt.Sprint("k", rapid.IntRange(0, 30).Draw(m.t, "keyword")%20)})
		for _, g := range got {
			if op == ReplaceFlags && g.Flags != flags {
				m.t.Fatalf("flags %v, want %v", g.Flags, flags)
			}
		}
	case 1:
		err = b.Expunge(ctx, m.pick(b))
	case 2:
		a, errAppend := b.folder.store.Append("INBOX")
		if errAppend != nil {
			m.t.Fatal(errAppend)
		}
		defer a.Close()
		msg, errAppend := a.Create(0, nil, time.Time{})
		if errAppend != nil {
			m.t.Fatal(errAppend)
		}
		m.count++
		fmt.Fprintf(msg, "own %d\r\n", m.count)
		_, _, err = a.Commit(ctx)
	case 3:
		_, err = b.Copy(ctx, m.pick(b), "INBOX")
	case 4:
		m.sync(i)
	}
	if err != nil {
		m.t.Fatal(err)
	}
}

func (m *model) foreign() {
	names := m.names()
	m.count++
	kind := rapid.IntRange(0, 3).Draw(m.t, "foreign")
	if kind == 0 || len(names) == 0 {
		os.WriteFile(fmt.Sprintf("%s/new/%d.x", m.root, m.count), fmt.Appendf(nil, "foreign %d\n", m.count), 0o600)
		return
	}
	name := rapid.SampledFrom(names).Draw(m.t, "name")
	switch kind {
	case 1:
		os.Remove(name)
	case 2:
		base, _, _ := strings.Cut(filepath.Base(name), ":")
		os.Rename(name, m.root+"/cur/"+base+":2,"+rapid.SampledFrom([]string{"", "S", "FS", "Pb"}).Draw(m.t, "flags"))
	case 3: // Dovecot may write the list anew; an editor may change its order of keys
		path := m.root + "/" + uidlistFile
		if b, err := os.ReadFile(path); err == nil {
			os.WriteFile(path+".x", b, 0o600)
			os.Rename(path+".x", path)
		}
	}
}

func TestModel(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	runs := 0
	rapid.Check(t, func(rt *rapid.T) {
		runs++
		m := &model{t: rt, root: filepath.Join(dir, fmt.Sprint(runs)), bodies: make(map[uint32]string)}
		os.Mkdir(m.root, 0o700)
		for range 2 {
			s, err := Open(m.root, Options{Remote: true, LockTimeout: 5 * time.Second})
			if err != nil {
				rt.Fatal(err)
			}
			for range 2 {
				b, err := s.Open(context.Background(), "INBOX", len(m.boxes)%2 == 1)
				if err != nil {
					rt.Fatal(err)
				}
				if len(m.boxes)%2 == 1 {
					b.readOnly = false // its new mail is moved by others, mostly
				}
				m.boxes, m.told = append(m.boxes, b), append(m.told, nil)
			}
		}
		for range rapid.IntRange(1, 25).Draw(rt, "steps") {
			if rapid.Bool().Draw(rt, "own step") {
				m.own(rapid.IntRange(0, len(m.boxes)-1).Draw(rt, "session"))
			} else {
				m.foreign()
			}
		}
		for i := range m.boxes {
			m.sync(i)
		}
		for i := range m.boxes {
			m.sync(i)
			if a, b := show(m.boxes[0]), show(m.boxes[i]); a != b {
				rt.Fatalf("session 0 has %s, session %d %s", a, i, b)
			}
			m.boxes[i].Close()
		}
		if n := len(m.boxes[0].Messages()); n != len(m.names()) {
			rt.Fatal(n, "messages,", len(m.names()), "files")
		}
	})
}

// TestConcurrent has sessions of two processes, deliveries and a program that renames work at the same time: no message is
// lost or told as gone, and all agree at the end.
func TestConcurrent(t *testing.T) {
	t.Parallel()
	s := newStore(t, Options{})
	other := newStoreAt(s.root, s.opts)
	const deliveries, appends = 60, 15
	stop := make(chan struct{})
	var writers, readers sync.WaitGroup
	writers.Go(func() {
		for i := range deliveries {
			os.WriteFile(fmt.Sprintf("%s/tmp/%d.d", s.root, i+1), []byte("x\n"), 0o600)
			os.Rename(fmt.Sprintf("%s/tmp/%d.d", s.root, i+1), fmt.Sprintf("%s/new/%d.d", s.root, i+1))
		}
	})
	for _, store := range []*Store{s, other} {
		writers.Go(func() {
			for range appends {
				appendTo(t, store, "INBOX", "y\r\n", Seen, "kw")
			}
		})
		readers.Go(func() {
			b, err := store.Open(t.Context(), "INBOX", false)
			if err != nil {
				t.Error(err)
				return
			}
			defer b.Close()
			for {
				select {
				case <-stop:
					return
				default:
				}
				c, err := b.Sync(t.Context(), All)
				if err != nil || len(c.Expunged) > 0 {
					t.Error(c, err)
					return
				}
				if n := len(b.Messages()); n > 0 {
					m := b.Messages()[rand.IntN(n)]
					if _, err := b.StoreFlags(t.Context(), []*Message{m}, FlagOp(rand.IntN(2)), Flagged, []string{"x"}); err != nil {
						t.Error(err)
					}
					if f, err := b.OpenMessage(t.Context(), m); err != nil {
						t.Error(err)
					} else {
						f.Close()
					}
				}
			}
		})
	}
	readers.Go(func() { // mutt knows no lock
		for {
			select {
			case <-stop:
				return
			default:
			}
			names, _ := filepath.Glob(s.root + "/cur/*.d:2,")
			for _, n := range names {
				os.Rename(n, n+"S")
			}
			time.Sleep(time.Millisecond)
		}
	})
	writers.Wait()
	close(stop)
	readers.Wait()
	a, b := openBox(t, s, "INBOX"), openBox(t, other, "INBOX")
	age(t, a)
	syncBox(t, a)
	syncBox(t, b)
	if n := len(a.Messages()); n != deliveries+2*appends {
		t.Error(n, "messages")
	}
	wantView(t, b, show(a))
	wantUnlocked(t, s)
}
