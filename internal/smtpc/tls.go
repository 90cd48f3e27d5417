package smtpc

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"time"
)

// StartTLS goes over to TLS (RFC 3207) and says EHLO again; what the server offered before is forgotten. A refusal is a reply
// and leaves the connection as it was. After any other error, ErrTLS where the handshake failed, it is broken. config names
// the server.
func (c *Client) StartTLS(ctx context.Context, config *tls.Config) error {
	defer c.watch(ctx)()
	return because(ctx, c.startTLS(ctx, config))
}

func (c *Client) startTLS(ctx context.Context, config *tls.Config) error {
	c.step = StepSTARTTLS
	if err := c.unusable(); err != nil {
		return err
	}
	if c.TLS() != nil {
		return c.here(errors.New("TLS is in use already"))
	}
	r, err := c.command("STARTTLS")
	if err != nil {
		return err
	}
	if !took(r) {
		return c.refusal(r)
	}
	if c.in.Buffered() > 0 { // it would count as sent under TLS
		return c.fail(fmt.Errorf("%w: text between the reply and the handshake", ErrProtocol))
	}
	if err := c.handshake(ctx, config); err != nil {
		return err
	}
	return c.hello()
}

func (c *Client) handshake(ctx context.Context, config *tls.Config) error {
	c.step = StepTLS
	t := tls.Client(c.raw, config)
	err := c.raw.SetDeadline(time.Now().Add(c.options.Timeouts.Command))
	if err == nil {
		err = t.HandshakeContext(ctx)
	}
	if err == nil {
		err = c.raw.SetDeadline(time.Time{})
	}
	if err != nil {
		return c.fail(fmt.Errorf("%w: %w", ErrTLS, err))
	}
	c.use(t)
	return nil
}
