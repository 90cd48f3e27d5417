//go:build faults

package crash

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/textproto"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"postrider/test/suite"
)

// relayPoints are the steps of relayd, and those of others that its messages take.
var relayPoints = []string{
	"accept.renamed.remote", "pickup.renamed", "relay.pickedup", "relay.sent", "relay.answered", "relay.recorded", "relay.done",
	"journal.written", "journal.synced", "done.unlinked", "done.synced", "report.submitted",
}

// order is a message for other hosts that was answered 250.
type order struct {
	id, subject string
	to          []string
}

// TestKillRelay kills everything while mail goes out, is refused, deferred, returned and held: each recipient gets it, or its
// sender hears of it, and twice only what was in a carrier's hands.
func TestKillRelay(t *testing.T) {
	rounds := len(relayPoints) + 3
	if n, err := strconv.Atoi(os.Getenv("CRASH_ROUNDS")); err == nil {
		rounds = n
	}
	var acked, fired, twice int
	for r := range rounds {
		point := ""
		if r%5 != 4 { // else at a random moment
			point = relayPoints[(r-r/5)%len(relayPoints)]
		}
		t.Run(fmt.Sprintf("%02d-%s", r, point), func(t *testing.T) {
			a, f, d := killRelayRound(t, point)
			acked, fired, twice = acked+a, fired+f, twice+d
		})
	}
	t.Logf("%d rounds, %d died at their step: %d messages answered 250, none lost; %d recipients got one twice, each in flight then", rounds, fired, acked, twice)
	if fired < rounds/3 {
		t.Errorf("only %d of %d rounds died at their step", fired, rounds)
	}
}

func killRelayRound(t *testing.T, point string) (acked, fired, twice int) {
	far := newSink(t)
	s := suite.New(t, suite.Options{IDs: suite.Single(), Extra: relaying + "[relayd]\nrelayhost = \"[127.0.0.1]:" + port(far.addr) +
		"\"\nmin_backoff = \"1s\"\nmax_backoff = \"1s\"\n"})
	env := ""
	if point != "" {
		env = fmt.Sprintf("FAULT=%s:%d", point, 1+rand.IntN(30))
	}
	s.StartDaemon("authd")
	s.StartDaemon("localdeliver")
	s.StartDaemon("smtpd")
	s.StartDaemon("relayd", env)
	o := &orders{addr: s.Addr["smtp"], stop: make(chan struct{})}
	var busy sync.WaitGroup
	for range 4 {
		busy.Go(o.send)
	}
	busy.Go(func() { o.hold(s) })
	wait := time.Duration(300+rand.IntN(700)) * time.Millisecond
	if point != "" {
		wait = 4 * time.Second
	}
	select {
	case <-s.Ended("relayd"):
		fired = 1
	case <-time.After(wait):
	}
	s.Kill()
	close(o.stop)
	busy.Wait()
	inFlight := waiting(s) // an attempt goes on while its message is put on hold
	s.StartAll()
	release(t, s)
	suite.WaitLong(t, 2*time.Minute, "an empty queue", func() bool { return len(waiting(s)) == 0 })
	return len(o.all), fired, o.verify(t, s, far, inFlight)
}

func port(addr string) string {
	_, p, _ := net.SplitHostPort(addr)
	return p
}

// hashed are the subdirectories of a state of the remote channel.
func hashed(s *suite.Suite, state string) []string {
	dirs, _ := filepath.Glob(s.Spool + "/remote/" + state + "/*")
	return dirs
}

// waiting are the ids that are not finished in either channel.
func waiting(s *suite.Suite) map[string][]string {
	local, _ := filepath.Glob(s.Spool + "/local/cur/*")
	dirs := append(append(hashed(s, "cur"), local...), s.Spool+"/stage", s.Spool+"/remote/new", s.Spool+"/remote/hold", s.Spool+"/local/new")
	return filesByID(dirs...)
}

// release lets everything go on that was held.
func release(t *testing.T, s *suite.Suite) {
	t.Helper()
	suite.WaitLong(t, time.Minute, "nothing on hold", func() bool {
		s.Call(suite.Program{Name: "mailq", Args: []string{"-C", s.Config, "release", "ALL"}})
		held, _ := filepath.Glob(s.Spool + "/remote/hold/*")
		return len(held) == 0
	})
}

// orders are the messages of a load.
type orders struct {
	addr string
	stop chan struct{}

	mu  sync.Mutex
	all []order
	n   int64
}

func (o *orders) send() {
	for o.session() {
	}
}

func (o *orders) session() bool {
	conn, err := net.DialTimeout("tcp", o.addr, 2*time.Second)
	if err != nil {
		return false
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	c := textproto.NewConn(conn)
	if !expect(c, 220) || !cmd(c, 250, "EHLO crash.example") {
		return false
	}
	for range 5 {
		select {
		case <-o.stop:
			return false
		case <-time.After(5 * time.Millisecond): // a kill must find some done and some waiting
		}
		if !o.message(c) {
			return false
		}
	}
	return cmd(c, 221, "QUIT")
}

// message sends one to some of the far host's recipients.
func (o *orders) message(c *textproto.Conn) bool {
	o.mu.Lock()
	o.n++
	n := o.n
	o.mu.Unlock()
	to := [][]string{{"ok"}, {"ok"}, {"ok", "bad"}, {"slow"}, {"bad"}, {"late", "bad"}}[rand.IntN(6)]
	if !cmd(c, 250, "MAIL FROM:<alice@"+suite.Domain+">") {
		return false
	}
	for _, r := range to {
		if !cmd(c, 250, "RCPT TO:<"+r+"@far.example>") {
			return false
		}
	}
	if !cmd(c, 354, "DATA") {
		return false
	}
	w := c.DotWriter()
	fmt.Fprint(w, text(n))
	if w.Close() != nil {
		return false
	}
	_, reply, err := c.ReadResponse(250)
	if err != nil {
		return false
	}
	_, id, _ := strings.Cut(reply, "queued as ")
	o.mu.Lock()
	o.all = append(o.all, order{strings.Fields(id)[0], fmt.Sprintf("message %d", n), to})
	o.mu.Unlock()
	return true
}

// hold holds a few messages, wherever they are at that moment.
func (o *orders) hold(s *suite.Suite) {
	for {
		select {
		case <-o.stop:
			return
		case <-time.After(20 * time.Millisecond):
		}
		o.mu.Lock()
		id := ""
		if len(o.all) > 0 {
			id = o.all[len(o.all)-1].id
		}
		o.mu.Unlock()
		if id != "" {
			s.Call(suite.Program{Name: "mailq", Args: []string{"-C", s.Config, "hold", id}})
		}
	}
}

// verify fails the test for every message that reached neither its recipient nor, as a report, its sender. It returns how many
// recipients got one twice.
func (o *orders) verify(t *testing.T, s *suite.Suite, far *sink, inFlight map[string][]string) (twice int) {
	t.Helper()
	reports := make(map[string]int)
	for _, f := range suite.Maildir(s.Mailbox("alice")) {
		b, _ := os.ReadFile(f)
		for line := range strings.Lines(string(b)) {
			if subject, ok := strings.CutPrefix(line, "Subject: message "); ok {
				reports["message "+strings.TrimSpace(subject)]++
			}
		}
	}
	for _, m := range o.all {
		for _, r := range m.to {
			n := far.count(m.subject, r)
			if r == "bad" {
				n = reports[m.subject]
			}
			if n == 0 {
				t.Errorf("LOST: %s, %s to %s", m.id, m.subject, r)
			}
			if n > 1 {
				twice++
				if inFlight[m.id] == nil {
					t.Errorf("%s, %s came %d times to %s and was not in flight", m.id, m.subject, n, r)
				}
			}
		}
	}
	if most := 20; twice > most {
		t.Errorf("%d came twice, with at most %d carriers", twice, most)
	}
	return twice
}
