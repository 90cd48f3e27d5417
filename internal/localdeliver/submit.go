package localdeliver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"postrider/internal/address"
	"postrider/internal/envelope"
	"postrider/internal/reply"
	"postrider/internal/smtpc"
	"postrider/internal/spool"
)

// Socket is the Submitter that speaks SMTP to smtpd's internal socket.
type Socket string

// Submit hands over a message.
func (s Socket) Submit(ctx context.Context, e *smtpc.Envelope, message io.Reader) error {
	return smtpc.Submit(ctx, string(s), e, message)
}

// forwardAll sends the copies that users' .forward files ask for.
func (r *round) forwardAll() {
	for i := range r.outcomes {
		if o := &r.outcomes[i]; len(o.forward) > 0 {
			r.forward(o)
		}
	}
}

// forward submits one message to all members of a .forward. The copy carries the user's address on top, by which
// a circle is found. It counts as the user's, whoever wrote it.
func (r *round) forward(o *outcome) {
	e := r.item.Envelope
	if limit := r.s.Config.LocalDeliver.MaxForwards; len(o.forward) > limit { // which its worker was told
		o.fail(reply.New(451, 3, 5, fmt.Sprintf("forward to more than %d addresses", limit)))
		return
	}
	out := &smtpc.Envelope{From: e.From, Parent: e.ID, UID: int64(o.lane.uid), Whole: true}
	out.From.Extra = nil
	seen := make(map[string]bool)
	for _, text := range o.forward {
		a, err := address.Parse(text)
		if err != nil {
			o.fail(reply.New(451, 3, 5, fmt.Sprintf("forward to %.64q: no address", text)).With(err))
			return
		}
		if a = r.s.Router.Qualify(a); !seen[a.Key()] {
			seen[a.Key()] = true
			out.To = append(out.To, envelope.Recipient{Addr: a, Notify: o.rcpt.Notify, ORcpt: o.rcpt.ORcpt})
		}
	}
	own := "Delivered-To: " + r.s.Router.Qualify(o.rcpt.Addr).String() + "\r\n"
	ctx, cancel := context.WithTimeout(r.working, submitTime)
	defer cancel()
	err := r.s.Submitter.Submit(ctx, out, io.MultiReader(strings.NewReader(own), r.item.Body()))
	switch rep := (*reply.Reply)(nil); {
	case err == nil:
		o.status = spool.Forwarded
	case errors.As(err, &rep) && rep.Permanent():
		o.fail(&reply.Reply{Code: rep.Code, Enhanced: rep.Enhanced, Text: "forward refused: " + rep.Text, Cause: err})
	default:
		o.fail(reply.New(451, 3, 0, "forward failed for now").With(err))
	}
}

// fail takes back that the copy was forwarded.
func (o *outcome) fail(rep *reply.Reply) {
	o.status, o.reply, o.forward = spool.Deferred, rep, nil
	if rep.Permanent() {
		o.status = spool.Failed
	}
}
