package report

import (
	"slices"
	"time"

	"postrider/internal/dsn"
	"postrider/internal/envelope"
	"postrider/internal/fault"
	"postrider/internal/logline"
	"postrider/internal/spool"
)

// Delays tells the sender, once for each recipient, that a message which the journal has as deferred takes longer, when its age
// has come to DelayAfter. Nobody but the sender is told. What smtpd does not take now is left to a later round.
func (r *Round) Delays() {
	warnAt, ok := r.WarnAt()
	if !ok || time.Now().Before(warnAt) {
		return
	}
	var late []dsn.Recipient
	for _, rcpt := range r.untold() {
		if last := r.item.Last(rcpt.Line); last != nil && last.Status == spool.Deferred {
			late = append(late, recipient(rcpt, last))
		}
	}
	for some := range slices.Chunk(late, maxRecipients) {
		if !r.warn(some) {
			return
		}
	}
}

// WarnAt is when Delays will have something to say, unless all is delivered before; false if it never will. The next attempt
// is best made then, if not earlier. A time that has passed says that the sender is to be told after the next attempt.
func (r *Round) WarnAt() (time.Time, bool) {
	e := r.item.Envelope
	if r.s.DelayAfter <= 0 || e.From.Addr.IsNull() || e.Origin == envelope.OriginDSN || len(r.untold()) == 0 {
		return time.Time{}, false
	}
	// The queue counts in seconds: an attempt at this time must not be too early.
	return e.Time.Add(r.s.DelayAfter + time.Second).Truncate(time.Second), true
}

// untold are the recipients that wait and of whom the sender has not been told, but wants to be.
func (r *Round) untold() []envelope.Recipient {
	return slices.DeleteFunc(r.item.Pending(), func(rcpt envelope.Recipient) bool {
		return !rcpt.Wants("delay") || r.item.Delayed(rcpt.Line)
	})
}

// warn sends one notification. A sender who is refused is not tried again.
func (r *Round) warn(late []dsn.Recipient) bool {
	e := r.item.Envelope
	report := r.about(dsn.Delay, late)
	if until := e.Time.Add(r.s.Lifetime); until.After(report.Now) {
		report.Until = until
	}
	id := report.MessageID()
	switch err := r.submit(report); {
	case err == nil:
		r.reporter.log.Log(logline.Queue{ID: e.ID, Action: "sender delay notification", Text: id})
	case refused(err):
		r.reporter.log.Warn("%s: sender <%s> cannot be told of the delay: %v", e.ID, report.To, err)
		id = ""
	default:
		r.reporter.log.Warn("%s: sender delay notification failed for now: %v", e.ID, err)
		return false
	}
	fault.Point("report.delay-submitted")
	if err := r.reporter.journal.Record(r.item, spool.Result{Lines: lines(late), Status: spool.Delayed, Text: id}); err != nil {
		r.reporter.log.Error("%s: %v", e.ID, err)
		return false
	}
	return true
}
