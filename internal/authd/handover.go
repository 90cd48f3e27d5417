package authd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"postrider/internal/auth"
	"postrider/internal/authd/sessions"
)

// Sessions takes the connections of users who have logged in; *sessions.Manager does.
type Sessions interface {
	// Open gives a connection to the process of the login's user and returns that process's number. The error is auth.ErrInUse, or
	// another, which means later. The file stays the caller's.
	Open(ctx context.Context, l sessions.Login, file *os.File) (pid int, err error)
}

// proof is a login that has held, for as long as it may open a session.
type proof struct {
	sessions.Login
	until time.Time
}

// sessionServices are those whose logins open sessions.
var sessionServices = map[string]bool{"imap": true, "pop3": true}

// proofOf makes that of an attempt that held, nil if its service has no sessions.
func proofOf(a attempt, u auth.User) *proof {
	if !sessionServices[a.service] {
		return nil
	}
	return &proof{Login: sessions.Login{User: u, Service: a.service}, until: time.Now().Add(provenTimeout)}
}

// session opens the one session of a login. Without a login, or with anything but a connection, it is an error of the front.
func (c *connection) session(ctx context.Context, v *verifier, proven *proof, question auth.Line) error {
	file := c.conn.File()
	defer file.Close()
	if proven == nil || time.Now().After(proven.until) {
		return fmt.Errorf("%w: a session without a login", auth.ErrSyntax)
	}
	request, err := auth.ParseSession(question)
	if err != nil {
		return err
	}
	if err := checkConnection(file); err != nil {
		return fmt.Errorf("%w: %w", auth.ErrSyntax, err)
	}
	l := proven.Login
	l.Session = request
	pid, err := c.server.sessions.Open(ctx, l, file)
	switch {
	case errors.Is(err, auth.ErrInUse):
		return c.write(auth.NewLine(auth.No))
	case err != nil:
		v.Log.Warn("auth: session %s of %s: %v", request.ID, printable(l.User.Name), err)
		return c.write(auth.NewLine(auth.Later, "no session now"))
	}
	return c.write(auth.NewLine(auth.OK).With("pid", fmt.Sprint(pid)))
}

// checkConnection says whether a descriptor is a connected Unix stream socket: nothing else is for a session process to have, which
// may do with it what its user likes.
func checkConnection(file *os.File) error {
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var failure error
	err = raw.Control(func(fd uintptr) { failure = isConnection(int(fd)) })
	return errors.Join(err, failure)
}

func isConnection(fd int) error {
	for _, property := range []struct{ option, want int }{
		{unix.SO_DOMAIN, unix.AF_UNIX}, {unix.SO_TYPE, unix.SOCK_STREAM}, {unix.SO_ACCEPTCONN, 0},
	} {
		got, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, property.option)
		if err != nil {
			return fmt.Errorf("the descriptor is no socket: %w", err)
		}
		if got != property.want {
			return errors.New("the descriptor is no Unix stream socket")
		}
	}
	if _, err := unix.Getpeername(fd); err != nil {
		return fmt.Errorf("the descriptor is not connected: %w", err)
	}
	return nil
}
