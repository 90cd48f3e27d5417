package localdeliver

import (
	"errors"
	"time"

	"postrider/internal/address"
	"postrider/internal/dsn"
	"postrider/internal/envelope"
	"postrider/internal/fault"
	"postrider/internal/logline"
	"postrider/internal/reply"
	"postrider/internal/smtpc"
	"postrider/internal/spool"
)

// report tells the sender of the failures that the journal has without a report, in one notification. It returns false if
// that has to be tried again.
func (r *round) report() bool {
	e := r.item.Envelope
	var failed []dsn.Recipient
	var lines []int
	for _, res := range r.item.Unreported() {
		rcpt, ok := recipient(e, res.Lines[0])
		if !ok || !rcpt.Wants("failure") {
			continue
		}
		failed = append(failed, dsn.Recipient{Recipient: rcpt, Reply: res.Reply, Time: res.Time})
		lines = append(lines, rcpt.Line)
	}
	if len(failed) == 0 {
		return true
	}
	id, err := r.notify(r.about(dsn.Failure, failed))
	if err != nil {
		r.log.Warn("%s: sender notification failed for now: %v", e.ID, err)
		return false
	}
	fault.Point("deliver.dsn-submitted")
	if err := r.channel.Record(r.item, spool.Result{Lines: lines, Status: spool.Reported, Text: id}); err != nil {
		r.log.Error("%s: %v", e.ID, err)
		return false
	}
	return true
}

// about is a report to the sender.
func (r *round) about(kind dsn.Kind, list []dsn.Recipient) *dsn.Report {
	c, e := r.s.Config, r.item.Envelope
	return &dsn.Report{
		Kind: kind, Envelope: e, Recipients: list, Hostname: c.Hostname, Now: time.Now(), To: e.From.Addr,
		HeaderLimit: int64(c.LocalDeliver.DSNHeaderSize),
	}
}

func recipient(e *envelope.Envelope, line int) (envelope.Recipient, bool) {
	for i := range e.To {
		if e.To[i].Line == line {
			return e.To[i], true
		}
	}
	return envelope.Recipient{}, false
}

// notify sends a failure report to the sender; to the postmaster, where the sender is null or refused. It returns the
// report's Message-ID, or why there is none. Errors are temporary.
func (r *round) notify(report *dsn.Report) (id string, err error) {
	id = report.MessageID()
	if !report.To.IsNull() {
		err = r.submit(report)
		if err == nil {
			r.log.Log(logline.Queue{ID: r.item.Name.ID, Action: "sender non-delivery notification", Text: id})
			return id, nil
		}
		if !refused(err) {
			return "", err
		}
		r.log.Warn("%s: sender <%s> cannot be told: %v", r.item.Name.ID, report.To, err)
	}
	return r.tellPostmaster(report)
}

// refused says that smtpd will never take a report for its recipient. Anything else that it refuses a report for is trouble
// between the two of us, and may be mended.
func refused(err error) bool {
	rep, ok := errors.AsType[*reply.Reply](err)
	return ok && rep.Permanent() && errors.Is(err, smtpc.ErrRecipients)
}

// tellPostmaster reports a double bounce, unless the postmaster himself or a report is its reason, or there are too many.
func (r *round) tellPostmaster(report *dsn.Report) (string, error) {
	e := r.item.Envelope
	if e.Origin == envelope.OriginDSN {
		r.log.Warn("%s: double bounce dropped: the message is itself a report", r.item.Name.ID)
		return "double bounce", nil
	}
	to, err := address.Parse(r.s.Config.LocalDeliver.Postmaster)
	if err != nil {
		return "double bounce", nil
	}
	to = r.s.Router.Qualify(to)
	for _, rc := range report.Recipients {
		if rc.Addr.Key() == to.Key() || rc.Orig.Key() == to.Key() {
			r.log.Error("%s: double bounce of mail to the postmaster dropped: %s", r.item.Name.ID, rc.Reply.Error())
			return "double bounce", nil
		}
	}
	limiter := r.bounces
	if e.Origin == envelope.OriginMX {
		limiter = r.unasked
	}
	if !limiter.Allow() {
		r.log.Warn("%s: double bounce dropped: there are too many of them", r.item.Name.ID)
		return "double bounce", nil
	}
	again := *report
	again.To, again.Postmaster = to, true
	err = r.submit(&again)
	if refused(err) {
		r.log.Error("%s: double bounce dropped: the postmaster's address is refused: %v", r.item.Name.ID, err)
		return "double bounce", nil
	}
	if err != nil {
		return "", err
	}
	r.log.Warn("%s: double bounce, the postmaster was told", r.item.Name.ID)
	return report.MessageID(), nil
}

// submit hands a report to smtpd.
func (r *round) submit(report *dsn.Report) error {
	draft, err := dsn.New(report, dsn.Message{Size: r.item.Size, Open: r.item.Body})
	if err != nil {
		return err
	}
	message := draft.Reader()
	defer message.Close()
	to := envelope.Recipient{Addr: report.To, Notify: []string{"never"}}
	return r.hand(&smtpc.Envelope{
		From: draft.Sender(), To: []envelope.Recipient{to}, Whole: true, Parent: r.item.Envelope.ID, UID: envelope.NoUID,
	}, message)
}

// confirm tells senders who asked for it that their mail is in its mailbox. That is tried once.
func (r *round) confirm() {
	e := r.item.Envelope
	if e.From.Addr.IsNull() {
		return
	}
	var sent []dsn.Recipient
	for i := range r.outcomes {
		if o := &r.outcomes[i]; o.status == spool.Sent && len(o.rcpt.Notify) > 0 && o.rcpt.Wants("success") {
			sent = append(sent, dsn.Recipient{Recipient: o.rcpt, Reply: o.reply, Time: time.Now()})
		}
	}
	if len(sent) == 0 {
		return
	}
	if err := r.submit(r.about(dsn.Delivered, sent)); err != nil {
		r.log.Warn("%s: sender delivery report failed: %v", e.ID, err)
	}
}
