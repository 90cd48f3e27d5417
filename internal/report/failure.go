package report

import (
	"slices"

	"postrider/internal/dsn"
	"postrider/internal/envelope"
	"postrider/internal/fault"
	"postrider/internal/logline"
	"postrider/internal/spool"
)

// dropped is in the journal where nobody was told.
const dropped = "double bounce"

// Failures tells the sender of the failures that the journal has without a report, in one notification (one for each 1,000
// recipients). It returns false if that has to be tried again; until then the message must not leave the queue, and a later
// round must begin with it, so that a report that is made twice has the same recipients.
func (r *Round) Failures() bool {
	for some := range slices.Chunk(r.recipients(r.item.Unreported(), "failure"), maxRecipients) {
		if !r.report(some) {
			return false
		}
	}
	return true
}

func (r *Round) report(failed []dsn.Recipient) bool {
	e := r.item.Envelope
	id, err := r.notify(r.about(dsn.Failure, failed))
	if err != nil {
		r.reporter.log.Warn("%s: sender notification failed for now: %v", e.ID, err)
		return false
	}
	fault.Point("report.submitted")
	if err := r.reporter.journal.Record(r.item, spool.Result{Lines: lines(failed), Status: spool.Reported, Text: id}); err != nil {
		r.reporter.log.Error("%s: %v", e.ID, err)
		return false
	}
	return true
}

// notify sends a failure report to the sender; to the postmaster, where the sender is null or refused. It returns the
// report's Message-ID, or why there is none. Errors are temporary.
func (r *Round) notify(report *dsn.Report) (id string, err error) {
	id = report.MessageID()
	if !report.To.IsNull() {
		err = r.submit(report)
		if err == nil {
			r.reporter.log.Log(logline.Queue{ID: report.Envelope.ID, Action: "sender non-delivery notification", Text: id})
			return id, nil
		}
		if !refused(err) {
			return "", err
		}
		r.reporter.log.Warn("%s: sender <%s> cannot be told: %v", report.Envelope.ID, report.To, err)
	}
	return r.tellPostmaster(report)
}

// tellPostmaster reports a double bounce, unless the postmaster himself or a report is its reason, or there are too many.
func (r *Round) tellPostmaster(report *dsn.Report) (string, error) {
	id := report.Envelope.ID
	if !r.isForPostmaster(report) {
		return dropped, nil
	}
	again := *report
	again.To, again.Postmaster = r.s.Postmaster, true
	err := r.submit(&again)
	if refused(err) {
		r.reporter.log.Error("%s: double bounce dropped: the postmaster's address is refused: %v", id, err)
		return dropped, nil
	}
	if err != nil {
		return "", err
	}
	r.reporter.log.Warn("%s: double bounce, the postmaster was told", id)
	return report.MessageID(), nil
}

// isForPostmaster decides whether he is told, and counts it.
func (r *Round) isForPostmaster(report *dsn.Report) bool {
	e, to := report.Envelope, r.s.Postmaster
	if e.Origin == envelope.OriginDSN {
		r.reporter.log.Warn("%s: double bounce dropped: the message is itself a report", e.ID)
		return false
	}
	if to.IsNull() {
		r.reporter.log.Warn("%s: double bounce dropped: no postmaster is set", e.ID)
		return false
	}
	for i := range report.Recipients {
		if rc := &report.Recipients[i]; rc.Addr.Key() == to.Key() || rc.Orig.Key() == to.Key() {
			r.reporter.log.Error("%s: double bounce of mail to the postmaster dropped: %s", e.ID, rc.Reply.Error())
			return false
		}
	}
	limiter := r.reporter.bounces
	if e.Origin == envelope.OriginMX {
		limiter = r.reporter.unasked
	}
	if !limiter.Allow() {
		r.reporter.log.Warn("%s: double bounce dropped: there are too many of them", e.ID)
		return false
	}
	return true
}
