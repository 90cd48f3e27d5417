package relayd

import (
	"errors"
	"io/fs"
	"slices"
	"time"

	"postrider/internal/fault"
	"postrider/internal/logline"
	"postrider/internal/queue"
	"postrider/internal/spool"
)

// finish does what is left of a round: journal, reports, and then the message leaves or waits.
func (r *round) finish() {
	r.expire()
	r.logDeliveries(func(s spool.Status) bool { return s != "" })
	if r.told && r.all(spool.Sent) && !r.confirms() {
		r.done()
		return
	}
	if !r.record() {
		r.postpone(time.Now().Add(r.backoff()))
		return
	}
	fault.Point("relay.recorded")
	r.acknowledge()
	r.confirm()
	r.told = r.told && r.report.Failures()
	switch {
	case !r.told || r.has(spool.Deferred):
		r.report.Delays()
		r.postpone(r.nextAttempt())
	case r.has(""):
		r.wait()
	default:
		r.done()
	}
}

func (r *round) has(s spool.Status) bool {
	return slices.ContainsFunc(r.outcomes, func(o outcome) bool { return o.status == s })
}

func (r *round) all(s spool.Status) bool {
	return !slices.ContainsFunc(r.outcomes, func(o outcome) bool { return o.status != s })
}

// record writes the journal: what is final, and why the rest waits. What could not be recorded is tried again at the end.
func (r *round) record() bool {
	var results []spool.Result
	for i := range r.outcomes {
		o := &r.outcomes[i]
		if o.status == "" || o.recorded {
			continue
		}
		one := o.result(r.attempts + 1)
		if k := slices.IndexFunc(results, func(s spool.Result) bool {
			return s.Status == one.Status && s.Relay == one.Relay && s.Ours == one.Ours && s.Reply.Error() == one.Reply.Error()
		}); k >= 0 {
			results[k].Lines = append(results[k].Lines, o.rcpt.Line)
			continue
		}
		results = append(results, one)
	}
	if err := r.channel.Record(r.item, results...); err != nil {
		r.log.Error("%s: %v", r.item.Name.ID, err)
		return false
	}
	for i := range r.outcomes {
		r.outcomes[i].recorded = r.outcomes[i].status != ""
	}
	return true
}

// result is what the journal says of an outcome.
func (o *outcome) result(attempts int) spool.Result {
	relay := o.relay
	if relay == "none" {
		relay = ""
	}
	return spool.Result{Time: time.Now(), Lines: []int{o.rcpt.Line}, Status: o.status, Attempts: attempts, Reply: o.reply, Relay: relay, Ours: !o.said}
}

// leastAttempts must have been made before a message is given up: a clock that is wrong must not return mail.
const leastAttempts = 3

// expire turns deferrals into failures when the message has waited for too long. In the first hour after a start nothing expires:
// what the message needs, the network say, may not be there yet, and the clock may not be right.
func (r *round) expire() {
	lifetime := r.s.Config.Relayd.QueueLifetime.D()
	if r.attempts+1 < leastAttempts || time.Since(r.item.Envelope.Time) < lifetime || time.Since(r.started) < min(time.Hour, lifetime) {
		return
	}
	for i := range r.outcomes {
		o := &r.outcomes[i]
		if o.status != spool.Deferred {
			continue
		}
		o.status, o.recorded = spool.Expired, false
	}
}

// confirms says whether the sender of something is to be told of success.
func (r *round) confirms() bool { return slices.ContainsFunc(r.outcomes, outcome.confirmed) }

// confirmed says that the sender asked to be told of this success, and that nobody else tells him.
func (o outcome) confirmed() bool {
	return o.status == spool.Sent && o.notify && len(o.rcpt.Notify) > 0 && o.rcpt.Wants("success")
}

// confirm tells senders who asked for it that their mail went to where nobody else tells them. That is tried once.
func (r *round) confirm() {
	var relayed, delivered []spool.Result
	for i := range r.outcomes {
		o := &r.outcomes[i]
		if !o.confirmed() {
			continue
		}
		if res := o.result(r.attempts + 1); o.final {
			delivered = append(delivered, res)
		} else {
			relayed = append(relayed, res)
		}
	}
	r.report.Delivered(delivered...)
	r.report.Relayed(relayed...)
}

// done removes the message from the queue. While that is not possible the journal keeps it from being delivered again.
func (r *round) done() {
	if err := r.channel.Done(r.item); err != nil {
		r.log.Error("%v", err)
		r.keep()
		r.schedule.Add(queue.Known{Name: r.item.Name, Tries: r.tries}.After(), time.Now().Add(r.s.Config.Relayd.MinBackoff.D()).Unix())
		return
	}
	fault.Point("relay.done")
	r.log.Log(logline.Removed{ID: r.item.Name.ID})
}

// keep puts what was done for a message that cannot leave into its journal. Where the disk takes that no more than the other, the
// channel remembers it of an item that is open then.
func (r *round) keep() {
	item, err := r.channel.Open(r.item.Name)
	if err != nil {
		r.log.Error("%v", err)
		return
	}
	defer item.Close()
	r.item = item
	r.record()
}

// postpone gives the message its next attempt.
func (r *round) postpone(due time.Time) {
	if r.schedule.FlushedSince(r.begun) {
		due = time.Now()
	}
	dest := r.destinationOf(r.item.Pending(), r.item.Envelope)
	err := r.channel.DeferFor(r.item, due, dest)
	if errors.Is(err, fs.ErrNotExist) {
		return // the administrator took it
	}
	if err != nil {
		r.log.Error("%v", err)
	}
	r.schedule.Add(queue.Known{Name: r.item.Name, Tries: r.tries}.After(), due.Unix())
}

// roomPause is how long a message waits whose recipients had no turn.
const roomPause = 10 * time.Second

// wait lets the message wait for its hops; at the end of the process it just stays where it is.
func (r *round) wait() {
	r.item.Close()
	r.mu.Lock()
	r.Manager.waited[r.item.Name.ID] = true
	r.mu.Unlock()
	r.schedule.Add(queue.Known{Name: r.item.Name, Tries: r.tries, Fresh: !r.item.Again}, time.Now().Add(roomPause).Unix())
}

// backoff is the time to the next attempt.
func (r *round) backoff() time.Duration {
	c := &r.s.Config.Relayd
	return queue.Backoff(time.Since(r.item.Envelope.Time), c.MinBackoff.D(), c.MaxBackoff.D())
}

// nextAttempt is after the backoff, but not after the time to warn or to give up, if that is still to come.
func (r *round) nextAttempt() time.Time {
	c, now := &r.s.Config.Relayd, time.Now()
	due := now.Add(r.backoff())
	switch {
	case r.has(""): // those whose turn did not come do not wait for the others
		due = now.Add(min(r.backoff(), c.MinBackoff.D()))
	case slices.ContainsFunc(r.outcomes, func(o outcome) bool { return o.uncertain }): // each attempt may be another copy
		due = now.Add(max(r.backoff(), c.MaxBackoff.D()))
	}
	for _, at := range r.milestones() {
		if at.After(now) && at.Before(due) {
			due = at
		}
	}
	return due
}

// milestones are when the sender is to be warned, and when to give up.
func (r *round) milestones() []time.Time {
	list := []time.Time{r.item.Envelope.Time.Add(r.s.Config.Relayd.QueueLifetime.D() + time.Second)}
	if at, ok := r.report.WarnAt(); ok {
		list = append(list, at)
	}
	return list
}

// logDeliveries writes the lines of those outcomes that have none yet.
func (r *round) logDeliveries(which func(spool.Status) bool) {
	for i := range r.outcomes {
		if o := &r.outcomes[i]; which(o.status) && !o.logged {
			r.logDelivery(o)
			o.logged = true
		}
	}
}

// logDelivery writes the line that log readers count.
func (r *round) logDelivery(o *outcome) {
	e, now := r.item.Envelope, time.Now()
	t := o.times
	for i := range t {
		if t[i].IsZero() {
			t[i] = now
		}
	}
	status := map[spool.Status]string{spool.Sent: "sent", spool.Forwarded: "sent", spool.Deferred: "deferred", spool.Failed: "bounced", spool.Expired: "expired"}[o.status]
	line := logline.Delivery{
		ID: e.ID, To: o.rcpt.Addr.String(), Relay: o.relay, DSN: o.reply.Status(), Status: status, Text: o.text(),
		Delay:  t[2].Sub(e.Time),
		Delays: [4]time.Duration{r.begun.Sub(e.Time), t[0].Sub(r.begun), t[1].Sub(t[0]), t[2].Sub(t[1])},
	}
	if !o.rcpt.Orig.IsNull() {
		line.OrigTo = o.rcpt.Orig.String()
	}
	r.log.Log(line)
}

// text is what the log says of an outcome, in Postfix's words.
func (o *outcome) text() string {
	text := o.reply.Error()
	switch {
	case o.said && o.status == spool.Sent:
		return text
	case o.said:
		text = "host " + peerOf(o.relay) + " said: " + text
		if o.step != "" {
			text += " (in reply to " + o.step + " command)"
		}
		return text
	}
	text = o.reply.Text
	if o.reply.Cause != nil {
		text += ": " + o.reply.Cause.Error()
	}
	return text
}
