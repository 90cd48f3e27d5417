// Package auth is the client side of authd and the grammar of its socket: who somebody is, and whether a login holds.
// The daemons that use it carry SASL messages between a remote client and authd and never judge them.
//
// It trusts authd's answers for what they say, but not for their form or speed: lines are bounded, answers have a
// deadline, and whatever goes wrong on the way is ErrLater, never "no such user".
package auth

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"postrider/internal/listen"
)

// Errors of a question. Each error returned by Client and Exchange is one of them, with its reason wrapped around it.
var (
	ErrUnknown = errors.New("unknown user")          // who: there is no such user
	ErrRefused = errors.New("authentication failed") // the login does not hold; why is authd's secret
	ErrInUse   = errors.New("mailbox is in use")     // the session cannot be opened beside another (RFC 1939 §4)
	ErrLater   = errors.New("temporary failure")     // nobody knows now: answer 4xx
)

const (
	defaultTimeout = 5 * time.Minute // of a login, whose failure is answered late on purpose
	whoTimeout     = 30 * time.Second
	dialTimeout    = 5 * time.Second
	abortTimeout   = 2 * time.Second
	maxIdle        = 8 // connections kept for the next question
)

// Client asks one authd. Its methods may be used by many goroutines. The zero value with a Path is ready for use.
type Client struct {
	Path    string        // of the Unix socket
	Timeout time.Duration // for one answer of a login; 0 is 5 minutes

	mu   sync.Mutex
	idle []*conn
}

// conn is one connection to authd; a question has it for itself until its last answer.
type conn struct {
	*Conn
	reused bool
}

// later makes an ErrLater that keeps its cause.
func later(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrLater, fmt.Errorf(format, args...))
}

// Who returns the user that addr, a name or an address, belongs to. The address is taken as it is: extensions and aliases
// are the caller's business. The error is ErrUnknown or ErrLater.
func (c *Client) Who(ctx context.Context, addr string) (User, error) {
	ctx, cancel := context.WithTimeout(ctx, whoTimeout)
	defer cancel()
	cn, answer, err := c.open(ctx, NewLine(Who, addr))
	if err != nil {
		return User{}, err
	}
	switch answer.Verb {
	case OK:
		u, err := ParseUser(answer)
		if err != nil {
			cn.Close()
			return User{}, later("authd: %w", err)
		}
		c.release(cn)
		return u, nil
	case No:
		c.release(cn)
		return User{}, ErrUnknown
	case Later:
		c.release(cn)
		return User{}, later("authd: %s", answer.Words[0])
	}
	cn.Close()
	return User{}, later("authd: unexpected %s", answer.Verb)
}

// Mechanisms returns the SASL mechanisms that authd would accept, best first. SCRAM is among them only if every user who
// can log in has keys for it, since clients that prefer it do not fall back. The -PLUS forms are for connections that have a channel binding.
func (c *Client) Mechanisms(ctx context.Context) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, whoTimeout)
	defer cancel()
	cn, answer, err := c.open(ctx, NewLine(Mechanisms))
	if err != nil {
		return nil, err
	}
	list, ok := answer.Get("list")
	if answer.Verb != OK || !ok {
		cn.Close()
		return nil, later("authd: unexpected %s", answer.Verb)
	}
	c.release(cn)
	return strings.Fields(list), nil
}

// open sends the first line of a question and reads its answer. A kept connection may have been closed at the other end
// since (authd was restarted, or let it go for idleness): then the question is asked once more on a new one.
func (c *Client) open(ctx context.Context, q Line) (*conn, Line, error) {
	for {
		cn, err := c.take(ctx)
		if err != nil {
			return nil, Line{}, later("connect to authd: %w", err)
		}
		answer, err := c.roundTrip(ctx, cn, q, nil)
		if err == nil {
			return cn, answer, nil
		}
		cn.Close()
		if !cn.reused || ctx.Err() != nil || isTimeout(err) || errors.Is(err, ErrSyntax) {
			return nil, Line{}, later("authd: %w", err)
		}
	}
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

// take returns a kept connection, or a new one.
func (c *Client) take(ctx context.Context) (*conn, error) {
	c.mu.Lock()
	if n := len(c.idle); n > 0 {
		cn := c.idle[n-1]
		c.idle = c.idle[:n-1]
		c.mu.Unlock()
		return cn, nil
	}
	c.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	nc, err := listen.DialUnix(ctx, c.Path)
	if err != nil {
		return nil, err
	}
	uc, ok := nc.(*net.UnixConn)
	if !ok {
		nc.Close()
		return nil, errors.New("not a Unix socket")
	}
	return &conn{Conn: NewConn(uc)}, nil
}

// release keeps a connection that is between two questions.
func (c *Client) release(cn *conn) {
	if cn.Buffered() > 0 {
		cn.Close()
		return
	}
	cn.reused = true
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.idle) >= maxIdle {
		cn.Close()
		return
	}
	c.idle = append(c.idle, cn)
}

// Close ends the kept connections. The client stays usable.
func (c *Client) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, cn := range c.idle {
		cn.Close()
	}
	c.idle = nil
}

// roundTrip writes a line, with a descriptor if file is not nil, and reads the answer within the time of one answer, or until
// ctx is done.
func (c *Client) roundTrip(ctx context.Context, cn *conn, q Line, file *os.File) (Line, error) {
	timeout := c.Timeout
	if timeout <= 0 {
		timeout = defaultTimeout
	}
	if err := cn.SetDeadline(time.Now().Add(timeout)); err != nil {
		return Line{}, err
	}
	stop := context.AfterFunc(ctx, func() { cn.SetDeadline(time.Unix(1, 0)) })
	err := cn.WriteLine(q, file)
	var answer Line
	if err == nil {
		answer, err = cn.ReadLine()
	}
	if cn.Files() > 0 {
		cn.Discard()
		err = fmt.Errorf("%w: a descriptor with an answer", ErrSyntax)
	}
	if !stop() {
		return Line{}, ctx.Err()
	}
	return answer, err
}
