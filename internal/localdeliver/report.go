package localdeliver

import (
	"time"

	"postrider/internal/address"
	"postrider/internal/report"
	"postrider/internal/spool"
)

// forReports are the settings of what senders are told.
func (s *Settings) forReports() report.Settings {
	c := s.Config.LocalDeliver
	out := report.Settings{
		Submitter: s.Submitter, Hostname: s.Config.Hostname, HeaderSize: int64(c.DSNHeaderSize),
		Lifetime: c.QueueLifetime.D(), DelayAfter: c.DelayWarning.D(),
	}
	if postmaster, err := address.Parse(c.Postmaster); err == nil {
		out.Postmaster = s.Router.Qualify(postmaster)
	}
	return out
}

// confirm tells senders who asked for it that their mail is in its mailbox.
func (r *round) confirm() {
	var sent []spool.Result
	for i := range r.outcomes {
		if o := &r.outcomes[i]; o.status == spool.Sent && len(o.rcpt.Notify) > 0 {
			sent = append(sent, spool.Result{Time: time.Now(), Lines: []int{o.rcpt.Line}, Status: o.status, Reply: o.reply, Relay: o.relay})
		}
	}
	r.report.Delivered(sent...)
}

// nextAttempt is when a message is tried again that has to wait: not later than its sender is to be told that it takes longer.
func (r *round) nextAttempt() time.Time {
	now := time.Now()
	due := now.Add(r.backoff())
	if warnAt, ok := r.report.WarnAt(); ok && warnAt.After(now) && warnAt.Before(due) {
		return warnAt
	}
	return due
}
