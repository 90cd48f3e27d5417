package imapd

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestManySessions has sessions of two processes and other programs work on one Maildir at once: none may be told what
// cannot be, all must know the same in the end, and no message goes that nobody deleted. IMAPD_STRESS says how long.
func TestManySessions(t *testing.T) {
	t.Parallel()
	const sessions, kept = 20, 10
	d, err := time.ParseDuration(os.Getenv("IMAPD_STRESS"))
	if err != nil {
		d = 2 * time.Second
	}
	root := t.TempDir()
	servers := []*server{stressed(t, root), stressed(t, root)}
	first := servers[0].connect()
	first.ok("CREATE other")
	for i := range kept {
		text := fmt.Sprintf("Subject: kept %d.\r\n\r\n", i)
		first.ok("APPEND INBOX (keep) {%d+}\r\n%s", len(text), text)
	}
	end := time.Now().Add(d)
	var wait sync.WaitGroup
	workers := make([]*worker, sessions)
	for i := range workers {
		workers[i] = newWorker(t, servers[i%2], uint64(i))
		wait.Go(func() { workers[i].work(end) })
	}
	wait.Go(func() { disturb(servers[0], end) })
	wait.Wait()
	age(t, root+"/new", root+"/cur") // else what changed in one tick of the clock with a listing is seen two seconds later
	for _, w := range workers {
		w.ask("SELECT INBOX")
	}
	var all [][]string
	for _, w := range workers {
		w.ask("NOOP")
		w.ask("FETCH 1:* (UID FLAGS)")
		all = append(all, w.seen.list())
	}
	for i := range all {
		if !slices.Equal(all[i], all[0]) {
			t.Errorf("sessions 0 and %d see\n%q\n%q", i, all[0], all[i])
		}
	}
	for i := range kept {
		if subject := fmt.Sprintf("kept %d.", i); !onDisk(t, root, subject) {
			t.Errorf("%q is lost", subject)
		}
	}
	for _, s := range servers {
		if lines := s.log.all(); lines != "" {
			t.Errorf("logged: %.2000s", lines)
		}
	}
	total := 0
	for _, w := range workers {
		total += w.done
	}
	t.Logf("%d commands", total)
}

func stressed(t *testing.T, root string) *server {
	s := newServerAt(t, root)
	s.times.fresh = 10 * time.Millisecond
	return s
}

// age makes directories look as if nothing had happened in them for some time.
func age(t *testing.T, dirs ...string) {
	t.Helper()
	then := time.Now().Add(-10 * time.Second)
	for _, dir := range dirs {
		if err := os.Chtimes(dir, then, then); err != nil {
			t.Fatal(err)
		}
	}
}

// onDisk says whether a file has a text.
func onDisk(t *testing.T, root, text string) bool {
	names, err := filepath.Glob(filepath.Join(root, "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	more, _ := filepath.Glob(filepath.Join(root, ".other", "cur", "*"))
	return slices.ContainsFunc(append(names, more...), func(name string) bool {
		b, err := os.ReadFile(name)
		return err == nil && strings.Contains(string(b), text)
	})
}

// disturb does what other programs do.
func disturb(s *server, end time.Time) {
	for i := 0; time.Now().Before(end); i++ {
		s.deliver("", fmt.Sprintf("%d.stress", i), fmt.Sprintf("Subject: foreign %d\n\nx\n", i))
		if names := s.files("cur/*.stress*"); len(names) > 0 {
			name := names[i%len(names)]
			base, _, _ := strings.Cut(name, ":")
			os.Rename(name, base+":2,F")
		}
		if names := s.files("cur/*.stress:2,F"); len(names) > 5 {
			os.Remove(names[0])
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// worker is one client.
type worker struct {
	*testing.T
	*rand.Rand
	peer *peer
	seen told
	tag  int
	done int
	name string
}

func newWorker(t *testing.T, s *server, seed uint64) *worker {
	near, far := socketpair(t)
	w := &worker{T: t, Rand: rand.New(rand.NewPCG(seed, 1)), peer: newPeer(near), name: fmt.Sprint("session ", seed)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		serve(t.Context(), far, s.options, s.times)
	}()
	t.Cleanup(func() {
		near.Close()
		<-done
	})
	return w
}

func (w *worker) work(end time.Time) {
	w.ask("SELECT INBOX")
	for time.Now().Before(end) && !w.Failed() {
		w.ask(w.command())
		w.done++
	}
}

func (w *worker) command() string {
	n := len(w.seen.messages)
	if n == 0 {
		return []string{"NOOP", "SELECT INBOX", "SELECT other"}[w.IntN(3)]
	}
	a, b := w.IntN(n)+1, w.IntN(n)+1
	set := fmt.Sprintf("%d:%d", a, min(n, max(a, min(b, a+3))))
	uid := w.seen.messages[a-1].uid
	switch w.IntN(16) {
	case 0:
		return "SELECT " + []string{"INBOX", "other"}[w.IntN(2)]
	case 1, 2:
		return "FETCH " + set + " (UID FLAGS)"
	case 3:
		return "FETCH " + set + " (UID BODY[])"
	case 4, 5:
		return "STORE " + set + []string{" +FLAGS", " -FLAGS", " +FLAGS.SILENT"}[w.IntN(3)] + " (" + []string{`\Seen`, `\Flagged`, "kw"}[w.IntN(3)] + ")"
	case 6:
		return "COPY " + fmt.Sprint(a) + " other"
	case 7:
		return "UID MOVE " + fmt.Sprint(max(uid, 1)) + []string{" other", " INBOX"}[w.IntN(2)]
	case 8:
		return fmt.Sprintf("APPEND INBOX (\\Seen) {%d+}\r\nSubject: more %04d\r\n\r\n", 22, w.IntN(10000))
	case 9, 10:
		return w.remove()
	case 11:
		return "IDLE"
	case 12:
		return "UID SEARCH UNSEEN SUBJECT kept"
	case 13:
		return "STATUS other (MESSAGES UNSEEN UIDNEXT)"
	}
	return "NOOP"
}

// remove deletes some of what need not be kept.
func (w *worker) remove() string {
	for _, line := range w.ask("UID SEARCH UNKEYWORD keep") {
		numbers, found := strings.CutPrefix(line, "* SEARCH ")
		if uids := strings.Fields(numbers); found && len(uids) > 3 {
			w.ask("UID STORE " + strings.Join(uids[:len(uids)/3], ",") + ` +FLAGS.SILENT (\Deleted)`)
			return "EXPUNGE"
		}
	}
	return "NOOP"
}

// ask sends a command, and notes what the answers say.
func (w *worker) ask(command string) []string {
	w.tag++
	lines, err := w.peer.exchange(fmt.Sprintf("t%d", w.tag), command)
	if err != nil {
		w.Errorf("%s: %s: %q, %v", w.name, command, lines, err)
		return nil
	}
	w.seen.begin(command, last(lines))
	for _, l := range lines {
		w.seen.take(l)
		if command != "NOOP" && strings.HasSuffix(l, " EXPUNGE") && slices.Contains([]string{"FETCH", "STORE", "SEARCH"}, strings.Fields(command)[0]) {
			w.Errorf("%s: %s: %s", w.name, command, l)
		}
	}
	if w.seen.wrong != "" {
		w.Errorf("%s: %s: %s", w.name, command, w.seen.wrong)
	}
	if strings.Contains(last(lines), " BAD") {
		w.Errorf("%s: %s: %s", w.name, command, last(lines))
	}
	return lines
}
