// Package smtpc is the client's side of SMTP (RFC 5321) over a connection that somebody else has made: the submit sockets
// for sendmail, notices and forwarded copies, other hosts for relayd. It pipelines, sends in chunks where that is offered,
// and streams the message.
//
// The peer is not trusted: replies are bounded, every read and write has a deadline, and no address or parameter can break
// out of its command. What the server answered is an error of type *reply.Reply; any other error concerns the connection
// or the message's source and is temporary: whether the server took the message may then be unknown.
package smtpc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"postrider/internal/line"
	"postrider/internal/reply"
)

// Options of a connection.
type Options struct {
	Hello    string // our name in EHLO; "" = localhost
	Timeouts Timeouts
}

// Timeouts of each wait for the server. Zero values are those of RFC 5321 §4.5.3.2.
type Timeouts struct {
	Command time.Duration // greeting and commands; 5 min
	Block   time.Duration // each block of the message; 3 min
	Final   time.Duration // the answer to the message; 10 min
}

func (t Timeouts) orDefault() Timeouts {
	if t.Command == 0 {
		t.Command = 5 * time.Minute
	}
	if t.Block == 0 {
		t.Block = 3 * time.Minute
	}
	if t.Final == 0 {
		t.Final = 10 * time.Minute
	}
	return t
}

// Client is one connection to a server. It is not for concurrent use. After an error that is no *reply.Reply it is broken
// and can only be closed.
type Client struct {
	conn     net.Conn
	in       *line.Reader
	hello    string
	timeouts Timeouts

	extensions map[string]string // keyword in upper case → parameters
	open       bool              // a transaction is to be reset before the next
	broken     error
	farewell   *reply.Reply // a 421: what follows is the end of the connection
}

// New awaits the greeting on conn and says EHLO, or HELO to a server that does not know it. It owns conn, and closes it if
// it fails.
func New(ctx context.Context, conn net.Conn, o Options) (*Client, error) {
	c := &Client{conn: conn, hello: o.Hello, timeouts: o.Timeouts.orDefault()}
	if c.hello == "" {
		c.hello = "localhost"
	}
	c.in = line.NewReader(conn, c.timeouts.Command)
	defer c.watch(ctx)()
	if err := c.greet(); err != nil {
		conn.Close()
		return nil, because(ctx, err)
	}
	return c, nil
}

func (c *Client) greet() error {
	r, err := c.read(c.timeouts.Command)
	if err != nil {
		return err
	}
	if r.Code != 220 {
		return refusal(r)
	}
	if r, err = c.command("EHLO " + c.hello); err != nil {
		return err
	}
	if r.Code == 500 || r.Code == 502 {
		if r, err = c.command("HELO " + c.hello); err != nil {
			return err
		}
	}
	if r.Code != 250 {
		return refusal(r)
	}
	c.extensions = extensions(r.Text)
	return nil
}

// extensions reads what stands in the reply to EHLO (RFC 5321 §4.1.1.1).
func extensions(text string) map[string]string {
	ext := make(map[string]string)
	_, rest, _ := strings.Cut(text, "\n")
	for l := range strings.SplitSeq(rest, "\n") {
		keyword, params, _ := strings.Cut(l, " ")
		if keyword != "" {
			ext[strings.ToUpper(keyword)] = params
		}
	}
	return ext
}

// Extension says whether the server offered an extension (in upper case), and with which parameters.
func (c *Client) Extension(keyword string) (params string, ok bool) {
	params, ok = c.extensions[keyword]
	return params, ok
}

func (c *Client) has(keyword string) bool {
	_, ok := c.extensions[keyword]
	return ok
}

// MaxRecipients is how many recipients the server takes in one transaction (RFC 9422), 0 if it did not say.
func (c *Client) MaxRecipients() int {
	for word := range strings.FieldsSeq(c.extensions["LIMITS"]) {
		if digits, ok := strings.CutPrefix(strings.ToUpper(word), "RCPTMAX="); ok {
			n, err := strconv.ParseUint(digits, 10, 31)
			if err == nil {
				return int(n)
			}
		}
	}
	return 0
}

// Quit takes leave and closes the connection. There is nothing to be done about its errors.
func (c *Client) Quit() {
	if c.broken == nil {
		c.timeouts.Command = min(c.timeouts.Command, 5*time.Second)
		c.command("QUIT")
	}
	c.conn.Close()
}

// Close ends the connection without a word.
func (c *Client) Close() error { return c.conn.Close() }

// watch ends all waiting when ctx ends.
func (c *Client) watch(ctx context.Context) (stop func() bool) {
	return context.AfterFunc(ctx, func() { c.conn.Close() })
}

// because names the end of ctx as the cause of what it led to.
func because(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("smtp: %w", context.Cause(ctx))
	}
	return err
}

// command sends one command and awaits its reply.
func (c *Client) command(text string) (*reply.Reply, error) {
	if err := c.write([]byte(text+"\r\n"), c.timeouts.Command); err != nil {
		return nil, c.explain(err)
	}
	return c.read(c.timeouts.Command)
}

func (c *Client) write(b []byte, timeout time.Duration) error {
	err := c.conn.SetWriteDeadline(time.Now().Add(timeout))
	if err == nil {
		_, err = c.conn.Write(b)
	}
	if err != nil {
		c.broken = fmt.Errorf("smtp: %w", err)
		return c.broken
	}
	return nil
}

// read awaits a reply. When the connection ends after a 421, that is why.
func (c *Client) read(timeout time.Duration) (*reply.Reply, error) {
	c.in.Timeout = timeout
	r, err := reply.Read(c.in)
	if err != nil {
		c.broken = fmt.Errorf("smtp: %w", err)
		if c.farewell != nil {
			return nil, c.farewell
		}
		return nil, c.broken
	}
	if r.Code == 421 {
		c.farewell = r
	}
	return r, nil
}

// explain looks for the reason that a server gives before it stops reading.
func (c *Client) explain(failed error) error {
	for range maxOutstanding {
		r, err := c.read(time.Second)
		if err != nil {
			if r, ok := errors.AsType[*reply.Reply](err); ok {
				return r
			}
			return failed
		}
		if !r.Positive() {
			return r
		}
	}
	return failed
}

// refusal is a reply as an error. One that makes no sense at its place is taken for a temporary failure.
func refusal(r *reply.Reply) error {
	if r.Temporary() || r.Permanent() {
		return r
	}
	return fmt.Errorf("smtp: unexpected reply: %w", errors.New(r.Error()))
}
