package session

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"postrider/internal/session/handover"
)

// Bounds of the ends of a connection: until the front says how the client is reached, and of hearing a client out that still sends, as
// the reset which closing on unread input sends would overtake our last words.
const (
	clientTimeout = 30 * time.Second
	lingerTime    = time.Second
	lingerSize    = 64 << 10
)

// unixConn takes over a descriptor.
func unixConn(file *os.File) (*net.UnixConn, error) {
	defer file.Close() // FileConn works on a copy
	conn, err := net.FileConn(file)
	if err != nil {
		return nil, err
	}
	front, ok := conn.(*net.UnixConn)
	if !ok {
		conn.Close()
		return nil, fmt.Errorf("connection to the front: not a Unix socket, but %T", conn)
	}
	return front, nil
}

// connected serves the client whom the front has on conn.
func connected(ctx context.Context, conn *net.UnixConn, serve Serve) (summary string) {
	err := conn.SetReadDeadline(time.Now().Add(clientTimeout))
	var client net.Conn
	if err == nil {
		client, err = handover.Take(conn)
	}
	if err == nil {
		err = conn.SetReadDeadline(time.Time{})
	}
	if err != nil {
		return fmt.Sprintf("Connection closed: %v", err)
	}
	tcp, given := client.(*net.TCPConn)
	if !given {
		return serve(ctx, conn)
	}
	defer tcp.Close()
	go func() {
		wait(conn)
		tcp.Close() // the front has ended, or wants the session ended
	}()
	defer conn.Close() // which ends the goroutine
	return serve(ctx, &lingering{tcp})
}

// wait returns at the end of a connection over which nothing comes.
func wait(conn *net.UnixConn) {
	if raw, err := conn.SyscallConn(); err == nil {
		raw.Read(func(fd uintptr) bool {
			for {
				var octet [1]byte
				if _, err := unix.Read(int(fd), octet[:]); err != unix.EINTR {
					return err != unix.EAGAIN
				}
			}
		})
	}
}

// lingering is a client's connection that is closed with a word and after a moment.
type lingering struct{ *net.TCPConn }

// Close says that no more comes, hears the client out, and closes.
func (l *lingering) Close() error {
	if l.CloseWrite() == nil && l.SetReadDeadline(time.Now().Add(lingerTime)) == nil {
		io.CopyN(io.Discard, l.TCPConn, lingerSize)
	}
	return l.TCPConn.Close()
}
