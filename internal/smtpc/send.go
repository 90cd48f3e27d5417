package smtpc

import (
	"context"
	"errors"
	"fmt"
	"io"

	"postrider/internal/reply"
)

// Send transacts one message. body is read to its end in wire form, CRLF only, without stuffed dots; if reading it fails, the
// connection is closed and the message not sent. A nil error means that the server took the message for those recipients to
// which it said 2xx; over LMTP, that it answered for each. A *reply.Reply in the error is its refusal: of the sender, of the
// message, or with cause ErrRecipients of the first recipient, if none was left or the envelope is to be taken as a whole.
// Result.Of tells recipient by recipient.
func (c *Client) Send(ctx context.Context, e *Envelope, body io.Reader) (Result, error) {
	defer c.watch(ctx)()
	t := transaction{Client: c, envelope: e}
	err := t.send(body)
	c.ended = false
	return t.result, because(ctx, err)
}

// Verify asks the server what it would say to each recipient, and sends nothing. Errors are those of Send.
func (c *Client) Verify(ctx context.Context, e *Envelope) ([]*reply.Reply, error) {
	defer c.watch(ctx)()
	t := transaction{Client: c, envelope: e}
	err := t.prepare(false)
	if err == nil {
		err = t.exchange()
	}
	return t.result.Recipients, because(ctx, err)
}

// transaction is one message on its way.
type transaction struct {
	*Client
	envelope *Envelope
	result   Result
	sender   *reply.Reply // to MAIL, if it was refused
	taken    int          // recipients that were accepted
	data     *reply.Reply // to a DATA that went ahead
}

func (t *transaction) send(body io.Reader) error {
	chunked := t.has("CHUNKING")
	// A chunk never goes ahead: where all recipients are refused, a server that does not skip it would take the message for
	// commands. An empty message after a DATA that did can do no such harm.
	ahead := t.has("PIPELINING") && !chunked && !t.envelope.Whole
	if err := t.prepare(ahead); err != nil {
		return err
	}
	if err := t.exchange(); err != nil {
		return t.abandon(err)
	}
	if err := t.refusal(); err != nil {
		return t.abandon(err)
	}
	if chunked {
		return t.chunks(body)
	}
	if t.data == nil {
		t.step = StepDATA
		var err error
		if t.data, err = t.command("DATA"); err != nil {
			return err
		}
	}
	if t.data.Code/100 != 3 {
		t.step = StepDATA
		return t.Client.refusal(t.data)
	}
	return t.message(body)
}

// prepare writes all commands of the transaction to out.
func (t *transaction) prepare(ahead bool) error {
	e := t.envelope
	t.result.Recipients = make([]*reply.Reply, len(e.To))
	t.step = StepMAIL
	if err := t.unusable(); err != nil {
		return err
	}
	utf8 := t.has("SMTPUTF8")
	if e.international() && !utf8 {
		return t.instead(ErrNoUTF8)
	}
	if n, ok := t.MaxSize(); ok && e.Size > n {
		return t.instead(ErrTooBig.Withf("the message is of %d octets, the server takes %d", e.Size, n).With(ErrTooBig))
	}
	t.out, t.commands = t.out[:0], t.commands[:0]
	if t.open {
		t.out = append(t.out, "RSET"...)
		if err := t.line(StepRSET, -1); err != nil {
			return err
		}
	}
	if err := t.paths(utf8); err != nil {
		return err
	}
	if ahead {
		t.out = append(t.out, "DATA"...)
		return t.line(StepDATA, -1)
	}
	return nil
}

// instead answers for the server.
func (t *transaction) instead(r *reply.Reply) error {
	return &Error{Step: t.step, Err: r, Local: true}
}

// paths writes MAIL and RCPT. Recipients that the server cannot take are not asked for.
func (t *transaction) paths(utf8 bool) error {
	e := t.envelope
	out, err := t.mail(t.out, e)
	if err != nil {
		return t.here(err)
	}
	t.out = out
	if err := t.line(StepMAIL, -1); err != nil {
		return err
	}
	for i := range e.To {
		if !utf8 && !e.To[i].Addr.IsASCII() {
			t.result.Recipients[i] = ErrNoUTF8
			continue
		}
		if out, err = t.rcpt(t.out, &e.To[i], utf8 && e.marked()); err != nil {
			return &Error{Step: StepRCPT, Err: err}
		}
		t.out = out
		if err := t.line(StepRCPT, i); err != nil {
			return err
		}
	}
	return nil
}

// maxOutstanding is how many commands are sent ahead of their replies: few enough that the replies always fit the buffers
// between us, so that neither side waits for the other to read (RFC 2920 §3.1).
const maxOutstanding = 50

// exchange sends the commands and awaits a reply to each, in groups if the server pipelines. It stops after a group when
// there is nothing more to hope for.
func (t *transaction) exchange() error {
	group := 1
	if t.has("PIPELINING") {
		group = maxOutstanding
	}
	start := 0
	for rest := t.commands; len(rest) > 0; {
		some := rest[:min(group, len(rest))]
		rest = rest[len(some):]
		if some[0].step == StepDATA && t.taken == 0 {
			return nil
		}
		end := some[len(some)-1].end
		if err := t.ask(some, t.out[start:end]); err != nil {
			return err
		}
		start = end
	}
	return nil
}

// ask sends a group of commands. Its error is a refusal of the transaction as a whole, with which the replies to the others
// have been read, too.
func (t *transaction) ask(group []command, text []byte) error {
	t.step = group[0].step
	if err := t.quiet(); err != nil {
		return err
	}
	if err := t.write(text, t.options.Timeouts.Command); err != nil {
		return err
	}
	var first error
	for _, c := range group {
		t.step = c.step
		r, err := t.read(t.options.Timeouts.Command)
		if err != nil {
			return err
		}
		if err := t.answer(c, r); err != nil && first == nil {
			first = err
		}
		if t.broken != nil {
			return t.broken
		}
	}
	return first
}

// answer takes the reply to a command.
func (t *transaction) answer(c command, r *reply.Reply) error {
	switch {
	case c.step == StepDATA:
		t.data = r
		return nil
	case !took(r) && !refused(r), c.step == StepRSET && !took(r):
		return t.nonsense(r)
	case c.step == StepRSET:
		t.open = false
	case c.step == StepMAIL:
		t.open = true
		if !took(r) {
			t.sender = r
			return t.here(r)
		}
	case took(r):
		t.taken++
		t.result.Recipients[c.rcpt] = r
	case t.sender == nil:
		t.result.Recipients[c.rcpt] = later(r)
	}
	return nil
}

// later makes temporary what is called permanent against all sense: that there are too many recipients (RFC 5321
// §4.5.3.1.10).
func later(r *reply.Reply) *reply.Reply {
	if r.Code != 552 || !tooMany(r) {
		return r
	}
	c := *r
	c.Code, c.Enhanced = 452, reply.Enhanced{4, 5, 3}
	return &c
}

// refusal is why the message is not to be sent after all, or nil.
func (t *transaction) refusal() error {
	var first *reply.Reply
	for _, r := range t.result.Recipients {
		if r != nil && !took(r) {
			first = r
			break
		}
	}
	switch {
	case t.taken > 0 && (first == nil || !t.envelope.Whole):
		return nil
	case first == nil:
		return &Error{Step: StepRCPT, Err: errors.New("no recipients")}
	}
	return &Error{Step: StepRCPT, Err: first.With(ErrRecipients), Local: first == ErrNoUTF8}
}

// abandon ends a transaction that was refused. If DATA went ahead and the server waits for a message, it gets an empty one,
// which it has no recipients for (RFC 2920 §3.1); where it has some, or LMTP leaves open how many replies there would be, the
// connection is ended instead.
func (t *transaction) abandon(refused error) error {
	if t.broken != nil || t.data == nil || t.data.Code/100 != 3 {
		return refused
	}
	t.step = StepEnd
	if t.taken > 0 || t.options.LMTP {
		t.fail(fmt.Errorf("%w: DATA accepted in a refused transaction", ErrProtocol))
	} else {
		t.command(".") // what it answers changes nothing
	}
	return refused
}
