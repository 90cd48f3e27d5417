package mailstore

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// told is what a process was told of a message.
type told struct {
	folder string
	uid    uint32
	text   string
}

// TestProcesses has several processes append, copy, move, mark and remove in one Maildir, beside a delivery agent and a program
// that renames, neither of which knows a lock: every message is there as often as it was told, each under a UID of its own.
func TestProcesses(t *testing.T) {
	if root := os.Getenv("MAILSTORE_TEST_ROOT"); root != "" {
		work(t, root, os.Getenv("MAILSTORE_TEST_NAME"))
		return
	}
	t.Parallel()
	const workers, deliveries = 4, 60
	s := newStore(t, Options{})
	for _, err := range []error{s.Create("A"), s.Create("B")} {
		if err != nil {
			t.Fatal(err)
		}
	}
	reports := make([]*bytes.Buffer, workers)
	stop := make(chan struct{})
	var working, foreign sync.WaitGroup
	for i := range workers {
		reports[i] = new(bytes.Buffer)
		working.Go(func() {
			cmd := exec.Command(os.Args[0], "-test.run=^TestProcesses$", "-test.count=1")
			cmd.Env = append(os.Environ(), "MAILSTORE_TEST_ROOT="+s.root, fmt.Sprint("MAILSTORE_TEST_NAME=w", i))
			cmd.Stdout = reports[i]
			guard := time.AfterFunc(2*time.Minute, func() { cmd.Process.Kill() })
			defer guard.Stop()
			if err := cmd.Run(); err != nil {
				t.Errorf("%v\n%s", err, reports[i])
			}
		})
	}
	foreign.Go(func() {
		for i := range deliveries {
			name := fmt.Sprintf("%d.d%d.host", i+1, i)
			write(t, s.root+"/tmp/"+name, "delivered "+fmt.Sprint(i)+"\n")
			if err := os.Rename(s.root+"/tmp/"+name, s.root+"/new/"+name); err != nil {
				t.Error(err)
			}
			time.Sleep(time.Millisecond)
		}
	})
	foreign.Go(func() { markSeen(s.root, stop) })
	for _, folder := range []string{Inbox, "A"} {
		foreign.Go(func() { comeAndGo(t, s, folder, stop) })
	}
	working.Wait()
	close(stop)
	foreign.Wait()
	compareReports(t, s, reports, deliveries)
}

// comeAndGo is a client that comes again and again, to two processes in turn and to new ones, while others work.
func comeAndGo(t *testing.T, s *Store, folder string, stop <-chan struct{}) {
	var c client
	stores := []*Store{s, anotherProcess(s)}
	for i := 0; ; i++ {
		select {
		case <-stop:
			return
		default:
		}
		at := anotherProcess(s)
		if i%3 < 2 {
			at = stores[i%3]
		}
		b, err := at.Open(t.Context(), folder, i%2 == 0)
		if err != nil {
			t.Error(err)
			return
		}
		err = c.visit(b)
		b.Close()
		if err != nil {
			t.Error(folder, i, err)
			return
		}
	}
}

// markSeen renames what was delivered, as mutt does.
func markSeen(root string, stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		case <-time.After(time.Millisecond):
		}
		names, _ := filepath.Glob(root + "/cur/*.host:2,")
		for _, n := range names {
			os.Rename(n, n+"S") // another may have been quicker
		}
	}
}

// work is what each process does. It prints what it was told: "+ FOLDER UID TEXT" and "- FOLDER UID".
func work(t *testing.T, root, name string) {
	s, err := Open(root, Options{LockTimeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	boxes := map[string]*Mailbox{}
	for _, folder := range []string{Inbox, "A", "B"} {
		boxes[folder] = openBox(t, s, folder)
	}
	var own []told
	for i := range 25 {
		folder := []string{Inbox, "A", "B"}[i%3]
		text := fmt.Sprintf("%s-%d", name, i)
		own = append(own, told{folder, appendTo(t, s, folder, text+"\r\n", Seen, "k"), text})
		fmt.Println("+", folder, own[len(own)-1].uid, text)
		own = transfer(t, boxes, own, i)
		for folder, b := range boxes {
			c, err := b.Sync(t.Context(), All)
			if err != nil {
				t.Fatal(folder, err)
			}
			if !slices.IsSortedFunc(b.Messages(), func(a, b *Message) int { return int(a.UID) - int(b.UID) }) || c.Exists != len(b.Messages()) {
				t.Fatal(folder, show(b))
			}
			if msgs := b.Messages(); len(msgs) > 0 {
				m := msgs[rand.IntN(len(msgs))]
				if _, err := b.StoreFlags(t.Context(), []*Message{m}, FlagOp(i%2), Flagged, []string{"x"}); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

// transfer copies, moves or removes one of a process's messages.
func transfer(t *testing.T, boxes map[string]*Mailbox, own []told, i int) []told {
	k := rand.IntN(len(own))
	m := own[k]
	b := boxes[m.folder]
	syncBox(t, b)
	msg := b.state.find(m.uid)
	if msg == nil {
		t.Fatalf("%+v is gone", m)
	}
	to := []string{"A", "B", Inbox}[i%3]
	var c Copied
	var err error
	switch i % 4 {
	case 0:
		return own
	case 1:
		c, err = b.Copy(t.Context(), []*Message{msg}, to)
	case 2:
		if c, err = b.Move(t.Context(), []*Message{msg}, to); err == nil {
			fmt.Println("-", m.folder, m.uid)
			own = slices.Delete(own, k, k+1)
		}
	case 3:
		if err := b.Expunge(t.Context(), []*Message{msg}); err != nil {
			t.Fatal(err)
		}
		fmt.Println("-", m.folder, m.uid)
		return slices.Delete(own, k, k+1)
	}
	if err != nil || len(c.To) != 1 {
		t.Fatal(c, err)
	}
	fmt.Println("+", to, c.To[0], m.text)
	return append(own, told{to, c.To[0], m.text})
}

// place is a UID of a folder.
type place struct {
	folder string
	uid    uint32
}

// compareReports compares what all processes were told with what is there.
func compareReports(t *testing.T, s *Store, reports []*bytes.Buffer, deliveries int) {
	want, used := map[place]string{}, map[place]string{}
	for i, r := range reports {
		last := map[string]uint32{}
		lines := bufio.NewScanner(r)
		for lines.Scan() {
			var sign, text string
			var p place
			if n, _ := fmt.Sscan(lines.Text(), &sign, &p.folder, &p.uid, &text); n < 3 {
				continue // what the testing package says
			}
			if sign == "-" {
				delete(want, p)
				continue
			}
			if p.uid <= last[p.folder] {
				t.Errorf("process %d got UID %d after %d in %s", i, p.uid, last[p.folder], p.folder)
			}
			if other, twice := used[p]; twice {
				t.Errorf("UID %v is that of %s and of %s", p, text, other)
			}
			last[p.folder], used[p], want[p] = p.uid, text, text
		}
	}
	delivered := map[string]int{}
	for _, folder := range []string{Inbox, "A", "B"} {
		b := openBox(t, s, folder)
		age(t, b) // what was renamed in the last moment
		syncBox(t, b)
		for _, m := range b.Messages() {
			p, text := place{folder, m.UID}, contentOf(t, b, m)
			if strings.HasPrefix(text, "delivered") {
				if delivered[text]++; used[p] != "" {
					t.Errorf("%v was %s and is %s", p, used[p], text)
				}
				continue
			}
			if want[p] != text {
				t.Errorf("%v is %q, want %q", p, text, want[p])
			}
			delete(want, p)
		}
		if n := len(files(t, b)); n != len(b.Messages()) {
			t.Errorf("%s: %d files, %d messages", folder, n, len(b.Messages()))
		}
	}
	for p, text := range want {
		t.Errorf("LOST: %v, %s", p, text)
	}
	for i := range deliveries {
		if n := delivered[fmt.Sprint("delivered ", i)]; n != 1 {
			t.Errorf("delivered message %d is there %d times", i, n)
		}
	}
	wantUnlocked(t, s)
}

func contentOf(t *testing.T, b *Mailbox, m *Message) string {
	t.Helper()
	f, err := b.OpenMessage(t.Context(), m)
	if errors.Is(err, ErrExpunged) {
		return ""
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	text, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

func files(t *testing.T, b *Mailbox) (names []string) {
	t.Helper()
	for _, d := range []string{"new", "cur"} {
		found, err := filepath.Glob(b.folder.path(d) + "/*")
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, found...)
	}
	return names
}
