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

// relaying lets the load send to other hosts, too.
const relaying = "[smtpd]\nrelay_networks = [\"127.0.0.0/8\"]\n"

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
	s := suite.New(t, suite.Options{IDs: suite.Single(), Extra: relaying})
	env := ""
	if point != "" {
		env = fmt.Sprintf("FAULT=%s:%d", point, 1+rand.IntN(40))
	}
	for _, d := range suite.Daemons {
		s.StartDaemon(d, env)
	}
	var p promises
	l := &load{addr: s.Addr["smtp"], acked: p.add, stop: make(chan struct{})}
	done, reading := make(chan struct{}), make(chan struct{})
	go func() { defer close(done); l.run(8) }()
	go reader(s, reading)
	wait := time.Duration(200+rand.IntN(800)) * time.Millisecond
	if point != "" {
		wait = 8 * time.Second
	}
	select {
	case <-s.Ended("smtpd"):
		c.fired = 1
	case <-s.Ended("localdeliver"):
		c.fired = 1
	case <-time.After(wait):
	}
	s.Kill()
	close(l.stop)
	close(reading)
	<-done
	inFlight := queued(s)
	c.inQueue = len(inFlight)
	s.StartAll()
	s.Wait("an empty queue", func() bool { return len(queued(s)) == 0 })
	c.acked = len(p.all)
	c.twice = verify(t, s, p.all, inFlight)
	return c
}

// queued are the ids that lie in stage/ or in the local channel.
func queued(s *suite.Suite) map[string]bool {
	ids := map[string]bool{}
	for _, dir := range []string{"stage", "local/new", "local/cur/*"} {
		files, _ := filepath.Glob(filepath.Join(s.Spool, dir, "*"))
		for _, f := range files {
			for part := range strings.FieldsFuncSeq(filepath.Base(f), func(r rune) bool { return r == ',' || r == '.' }) {
				if len(part) == 16 {
					ids[part] = true
				}
			}
		}
	}
	return ids
}

// verify fails the test for every promise that is broken and returns how many messages came twice.
func verify(t *testing.T, s *suite.Suite, all []promise, inFlight map[string]bool) (twice int) {
	t.Helper()
	for _, p := range all {
		for _, u := range p.users {
			files, _ := filepath.Glob(s.Mailbox(u) + "/*/*." + p.id + "*")
			n := 0
			for _, f := range files {
				b, err := os.ReadFile(f)
				if strings.HasPrefix(f, s.Mailbox(u)+"/tmp/") {
					continue
				}
				if err != nil || !whole(b) {
					t.Errorf("%s for %s is damaged: %s, %d octets, %v", p.id, u, f, len(b), err)
				}
				n++
			}
			if n == 0 {
				t.Errorf("LOST: %s for %s", p.id, u)
			}
			if n > 1 {
				twice++
				if !inFlight[p.id] {
					t.Errorf("%s came %d times to %s and was not in flight", p.id, n, u)
				}
			}
		}
		if p.remote {
			if files, _ := filepath.Glob(s.Spool + "/remote/new/" + p.id + "*"); len(files) != 1 {
				t.Errorf("LOST: %s for the other host: %v", p.id, files)
			}
		}
	}
	return twice
}
