package control

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"postrider/internal/listen"
	"postrider/internal/logline"
)

// queue is a Queue in memory.
type queue struct {
	entries []*Entry
	err     error
	block   chan struct{} // List waits for it
	entered chan struct{} // told of each List
	steered []string      // what Steer was asked for
	text    string        // of any queue file
	log     bytes.Buffer
}

func (q *queue) List(ctx context.Context, s Selection, show func(*Entry) error) error {
	if q.block != nil {
		q.entered <- struct{}{}
		<-q.block
	}
	for _, e := range q.entries {
		if err := show(e); err != nil {
			return err
		}
	}
	return q.err
}

func (q *queue) Flush(ctx context.Context, s Selection) (int, error) {
	n := 0
	for _, e := range q.entries {
		if s.Has(e.ID, e.UID) {
			n++
		}
	}
	return n, q.err
}

// Steer does nothing to each message of its own that is selected, and remembers what was asked.
func (q *queue) Steer(ctx context.Context, a Action, ids []string, s Selection) ([]Outcome, error) {
	out := make([]Outcome, len(ids))
	for i, id := range ids {
		out[i] = Outcome{ID: id, Trouble: NoMessage}
		for _, e := range q.entries {
			if e.ID == id && s.Has(e.ID, e.UID) {
				out[i].Trouble = ""
			}
		}
	}
	q.steered = append(q.steered, fmt.Sprint(a, len(ids)))
	return out, q.err
}

func (q *queue) Open(ctx context.Context, s Selection) (io.ReadCloser, int64, error) {
	for _, e := range q.entries {
		if s.Has(e.ID, e.UID) {
			return io.NopCloser(strings.NewReader(q.text)), e.Size, q.err
		}
	}
	return nil, 0, fs.ErrNotExist
}

// start serves q to peers that all have the same uid.
func start(t *testing.T, q Queue, uid uint32, rights func(uint32) Rights) (dial func() net.Conn) {
	t.Helper()
	dir, err := os.MkdirTemp("", "pr")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "ctl")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{Queue: q, Rights: rights, Log: logline.NewWriter(logOf(q), "test", logline.Text), Timeout: 5 * time.Second, peer: func(net.Conn) (listen.Cred, error) { return listen.Cred{UID: uid}, nil }}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
		os.RemoveAll(dir)
	})
	return func() net.Conn {
		t.Helper()
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
}

func logOf(q Queue) io.Writer {
	if q, ok := q.(*queue); ok {
		return &q.log
	}
	return io.Discard
}

func entries() []*Entry {
	now := time.Unix(1760000000, 0)
	return []*Entry{
		{ID: "b1", State: Deferred, Channel: "local", Arrival: now, Size: 1234, Sender: "alice@example.org", UID: 1000, Due: now.Add(time.Minute), Attempts: 2,
			Hop:        "smtp:example.org",
			Recipients: []Recipient{{"bob@example.org", "b=o b+@example.org", "mx[192.0.2.1]", "connect: no route, \x01\n", now}, {Address: "carol@example.org"}}},
		{ID: "b2", State: Incoming, Channel: "local", Arrival: now, Size: 5, UID: -1, Recipients: []Recipient{{Address: "müller@example.org"}}},
		{ID: "b3", State: Corrupt, Channel: "local", UID: 1001, Trouble: "ends after 3 octets"},
	}
}

func steer(uint32) Rights { return Rights{Steer: true} }

func list(t *testing.T, c *Client, id string) ([]*Entry, error) {
	t.Helper()
	var got []*Entry
	err := c.List(context.Background(), Query{ID: id}, func(e *Entry) error {
		got = append(got, e)
		return nil
	})
	return got, err
}

func TestList(t *testing.T) {
	t.Parallel()
	dial := start(t, &queue{entries: entries()}, 7, steer)
	c := NewClient(dial())
	for range 3 {
		got, err := list(t, c, "")
		if err != nil || !reflect.DeepEqual(got, entries()) {
			t.Fatalf("got %+v, %v", got, err)
		}
	}
	if got, err := list(t, c, "b2"); err != nil || len(got) != 1 || got[0].ID != "b2" {
		t.Errorf("by id: %v, %v", got, err)
	}
	if n, err := c.Flush(context.Background(), ""); n != 3 || err != nil {
		t.Errorf("flush: %d, %v", n, err)
	}
}

func TestRights(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name         string
		uid          uint32
		rights       Rights
		seen, steers int
	}{
		{"own mail", 1000, Rights{}, 1, 1},
		{"another's", 1002, Rights{}, 0, 0},
		{"a uid that is -1 in 32 bits", 1<<32 - 1, Rights{}, 0, 0},
		{"may list", 1001, Rights{List: true}, 3, 1},
		{"may steer", 1001, Rights{Steer: true}, 3, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dial := start(t, &queue{entries: entries()}, c.uid, func(uint32) Rights { return c.rights })
			client := NewClient(dial())
			got, err := list(t, client, "")
			if err != nil || len(got) != c.seen {
				t.Errorf("sees %d, %v; want %d", len(got), err, c.seen)
			}
			if n, err := client.Flush(context.Background(), ""); err != nil || n != c.steers {
				t.Errorf("flushes %d, %v; want %d", n, err, c.steers)
			}
		})
	}
}

func TestAuthority(t *testing.T) {
	t.Parallel()
	a, err := NewAuthority([]string{"no-such-user-at-all", "root", "nor-this-one"}, false)
	if err == nil || !strings.Contains(err.Error(), "no-such-user-at-all") || !strings.Contains(err.Error(), "nor-this-one") {
		t.Errorf("unknown administrator: %v", err)
	}
	self := uint32(os.Geteuid())
	if r := a.Rights(0); !r.List || !r.Steer {
		t.Errorf("root: %+v", r)
	}
	if r := a.Rights(self); !r.Steer {
		t.Errorf("the daemon's own uid: %+v", r)
	}
	if r := a.Rights(self + 12345); r.List || r.Steer {
		t.Errorf("a stranger: %+v", r)
	}
	a, err = NewAuthority(nil, true)
	if r := a.Rights(self + 12345); err != nil || !r.List || r.Steer {
		t.Errorf("anyone lists: %+v, %v", r, err)
	}
}

// TestRightsChange: what holds is what a reload says now, also for those who are connected already.
func TestRightsChange(t *testing.T) {
	t.Parallel()
	var now atomic.Pointer[Rights]
	now.Store(&Rights{Steer: true})
	c := NewClient(start(t, &queue{entries: entries()}, 1000, func(uint32) Rights { return *now.Load() })())
	if n, err := c.Flush(t.Context(), ""); n != 3 || err != nil {
		t.Errorf("administrator: %d, %v", n, err)
	}
	now.Store(&Rights{})
	if n, err := c.Flush(t.Context(), ""); n != 1 || err != nil {
		t.Errorf("not any more: %d, %v", n, err)
	}
}

func outcomes(t *testing.T, c *Client, a Action, ids ...string) (done, not []string, err error) {
	t.Helper()
	err = c.Steer(t.Context(), a, ids, func(o Outcome) error {
		if o.Trouble == "" {
			done = append(done, o.ID)
		} else {
			not = append(not, o.ID+": "+o.Trouble)
		}
		return nil
	})
	return done, not, err
}

// TestSteer: each message is dealt with that is the user's, and who wanted it is logged.
func TestSteer(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		uid    uint32
		rights Rights
		done   []string
	}{
		{"root", 0, Rights{Steer: true}, []string{"b1", "b2", "b3"}},
		{"owner", 1000, Rights{}, []string{"b1"}},
		{"owner who may see all", 1001, Rights{List: true}, []string{"b3"}},
		{"other", 7, Rights{List: true}, nil},
	} {
		q := &queue{entries: entries()}
		client := NewClient(start(t, q, c.uid, func(uint32) Rights { return c.rights })())
		done, not, err := outcomes(t, client, DoDelete, "b1", "b2", "b3", "b4")
		if err != nil || !reflect.DeepEqual(done, c.done) || len(not) != 4-len(c.done) || not[len(not)-1] != "b4: no such message" {
			t.Errorf("%s: %v, %v, %v", c.name, done, not, err)
		}
		for _, id := range c.done {
			for _, line := range []string{fmt.Sprintf("%s: delete: by uid %d\n", id, c.uid), id + ": removed\n"} {
				if !strings.Contains(q.log.String(), line) {
					t.Errorf("%s: no %q in %s", c.name, line, q.log.String())
				}
			}
		}
		if n := strings.Count(q.log.String(), "\n"); n != 2*len(c.done) {
			t.Errorf("%s: %d lines in %s", c.name, n, q.log.String())
		}
	}
}

// TestSteerMany: many ids are a few requests.
func TestSteerMany(t *testing.T) {
	t.Parallel()
	q := &queue{entries: entries()}
	c := NewClient(start(t, q, 0, steer)())
	ids := make([]string, 10_000)
	for i := range ids {
		ids[i] = fmt.Sprintf("b8bby5wdt90b%04d", i)
	}
	ids[9_999] = "b1"
	done, not, err := outcomes(t, c, DoHold, ids...)
	if err != nil || len(done) != 1 || len(not) != 9_999 || len(q.steered) != 25 || q.steered[0] != "hold400" {
		t.Errorf("%v, %d, %v, %v", done, len(not), q.steered, err)
	}
	enough := errors.New("enough")
	if err := c.Steer(t.Context(), DoHold, ids, func(Outcome) error { return enough }); err != enough {
		t.Errorf("an error of report: %v", err)
	}
}

// TestForSteer: who sees more than he may steer can ask for the latter.
func TestForSteer(t *testing.T) {
	t.Parallel()
	c := NewClient(start(t, &queue{entries: entries()}, 1000, func(uint32) Rights { return Rights{List: true} })())
	for steer, want := range map[bool]int{false: 3, true: 1} {
		n := 0
		if err := c.List(t.Context(), Query{Steer: steer}, func(*Entry) error { n++; return nil }); err != nil || n != want {
			t.Errorf("%t: %d, %v", steer, n, err)
		}
	}
}

func TestCat(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("raw \x00\x1b\r\n", 10_000)
	q := &queue{entries: []*Entry{{ID: "b1", UID: 1000, Size: int64(len(text))}, {ID: "b2", UID: 1000, Size: int64(len(text)) + 1}}, text: text}
	dial := start(t, q, 1000, func(uint32) Rights { return Rights{List: true} })
	c := NewClient(dial())
	var got strings.Builder
	if err := c.Cat(t.Context(), "b1", &got); err != nil || got.String() != text {
		t.Errorf("%d octets, %v", got.Len(), err)
	}
	if err := c.Cat(t.Context(), "b3", &got); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no such message: %v", err)
	}
	if err := c.Cat(t.Context(), "b2", io.Discard); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("cut off meanwhile: %v", err)
	}
	other := NewClient(start(t, q, 7, func(uint32) Rights { return Rights{List: true} })())
	if err := other.Cat(t.Context(), "b1", &got); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("who may list only: %v", err)
	}
}

// TestTurns: a uid lists once at a time and once a second, by however many connections, and holds up no other.
func TestTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var turns turns
		began := time.Now()
		begin := func(uid uint32) func() {
			end, err := turns.begin(t.Context(), uid)
			if err != nil {
				t.Fatal(err)
			}
			return end
		}
		begin(1)()
		end := begin(1)
		if d := time.Since(began); d != pace {
			t.Errorf("the second begins after %v", d)
		}
		begin(2)()
		if d := time.Since(began); d != pace {
			t.Errorf("another uid waits until %v", d)
		}
		third := make(chan time.Duration)
		go func() {
			begin(1)()
			third <- time.Since(began)
		}()
		time.Sleep(5 * time.Second)
		end()
		if d := <-third; d != pace+5*time.Second {
			t.Errorf("the third begins after %v", d)
		}
		time.Sleep(pace)
		synctest.Wait()
		if len(turns.taken) != 0 {
			t.Errorf("%d uids are remembered", len(turns.taken))
		}
		end = begin(1)
		defer end()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := turns.begin(ctx, 1); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("at the end: %v", err)
		}
	})
}

// TestOneAtATime: the server gives turns to those who may not steer only.
func TestOneAtATime(t *testing.T) {
	t.Parallel()
	for name, rights := range map[string]Rights{"user": {List: true}, "administrator": {Steer: true}} {
		q := &queue{block: make(chan struct{}), entered: make(chan struct{})}
		dial := start(t, q, 1000, func(uint32) Rights { return rights })
		results := make(chan error, 2)
		for range 2 {
			c := NewClient(dial())
			go func() { results <- c.List(t.Context(), Query{}, func(*Entry) error { return nil }) }()
		}
		<-q.entered
		select {
		case <-q.entered:
			if !rights.Steer {
				t.Errorf("%s: two at a time", name)
			}
			close(q.block)
		case <-time.After(2 * time.Second):
			if rights.Steer {
				t.Errorf("%s: one at a time", name)
			}
			close(q.block)
			<-q.entered
		}
		for range 2 {
			if err := <-results; err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func TestFailures(t *testing.T) {
	t.Parallel()
	dial := start(t, &queue{entries: entries(), err: errors.New("disk gone")}, 0, steer)
	c := NewClient(dial())
	got, err := list(t, c, "")
	if !errors.Is(err, ErrLater) || len(got) != 3 || strings.Contains(err.Error(), "disk gone") {
		t.Errorf("list: %d, %v", len(got), err)
	}
	if _, err := c.Flush(context.Background(), ""); !errors.Is(err, ErrLater) {
		t.Errorf("flush: %v", err)
	}
}

func TestServerBounds(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, send, want string }{
		{"unknown verb", "frobnicate\n", "no reason=unknown+20request\n"},
		{"unknown key", "flush colour=red\n", "ok count=3\n"},
		{"unknown id", "flush id=../../etc/passwd\n", "ok count=0\n"},
		{"empty", "\n", "no reason="},
		{"crlf", "list\r\n", "no reason="},
		{"bad value", "list id=a=b\n", "no reason="},
		{"twice", "list id=a id=b\n", "no reason="},
		{"too long", "list id=" + strings.Repeat("a", MaxLine) + "\n", "no reason="},
		{"many words", "list" + strings.Repeat(" a=b", 100) + "\n", "no reason="},
		{"cut off", "flus", ""},
		{"no ids", "hold\n", "no reason="},
		{"too many ids", "hold ids=a" + strings.Repeat(",a", MaxIDs) + "\n", "no reason="},
		{"id with a slash", "delete ids=../../etc/passwd\n", "not id=../../etc/passwd reason=no+20such+20message\n"},
		{"empty id", "delete ids=,\n", "not reason=no+20such+20message\n"},
		{"cat nothing", "cat id=x\n", "no reason=no+20such+20message\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			conn := start(t, &queue{entries: entries()}, 0, steer)().(*net.UnixConn)
			if _, err := conn.Write([]byte(c.send)); err != nil {
				t.Fatal(err)
			}
			if err := conn.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			conn.SetReadDeadline(time.Now().Add(10 * time.Second))
			got, err := bufio.NewReader(conn).ReadString('\n')
			if !strings.HasPrefix(got, c.want) || c.want == "" && got != "" {
				t.Errorf("got %q, %v; want %q", got, err, c.want)
			}
		})
	}
}

func TestConnectionLimit(t *testing.T) {
	t.Parallel()
	q := &queue{block: make(chan struct{}), entered: make(chan struct{})}
	dial := start(t, q, 1000, steer) // the turns of others are shorter
	results := make(chan error, maxPerUID)
	for range maxPerUID {
		c := NewClient(dial())
		go func() { results <- c.List(context.Background(), Query{}, func(*Entry) error { return nil }) }()
		<-q.entered
	}
	if _, err := NewClient(dial()).Flush(context.Background(), ""); !errors.Is(err, ErrLater) {
		t.Errorf("one connection too many: %v", err)
	}
	close(q.block)
	for range maxPerUID {
		if err := <-results; err != nil {
			t.Errorf("within the limit: %v", err)
		}
	}
}

func TestReserved(t *testing.T) {
	t.Parallel()
	var s Server
	for i := range uint32(maxConnections - reserved) {
		if !s.take(1000+i, Rights{}) {
			t.Fatalf("connection %d refused", i)
		}
	}
	if s.take(1, Rights{List: true}) {
		t.Error("reserved slot given to a user")
	}
	if !s.take(0, Rights{Steer: true}) {
		t.Error("reserved slot refused to root")
	}
	s.give(1000)
	if len(s.perID) != maxConnections-reserved {
		t.Errorf("%d uids are remembered", len(s.perID))
	}
}

func TestClientDistrusts(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]string{
		"cut off":           "message id=a\n",
		"recipient first":   "to address=a\nok count=0\n",
		"no id":             "message size=1\nok count=1\n",
		"bad number":        "message id=a size=x\nok count=1\n",
		"overlong":          "message id=" + strings.Repeat("a", MaxLine) + "\nok count=1\n",
		"unknown last line": "fine\n",
		"bad count":         "ok count=-1\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, server := net.Pipe()
			go func() {
				bufio.NewReader(server).ReadString('\n')
				server.Write([]byte(answer))
				server.Close()
			}()
			c := NewClient(client)
			defer c.Close()
			if got, err := list(t, c, ""); err == nil {
				t.Errorf("got %v and no error", got)
			}
		})
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	client, server := net.Pipe()
	defer server.Close()
	go bufio.NewReader(server).ReadString('\n')
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if _, err := NewClient(client).Flush(ctx, ""); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

// TestLongestLine fills every value to its bound.
func TestLongestLine(t *testing.T) {
	t.Parallel()
	worst := strings.Repeat("\x01", 2*maxText)
	e := &Entry{ID: "a", Sender: worst, Hop: worst[:180], Trouble: worst, Recipients: []Recipient{{worst[:512], worst[:512], worst, worst, time.Unix(1<<33, 0)}}}
	for l := range bytes.Lines(e.append(nil)) {
		if len(l) > MaxLine {
			t.Errorf("line of %d octets", len(l))
		}
	}
}

func FuzzLine(f *testing.F) {
	for _, s := range []string{"list", "flush id=0123456789bcdfgh", "message id=a size=1 time=2", "to address=a+20b reason=", "ok count=1", "delete ids=a,b", "done id=a", "not id=a reason=x", "data size=3", " ", "a=b", "to a=+ZZ"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		l, err := parseLine(s)
		if err != nil {
			if !errors.Is(err, ErrSyntax) {
				t.Fatalf("%q: %v", s, err)
			}
			return
		}
		b := []byte(l.verb)
		for _, p := range l.pairs {
			if len(p.value) > maxText {
				return
			}
			b = appendPair(b, p.key, p.value)
		}
		back, err := parseLine(string(b))
		if err != nil {
			t.Fatalf("%q written as %q: %v", s, b, err)
		}
		for _, p := range l.pairs {
			if got := back.get(p.key); got != p.value {
				t.Fatalf("%q: %s=%q came back as %q", s, p.key, p.value, got)
			}
		}
		_, err1 := entryOf(l)
		_, err2 := recipientOf(l)
		_, err3 := outcomeOf(l)
		ids, err4 := idsOf(l)
		for _, err := range []error{err1, err2, err3, err4} {
			if err != nil && !errors.Is(err, ErrSyntax) {
				t.Fatal(err)
			}
		}
		if len(ids) > MaxIDs {
			t.Fatalf("%d ids", len(ids))
		}
	})
}
