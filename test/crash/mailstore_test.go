//go:build faults

package crash

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"postrider/internal/mailstore"
)

// storePoints are the steps of the mail store, as docs/mailstore.md names them, and how often a program comes by each.
var storePoints = []struct {
	name  string
	times int
}{
	{"mailstore.append-written", 40}, {"mailstore.append-renamed", 70}, {"mailstore.uidlist-append", 70}, {"mailstore.uidlist-written", 30},
	{"mailstore.moved", 10}, {"mailstore.folder-made", 30}, {"mailstore.validity-taken", 30}, {"mailstore.child-renamed", 30}, {"mailstore.trashed", 10},
	{"mailstore.index-appended", 70}, {"mailstore.index-written", 70}, {"mailstore.index-rewritten", 10}, {"mailstore.lock-made", 70}, {"mailstore.file-written", 20},
	{"mailstore.subscribed", 5}, {atAnyTime, 1},
}

// atAnyTime is no step: the child is killed somewhere in its work.
const atAnyTime = "any"

// TestKillStore kills a program at each step of what it does in a Maildir, while mail is delivered there, and opens the Maildir
// again: what was answered is there under its UID, whole, and nothing else got that UID; what was not answered is there once
// at most; no lock holds anybody up.
func TestKillStore(t *testing.T) {
	root := filepath.Join(t.TempDir(), "Maildir")
	if err := os.Mkdir(root, 0o700); err != nil {
		t.Fatal(err)
	}
	l := &ledger{mails: make(map[uid]int), leaving: make(map[uid]bool), gone: make(map[uid]bool), delivered: make(map[int]bool),
		returning: make(map[uint32]*returning)}
	fired := 0
	for round := range 3 * len(storePoints) {
		p := storePoints[round%len(storePoints)]
		n := 1 + rand.IntN(p.times)
		if round < len(storePoints) {
			n = 1
		}
		t.Run(fmt.Sprintf("%02d-%s:%d", round, p.name, n), func(t *testing.T) {
			if l.kill(t, root, round, p.name, n) {
				fired++
			}
			tear(t, root, []string{"4000000000 :tor", "no line\n"}[round%2])
			l.verify(t, root)
		})
	}
	t.Logf("%d rounds died at their step; %d messages were answered, %d delivered", fired, len(l.mails), len(l.delivered))
	if fired < 2*len(storePoints) {
		t.Errorf("only %d rounds died at their step: the points are not reached", fired)
	}
}

// tear leaves in each uidlist, and in the subscriptions, what a power cut may: the next who changes it writes it anew.
func tear(t *testing.T, root, rest string) {
	lists, _ := filepath.Glob(root + "/.*/dovecot-uidlist")
	for _, path := range append(lists, root+"/dovecot-uidlist", root+"/subscriptions") {
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
		if os.IsNotExist(err) {
			continue
		}
		if err == nil {
			_, err = f.WriteString(rest)
			f.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// uid is a message for ever: UIDVALIDITY tells the folder, too.
type uid struct{ validity, uid uint32 }

// ledger is what the store has promised.
type ledger struct {
	mails     map[uid]int  // number of the message under each UID that was told
	leaving   map[uid]bool // asked to be removed, perhaps gone
	gone      map[uid]bool // told as removed
	trying    []int        // messages that the last command would make, once more
	rename    [2]string    // the last command, if it was one
	names     []string     // subscriptions
	delivered map[int]bool
	returning map[uint32]*returning // a client of each folder that was told of it last before the kill
}

// kill lets a child work, with deliveries beside it, to the step at which it dies, and says whether it did.
func (l *ledger) kill(t *testing.T, root string, round int, point string, times int) (died bool) {
	cmd := exec.Command(os.Args[0], "-test.run=^TestStoreWorker$", "-test.count=1")
	cmd.Env = append(os.Environ(), fmt.Sprintf("FAULT=%s:%d", point, times), fmt.Sprint("STORE_ROUND=", round), "STORE_ROOT="+root)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // it dies with its group
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd.ExtraFiles = []*os.File{in}
	var log strings.Builder
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	in.Close()
	patience := 2 * time.Minute
	if point == atAnyTime {
		patience = time.Duration(50+rand.IntN(500)) * time.Millisecond
	}
	defer time.AfterFunc(patience, func() { cmd.Process.Kill() }).Stop()
	stop := make(chan struct{})
	var deliveries sync.WaitGroup
	deliveries.Go(func() { l.deliver(t, root, round, stop) })
	l.listen(t, out)
	close(stop)
	deliveries.Wait()
	err = cmd.Wait()
	status, _ := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if err != nil && !status.Signaled() {
		t.Fatalf("%v\n%s", err, log.String())
	}
	return status.Signaled()
}

// deliver is a delivery agent that knows no lock.
func (l *ledger) deliver(t *testing.T, root string, round int, stop <-chan struct{}) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for i := range 100 {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		n := 1_000_000 + 1000*round + i
		name := fmt.Sprintf("/%d.d%d.host", n, n)
		os.Mkdir(root+"/tmp", 0o700)
		os.Mkdir(root+"/new", 0o700)
		err := os.WriteFile(root+"/tmp"+name, []byte(strings.ReplaceAll(text(int64(n)), "\r\n", "\n")), 0o600)
		if err == nil {
			err = os.Rename(root+"/tmp"+name, root+"/new"+name)
		}
		if err != nil {
			t.Error(err)
			return
		}
		l.delivered[n] = true
	}
}

// listen takes what the child was told by the store, as a client would have been.
func (l *ledger) listen(t *testing.T, out io.Reader) {
	l.trying, l.rename = nil, [2]string{}
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var u uid
		var n int
		text := lines.Text()
		verb, rest, _ := strings.Cut(text, " ")
		fmt.Sscan(rest, &u.validity, &u.uid, &n)
		switch verb {
		case "try":
			l.trying = nil
			for f := range strings.FieldsSeq(rest) {
				fmt.Sscan(f, &n)
				l.trying = append(l.trying, n)
			}
		case "has":
			if old, ok := l.mails[u]; ok && old != n {
				t.Errorf("%v was message %d and is %d", u, old, n)
			}
			l.mails[u] = n
		case "knows":
			r := parseReturning(rest)
			l.returning[u.validity] = &r
		case "leaves":
			l.leaving[u] = true
		case "gone":
			l.gone[u] = true
		case "rename":
			fmt.Sscan(rest, &l.rename[0], &l.rename[1])
		case "subscribed":
			l.names = append(l.names, rest)
		case "done":
			l.trying, l.rename = nil, [2]string{}
		default:
			t.Errorf("child says %q", text)
		}
	}
}

// verify opens the Maildir again.
func (l *ledger) verify(t *testing.T, root string) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	s, err := mailstore.Open(root, mailstore.Options{LockTimeout: 15 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	l.goOnRenaming(t, ctx, s)
	found := make(map[uid]int)
	next := make(map[uint32]uint32)
	for _, b := range openAll(t, ctx, s) {
		for u, n := range contents(t, ctx, b) {
			if _, twice := found[u]; twice {
				t.Errorf("%v is there twice", u)
			}
			found[u] = n
		}
		next[b.UIDValidity()] = b.UIDNext()
		if r := l.returning[b.UIDValidity()]; r != nil {
			r.visit(t, b)
		}
		keyword := fmt.Sprint("v", len(l.mails)) // a new one: it wants both locks of the folder
		if _, err := b.StoreFlags(ctx, nil, mailstore.AddFlags, 0, []string{keyword}); err != nil {
			t.Error(err)
		}
		b.Close()
	}
	l.compare(t, found, next)
	for _, u := range sorted(found) {
		l.mails[u] = found[u]
	}
	l.stillWorks(t, ctx, s)
	locks, _ := filepath.Glob(root + "/*.lock")
	inFolders, _ := filepath.Glob(root + "/.*/*.lock")
	for _, path := range append(locks, inFolders...) {
		if filepath.Base(path) != "postrider.lock" {
			t.Error("left:", path)
		}
	}
}

// goOnRenaming gives a RENAME that was cut off once more: it goes on where it was.
func (l *ledger) goOnRenaming(t *testing.T, ctx context.Context, s *mailstore.Store) {
	from, to := l.rename[0], l.rename[1]
	if from == "" {
		return
	}
	folders, err := s.List()
	if err != nil {
		t.Fatal(err)
	}
	left := slices.ContainsFunc(folders, func(f mailstore.Folder) bool { return f.Name == from || strings.HasPrefix(f.Name, from+".") })
	if err := s.Rename(ctx, from, to); left && err != nil {
		t.Error("renaming does not go on:", err)
	}
	if folders, err = s.List(); err != nil {
		t.Fatal(err)
	}
	have := make(map[string]bool)
	for _, f := range folders {
		have[f.Name] = !f.NoSelect
	}
	if !have[to] || !have[to+".a"] || !have[to+".b"] || have[from] || have[from+".a"] || have[from+".b"] {
		t.Errorf("renaming %s to %s made %v", from, to, folders)
	}
}

func openAll(t *testing.T, ctx context.Context, s *mailstore.Store) (list []*mailstore.Mailbox) {
	folders, err := s.List()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range folders {
		if f.NoSelect {
			continue
		}
		b, err := s.Open(ctx, f.Name, false)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, b)
	}
	return list
}

// contents are the numbers of the messages of a view, whose files must be whole.
func contents(t testing.TB, ctx context.Context, b *mailstore.Mailbox) map[uid]int {
	found := make(map[uid]int)
	for _, m := range b.Messages() {
		f, err := b.OpenMessage(ctx, m)
		if err != nil {
			t.Fatal(err)
		}
		file, err := io.ReadAll(f)
		f.Close()
		var n int
		if _, errScan := fmt.Sscanf(string(file), "Subject: message %d\n", &n); errScan != nil || err != nil || !whole(file) {
			t.Fatalf("UID %d is damaged: %d octets, %v", m.UID, len(file), err)
		}
		found[uid{b.UIDValidity(), m.UID}] = n
	}
	return found
}

// compare fails the test for every promise that is broken.
func (l *ledger) compare(t *testing.T, found map[uid]int, next map[uint32]uint32) {
	copies, promised := make(map[int]int), make(map[int]int)
	for u, n := range found {
		copies[n]++
		if old, ok := l.mails[u]; ok && old != n {
			t.Errorf("%v was message %d and is %d", u, old, n)
		}
		if l.gone[u] {
			t.Errorf("%v was told as removed and is there", u)
		}
	}
	for u, n := range l.mails {
		_, there := found[u]
		if !there && !l.leaving[u] {
			t.Errorf("LOST: %v, message %d", u, n)
		}
		if there || !l.leaving[u] {
			promised[n]++
		}
		if end, ok := next[u.validity]; ok && u.uid >= end {
			t.Errorf("%v is not below UIDNEXT %d", u, end)
		}
		if !there {
			l.gone[u] = true // for ever
		}
	}
	for n := range l.delivered {
		if l.ever(n) == 0 && copies[n] != 1 {
			t.Errorf("delivered message %d is there %d times", n, copies[n])
		}
		promised[n] = max(promised[n], min(1, copies[n]))
	}
	for n, k := range copies {
		if slices.Contains(l.trying, n) {
			k--
		}
		if k > promised[n] {
			t.Errorf("message %d is there %d times, promised %d times", n, copies[n], promised[n])
		}
	}
}

// ever counts the UIDs that a message was told to have.
func (l *ledger) ever(n int) (count int) {
	for _, m := range l.mails {
		if m == n {
			count++
		}
	}
	return count
}

func sorted(found map[uid]int) (list []uid) {
	for u := range found {
		list = append(list, u)
	}
	slices.SortFunc(list, func(a, b uid) int { return int(a.uid) - int(b.uid) })
	return list
}

// stillWorks has a new message get a UID above all, a DELETE take what one before left, and a subscription be made.
func (l *ledger) stillWorks(t *testing.T, ctx context.Context, s *mailstore.Store) {
	n := 2_000_000 + len(l.mails)
	validity, uids, err := appendText(ctx, s, mailstore.Inbox, nil, n)
	if err != nil {
		t.Fatal(err)
	}
	for u := range l.mails {
		if u.validity == validity && u.uid >= uids[0] {
			t.Errorf("new message is %d, there was %d", uids[0], u.uid)
		}
	}
	l.mails[uid{validity, uids[0]}] = n
	names, err := s.Subscriptions()
	if err != nil || slices.ContainsFunc(l.names, func(n string) bool { return !slices.Contains(names, n) }) {
		t.Errorf("subscriptions %v, told %v, %v", names, l.names, err)
	}
	for _, on := range []bool{true, false} {
		if err := s.Subscribe(ctx, "Last", on); err != nil {
			t.Error(err)
		}
	}
	if err := s.Create("Last"); err != nil {
		t.Error(err)
	}
	if err := s.Delete("Last"); err != nil {
		t.Error(err)
	}
	if folders, err := s.List(); err != nil || slices.ContainsFunc(folders, func(f mailstore.Folder) bool { return f.Name == "Last" }) {
		t.Error("still there:", folders, err)
	}
}

func appendText(ctx context.Context, s *mailstore.Store, folder string, keywords []string, numbers ...int) (uint32, []uint32, error) {
	a, err := s.Append(folder)
	if err != nil {
		return 0, nil, err
	}
	defer a.Close()
	for _, n := range numbers {
		m, err := a.Create(0, keywords, time.Time{})
		if err != nil {
			return 0, nil, err
		}
		io.WriteString(m, text(int64(n))) // Commit has its errors
	}
	return a.Commit(ctx)
}

// TestStoreWorker is the child: it works in the Maildir until its fault comes, and tells what it was told.
func TestStoreWorker(t *testing.T) {
	root := os.Getenv("STORE_ROOT")
	if root == "" {
		t.Skip("it is the child of TestKillStore")
	}
	s, err := mailstore.Open(root, mailstore.Options{LockTimeout: 15 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	w := &storeWorker{TB: t, store: s, ctx: t.Context(), tell: os.NewFile(3, "tell")}
	fmt.Sscan(os.Getenv("STORE_ROUND"), &w.round)
	if err := s.Create("Other"); err != nil && w.round == 0 {
		t.Fatal(err)
	}
	for i := range 10 {
		w.inbox(i)
		w.other()
		w.folders(fmt.Sprintf("R%dI%d", w.round, i))
	}
}

type storeWorker struct {
	testing.TB
	store *mailstore.Store
	ctx   context.Context
	tell  io.Writer
	round int
	count int
}

func (w *storeWorker) say(format string, args ...any) { fmt.Fprintf(w.tell, format+"\n", args...) }

func (w *storeWorker) check(err error) {
	if err != nil {
		w.Helper()
		w.Fatal(err)
	}
}

func (w *storeWorker) open(name string) *mailstore.Mailbox {
	b, err := w.store.Open(w.ctx, name, false)
	w.check(err)
	return b
}

// append puts two new messages into a folder.
func (w *storeWorker) append(folder string, keywords ...string) (validity uint32) {
	a, b := 1000*w.round+w.count, 1000*w.round+w.count+1
	w.count += 2
	w.say("try %d %d", a, b)
	validity, uids, err := appendText(w.ctx, w.store, folder, keywords, a, b)
	w.check(err)
	w.say("has %d %d %d", validity, uids[0], a)
	w.say("has %d %d %d", validity, uids[1], b)
	w.say("done")
	return validity
}

// look tells all of a view.
func (w *storeWorker) look(b *mailstore.Mailbox) map[uid]int {
	found := contents(w, w.ctx, b)
	for u, n := range found {
		w.say("has %d %d %d", u.validity, u.uid, n)
	}
	w.knows(b)
	return found
}

// knows tells what a client that can come back remembers.
func (w *storeWorker) knows(b *mailstore.Mailbox) {
	w.say("knows %s", remember(b))
}

// inbox appends, copies and moves, and sees what was delivered.
func (w *storeWorker) inbox(i int) {
	w.append(mailstore.Inbox, fmt.Sprint("k", i))
	b := w.open(mailstore.Inbox)
	defer b.Close()
	found := w.look(b)
	n := len(b.Messages())
	for k, move := range []bool{false, true} {
		m := b.Messages()[n-1-k]
		u := uid{b.UIDValidity(), m.UID}
		w.say("try %d", found[u])
		transfer := b.Copy
		if move {
			transfer = b.Move
			w.say("leaves %d %d", u.validity, u.uid)
		}
		c, err := transfer(w.ctx, []*mailstore.Message{m}, "Other")
		w.check(err)
		w.say("has %d %d %d", c.UIDValidity, c.To[0], found[u])
		if move {
			w.say("gone %d %d", u.validity, u.uid)
		}
		w.say("done")
	}
	_, err := b.StoreFlags(w.ctx, b.Messages(), mailstore.FlagOp(i%2), mailstore.Flagged, []string{"x"})
	w.check(err)
	w.knows(b)
	_, err = b.Sync(w.ctx, mailstore.All)
	w.check(err)
	w.look(b)
}

// other removes the newest of a folder: their UIDs stay used.
func (w *storeWorker) other() {
	b := w.open("Other")
	defer b.Close()
	w.look(b)
	list := b.Messages()
	if len(list) < 8 {
		return
	}
	newest := list[len(list)-6:]
	for _, m := range newest {
		w.say("leaves %d %d", b.UIDValidity(), m.UID)
	}
	w.check(b.Expunge(w.ctx, newest))
	for _, m := range newest {
		w.say("gone %d %d", b.UIDValidity(), m.UID)
	}
	w.say("done")
}

// folders makes a tree, renames it, and deletes a part of it.
func (w *storeWorker) folders(name string) {
	for _, sub := range []string{"", ".a", ".b"} {
		w.check(w.store.Create(name + sub))
	}
	w.check(w.store.Subscribe(w.ctx, name, true))
	w.say("subscribed %s", name)
	w.append(name + ".a")
	doomed := w.append(name + ".b")
	w.say("rename %s New%s", name, name)
	w.check(w.store.Rename(w.ctx, name, "New"+name))
	w.say("done")
	b := w.open("New" + name + ".b")
	list := b.Messages()
	b.Close()
	for _, m := range list {
		w.say("leaves %d %d", doomed, m.UID)
	}
	w.check(w.store.Delete("New" + name + ".b"))
	for _, m := range list {
		w.say("gone %d %d", doomed, m.UID)
	}
	w.say("done")
}
