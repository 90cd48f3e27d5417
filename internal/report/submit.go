package report

import (
	"context"
	"errors"
	"io"

	"postrider/internal/smtpc"
)

// Socket is the Submitter that speaks SMTP to smtpd's internal socket.
type Socket string

// Submit hands over a message.
func (s Socket) Submit(ctx context.Context, e *smtpc.Envelope, message io.Reader) error {
	c, err := smtpc.Dial(ctx, string(s), smtpc.Options{}, 0)
	if err != nil {
		return err
	}
	defer c.Quit()
	result, err := c.Send(ctx, e, message)
	if err == nil || !errors.Is(err, smtpc.ErrRecipients) {
		return err
	}
	refused := &RefusedError{Err: err}
	for i, rep := range result.Recipients {
		if rep == nil || !rep.Permanent() {
			continue
		}
		if refused.Recipients = append(refused.Recipients, i); len(refused.Recipients) == 1 {
			refused.Err = rep.With(smtpc.ErrRecipients)
		}
	}
	return refused
}

// RefusedError is a Submitter's error that comes of recipients.
type RefusedError struct {
	Recipients []int // of the envelope, those that are refused for good
	Err        error // the first of these, or else the first
}

func (e *RefusedError) Error() string { return e.Err.Error() }

// Unwrap returns the refusal.
func (e *RefusedError) Unwrap() error { return e.Err }
