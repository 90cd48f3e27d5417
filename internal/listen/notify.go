package listen

import (
	"context"
	"fmt"
	"net"
	"os"
	"time"
)

// notifyTimeout bounds Notify: a supervisor that does not read must not hold up a daemon.
const notifyTimeout = 5 * time.Second

// Notify tells the supervisor the daemon's state, in the form of sd_notify(3) ("READY=1"). Without NOTIFY_SOCKET nobody
// wants to know, and that is no error.
func Notify(state string) error {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return nil
	}
	if path[0] != '/' && path[0] != '@' {
		return fmt.Errorf("notify: NOTIFY_SOCKET %q is not a path", path)
	}
	ctx, cancel := context.WithTimeout(context.Background(), notifyTimeout)
	defer cancel()
	c, err := dialUnix(ctx, "unixgram", path)
	if err != nil {
		return fmt.Errorf("notify: %w", err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(notifyTimeout)); err != nil {
		return fmt.Errorf("notify: %w", err)
	}
	if _, err := c.Write([]byte(state)); err != nil {
		return fmt.Errorf("notify: %w", err)
	}
	return nil
}

// DialUnix connects to a stream socket at path, however long that is: the kernel takes 107 bytes, a deep directory has
// more.
func DialUnix(ctx context.Context, path string) (net.Conn, error) {
	return dialUnix(ctx, "unix", path)
}

func dialUnix(ctx context.Context, network, path string) (net.Conn, error) {
	var dialer net.Dialer
	if path == "" || path[0] == '@' {
		return dialer.DialContext(ctx, network, path)
	}
	short, err := shorten(path)
	if err != nil {
		return nil, err
	}
	defer short.Close()
	return dialer.DialContext(ctx, network, short.path)
}
