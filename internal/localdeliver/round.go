package localdeliver

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"postrider/internal/envelope"
	"postrider/internal/fault"
	"postrider/internal/localdeliver/job"
	"postrider/internal/logline"
	"postrider/internal/maildir"
	"postrider/internal/reply"
	"postrider/internal/report"
	"postrider/internal/route"
	"postrider/internal/spool"
	"postrider/internal/table"
)

// outcome is what a round has of one recipient.
type outcome struct {
	rcpt    envelope.Recipient
	status  spool.Status // "": nothing was tried
	reply   *reply.Reply
	relay   string
	text    string // name of the file, of this or an earlier round
	user    string // whose mailbox it is
	forward []string
	patient bool // no time is too long
	sent    time.Time
	lane    laneKey // where there was no room

	recorded spool.Status // in the journal
}

// round is one attempt at a message.
type round struct {
	*Manager
	s        *Settings
	item     *spool.Item
	tries    uint8 // earlier ones in the life of this process
	attempts int   // earlier ones in all
	begun    time.Time
	outcomes []outcome
	report   *report.Round
	told     bool // the sender knows of all failures but those of this round
}

// arrived works on a message that came in.
func (m *Manager) arrived(item *spool.Item) {
	fault.Point("deliver.pickedup")
	if !item.Envelope.Has(envelope.Remote) {
		m.log.Log(logline.Active{ID: item.Envelope.ID, From: item.Envelope.From.Addr.String(), Size: item.Size, Rcpt: len(item.Envelope.To)})
	}
	m.work(item, 0)
}

// work sees one attempt through. The item is closed afterwards. A report that has to wait holds nobody's mail up.
func (m *Manager) work(item *spool.Item, tries uint8) {
	weight := len(item.Envelope.To) / weightOf
	m.gate.Add(weight)
	defer m.gate.Release(weight)
	defer item.Close()
	r := &round{Manager: m, s: m.settings.Load(), item: item, tries: tries, attempts: item.Attempts(), begun: time.Now()}
	r.report = m.reports.Round(m.working, &r.s.reports, item)
	r.told = r.report.Failures() // what an earlier round left unsaid
	r.deliver(item.Pending())
	r.finish()
}

// routed is a delivery that knows its lane.
type routed struct {
	key laneKey
	d   *delivery
}

// deliver tries all recipients, and waits for what becomes of them.
func (r *round) deliver(pending []envelope.Recipient) {
	r.outcomes = make([]outcome, len(pending))
	answers := make(chan answer, len(pending)) // no lane ever waits for this message
	var list []routed
	ctx, cancel := context.WithTimeout(r.working, lookupTime)
	defer cancel()
	for k := range pending {
		i := (k + r.attempts) % len(pending) // lest a lookup that hangs be the first each time
		o := &r.outcomes[i]
		o.rcpt, o.relay = pending[i], "local"
		if last := r.item.Last(o.rcpt.Line); last != nil {
			o.text = last.Text
		}
		user, ext, refused := r.resolve(ctx, o)
		if refused != nil {
			o.answered(refused)
			continue
		}
		d, key := r.delivery(o, user, ext)
		d.answer, d.index = answers, i
		list = append(list, routed{key, d})
	}
	r.await(list, answers)
}

// await offers deliveries to their lanes, as many as these take at a time, and collects the answers. Where a lane takes none,
// and none of ours is there to make room, the rest has to wait.
func (r *round) await(list []routed, answers <-chan answer) {
	inside := make(map[laneKey]int)
	for {
		full := make(map[laneKey]bool)
		rest := list[:0]
		for _, x := range list {
			if !full[x.key] && r.offer(x.key, x.d) {
				inside[x.key]++
				continue
			}
			full[x.key] = true
			if inside[x.key] > 0 {
				rest = append(rest, x)
			} else {
				r.outcomes[x.d.index].lane = x.key
			}
		}
		if list = rest; len(inside) == 0 {
			return
		}
		a := r.first(answers)
		for more := true; more; { // all that are there: a batch is answered at once
			r.settle(a, inside)
			select {
			case a = <-answers:
			default:
				more = false
			}
		}
	}
}

// first waits for the next answer. What has been answered does not wait for a lane that takes its time.
func (r *round) first(answers <-chan answer) answer {
	timer := time.NewTimer(stallTime)
	defer timer.Stop()
	select {
	case a := <-answers:
		return a
	case <-timer.C:
	}
	r.advance()
	return <-answers
}

func (r *round) settle(a answer, inside map[laneKey]int) {
	key := r.outcomes[a.index].lane
	if inside[key]--; inside[key] == 0 {
		delete(inside, key)
	}
	o := &r.outcomes[a.index]
	if o.sent = a.sent; a.result != nil {
		o.answered(a.result)
	}
}

// delivery makes the job of one recipient.
func (r *round) delivery(o *outcome, user table.User, ext string) (*delivery, laneKey) {
	c, e := r.s.Config, r.item.Envelope
	root, extra := c.Roots(user.Home, user.Maildir)
	if root != user.Home {
		o.relay = "virtual"
	}
	o.lane, o.user = laneKey{user.UID, user.GID, root, extra}, user.Name
	number := 1
	for i := range e.To {
		if e.To[i].Line == o.rcpt.Line {
			number = i + 1
		}
	}
	at, err := spool.IDTime(e.ID)
	if err != nil {
		at = e.Time
	}
	j := job.Job{
		Unique: maildir.Unique(at, e.ID, number, r.s.Host), Sender: e.From.Addr.String(),
		Recipient: r.s.Router.Qualify(o.rcpt.Addr).String(), User: user.Name, Extension: ext,
		Home: user.Home, Maildir: user.Maildir, Quota: user.Quota, Size: r.item.Size,
		Again: r.item.Again || r.item.Last(o.rcpt.Line) != nil, Kept: o.text,
	}
	if !o.rcpt.Orig.IsNull() {
		j.Original = o.rcpt.Orig.String()
	}
	return &delivery{job: j, item: r.item, arrived: time.Now()}, o.lane
}

// resolve finds the mailbox of a recipient, until ctx ends: all recipients of a round share its time.
func (r *round) resolve(ctx context.Context, o *outcome) (table.User, string, *job.Result) {
	a := o.rcpt.Addr
	if strings.HasPrefix(a.Domain, "[") {
		a.Domain = r.s.Config.Hostname // smtpd took it for one of ours
	}
	alias, ok, err := r.s.Router.Alias(a)
	switch {
	case err != nil:
		return table.User{}, "", deferral(reply.New(451, 3, 0, "lookup failed for now").With(err))
	case ok && !alias.OnlyAddresses():
		res := deferral(reply.New(451, 3, 5, fmt.Sprintf("alias %s has members that are no addresses, which is not supported yet", alias.Name)))
		res.Patient = true
		return table.User{}, "", res
	}
	user, ext, err := r.s.Router.User(ctx, a)
	switch {
	case err == nil:
		return user, ext, nil
	case !errors.Is(err, route.ErrUnknown):
		return user, ext, deferral(reply.New(451, 3, 0, "lookup failed for now").With(err))
	case ok: // it had other members when the message was accepted
		return user, ext, forwardTo(alias)
	case strings.EqualFold(a.Local, "postmaster"): // which must be accepted (RFC 5321 §4.5.1)
		res := deferral(reply.New(451, 3, 5, "nobody reads the postmaster's mail: an alias is missing"))
		res.Patient = true
		return user, ext, res
	}
	return user, ext, &job.Result{Kind: job.Failed, Reply: reply.New(550, 1, 1, "unknown user: "+a.String())}
}

// forwardTo sends a message on to the members of an alias, all addresses.
func forwardTo(alias table.Alias) *job.Result {
	res := &job.Result{Kind: job.Forward, Reply: reply.New(250, 0, 0, "forwarded")}
	for _, m := range alias.Members {
		res.Addresses = append(res.Addresses, m.Address.String())
	}
	return res
}

func deferral(r *reply.Reply) *job.Result { return &job.Result{Kind: job.Deferred, Reply: r} }

// answered takes a worker's result.
func (o *outcome) answered(res *job.Result) {
	o.take(res)
	if len(res.Addresses) > 0 {
		o.forward = res.Addresses
		o.status = "" // until the copy is on its way
	}
}

var statuses = map[job.Kind]spool.Status{
	job.Delivered: spool.Sent, job.Forward: spool.Forwarded, job.Deferred: spool.Deferred, job.Failed: spool.Failed,
}

func (o *outcome) take(res *job.Result) {
	o.status, o.reply, o.patient = statuses[res.Kind], res.Reply, res.Patient
	if res.File != "" {
		o.text = res.File
	}
	if res.Detail != "" {
		o.reply = o.reply.With(errors.New(res.Detail))
	}
}
