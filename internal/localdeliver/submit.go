package localdeliver

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"postrider/internal/address"
	"postrider/internal/envelope"
	"postrider/internal/reply"
	"postrider/internal/report"
	"postrider/internal/smtpc"
	"postrider/internal/spool"
)

// forwardAll sends the copies that users' .forward files ask for.
func (r *round) forwardAll() {
	for i := range r.outcomes {
		if o := &r.outcomes[i]; len(o.forward) > 0 && o.status == "" {
			r.forward(o)
		}
	}
}

// forward submits one message to all members of a .forward. It counts as the user's, whoever wrote it.
func (r *round) forward(o *outcome) {
	e := r.item.Envelope
	if limit := r.s.Config.LocalDeliver.MaxForwards; len(o.forward) > limit { // which its worker was told
		o.fail(reply.New(451, 3, 5, fmt.Sprintf("forward to more than %d addresses", limit)))
		return
	}
	out := &smtpc.Envelope{From: e.From, Parent: e.ID, UID: o.submitter(e), Whole: true}
	out.From.Extra = nil
	seen := make(map[string]bool)
	for _, text := range o.forward {
		a, err := address.Parse(text)
		if err != nil {
			o.fail(reply.New(451, 3, 5, "user's forward is malformed").With(fmt.Errorf("%.64q: %w", text, err)))
			return
		}
		if a = r.s.Router.Qualify(a); !seen[a.Key()] {
			seen[a.Key()] = true
			out.To = append(out.To, envelope.Recipient{Addr: a, Notify: o.rcpt.Notify, ORcpt: o.rcpt.ORcpt})
		}
	}
	err := r.copyTo(out, r.traces(o))
	switch rep := (*reply.Reply)(nil); {
	case err == nil:
		o.status = spool.Forwarded
	case errors.As(err, &rep) && rep.Permanent():
		o.fail(&reply.Reply{Code: rep.Code, Enhanced: rep.Enhanced, Text: "user's forward was refused", Cause: err})
	default:
		o.fail(reply.New(451, 3, 0, "forward failed for now").With(err))
	}
}

// copyTo submits a copy. Members that are refused for good do not keep the others from theirs; their refusal is the error. All
// others get it, or none: where it is temporary, nothing was sent, and all is to be tried again.
func (r *round) copyTo(out *smtpc.Envelope, traces string) error {
	again := func() error { return r.report.Hand(out, io.MultiReader(strings.NewReader(traces), r.item.Body())) }
	err := again()
	refused, ok := errors.AsType[*report.RefusedError](err)
	if !ok || len(refused.Recipients) == 0 || len(refused.Recipients) == len(out.To) {
		return err
	}
	var left []envelope.Recipient
	for i := range out.To {
		if !slices.Contains(refused.Recipients, i) {
			left = append(left, out.To[i])
		}
	}
	out.To = left
	if later := again(); later != nil {
		return later
	}
	return refused
}

// traces are the lines on top of a copy by which a circle is found: the address that was forwarded, and the user's own, if
// that is another one.
func (r *round) traces(o *outcome) string {
	own := r.s.Router.Qualify(o.rcpt.Addr)
	lines := "Delivered-To: " + own.String() + "\r\n"
	if user, err := address.Parse(o.user); err == nil {
		if user = r.s.Router.Qualify(user); user.Key() != own.Key() {
			lines += "Delivered-To: " + user.String() + "\r\n"
		}
	}
	return lines
}

// fail takes back that the copy was forwarded.
func (o *outcome) fail(rep *reply.Reply) {
	o.status, o.reply, o.forward = spool.Deferred, rep, nil
	if rep.Permanent() {
		o.status = spool.Failed
	}
}

// submitter is the uid that a forwarded copy counts for: the user's, or ours where an alias forwards. It is never nobody's, which
// would make a notice of ours of a forwarded notice of somebody else's. A notice of ours stays one: else one that the
// postmaster forwards to where it is refused would be reported to him, and that report as well, without end.
func (o *outcome) submitter(e *envelope.Envelope) int64 {
	switch {
	case e.Origin == envelope.OriginDSN:
		return envelope.NoUID
	case o.lane == (laneKey{}):
		return int64(os.Getuid())
	}
	return int64(o.lane.uid)
}
