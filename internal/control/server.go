package control

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"strconv"
	"sync"
	"time"

	"postrider/internal/listen"
	"postrider/internal/logline"
)

// Queue is what a daemon shows of its queue and lets others do with it. Its methods are called from several goroutines.
type Queue interface {
	// List passes each selected message to show until ctx ends or show fails, and returns that error. It may pass others
	// too: the server shows only what is selected. show does not keep the entry.
	List(ctx context.Context, s Selection, show func(*Entry) error) error
	// Flush makes the selected messages due now and returns how many they are.
	Flush(ctx context.Context, s Selection) (int, error)
	// Steer does something to the messages of these ids, as far as they are selected, and returns what became of each. An id
	// may be any text.
	Steer(ctx context.Context, a Action, ids []string, s Selection) ([]Outcome, error)
	// Open opens the queue file of the one message that is selected and says how long it is, in octets. fs.ErrNotExist: there
	// is none.
	Open(ctx context.Context, s Selection) (f io.ReadCloser, size int64, err error)
}

// Selection says which messages a request is about.
type Selection struct {
	ID     string // this one; "" = all
	Anyone bool   // whoever sent it; otherwise only what UID submitted
	UID    uint32
}

// Has says whether a message belongs to the selection; uid is -1 for mail that no process of this host submitted.
func (s Selection) Has(id string, uid int64) bool {
	return (s.ID == "" || s.ID == id) && s.May(uid)
}

// May says whether a message that this uid submitted may be selected.
func (s Selection) May(uid int64) bool { return s.Anyone || uid == int64(s.UID) }

// Bounds of a server.
const (
	maxConnections = 64
	reserved       = 16 // of these, for those who may steer
	maxPerUID      = 8
	maxRequests    = 1000 // on one connection
	timeout        = 30 * time.Second
)

// Server answers the clients of a control socket. Rights is asked for each request, so that a new configuration holds
// at once. Those who may not steer have to wait their turn.
type Server struct {
	Queue    Queue                   // nil: the daemon has none
	Sessions Sessions                // nil: the daemon has none
	Rights   func(uid uint32) Rights // nil = none for anybody
	Log      *logline.Logger
	Timeout  time.Duration // of each wait for the client; 0 = 30 s

	peer  func(net.Conn) (listen.Cred, error) // replaced in tests
	turns turns

	mu    sync.Mutex
	total int
	perID map[uint32]int
}

// Serve answers clients until ctx ends, then closes l, ends what is being answered and returns nil.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	var sessions sync.WaitGroup
	defer sessions.Wait()
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	for {
		conn, err := l.Accept()
		if ctx.Err() != nil {
			if err == nil {
				conn.Close()
			}
			return nil
		}
		if errors.Is(err, net.ErrClosed) {
			return fmt.Errorf("accept on the control socket: %w", err)
		}
		if err != nil { // no descriptors, or a client that is gone again
			s.Log.Warn("accept on the control socket: %v", err)
			pause(ctx, time.Second)
			continue
		}
		sessions.Go(func() { s.session(ctx, conn) })
	}
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// session holds a connection's slot.
func (s *Server) session(ctx context.Context, conn net.Conn) {
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	peer := s.peer
	if peer == nil {
		peer = listen.PeerCred
	}
	cred, err := peer(conn)
	if err != nil {
		s.Log.Warn("control socket: %v", err)
		return
	}
	uid := cred.UID
	c := &client{server: s, uid: uid, conn: conn, timeout: s.Timeout}
	if c.timeout == 0 {
		c.timeout = timeout
	}
	if !s.take(uid, s.rights(uid)) {
		c.final(verbLater, "reason", "too many connections")
		c.flush()
		return
	}
	defer s.give(uid)
	c.serve(ctx)
}

func (s *Server) rights(uid uint32) Rights {
	if s.Rights == nil {
		return Rights{}
	}
	return s.Rights(uid)
}

func (s *Server) take(uid uint32, r Rights) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	limit := maxConnections
	if !r.Steer {
		limit -= reserved
	}
	if s.total >= limit || s.perID[uid] >= maxPerUID {
		return false
	}
	if s.perID == nil {
		s.perID = make(map[uint32]int)
	}
	s.total++
	s.perID[uid]++
	return true
}

func (s *Server) give(uid uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.total--
	if s.perID[uid]--; s.perID[uid] == 0 {
		delete(s.perID, uid)
	}
}

// client is the dialogue with one client.
type client struct {
	server  *Server
	uid     uint32
	conn    net.Conn
	timeout time.Duration

	out []byte // not yet written
	err error  // of the first write that failed
}

func (c *client) serve(ctx context.Context) {
	in := bufio.NewReaderSize(c.conn, MaxLine)
	for range maxRequests {
		if c.conn.SetReadDeadline(time.Now().Add(c.timeout)) != nil {
			return
		}
		request, err := readLine(in)
		if errors.Is(err, ErrSyntax) {
			c.final(verbNo, "reason", err.Error())
			c.flush()
			return
		}
		if err != nil {
			return // gone, silent, or in mid-line
		}
		c.answer(ctx, request)
		if c.flush(); c.err != nil {
			return
		}
	}
}

func (c *client) answer(ctx context.Context, request line) {
	rights := c.server.rights(c.uid)
	if !rights.Steer {
		end, err := c.server.turns.begin(ctx, c.uid)
		if err != nil {
			c.final(verbLater, "reason", "the daemon ends")
			return
		}
		defer end()
	}
	n, err := c.do(ctx, request, rights)
	switch {
	case c.err != nil: // the client is gone
	case errors.Is(err, ErrSyntax) || err == errUnknown:
		c.final(verbNo, "reason", err.Error())
	case errors.Is(err, fs.ErrNotExist):
		c.final(verbNo, "reason", NoMessage)
	case err != nil:
		c.server.Log.Error("%s for uid %d: %v", request.verb, c.uid, err)
		c.final(verbLater, "reason", "the request failed; the log has the cause")
	default:
		c.final(verbOK, "count", strconv.Itoa(n))
	}
}

// do does what is asked for and returns how many messages or sessions that concerned.
func (c *client) do(ctx context.Context, request line, rights Rights) (int, error) {
	s := Selection{ID: request.get("id"), UID: c.uid, Anyone: rights.Steer}
	if c.server.Sessions != nil {
		switch request.verb {
		case verbWho:
			return c.who(s)
		case verbKick:
			return c.kick(s)
		}
	}
	if c.server.Queue == nil {
		return 0, errUnknown
	}
	switch request.verb {
	case verbList:
		s.Anyone = rights.Steer || rights.List && request.get("for") != forSteer
		return c.list(ctx, s)
	case verbFlush:
		return c.server.Queue.Flush(ctx, s)
	case verbCat:
		return c.cat(ctx, s)
	}
	if a, ok := actionOf(request.verb); ok {
		ids, err := idsOf(request)
		if err != nil {
			return 0, err
		}
		return c.steer(ctx, a, ids, s)
	}
	return 0, errUnknown
}

var errUnknown = errors.New("unknown request")

// steer acts, logs who wanted it, and tells what became of each message.
func (c *client) steer(ctx context.Context, a Action, ids []string, s Selection) (n int, err error) {
	outcomes, err := c.server.Queue.Steer(ctx, a, ids, s)
	for i := range outcomes {
		o := &outcomes[i]
		if o.Trouble == "" {
			n++
			c.log(string(a), o.ID)
			if a == DoDelete {
				c.server.Log.Log(logline.Removed{ID: o.ID})
			}
		}
		c.out = o.append(c.out)
		if len(c.out) >= buffered {
			c.flush()
		}
	}
	return n, err
}

func (c *client) log(action, id string) {
	c.server.Log.Log(logline.Queue{ID: id, Action: action, Text: fmt.Sprintf("by uid %d", c.uid)})
}

// cat sends a queue file. When that ends early the connection does, too.
func (c *client) cat(ctx context.Context, s Selection) (int, error) {
	f, size, err := c.server.Queue.Open(ctx, s)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	c.log(verbCat, s.ID)
	c.final(verbData, "size", strconv.FormatInt(size, 10))
	buf := make([]byte, buffered)
	for left := size; left > 0 && c.err == nil; {
		n, err := io.ReadFull(f, buf[:min(left, buffered)])
		if err != nil {
			c.err = fmt.Errorf("read queue file of %s: %w", s.ID, err)
			c.server.Log.Error("cat for uid %d: %v", c.uid, c.err)
			return 0, c.err
		}
		c.flush()
		c.out = append(c.out, buf[:n]...)
		left -= int64(n)
	}
	return 1, c.err
}

func (c *client) list(ctx context.Context, s Selection) (n int, err error) {
	err = c.server.Queue.List(ctx, s, func(e *Entry) error {
		if !s.Has(e.ID, e.UID) {
			return nil
		}
		n++
		return c.show(e)
	})
	return n, err
}

// buffered is how much of an answer is collected before it is written.
const buffered = 16 << 10

func (c *client) show(e *Entry) error {
	first := *e
	first.Recipients = nil
	c.out = first.append(c.out)
	for i := range e.Recipients {
		if len(c.out) >= buffered {
			c.flush()
		}
		c.out = e.Recipients[i].append(c.out)
	}
	if len(c.out) >= buffered {
		c.flush()
	}
	return c.err
}

func (c *client) final(verb, key, value string) {
	c.out = append(c.out, verb...)
	c.out = appendPair(c.out, key, value)
	c.out = append(c.out, '\n')
}

func (c *client) flush() {
	if c.err == nil {
		c.err = c.conn.SetWriteDeadline(time.Now().Add(c.timeout))
	}
	if c.err == nil {
		_, c.err = c.conn.Write(c.out)
	}
	c.out = c.out[:0]
}
