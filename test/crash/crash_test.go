//go:build faults

// Package crash kills the suite at every step and at random moments, and cuts its power: what was answered 250 must be in a
// Maildir or in the queue afterwards, whole, and once.
package crash

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"postrider/internal/envelope"
	"postrider/test/suite"
)

func TestMain(m *testing.M) {
	os.Setenv("POSTRIDER_TEST_TAGS", "faults")
	code := m.Run()
	suite.Cleanup()
	os.Exit(code)
}

// points are the steps of accept, recovery, pick-up and delivery, as the programs name them.
var points = []string{
	"accept.created", "accept.written", "accept.synced", "accept.linked", "accept.dirsynced", "accept.renamed.local", "accept.renamed.remote",
	"pickup.renamed", "deliver.pickedup", "deliver.sent-to-worker", "maildir.written", "maildir.synced", "maildir.renamed", "maildir.dirsynced",
	"deliver.committed", "journal.written", "journal.synced", "deliver.recorded", "deliver.done", "done.unlinked", "done.synced",
}

// relaying lets the load send to other hosts, too; what a dead worker leaves is soon tried again.
const relaying = "[smtpd]\nrelay_networks = [\"127.0.0.0/8\"]\n[localdeliver]\nmin_backoff = \"1s\"\nmax_backoff = \"2s\"\n"

// promise is a message that was answered 250.
type promise struct {
	id     string
	users  []string
	remote bool
}

type promises struct {
	mu  sync.Mutex
	all []promise
}

func (p *promises) add(id string, users []string, remote bool) {
	p.mu.Lock()
	p.all = append(p.all, promise{id, users, remote})
	p.mu.Unlock()
}

// counts is what a round found.
type counts struct{ acked, inQueue, twice, fired int }

func TestKill(t *testing.T) {
	rounds := 2 * len(points)
	if n, err := strconv.Atoi(os.Getenv("CRASH_ROUNDS")); err == nil {
		rounds = n
	}
	var sum counts
	for r := range rounds {
		point := ""
		if r%2 == 0 {
			point = points[r/2%len(points)]
		}
		t.Run(fmt.Sprintf("%02d-%s", r, point), func(t *testing.T) {
			c := killRound(t, point)
			sum.acked, sum.inQueue, sum.twice, sum.fired = sum.acked+c.acked, sum.inQueue+c.inQueue, sum.twice+c.twice, sum.fired+c.fired
		})
	}
	t.Logf("%d rounds, %d died at their step: %d messages answered 250, none lost; %d were in the queue when all was killed; %d delivered twice, each in flight then",
		rounds, sum.fired, sum.acked, sum.inQueue, sum.twice)
	if sum.fired < rounds/4 {
		t.Errorf("only %d of %d rounds died at their step: the points are not reached", sum.fired, rounds/2)
	}
}

// killRound loads a suite, kills all of it at a step or at a random moment, starts it again and counts.
func killRound(t *testing.T, point string) counts {
	var c counts
	s := suite.New(t, suite.Options{IDs: suite.Single(), Extra: relaying, Daemons: suite.Incoming})
	env := ""
	if point != "" {
		env = fmt.Sprintf("FAULT=%s:%d", point, 1+rand.IntN(40))
	}
	for _, d := range suite.Incoming {
		s.StartDaemon(d, env)
	}
	var p promises
	l := &load{addr: s.Addr["smtp"], acked: p.add, stop: make(chan struct{})}
	done, reading := make(chan struct{}), make(chan struct{})
	go func() { defer close(done); l.run(8) }()
	go reader(s, reading)
	wait := time.Duration(200+rand.IntN(800)) * time.Millisecond
	if point != "" {
		wait = 5 * time.Second
	}
	died, look := workerDied(s, wait)
	select {
	case <-s.Ended("smtpd"):
		c.fired = 1
	case <-s.Ended("localdeliver"):
		c.fired = 1
	case <-died:
		c.fired = 1
	case <-time.After(wait):
	}
	look()
	s.Kill()
	close(l.stop)
	close(reading)
	<-done
	inFlight := queued(s)
	c.inQueue = len(inFlight)
	s.StartAll()
	drain(t, s)
	c.acked = len(p.all)
	c.twice = verify(t, s, p.all, inFlight)
	return c
}

// drain waits until all local mail is delivered.
func drain(t *testing.T, s *suite.Suite) {
	t.Helper()
	suite.WaitLong(t, 3*time.Minute, "an empty queue", func() bool { return len(queued(s)) == 0 })
}

// workerDied returns a channel that is closed when the manager says that a worker is gone, and what ends the looking.
func workerDied(s *suite.Suite, within time.Duration) (died <-chan struct{}, end func()) {
	found, over := make(chan struct{}), make(chan struct{})
	var looking sync.WaitGroup
	looking.Go(func() {
		for until := time.Now().Add(within); time.Now().Before(until); {
			if strings.Contains(s.Log(), "delivery process failed") {
				close(found)
				return
			}
			select {
			case <-over:
				return
			case <-time.After(10 * time.Millisecond):
			}
		}
	})
	return found, func() { close(over); looking.Wait() }
}

// queued are the ids that lie in stage/ or in the local channel.
func queued(s *suite.Suite) map[string]bool {
	dirs, _ := filepath.Glob(s.Spool + "/local/cur/*")
	ids := map[string]bool{}
	for id := range filesByID(append(dirs, s.Spool+"/stage", s.Spool+"/local/new")...) {
		ids[id] = true
	}
	return ids
}

// verify fails the test for every promise that is broken and returns how many messages came twice.
func verify(t *testing.T, s *suite.Suite, all []promise, inFlight map[string]bool) (twice int) {
	t.Helper()
	mailbox := make(map[string]map[string][]string)
	for _, u := range suite.Users {
		mailbox[u] = filesByID(s.Mailbox(u)+"/new", s.Mailbox(u)+"/cur")
	}
	remote := filesByID(s.Spool + "/remote/new")
	for _, p := range all {
		for _, u := range p.users {
			files := mailbox[u][p.id]
			for _, f := range files {
				if b, err := os.ReadFile(f); err != nil || !whole(b) {
					t.Errorf("%s for %s is damaged: %s, %d octets, %v", p.id, u, f, len(b), err)
				}
			}
			if len(files) == 0 {
				t.Errorf("LOST: %s for %s", p.id, u)
			}
			if len(files) > 1 {
				twice++
				if !inFlight[p.id] {
					t.Errorf("%s came %d times to %s and was not in flight", p.id, len(files), u)
				}
			}
		}
		if p.remote && len(remote[p.id]) != 1 {
			t.Errorf("LOST: %s for the other host: %v", p.id, remote[p.id])
		}
	}
	return twice
}

// filesByID finds the queue id in each file name of some directories.
func filesByID(dirs ...string) map[string][]string {
	found := make(map[string][]string)
	for _, dir := range dirs {
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			for _, part := range strings.FieldsFunc(e.Name(), func(r rune) bool { return r == '.' || r == ',' }) {
				if envelope.ValidID(part) {
					found[part] = append(found[part], filepath.Join(dir, e.Name()))
				}
			}
		}
	}
	return found
}
