package smtpd

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// writeTimeout bounds one write of replies (RFC 5321 §4.5.3.2 leaves it to us).
const writeTimeout = 1 * time.Minute

// maxPending is how many octets of replies wait for the next read before they are written anyway.
const maxPending = 4 << 10

// errForeign is a peer whose first octet is none that SMTP begins with: it speaks TLS, or something else that is binary.
var errForeign = errors.New("not SMTP")

// wire is the connection of a session: replies are collected, and written just before the session would wait for input
// (RFC 2920 §3.1), so that the replies of pipelined commands leave together and none can be forgotten.
type wire struct {
	conn  net.Conn // as accepted, or TLS over it
	out   []byte
	spoke bool // the first octet has been seen
	err   error

	mu   sync.Mutex
	busy bool // a command is being carried out
	stop bool // no new command is to begin
}

// Read writes what is pending and then reads.
func (w *wire) Read(p []byte) (int, error) {
	if err := w.flush(); err != nil {
		return 0, err
	}
	n, err := w.conn.Read(p)
	if n > 0 && !w.spoke {
		w.spoke = true
		if p[0] < ' ' && p[0] != '\r' && p[0] != '\n' && p[0] != '\t' {
			return 0, errForeign
		}
	}
	return n, err
}

// SetReadDeadline sets the deadline of reads, but lets a session that is to stop no longer wait for commands.
func (w *wire) SetReadDeadline(t time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stop && !w.busy {
		t = past
	}
	return w.conn.SetReadDeadline(t)
}

// past is a deadline that has passed.
var past = time.Unix(1, 0)

// interrupt makes the session end: at once if it waits for a command, else when it has carried out the present one.
func (w *wire) interrupt() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stop = true
	if !w.busy {
		w.conn.SetReadDeadline(past)
	}
}

// setBusy says whether a command is being carried out; it reports whether the session is to stop.
func (w *wire) setBusy(busy bool) (stop bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.busy = busy
	return w.stop
}

// replace puts TLS over the connection.
func (w *wire) replace(conn *tls.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.conn = conn
}

// pend adds to what is written at the next read.
func (w *wire) pend(b []byte) {
	w.out = b
	if len(w.out) > maxPending {
		w.flush() // an error stays in w.err and ends the next read
	}
}

// flush writes what is pending.
func (w *wire) flush() error {
	if len(w.out) == 0 || w.err != nil {
		return w.err
	}
	if w.err = w.conn.SetWriteDeadline(time.Now().Add(writeTimeout)); w.err == nil {
		_, w.err = w.conn.Write(w.out)
	}
	w.out = w.out[:0]
	return w.err
}

// Bounds of hearing a peer out, so that the reset which closing on unread input sends does not overtake our last words.
const (
	lingerTime = time.Second
	lingerSize = 64 << 10
)

// close writes what is pending and says that no more comes. The connection is its owner's to close.
func (w *wire) close(linger bool) {
	half, ok := w.conn.(interface{ CloseWrite() error })
	if err := w.flush(); err != nil || !ok || half.CloseWrite() != nil || !linger {
		return
	}
	if w.conn.SetReadDeadline(time.Now().Add(lingerTime)) == nil {
		io.CopyN(io.Discard, w.conn, lingerSize)
	}
}
