package smtpc

import (
	"context"
	"errors"
	"fmt"
	"os"

	"postrider/internal/line"
	"postrider/internal/reply"
)

// Step is where in a dialogue something happened.
type Step string

// Steps in the order in which they come.
const (
	StepTLS      Step = "TLS handshake"
	StepGreeting Step = "greeting"
	StepEHLO     Step = "EHLO"
	StepLHLO     Step = "LHLO"
	StepHELO     Step = "HELO"
	StepSTARTTLS Step = "STARTTLS"
	StepAUTH     Step = "AUTH"
	StepRSET     Step = "RSET"
	StepMAIL     Step = "MAIL FROM"
	StepRCPT     Step = "RCPT TO"
	StepDATA     Step = "DATA"
	StepMessage  Step = "message"     // while it is sent; refusals of a chunk, too
	StepEnd      Step = "end of DATA" // the message was sent, its answer is awaited
	StepQUIT     Step = "QUIT"
)

// doing is how logs call what is done in a step, where that is not sending the command.
var doing = map[Step]string{
	StepTLS:      "performing the TLS handshake",
	StepGreeting: "receiving the initial server greeting",
	StepEHLO:     "performing the EHLO handshake",
	StepLHLO:     "performing the LHLO handshake",
	StepHELO:     "performing the HELO handshake",
	StepDATA:     "sending DATA command",
	StepMessage:  "sending message body",
	StepEnd:      "sending end of data -- message may be sent more than once",
}

// Doing completes "lost connection with X while".
func (s Step) Doing() string {
	if text := doing[s]; text != "" {
		return text
	}
	return "sending " + string(s)
}

// Kinds of failure that errors.Is finds in an *Error.
var (
	ErrLost        = errors.New("lost connection")
	ErrProtocol    = errors.New("protocol error") // the server makes no sense
	ErrTLS         = errors.New("cannot start TLS")
	ErrClear       = errors.New("no authentication without TLS")
	ErrNoMechanism = errors.New("no authentication mechanism in common")
	ErrMessage     = errors.New("read message") // its source failed: our own trouble
	ErrUnusable    = errors.New("connection no longer usable")
)

// ErrRecipients is the cause in the reply that Send returns when nothing was sent because of a recipient.
var ErrRecipients = errors.New("recipient refused")

// ErrNoUTF8 is our own reply to an internationalized message, or to a recipient, that the server does not take.
var ErrNoUTF8 = reply.New(553, 6, 7, "the server does not take internationalized addresses (SMTPUTF8)")

// ErrTooBig is our own reply to a message that is larger than the server says it takes (RFC 1870 §6.1).
var ErrTooBig = reply.New(552, 3, 4, "the message is larger than the server takes")

// Error is why something was not done, and where. Every error of a Client is one.
type Error struct {
	Step      Step
	Err       error // its reply, where errors.AsType finds a *reply.Reply; else of a kind above, a timeout, or the end of a context
	Uncertain bool  // the message had been sent to its end: whether the server took it is not known
	Local     bool  // the reply is our own, the server was not asked
}

func (e *Error) Error() string {
	if _, ok := errors.AsType[*reply.Reply](e.Err); ok {
		return e.Err.Error()
	}
	return "smtp: " + string(e.Step) + ": " + e.Err.Error()
}

// Unwrap returns what happened.
func (e *Error) Unwrap() error { return e.Err }

// Timeout says that the server was too slow, for our timeouts or for the caller's context.
func (e *Error) Timeout() bool {
	return errors.Is(e.Err, os.ErrDeadlineExceeded) || errors.Is(e.Err, context.DeadlineExceeded)
}

// Reply is what the server answered, or what we did in its stead (Local); nil if it did not come to an answer.
func (e *Error) Reply() *reply.Reply {
	r, _ := errors.AsType[*reply.Reply](e.Err)
	return r
}

// Describe tells it in the words of Postfix's log. peer is "mx.example.org[192.0.2.1]".
func (e *Error) Describe(peer string) string {
	r := e.Reply()
	switch {
	case r != nil && e.Local:
		return r.Text
	case r != nil && e.Step == StepGreeting:
		return fmt.Sprintf("host %s refused to talk to me: %v", peer, r)
	case r != nil:
		return fmt.Sprintf("host %s said: %v (in reply to %s command)", peer, r, e.Step)
	case errors.Is(e.Err, ErrTLS):
		return fmt.Sprintf("Cannot start TLS with %s: %v", peer, errors.Unwrap(e))
	case e.Timeout():
		return fmt.Sprintf("conversation with %s timed out while %s", peer, e.Step.Doing())
	case errors.Is(e.Err, ErrLost):
		return fmt.Sprintf("lost connection with %s while %s", peer, e.Step.Doing())
	case errors.Is(e.Err, ErrProtocol):
		return fmt.Sprintf("%v from %s while %s", e.Err, peer, e.Step.Doing())
	}
	return e.Err.Error()
}

// here is an error at the step that the client is at.
func (c *Client) here(err error) *Error { return &Error{Step: c.step, Err: err} }

// fail breaks the connection. A message whose end has been written may have been taken.
func (c *Client) fail(err error) error {
	c.broken = &Error{Step: c.step, Err: err, Uncertain: c.ended}
	c.raw.Close()
	return c.broken
}

// part ends the connection with a refusal.
func (c *Client) part(r *reply.Reply) error {
	c.broken = c.here(r)
	c.raw.Close()
	return c.broken
}

// unusable says that nothing more can be done on a connection, without repeating what was said of something else.
func (c *Client) unusable() error {
	if c.broken == nil {
		return nil
	}
	return c.here(fmt.Errorf("%w: %v", ErrUnusable, c.broken))
}

// nonsense breaks the connection because of a reply that has no meaning at its place.
func (c *Client) nonsense(r *reply.Reply) error {
	return c.fail(fmt.Errorf("%w: unexpected reply %.100q", ErrProtocol, r.Error()))
}

// refusal is a reply as an error.
func (c *Client) refusal(r *reply.Reply) error {
	if refused(r) {
		return c.here(r)
	}
	return c.nonsense(r)
}

// kind classes what reading a reply ended with.
func kind(err error) error {
	_, conn := errors.AsType[*line.ReadError](err)
	if conn && !errors.Is(err, line.ErrEndless) {
		return lost(err)
	}
	return fmt.Errorf("%w: %w", ErrProtocol, err)
}

// lost classes what the connection said.
func lost(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrLost, err)
}

// took says that the server did what it was asked. The first digit decides (RFC 5321 §4.2.1).
func took(r *reply.Reply) bool { return r.Code/100 == 2 }

// refused says that it did not, for now or for good.
func refused(r *reply.Reply) bool { return r.Temporary() || r.Permanent() }
