package pop3d

import (
	"bufio"
	"context"
	"net"
	"strconv"
	"sync"
	"time"

	"postrider/internal/line"
)

const (
	bufferSize = 64 << 10 // of answers, and of what is read of a message at a time
	maxLine    = 2048     // octets of a command with its end, as in Dovecot; RFC 2449 §4 asks for 255
)

// wire is the connection. Answers gather in a buffer that exists only while there is something in it; they are on their way
// before a command is waited for, so that a client may send one at a time or many ahead (RFC 2449 §6.6).
type wire struct {
	ctx     context.Context
	conn    net.Conn
	timeout time.Duration // of a line, and of each write
	in      *line.Reader
	out     *bufio.Writer // nil = nothing waits
	sent    int64         // octets, without those in out
	err     error         // of a write: nothing more is sent
}

// writers are those that no session uses now.
var writers = sync.Pool{New: func() any { return bufio.NewWriterSize(nil, bufferSize) }}

func newWire(ctx context.Context, conn net.Conn, timeout time.Duration) *wire {
	w := &wire{ctx: ctx, conn: conn, timeout: timeout}
	w.in = line.NewReader(w, timeout)
	w.in.BareLF = true
	return w
}

// interrupt ends whatever waits, when ctx is done. Who sets a deadline looks at ctx afterwards.
func (w *wire) interrupt() { w.conn.SetDeadline(time.Unix(1, 0)) }

// lastTimeout bounds what is done for a session at its end.
const lastTimeout = 30 * time.Second

// detach lets last words be said although ctx is done.
func (w *wire) detach() { w.ctx, w.timeout = context.Background(), min(w.timeout, lastTimeout) }

// readLine returns the next command, valid until the next call.
func (w *wire) readLine() ([]byte, error) { return w.in.ReadLine(maxLine) }

// Read is called when no whole line is there.
func (w *wire) Read(p []byte) (int, error) {
	if err := w.flush(); err != nil {
		return 0, err
	}
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	return w.conn.Read(p)
}

// SetReadDeadline is for the reader of lines.
func (w *wire) SetReadDeadline(t time.Time) error { return w.conn.SetReadDeadline(t) }

// buffer is where answers are written to. Errors show in err and in flush.
func (w *wire) buffer() *bufio.Writer {
	if w.out == nil {
		w.out = writers.Get().(*bufio.Writer)
		w.out.Reset(toConn{w})
	}
	return w.out
}

// flush sends what waits.
func (w *wire) flush() error {
	if w.out != nil {
		w.out.Flush()
		w.out.Reset(nil)
		writers.Put(w.out)
		w.out = nil
	}
	return w.err
}

// written is how many octets were said so far.
func (w *wire) written() int64 {
	if w.out == nil {
		return w.sent
	}
	return w.sent + int64(w.out.Buffered())
}

// line says one line.
func (w *wire) line(s string) {
	b := w.buffer()
	b.WriteString(s)
	b.WriteString("\r\n")
}

// numbers says a line of a number and what goes with it.
func (w *wire) numbers(prefix string, a, b int64) {
	out := w.buffer()
	text := append(out.AvailableBuffer(), prefix...)
	text = strconv.AppendInt(text, a, 10)
	text = append(text, ' ')
	text = strconv.AppendInt(text, b, 10)
	out.Write(append(text, '\r', '\n'))
}

// toConn is the connection as the buffer sees it. After an error nothing more is tried.
type toConn struct{ w *wire }

func (c toConn) Write(p []byte) (n int, err error) {
	w := c.w
	if w.err != nil {
		return 0, w.err
	}
	if err = w.conn.SetWriteDeadline(time.Now().Add(w.timeout)); err == nil {
		if err = w.ctx.Err(); err == nil {
			n, err = w.conn.Write(p)
		}
	}
	w.sent += int64(n)
	w.err = err
	return n, err
}
