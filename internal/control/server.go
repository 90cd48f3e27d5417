package control

import (
	"bufio"
	"context"
	"errors"
	"fmt"
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
}

// Selection says which messages a request is about.
type Selection struct {
	ID     string // this one; "" = all
	Anyone bool   // whoever sent it; otherwise only what UID submitted
	UID    uint32
}

// Has says whether a message belongs to the selection; uid is -1 for mail that no process of this host submitted.
func (s Selection) Has(id string, uid int64) bool {
	return (s.ID == "" || s.ID == id) && (s.Anyone || uid == int64(s.UID))
}

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
	Queue   Queue
	Rights  func(uid uint32) Rights // nil = none for anybody
	Log     *logline.Logger
	Timeout time.Duration // of each wait for the client; 0 = 30 s

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
	s := Selection{ID: request.pairs["id"], UID: c.uid}
	var n int
	var err error
	switch request.verb {
	case verbList:
		s.Anyone = rights.List || rights.Steer
		n, err = c.list(ctx, s)
	case verbFlush:
		s.Anyone = rights.Steer
		n, err = c.server.Queue.Flush(ctx, s)
	default:
		c.final(verbNo, "reason", "unknown request")
		return
	}
	switch {
	case c.err != nil: // the client is gone
	case err != nil:
		c.server.Log.Error("%s for uid %d: %v", request.verb, c.uid, err)
		c.final(verbLater, "reason", "the request failed; the log has the cause")
	default:
		c.final(verbOK, "count", strconv.Itoa(n))
	}
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
