package smtpc

import (
	"context"
	"fmt"
	"time"

	"postrider/internal/reply"
)

// watch ends all waiting when ctx ends.
func (c *Client) watch(ctx context.Context) (stop func() bool) {
	return context.AfterFunc(ctx, func() { c.raw.Close() })
}

// because names the end of ctx as the cause of what it led to. What the server answered before stays.
func because(ctx context.Context, err error) error {
	e, ok := err.(*Error)
	if !ok || ctx.Err() == nil || e.Reply() != nil {
		return err
	}
	return &Error{Step: e.Step, Err: context.Cause(ctx), Uncertain: e.Uncertain}
}

// command sends one command and awaits its reply.
func (c *Client) command(text string) (*reply.Reply, error) {
	out, err := check(append(c.out[:0], text...), 0)
	if err != nil {
		return nil, c.here(err)
	}
	c.out = append(out, "\r\n"...)
	if err := c.quiet(); err != nil {
		return nil, err
	}
	if err := c.write(c.out, c.options.Timeouts.Command); err != nil {
		return nil, err
	}
	return c.read(c.options.Timeouts.Command)
}

// write sends all of b within timeout.
func (c *Client) write(b []byte, timeout time.Duration) error {
	err := c.conn.SetWriteDeadline(time.Now().Add(timeout))
	if err == nil {
		_, err = c.conn.Write(b)
	}
	if err != nil {
		return c.explain(err)
	}
	return nil
}

// read awaits a reply. After 421 nothing follows, and what the server still says is not waited for (RFC 5321 §3.8).
func (c *Client) read(timeout time.Duration) (*reply.Reply, error) {
	c.in.Timeout = timeout
	r, err := reply.Read(c.in)
	if err != nil {
		return nil, c.fail(kind(err))
	}
	if r.Code == 421 {
		return nil, c.part(r)
	}
	return r, nil
}

// quiet makes sure, when nothing is to be replied to, that the server has not spoken. Its words would be taken for the next
// reply, and so on to the end. A 421 may come at any time, and a message may be refused before its end.
func (c *Client) quiet() error {
	if c.in.Buffered() == 0 {
		return nil
	}
	r, err := c.read(c.options.Timeouts.Command)
	if err != nil {
		return err
	}
	if c.step == StepMessage && refused(r) {
		return c.part(r)
	}
	return c.fail(fmt.Errorf("%w: reply to no command: %.100q", ErrProtocol, r.Error()))
}

// lastWords is how long we listen to a server that does not read any longer.
const lastWords = time.Second

// explain ends a connection that could not be written to. The server may have given its reason: by 421 at any time, and by
// any refusal while it had nothing to reply to but the message.
func (c *Client) explain(failed error) error {
	until := time.Now().Add(lastWords)
	for range maxOutstanding {
		c.in.Timeout = time.Until(until)
		if c.in.Timeout <= 0 {
			break
		}
		r, err := reply.Read(c.in)
		if err != nil {
			break
		}
		if r.Code == 421 || c.step == StepMessage && refused(r) {
			return c.part(r)
		}
	}
	return c.fail(lost(failed))
}
