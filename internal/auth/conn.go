package auth

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// maxFiles bounds the descriptors that were received and not taken yet. A line has one at most; the next line's may arrive
// together with the rest of this one.
const maxFiles = 2

// Conn is one end of a connection over which lines go, some of them with a descriptor. One goroutine reads, one writes.
type Conn struct {
	*net.UnixConn
	r        *bufio.Reader
	received received
}

// NewConn takes over a connection.
func NewConn(c *net.UnixConn) *Conn {
	cn := &Conn{UnixConn: c}
	cn.received = received{conn: c, oob: make([]byte, unix.CmsgSpace(4*maxFiles))}
	cn.r = NewReader(&cn.received)
	return cn
}

// ReadLine is the function ReadLine, and keeps the descriptors that come meanwhile. More than could be meant are an ErrSyntax.
func (c *Conn) ReadLine() (Line, error) { return ReadLine(c.r) }

// Buffered is how much of the next lines is there.
func (c *Conn) Buffered() int { return c.r.Buffered() }

// Files is how many descriptors have come and were not taken. Where each line is answered before the next is written, they
// came with the last line.
func (c *Conn) Files() int { return len(c.received.files) }

// File takes the descriptor that came first; nil = there is none. The caller closes it.
func (c *Conn) File() *os.File {
	if len(c.received.files) == 0 {
		return nil
	}
	f := c.received.files[0]
	c.received.files = c.received.files[1:]
	return f
}

// Discard closes the descriptors that nobody took; the reader calls it at its end.
func (c *Conn) Discard() {
	for f := c.File(); f != nil; f = c.File() {
		f.Close()
	}
}

// WriteLine is Send.
func (c *Conn) WriteLine(l Line, file *os.File) error { return Send(c.UnixConn, l, file) }

// Send writes one line, together with a descriptor if file is not nil. The file stays the caller's. After an error the other side
// has not got the whole line, and will not: the connection is of no further use, unless the error is ErrSyntax.
func Send(c *net.UnixConn, l Line, file *os.File) error {
	if file == nil {
		return WriteLine(c, l)
	}
	b, err := l.wire()
	if err != nil {
		return err
	}
	raw, err := file.SyscallConn() // Fd would change the mode of the open file, which others share
	if err != nil {
		return fmt.Errorf("pass descriptor: %w", err)
	}
	n := 0
	var failure error
	err = raw.Control(func(fd uintptr) { n, _, failure = c.WriteMsgUnix(b, unix.UnixRights(int(fd)), nil) })
	if err == nil {
		err = failure
	}
	if err != nil {
		return fmt.Errorf("pass descriptor: %w", err)
	}
	if n < len(b) {
		_, err = c.Write(b[n:])
	}
	return err
}

// received reads octets and keeps what descriptors come with them.
type received struct {
	conn  *net.UnixConn
	oob   []byte
	files []*os.File
	err   error
}

// Read implements io.Reader.
func (r *received) Read(p []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	n, oobn, flags, _, err := r.conn.ReadMsgUnix(p, r.oob)
	if errors.Is(err, io.EOF) {
		return 0, io.EOF // without what net wraps around it
	}
	if err != nil {
		return 0, err
	}
	if oobn > 0 {
		r.err = r.take(r.oob[:oobn])
	}
	if flags&unix.MSG_CTRUNC != 0 && r.err == nil {
		r.err = fmt.Errorf("%w: too many descriptors, or none is free for them", ErrSyntax)
	}
	if r.err != nil {
		return 0, r.err
	}
	return n, nil
}

// take keeps the descriptors of one control message, or closes those that are too many.
func (r *received) take(oob []byte) error {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return fmt.Errorf("%w: control message: %w", ErrSyntax, err)
	}
	for i := range messages {
		fds, err := unix.ParseUnixRights(&messages[i])
		if err != nil {
			continue // another kind, which brings nothing that is to be closed
		}
		for _, fd := range fds {
			if len(r.files) < maxFiles {
				r.files = append(r.files, os.NewFile(uintptr(fd), "passed"))
				continue
			}
			unix.Close(fd)
			err = fmt.Errorf("%w: more than %d descriptors", ErrSyntax, maxFiles)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
