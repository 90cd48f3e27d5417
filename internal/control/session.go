package control

import (
	"context"
	"fmt"
	"strconv"
	"time"
)

// Sessions is what a daemon shows of those who are logged in. Its methods are called from several goroutines. ID of a selection
// is a user's name or the id of a session.
type Sessions interface {
	// Who returns the selected sessions.
	Who(s Selection) []Session
	// Kick ends the selected sessions and returns them.
	Kick(s Selection) []Session
}

// Session is somebody who is logged in.
type Session struct {
	ID      string
	Service string // imap or pop3
	User    string
	UID     uint32
	Address string // of the client; "" = a process of this host
	TLS     bool
	Since   time.Time
	PID     int // of the session process; 0 = it has not answered yet
}

// append writes the session's line.
func (s *Session) append(b []byte) []byte {
	b = append(b, verbSession...)
	b = appendPair(b, "id", s.ID)
	b = appendPair(b, "service", s.Service)
	b = appendPair(b, "user", s.User)
	b = appendPair(b, "uid", strconv.FormatUint(uint64(s.UID), 10))
	b = appendPair(b, "address", s.Address)
	if s.TLS {
		b = appendPair(b, "tls", "yes")
	}
	b = appendPair(b, "since", seconds(s.Since))
	b = appendPair(b, "pid", strconv.Itoa(s.PID))
	return append(b, '\n')
}

// sessionOf reads a session line.
func sessionOf(l line) (Session, error) {
	n := numbers{line: l}
	s := Session{
		ID:      l.get("id"),
		Service: l.get("service"),
		User:    l.get("user"),
		UID:     uint32(n.get("uid", -1)),
		Address: l.get("address"),
		TLS:     l.get("tls") == "yes",
		Since:   n.time("since"),
		PID:     int(n.get("pid", 0)),
	}
	if s.ID == "" {
		return s, fmt.Errorf("%w: session without id", ErrSyntax)
	}
	return s, n.err
}

// who lists sessions.
func (c *client) who(s Selection) (n int, err error) {
	for _, one := range c.server.Sessions.Who(s) {
		n++
		if c.out = one.append(c.out); len(c.out) >= buffered {
			c.flush()
		}
	}
	return n, c.err
}

// kick ends sessions and logs who wanted it.
func (c *client) kick(s Selection) (int, error) {
	if s.ID == "" {
		return 0, fmt.Errorf("%w: kick without a name", ErrSyntax)
	}
	kicked := c.server.Sessions.Kick(s)
	for _, one := range kicked {
		c.server.Log.Info("session %s of %s ended by uid %d", one.ID, one.User, c.uid)
	}
	return len(kicked), nil
}

// Who passes to show the sessions that this user may see, of a user or of that id; "" = all. An error of show ends it.
func (c *Client) Who(ctx context.Context, name string, show func(Session) error) error {
	defer c.cancel(ctx)()
	if err := c.request(ctx, appendPair([]byte(verbWho), "id", name)); err != nil {
		return err
	}
	for {
		l, err := c.read(ctx)
		if err != nil {
			return err
		}
		if l.verb != verbSession {
			_, err := result(verbWho, l)
			return err
		}
		s, err := sessionOf(l)
		if err != nil {
			return fmt.Errorf("who: %w", err)
		}
		if err := show(s); err != nil {
			return err
		}
	}
}

// Kick ends the sessions of a user, or the one of that id, as far as this user may, and returns how many they were.
func (c *Client) Kick(ctx context.Context, name string) (int, error) {
	defer c.cancel(ctx)()
	if err := c.request(ctx, appendPair([]byte(verbKick), "id", name)); err != nil {
		return 0, err
	}
	l, err := c.read(ctx)
	if err != nil {
		return 0, err
	}
	return result(verbKick, l)
}
