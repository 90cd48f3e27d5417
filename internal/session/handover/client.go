package handover

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// How the client of a session is reached is the first octet that the front sends over the connection that it gave to authd.
const (
	relayed = 'r' // by that connection: all that follows is between client and session
	direct  = 'd' // by the client's own, which comes with the octet; the end of the front's is that of the session, and the other way round
)

// Relay tells the session on c that its client is reached by c.
func Relay(c *net.UnixConn) error {
	if _, err := c.Write([]byte{relayed}); err != nil {
		return fmt.Errorf("begin relay: %w", err)
	}
	return nil
}

// Give gives the session on c its client's own connection, with all deadlines and buffers of this process left behind. It stays open
// here, too.
func Give(c *net.UnixConn, client syscall.Conn) error {
	raw, err := client.SyscallConn()
	if err != nil {
		return fmt.Errorf("give client: %w", err)
	}
	var failure error
	err = raw.Control(func(fd uintptr) { _, _, failure = c.WriteMsgUnix([]byte{direct}, unix.UnixRights(int(fd)), nil) })
	if err = errors.Join(err, failure); err != nil {
		return fmt.Errorf("give client: %w", err)
	}
	return nil
}

// errClient is a front that does not say how the client is reached.
var errClient = fmt.Errorf("take client: unexpected first octet or descriptor")

// Take waits for what the front says and returns the connection to the client: c, or another one.
func Take(c *net.UnixConn) (net.Conn, error) {
	how, oob := make([]byte, 1), make([]byte, unix.CmsgSpace(4))
	n, oobn, flags, _, err := c.ReadMsgUnix(how, oob)
	if err != nil {
		return nil, fmt.Errorf("take client: %w", err)
	}
	if n == 0 {
		return nil, fmt.Errorf("take client: %w", io.EOF)
	}
	file, err := descriptor(oob[:oobn])
	if err != nil {
		return nil, err
	}
	if file != nil {
		defer file.Close() // FileConn works on a copy
	}
	switch {
	case how[0] == relayed && file == nil && flags&unix.MSG_CTRUNC == 0:
		return c, nil
	case how[0] == direct && file != nil && flags&unix.MSG_CTRUNC == 0:
		return net.FileConn(file)
	}
	return nil, errClient
}

// descriptor is what came with a message, nil = nothing.
func descriptor(oob []byte) (*os.File, error) {
	if len(oob) == 0 {
		return nil, nil
	}
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil || len(messages) != 1 {
		return nil, errClient
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		for _, fd := range fds {
			unix.Close(fd)
		}
		return nil, errClient
	}
	return os.NewFile(uintptr(fds[0]), "client"), nil
}
