//go:build interop

package interop

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"postrider/test/fakedns"
	"postrider/test/suite"
)

// fault is what a host does at a step instead of the right thing.
type fault string

const (
	hang    fault = "hangs"
	end     fault = "closes"
	endless fault = "sends a reply without end"
	drip    fault = "sends a reply octet by octet"
	leaving fault = "says 421"
	later   fault = "says 450"
	garbage fault = "sends garbage"
	long    fault = "sends a line of 100 kB"
)

// steps at which a host may go wrong, by the command or what stands for it, and the code of the right reply.
var steps = map[string]int{"connect": 220, "EHLO": 250, "STARTTLS": 220, "MAIL": 250, "RCPT": 250, "DATA": 354, "body": 0, "message": 250, "QUIT": 221}

// host is a server that goes wrong at a step until its net is good.
type host struct {
	net   *hosts
	step  string
	fault fault
	met   atomic.Int64 // how often it went wrong
}

// hosts are many of them, and what they took: by message and recipient.
type hosts struct {
	good  atomic.Bool
	ended chan struct{}

	mu    sync.Mutex
	taken map[string]int // acknowledged
	maybe map[string]int // received as a whole, and left without an answer that says what became of it
}

func (n *hosts) count(m map[string]int, keys []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, k := range keys {
		m[k]++
	}
}

// serve has one session.
func (h *host) serve(conn net.Conn) {
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(2 * time.Minute))
	r := textproto.NewReader(bufio.NewReader(conn))
	var rcpts []string
	if !h.reply(conn, "connect", "host ESMTP") {
		return
	}
	for {
		line, err := r.ReadLine()
		if err != nil {
			return
		}
		verb, arg, _ := strings.Cut(line, " ")
		text := "2.0.0 Ok"
		switch verb = strings.ToUpper(verb); verb {
		case "EHLO":
			text = "host"
			if h.step == "STARTTLS" && !h.net.good.Load() {
				fmt.Fprint(conn, "250-host\r\n")
				text = "STARTTLS"
			}
		case "MAIL":
			rcpts = nil
		case "RCPT":
			rcpts = append(rcpts, arg)
		}
		if !h.reply(conn, verb, text) || verb == "QUIT" || verb == "STARTTLS" {
			return
		}
		if verb == "DATA" && !h.message(conn, r, rcpts) {
			return
		}
	}
}

// message reads a message and says what becomes of it.
func (h *host) message(conn net.Conn, r *textproto.Reader, rcpts []string) bool {
	if h.wrong("body") {
		h.met.Add(1)
		r.ReadLine()
		if h.fault == hang {
			<-h.net.ended
		}
		return false
	}
	text, err := io.ReadAll(r.DotReader())
	if err != nil {
		return false
	}
	var keys []string
	_, subject, _ := strings.Cut(string(text), "\nSubject: ")
	subject, _, _ = strings.Cut(subject, "\n")
	for _, rcpt := range rcpts {
		keys = append(keys, subject+" "+rcpt)
	}
	good := !h.wrong("message")
	if !good && h.fault != leaving && h.fault != later {
		h.net.count(h.net.maybe, keys)
	}
	ok := h.reply(conn, "message", "2.0.0 Ok")
	if good && ok {
		h.net.count(h.net.taken, keys)
	}
	return ok
}

func (h *host) wrong(step string) bool { return h.step == step && !h.net.good.Load() }

// reply answers, rightly or not, and says whether the session goes on.
func (h *host) reply(conn net.Conn, step, text string) bool {
	code := steps[step]
	if code == 0 {
		code = 250
	}
	if !h.wrong(step) {
		_, err := fmt.Fprintf(conn, "%d %s\r\n", code, text)
		return err == nil
	}
	h.met.Add(1)
	switch h.fault {
	case hang:
		io.Copy(io.Discard, conn)
	case endless:
		for line := fmt.Sprintf("%d-and more\r\n", code); ; {
			if _, err := io.WriteString(conn, line); err != nil {
				return false
			}
		}
	case drip:
		for {
			if _, err := io.WriteString(conn, fmt.Sprint(code%10)); err != nil {
				return false
			}
			time.Sleep(50 * time.Millisecond)
		}
	case leaving:
		fmt.Fprint(conn, "421 4.3.2 closing\r\n")
	case later:
		_, err := fmt.Fprint(conn, "450 4.2.0 later\r\n")
		return err == nil
	case garbage:
		_, err := conn.Write([]byte("\x00\xff\xfe\x80 ?!\r\n\r\n99 bottles\r\n"))
		return err == nil
	case long:
		_, err := fmt.Fprintf(conn, "%d %s\r\n", code, strings.Repeat("x", 100_000))
		return err == nil
	}
	return false
}

// listen binds the hosts to a port that is free at all their addresses, 127.0.2.1 and on.
func listen(t *testing.T, all []*host) (port int) {
	t.Helper()
	number := freePort(t, "127.0.2.1")
	for i, h := range all {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.2.%d:%s", i+1, number))
		must(t, err)
		t.Cleanup(func() { l.Close() })
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				go h.serve(conn)
			}
		}()
	}
	fmt.Sscan(number, &port)
	return port
}

const hostileConf = `[relayd]
connect_timeout = "1s"
command_timeout = "1s"
data_timeout = "1s"
final_timeout = "1s"
min_backoff = "1s"
max_backoff = "4s"
max_connections = 50
`

// trial is a suite, the hosts that its mail is for, of which the first are bad, and what they are to get.
type trial struct {
	*suite.Suite
	*hosts
	all  []*host
	bad  int
	c    *suite.Client
	want map[string]bool // by message and recipient
}

func newTrial(t *testing.T) *trial {
	n := &hosts{ended: make(chan struct{}), taken: make(map[string]int), maybe: make(map[string]int)}
	t.Cleanup(func() { close(n.ended) })
	tr := &trial{hosts: n, want: make(map[string]bool)}
	for step := range steps {
		for _, f := range []fault{hang, end, endless, drip, leaving, later, garbage, long} {
			if step != "body" || f == hang || f == end {
				tr.all = append(tr.all, &host{net: n, step: step, fault: f})
			}
		}
	}
	tr.bad = len(tr.all)
	for range 4 {
		tr.all = append(tr.all, &host{net: n})
	}
	port := listen(t, tr.all)
	var zone strings.Builder
	for i := range tr.all {
		fmt.Fprintf(&zone, "h%d.test. MX 10 mx%d.test.\nmx%d.test. A 127.0.2.%d\n", i, i, i, i+1)
	}
	o := suite.Options{Resolver: fakedns.Start(t, zone.String()).Addr, RelayPort: port, Extra: hostileConf}
	if os.Getuid() == 0 {
		o.IDs = suite.Separated()
	}
	tr.Suite = suite.New(t, o)
	tr.AddPassword("alice")
	tr.StartAll()
	return tr
}

func (tr *trial) login() {
	tr.c = tr.Dial("submissions")
	tr.c.Cmd(250, "EHLO client.example")
	tr.c.Login("alice", suite.Password)
}

// send submits a message to hosts.
func (tr *trial) send(subject, body string, to ...int) {
	var rcpts []string
	for _, i := range to {
		rcpt := fmt.Sprintf("bob@h%d.test", i)
		rcpts = append(rcpts, rcpt)
		tr.want[subject+" TO:<"+rcpt+">"] = true
	}
	tr.c.Send(local("alice"), rcpts, message(subject, body))
}

// sendAll submits four messages for each host, one that does not fit the buffers between us for those that fail in the middle, and
// some that go well and ill at the same time.
func (tr *trial) sendAll() {
	for i, h := range tr.all {
		for k := range 4 {
			tr.send(fmt.Sprintf("message %d to %d", k, i), dots, i)
		}
		if i >= tr.bad || h.step == "body" {
			tr.send(fmt.Sprint("large to ", i), huge[:2<<20], i)
		}
	}
	for i := range tr.bad {
		tr.send(fmt.Sprint("to some ", i), dots, i, (i+1)%tr.bad, tr.bad+i%4)
	}
}

// served says whether the good hosts have all they should.
func (tr *trial) served() bool {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	for key := range tr.want {
		var i int
		_, rcpt, _ := strings.Cut(key, "TO:<bob@h")
		fmt.Sscan(strings.TrimSuffix(rcpt, ".test>"), &i)
		if i >= tr.bad && tr.taken[key] == 0 {
			return false
		}
	}
	return true
}

// tried says whether each bad host had its chances. QUIT comes seldom, as sessions are kept.
func (tr *trial) tried() bool {
	for _, h := range tr.all[:tr.bad] {
		if n := h.met.Load(); n < 1 || n < 5 && h.step != "QUIT" {
			return false
		}
	}
	return true
}

// empty says whether nothing is left in the queue.
func (tr *trial) empty() bool {
	left := 0
	for _, dir := range []string{"new", "cur", "log", "hold", "bad"} {
		left += len(tr.Queue("remote", dir))
	}
	return left == 0
}

// judge compares what came with what was sent; took is how long hosts may have been asked again.
func (tr *trial) judge(t *testing.T, took time.Duration) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	most, again := 1+int(took/(3600*time.Millisecond)), 0 // max_backoff less 10 %
	for key := range tr.want {
		got, maybe := tr.taken[key], tr.maybe[key]
		again += maybe
		if got+maybe == 0 || got > 1 || maybe > most {
			t.Errorf("%s: delivered %d times, and perhaps %d times", key, got, maybe)
		}
	}
	t.Logf("%d recipients, %d deliveries without an answer", len(tr.want), again)
	if reports := suite.Maildir(tr.Mailbox("alice")); len(reports) > 0 {
		t.Errorf("%d reports: %.3000s", len(reports), readFile(t, reports[0]))
	}
}

// Hosts that go wrong in every way at every step lose no mail, do not hold up that for others, and get it once when they are well;
// but for messages that they left without an answer after the last octet.
func TestHostile(t *testing.T) {
	t.Parallel()
	tr := newTrial(t)
	began := time.Now()
	tr.login()
	tr.sendAll()
	submitted := time.Since(began)
	suite.WaitLong(t, 30*time.Second, "mail for the good hosts, while others are bad", tr.served)
	t.Logf("submitted in %v; what was for good hosts is there after %v", submitted, time.Since(began))
	suite.WaitLong(t, 60*time.Second, "every host to go wrong time and again", tr.tried)
	tr.login()
	for i := tr.bad; i < len(tr.all); i++ {
		tr.send(fmt.Sprint("late ", i), dots, i)
	}
	suite.WaitLong(t, 10*time.Second, "late mail for the good hosts", tr.served)
	tr.good.Store(true)
	suite.WaitLong(t, 60*time.Second, "an empty queue", tr.empty)
	t.Logf("all is delivered after %v", time.Since(began))
	tr.judge(t, time.Since(began))
}
