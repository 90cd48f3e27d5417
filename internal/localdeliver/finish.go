package localdeliver

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"postrider/internal/fault"
	"postrider/internal/logline"
	"postrider/internal/queue"
	"postrider/internal/spool"
)

// finish does what is left of a round: forwards, journal, report, and then the message leaves or waits.
func (r *round) finish() {
	r.forwardAll()
	r.expire()
	for i := range r.outcomes {
		r.logDelivery(&r.outcomes[i])
	}
	if r.told && r.allSent() {
		r.confirm()
		r.done()
		return
	}
	if err := r.record(); err != nil {
		r.log.Error("%s: %v", r.item.Name.ID, err)
		r.postpone(r.nextAttempt())
		return
	}
	fault.Point("deliver.recorded")
	r.tell()
	switch {
	case !r.told || r.has(spool.Deferred):
		r.postpone(r.nextAttempt())
	case r.has(""):
		r.wait()
	default:
		r.done()
	}
}

// tell tells the sender what is on record. Of a delay he does not hear after the first attempt since a start, as of an expiry: the
// message may have waited for the start.
func (r *round) tell() {
	r.confirm()
	r.told = r.told && r.report.Failures()
	if r.tries > 0 {
		r.report.Delays()
	}
}

func (r *round) has(s spool.Status) bool {
	return slices.ContainsFunc(r.outcomes, func(o outcome) bool { return o.status == s })
}

// allSent says that nothing needs to be remembered: every delivery of this round would be found in its Maildir.
func (r *round) allSent() bool {
	return !slices.ContainsFunc(r.outcomes, func(o outcome) bool { return o.status != spool.Sent })
}

// advance forwards and records what has been answered while other lanes take their time.
func (r *round) advance() {
	r.forwardAll()
	if err := r.record(); err != nil {
		r.log.Error("%s: %v", r.item.Name.ID, err) // what could not be recorded is tried again at the end
	}
}

// record writes the journal: what is final, and why the rest waits.
func (r *round) record() error {
	var results []spool.Result
	attempts, now := r.attempts+1, time.Now()
	for i := range r.outcomes {
		o := &r.outcomes[i]
		if o.status == "" || o.status == o.recorded {
			continue
		}
		text := o.text
		if k := slices.IndexFunc(results, func(s spool.Result) bool {
			return s.Status == o.status && s.Text == text && s.Relay == o.relay && s.Reply.Error() == o.reply.Error()
		}); k >= 0 {
			results[k].Lines = append(results[k].Lines, o.rcpt.Line)
			continue
		}
		results = append(results, spool.Result{Time: now, Lines: []int{o.rcpt.Line}, Status: o.status, Attempts: attempts, Reply: o.reply, Relay: o.relay, Text: text})
	}
	if err := r.channel.Record(r.item, results...); err != nil {
		return err
	}
	for i := range r.outcomes {
		r.outcomes[i].recorded = r.outcomes[i].status
	}
	return nil
}

// expire turns deferrals into failures when the message has waited for too long. The first attempt after a start does not
// count: the message may have waited for the start, and what it needs may not be there yet.
func (r *round) expire() {
	if r.tries == 0 {
		return
	}
	age := time.Since(r.item.Envelope.Time)
	for i := range r.outcomes {
		o := &r.outcomes[i]
		if o.status != spool.Deferred || age < r.s.Config.LocalDeliver.QueueLifetime.D() {
			continue
		}
		if o.patient {
			r.log.Warn("%s: to=<%s> waits for %s: %s", r.item.Name.ID, o.rcpt.Addr, age.Round(time.Hour), o.reply.Text)
			continue
		}
		o.status = spool.Expired // the reply stays, as the last one
	}
}

// done removes the message from the queue. While that is not possible the journal keeps it from being delivered again.
func (r *round) done() {
	if err := r.channel.Done(r.item); err != nil {
		err = errors.Join(err, r.record())
		r.log.Error("%v", err)
		r.schedule.Add(queue.Known{Name: r.item.Name, Tries: r.tries}.After(), time.Now().Add(r.s.Config.LocalDeliver.MinBackoff.D()).Unix())
		return
	}
	fault.Point("deliver.done")
	r.log.Log(logline.Removed{ID: r.item.Name.ID})
}

// postpone gives the message its next attempt.
func (r *round) postpone(due time.Time) {
	if r.schedule.FlushedSince(r.begun) {
		due = time.Now()
	}
	err := r.channel.Defer(r.item, due)
	if errors.Is(err, fs.ErrNotExist) {
		return // the administrator took it
	}
	if err != nil {
		r.log.Error("%v", err)
	}
	r.schedule.Add(queue.Known{Name: r.item.Name, Tries: r.tries}.After(), due.Unix())
}

// wait lets the message wait for the lanes that had no room. At the end it just stays where it is.
func (r *round) wait() {
	for i := range r.outcomes {
		if o := &r.outcomes[i]; o.status == "" {
			r.item.Close()
			r.park(o.lane, queue.Known{Name: r.item.Name, Tries: r.tries, Fresh: !r.item.Again})
			return
		}
	}
}

// backoff is the time to the next attempt: the age of the message, within bounds, give or take a tenth.
func (r *round) backoff() time.Duration {
	c := r.s.Config.LocalDeliver
	return queue.Backoff(time.Since(r.item.Envelope.Time), c.MinBackoff.D(), c.MaxBackoff.D())
}

// logDelivery writes the line that log readers count.
func (r *round) logDelivery(o *outcome) {
	if o.status == "" {
		return
	}
	now, e := time.Now(), r.item.Envelope
	sent := o.sent
	if sent.IsZero() {
		sent = now
	}
	text, code := o.reply.Text, o.reply.Status()
	if o.status == spool.Expired {
		text, code = "gave up: "+text, "5.4.7"
	}
	switch {
	case o.status == spool.Sent:
		text = "delivered to maildir"
	case o.status == spool.Forwarded:
		text = fmt.Sprintf("forwarded to %d addresses", len(o.forward))
		if len(o.forward) == 1 {
			text = "forwarded to " + o.forward[0]
		}
	case o.reply.Cause != nil:
		text += ": " + o.reply.Cause.Error()
	}
	status := map[spool.Status]string{spool.Sent: "sent", spool.Forwarded: "sent", spool.Deferred: "deferred", spool.Failed: "bounced", spool.Expired: "expired"}[o.status]
	line := logline.Delivery{
		ID: e.ID, To: o.rcpt.Addr.String(), Relay: o.relay, DSN: code, Status: status, Text: text,
		Delay:  now.Sub(e.Time),
		Delays: [4]time.Duration{r.begun.Sub(e.Time), sent.Sub(r.begun), 0, now.Sub(sent)},
	}
	if !o.rcpt.Orig.IsNull() {
		line.OrigTo = o.rcpt.Orig.String()
	}
	r.log.Log(line)
}
