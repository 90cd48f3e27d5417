package smtpc

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"

	"postrider/internal/reply"
)

// Result is what the server said about a message.
type Result struct {
	Recipients []*reply.Reply // in the order of the envelope; nil = it did not come to that
	Message    *reply.Reply   // its last word; nil = it did not come to that
}

// ErrRecipients is the cause in the reply that Send returns when nothing was sent because of a recipient.
var ErrRecipients = errors.New("recipient refused")

// Send transacts one message. body is read to its end in wire form, CRLF only, without stuffed dots; if reading it fails,
// the connection is closed and the message not sent. A nil error means that the server took the message for those
// recipients to which it said 25x. A *reply.Reply is its refusal: of the sender, of the message, or with cause
// ErrRecipients of the first recipient, if none was left or the envelope is to be taken as a whole.
func (c *Client) Send(ctx context.Context, e *Envelope, body io.Reader) (Result, error) {
	defer c.watch(ctx)()
	r, err := c.send(e, body)
	c.open = r.Message == nil
	return r, because(ctx, err)
}

func (c *Client) send(e *Envelope, body io.Reader) (Result, error) {
	var r Result
	if err := c.reset(); err != nil {
		return r, err
	}
	commands, err := c.commands(e)
	if err != nil {
		return r, err
	}
	chunked := c.has("CHUNKING")
	ahead := c.has("PIPELINING") && !chunked && !e.Whole // DATA before the recipients' replies
	if ahead {
		commands = append(commands, "DATA")
	}
	replies, err := c.exchange(commands)
	r.Recipients = pad(replies, len(e.To))
	if err != nil {
		return r, err
	}
	if refused := e.refusal(replies); refused != nil {
		return r, c.abandon(replies[len(replies)-1], refused)
	}
	if chunked {
		r.Message, err = c.chunks(body)
		return r, err
	}
	data := replies[len(replies)-1]
	if !ahead {
		if data, err = c.command("DATA"); err != nil {
			return r, err
		}
	}
	if data.Code != 354 {
		return r, refusal(data)
	}
	r.Message, err = c.data(body)
	return r, err
}

// reset ends a transaction that was not finished.
func (c *Client) reset() error {
	if c.broken != nil {
		return c.broken
	}
	if !c.open {
		return nil
	}
	r, err := c.command("RSET")
	if err != nil {
		return err
	}
	if r.Code != 250 {
		return refusal(r)
	}
	c.open = false
	return nil
}

func (c *Client) commands(e *Envelope) ([]string, error) {
	mail, err := c.mail(e)
	if err != nil {
		return nil, err
	}
	list := append(make([]string, 0, len(e.To)+2), mail)
	for i := range e.To {
		rcpt, err := c.rcpt(&e.To[i])
		if err != nil {
			return nil, err
		}
		list = append(list, rcpt)
	}
	return list, nil
}

// maxOutstanding is how many commands are sent ahead of their replies: few enough that the replies always fit the buffers
// between us, so that neither side waits for the other to read (RFC 2920 §3.1).
const maxOutstanding = 50

// exchange sends commands and awaits a reply to each, in groups if the server pipelines. It stops after a group when the
// first command was refused.
func (c *Client) exchange(commands []string) ([]*reply.Reply, error) {
	group := 1
	if c.has("PIPELINING") {
		group = maxOutstanding
	}
	var replies []*reply.Reply
	for some := range slices.Chunk(commands, group) {
		if err := c.write([]byte(strings.Join(some, "\r\n")+"\r\n"), c.timeouts.Command); err != nil {
			return replies, c.explain(err)
		}
		for range some {
			r, err := c.read(c.timeouts.Command)
			if err != nil {
				return replies, err
			}
			replies = append(replies, r)
		}
		if !replies[0].Positive() {
			break
		}
	}
	return replies, nil
}

// pad picks the recipients' replies from those to MAIL, RCPT and perhaps DATA.
func pad(replies []*reply.Reply, n int) []*reply.Reply {
	list := make([]*reply.Reply, n)
	if len(replies) > 0 && replies[0].Positive() {
		copy(list, replies[1:])
	}
	return list
}

// refusal is why the message is not to be sent, or nil.
func (e *Envelope) refusal(replies []*reply.Reply) error {
	if !replies[0].Positive() {
		return refusal(replies[0])
	}
	var refused *reply.Reply
	taken := 0
	for _, r := range replies[1 : 1+len(e.To)] {
		if r.Positive() {
			taken++
		} else if refused == nil {
			refused = r
		}
	}
	switch {
	case taken > 0 && (refused == nil || !e.Whole):
		return nil
	case refused == nil:
		return errors.New("smtp: no recipients")
	}
	return refused.With(ErrRecipients)
}

// abandon ends a transaction that was refused. If DATA went ahead and the server waits for a message, it gets an empty one,
// which it has no recipients for (RFC 2920 §3.1).
func (c *Client) abandon(last *reply.Reply, refused error) error {
	if last.Code != 354 {
		return refused
	}
	if _, err := c.command("."); err != nil {
		return err
	}
	return refused
}

// Verify asks the server what it would say to each recipient, and sends nothing. Errors are those of Send.
func (c *Client) Verify(ctx context.Context, e *Envelope) ([]*reply.Reply, error) {
	defer c.watch(ctx)()
	list, err := c.verify(e)
	c.open = true
	return list, because(ctx, err)
}

func (c *Client) verify(e *Envelope) ([]*reply.Reply, error) {
	if err := c.reset(); err != nil {
		return nil, err
	}
	commands, err := c.commands(e)
	if err != nil {
		return nil, err
	}
	replies, err := c.exchange(commands)
	if err == nil && !replies[0].Positive() {
		err = refusal(replies[0])
	}
	return pad(replies, len(e.To)), err
}
