package front

import (
	"crypto/tls"
	"io"
	"net"
	"sync"
	"time"
)

// writeTimeout bounds one write to a client that has not logged in, if login_timeout does not: replies are small, and the kernel
// takes them at once.
const writeTimeout = 10 * time.Second

// past is a deadline that has passed.
var past = time.Unix(1, 0)

// wire is the connection to a client that has not logged in.
type wire struct {
	raw     net.Conn // as accepted
	conn    net.Conn // raw, or TLS over it
	timeout time.Duration
	failed  error // of a write, after which there are no more

	mu       sync.Mutex
	stopped  bool // the daemon is to end
	released bool // the client has logged in
}

func newWire(conn net.Conn, loginTimeout time.Duration) *wire {
	return &wire{raw: conn, conn: conn, timeout: min(writeTimeout, loginTimeout)}
}

// limit ends all waiting for the client at a time.
func (w *wire) limit(t time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped {
		t = past
	}
	return w.raw.SetReadDeadline(t)
}

// interrupt ends the waiting for the client now.
func (w *wire) interrupt() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopped = true
	if !w.released {
		w.raw.SetReadDeadline(past)
	}
}

// release ends all deadlines, for good.
func (w *wire) release() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.released = true
	return w.raw.SetDeadline(time.Time{})
}

func (w *wire) interrupted() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.stopped
}

func (w *wire) Read(p []byte) (int, error) { return w.conn.Read(p) }

func (w *wire) Write(p []byte) (n int, err error) {
	if w.failed == nil {
		w.failed = w.raw.SetWriteDeadline(time.Now().Add(w.timeout))
	}
	if w.failed == nil {
		n, w.failed = w.conn.Write(p)
	}
	return n, w.failed
}

// handshake puts TLS over the connection.
func (w *wire) handshake(config *tls.Config, until time.Time) (tls.ConnectionState, error) {
	conn := tls.Server(w.raw, config)
	if err := w.limit(until); err != nil {
		return tls.ConnectionState{}, err
	}
	if err := w.raw.SetWriteDeadline(until); err != nil {
		return tls.ConnectionState{}, err
	}
	if err := conn.Handshake(); err != nil {
		return tls.ConnectionState{}, err
	}
	w.conn = conn
	return conn.ConnectionState(), nil
}

// Bounds of hearing a client out, so that the reset which closing on unread input sends does not overtake our last words.
const (
	lingerTime = time.Second
	lingerSize = 64 << 10
)

// close says that no more comes. The connection is its owner's to close.
func (w *wire) close() {
	if w.failed == nil && halfClose(w.conn) == nil && w.raw.SetReadDeadline(time.Now().Add(lingerTime)) == nil {
		io.CopyN(io.Discard, w.raw, lingerSize)
	}
}

// halfClose says on each layer of a connection that no more comes: TLS clients want to hear it from TLS, and some wait for the
// end of the connection below.
func halfClose(c net.Conn) error {
	for {
		if half, ok := c.(interface{ CloseWrite() error }); ok {
			if err := half.CloseWrite(); err != nil {
				return err
			}
		}
		layer, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			return nil
		}
		c = layer.NetConn()
	}
}
