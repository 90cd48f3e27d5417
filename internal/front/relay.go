package front

import (
	"errors"
	"io"
	"net"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"postrider/internal/listen"
	"postrider/internal/session/handover"
)

// halfOpen is how long a session may go on that has lost its client, to finish what it is at.
const halfOpen = time.Minute

// keepAlive finds clients that are gone without a word. It is slow enough not to wake up telephones all the time.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 4 * time.Minute, Interval: time.Minute, Count: 5}

// connect brings the client and its session together, until that is over or somebody ends it. A client in clear of whom nothing has been
// read ahead is given away; for others octets are copied.
func (c *connection) connect(o *opened) {
	if err := c.wire.release(); err != nil {
		o.conn.Close()
		return
	}
	if tcp, ok := listen.Base(c.wire.raw).(*net.TCPConn); ok {
		tcp.SetKeepAliveConfig(keepAlive) // without it the session lives a while longer
	}
	if tcp, ok := c.wire.conn.(*net.TCPConn); ok && len(o.ahead) == 0 {
		c.giveAway(o, tcp)
	} else {
		c.relay(o)
	}
}

// giveAway leaves the client to its session, and waits for the end of that.
func (c *connection) giveAway(o *opened, client *net.TCPConn) {
	end := func() { o.conn.Close() } // the session then ends, too
	defer end()
	c.place.Enter(o.pid, end)
	if handover.Give(o.conn, client) != nil {
		return
	}
	client.Close() // here; it would wake up this process with all that it sends
	newSource(o.conn).next(func([]byte) error { return nil })
	c.place.Leave()
}

// relay copies between the client and its session.
func (c *connection) relay(o *opened) {
	r := &relay{client: c.wire.conn, session: o.conn, halfOpen: halfOpen, over: c.place.Leave, fault: c.logFault}
	defer r.close()
	if handover.Relay(o.conn) != nil {
		return
	}
	c.place.Enter(o.pid, r.close)
	r.ask(o.ahead)
	o.ahead = nil
	r.run()
}

// logFault logs what would end the daemon, with all other sessions, if it were left alone.
func (c *connection) logFault(fault any) {
	c.server.deps.Log.Error("session %s ended by a fault: %v\n%s", c.id, fault, debug.Stack())
}

// relay is two directions of copying.
type relay struct {
	client   net.Conn
	session  *net.UnixConn
	halfOpen time.Duration
	over     func()    // called when the session has ended
	fault    func(any) // called with what has gone wrong in a goroutine of ours
	deaf     bool      // the session takes nothing more

	mu     sync.Mutex
	timers []*time.Timer // of what is left, once a direction has ended
}

// run copies until both directions have ended. The connections may still have to be closed.
func (r *relay) run() {
	var answers sync.WaitGroup
	answers.Go(r.answer)
	if copyAll(r.ask, newSource(r.client)) == nil && halfClose(r.session) == nil {
		r.limit(r.halfOpen)
	} else {
		r.close()
	}
	answers.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, t := range r.timers {
		t.Stop()
	}
}

// ask passes octets to the session. When that has ended its last words may still be on their way: what it does not take any
// more is thrown away, as a client that is not heard out would have its connection reset.
func (r *relay) ask(p []byte) error {
	if r.deaf || len(p) == 0 {
		return nil
	}
	if _, err := r.session.Write(p); err != nil {
		r.deaf = true
		r.limit(r.halfOpen)
	}
	return nil
}

// answer copies from the session to the client. The end of the session is that of the connection: the client gets a moment to
// close it, too, for what it has just sent would otherwise reset it under our last words.
func (r *relay) answer() {
	defer func() {
		if fault := recover(); fault != nil {
			r.fault(fault)
			r.close()
		}
	}()
	write := func(p []byte) error {
		_, err := r.client.Write(p)
		return err
	}
	err := copyAll(write, newSource(r.session))
	r.over()
	if err != nil || halfClose(r.client) != nil {
		r.close()
		return
	}
	r.limit(lingerTime)
}

// limit sets a time for the end of all; the earliest counts.
func (r *relay) limit(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.timers = append(r.timers, time.AfterFunc(d, r.close))
}

// close ends both directions, in TLS with the word that belongs there. It may be called at any time, and more than once.
func (r *relay) close() {
	r.session.Close()
	r.client.Close()
}

// copyAll passes octets on until src ends.
func copyAll(write func([]byte) error, src source) error {
	for {
		err := src.next(write)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// buffers are for what is under way: nobody has one while he waits.
var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}

// bufferSize is what is copied at once: two records of TLS.
const bufferSize = 32 << 10

// source is where octets come from.
type source interface {
	// next waits for octets and passes them to write, whose error it returns; io.EOF: there are no more.
	next(write func([]byte) error) error
}

func newSource(c net.Conn) source {
	switch s := c.(type) {
	case *net.TCPConn:
		return newSocket(s)
	case *net.UnixConn:
		return newSocket(s)
	}
	return &layered{conn: c}
}

// socket is a source that is read when it is readable, into a buffer that it has only then.
type socket struct {
	raw    syscall.RawConn
	err    error // of the last read; first, of getting raw
	buffer *[bufferSize]byte
	n      int
	try    func(fd uintptr) bool
}

func newSocket(c syscall.Conn) *socket {
	s := &socket{}
	s.raw, s.err = c.SyscallConn()
	s.try = s.read
	return s
}

// read reads what is there and says whether that was anything, an end or an error.
func (s *socket) read(fd uintptr) bool {
	s.buffer = buffers.Get().(*[bufferSize]byte)
	for {
		s.n, s.err = unix.Read(int(fd), s.buffer[:])
		if s.err != unix.EINTR {
			break
		}
	}
	if s.err == unix.EAGAIN {
		s.release()
		return false
	}
	return true
}

func (s *socket) release() {
	buffers.Put(s.buffer)
	s.buffer = nil
}

func (s *socket) next(write func([]byte) error) error {
	if s.raw == nil {
		return s.err
	}
	if err := s.raw.Read(s.try); err != nil {
		return err
	}
	defer s.release()
	switch {
	case s.err != nil:
		return s.err
	case s.n == 0:
		return io.EOF
	}
	return write(s.buffer[:s.n])
}

// layered is a source whose octets may lie in a layer above the socket (TLS, a PROXY header), so that only a read can wait for
// them: into a small buffer, and when that is full, as more is likely to be there, into a large one.
type layered struct {
	conn  net.Conn
	small [512]byte
	more  bool
}

func (l *layered) next(write func([]byte) error) error {
	p := l.small[:]
	if l.more {
		buffer := buffers.Get().(*[bufferSize]byte)
		defer buffers.Put(buffer)
		p = buffer[:]
	}
	n, err := l.conn.Read(p)
	l.more = n == len(p)
	if n > 0 {
		if failed := write(p[:n]); failed != nil {
			return failed
		}
	}
	if errors.Is(err, io.EOF) {
		return io.EOF
	}
	return err
}
