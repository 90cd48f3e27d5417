package relayd

import (
	"errors"
	"os"
	"slices"
	"sync"
	"time"

	"postrider/internal/envelope"
	"postrider/internal/fault"
	"postrider/internal/hop"
	"postrider/internal/logline"
	"postrider/internal/queue"
	"postrider/internal/reply"
	"postrider/internal/report"
	"postrider/internal/sevenbit"
	"postrider/internal/smtpc"
	"postrider/internal/spool"
)

// outcome is what a round has of one recipient.
type outcome struct {
	rcpt   envelope.Recipient
	status spool.Status // "": nothing was tried
	reply  *reply.Reply
	relay  string // name[address]:port, "none", "local"
	said   bool   // reply is the relay's, not ours
	step   string // in reply to what
	times  [3]time.Time
	notify bool // the relay does not tell the sender of success
	final  bool // it is the recipient's own host

	uncertain bool // the relay may have taken the message

	recorded bool
	logged   bool
}

// round is one attempt at a message.
type round struct {
	*Manager
	s            *Settings
	item         *spool.Item
	report       *report.Round
	tries        uint8 // earlier ones in the life of this process
	attempts     int   // earlier ones in all
	begun        time.Time
	outcomes     []outcome
	transactions []*transaction
	pending      map[string][]*transaction // by lane: not offered yet
	outside      map[string]int            // by lane: offered, not answered
	allOutside   int
	noted        []chan<- struct{} // carriers that wait for what they did to be recorded
	waited       bool              // it gave its place to others
	told         bool              // the sender knows of all failures but those of this round

	scanning sync.Once // of the message, for octets above 127
	content  sevenbit.Content
	scanErr  error
}

// arrived works on a message that came in, if there is room for its destination.
func (m *Manager) arrived(item *spool.Item) {
	fault.Point("relay.pickedup")
	m.log.Log(logline.Active{ID: item.Envelope.ID, From: item.Envelope.From.Addr.String(), Size: item.Size, Rcpt: len(item.Envelope.To)})
	n := queue.Known{Name: item.Name, Fresh: !item.Again}
	if !m.schedule.Enter(n.Dest) {
		item.Close()
		m.schedule.Add(n, n.Due)
		return
	}
	defer m.schedule.Leave(n.Dest)
	m.work(item, 0)
}

// work sees one attempt through. The item is closed afterwards.
func (m *Manager) work(item *spool.Item, tries uint8) {
	weight := min(len(item.Envelope.To)/weightOf, maxWeight)
	if weight >= largeFrom {
		select {
		case m.large <- struct{}{}:
			defer func() { <-m.large }()
		default: // without a place it holds nothing
			item.Close()
			m.schedule.Add(queue.Known{Name: item.Name, Tries: tries, Fresh: !item.Again}, time.Now().Add(roomPause).Unix())
			return
		}
	}
	m.gate.Add(weight)
	defer m.gate.Release(weight)
	defer item.Close()
	if err := m.channel.Record(item); err != nil { // what the disk did not take the last time
		m.log.Error("%s: %v", item.Name.ID, err)
		m.schedule.Add(queue.Known{Name: item.Name, Tries: tries}, time.Now().Add(time.Minute).Unix())
		return
	}
	s := m.settings.Load()
	r := &round{Manager: m, s: s, item: item, report: m.reports.Round(m.working, &s.Report, item), tries: tries,
		attempts: item.Attempts(), begun: time.Now(), waited: m.hasWaited(item.Name.ID)}
	defer r.acknowledge()
	r.told = r.report.Failures() // what an earlier round left unsaid
	r.deliver(item.Pending())
	r.finish()
}

// hasWaited says, once, that a message gave its place to others.
func (m *Manager) hasWaited(id string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	waited := m.waited[id]
	delete(m.waited, id)
	return waited
}

// deliver tries all recipients, and waits for what becomes of them.
func (r *round) deliver(pending []envelope.Recipient) {
	r.outcomes = make([]outcome, len(pending))
	answers := make(chan answer, len(pending)) // no carrier ever waits for this message
	r.pending, r.outside = make(map[string][]*transaction), make(map[string]int)
	for _, t := range r.split(pending) {
		t.answer = answers
		r.transactions = append(r.transactions, t)
		key := laneKey(t.hop)
		r.pending[key] = append(r.pending[key], t)
	}
	left := len(r.transactions)
	r.offerMore()
	r.await(answers, left)
}

// offerMore brings transactions to their lanes, some of a lane and some in all, so that other messages have their turn.
func (r *round) offerMore() {
	for key, list := range r.pending {
		for len(list) > 0 && r.outside[key] < offered && r.allOutside < offeredInAll {
			r.outside[key]++
			r.allOutside++
			r.offer(list[0])
			list = list[1:]
		}
		if r.pending[key] = list; len(list) == 0 {
			delete(r.pending, key)
		}
	}
}

// split makes transactions of the recipients that have a hop.
func (r *round) split(pending []envelope.Recipient) (list []*transaction) {
	type group struct {
		way  Way
		rcpt []int
	}
	groups := make(map[string]*group)
	var order []*group
	for i := range pending {
		o := &r.outcomes[i]
		o.rcpt, o.relay = pending[i], "none"
		way, done := r.way(o)
		if done {
			continue
		}
		key := way.Hop.String()
		g := groups[key]
		if g == nil {
			g = &group{way: way}
			groups[key], order = g, append(order, g)
		}
		g.rcpt = append(g.rcpt, i)
	}
	for _, g := range order {
		for some := range slices.Chunk(g.rcpt, r.s.Config.Relayd.MaxRecipients) {
			list = append(list, &transaction{hop: g.way.Hop, derived: g.way.Derived, round: r, item: r.item, recipients: some})
		}
	}
	return list
}

// way is where a recipient goes; done if nowhere, because the outcome is known.
func (r *round) way(o *outcome) (w Way, done bool) {
	w, err := r.s.Router.Hop(&o.rcpt, r.item.Envelope)
	switch {
	case err != nil:
		o.set(deferred(reply.New(451, 3, 0, "tables cannot be read for now").With(err)))
	case w.Ours && r.item.Envelope.Parent != "": // smtpd has other tables
		o.set(deferred(reply.New(451, 3, 5, "this host takes the domain for its own, and for another's")))
	case w.Ours:
		r.handBack(o)
	case w.Hop.Kind == hop.Error && w.Hop.Reply.Permanent():
		o.set(failed(w.Hop.Reply))
	case w.Hop.Kind == hop.Error:
		o.set(deferred(w.Hop.Reply))
	case w.Hop.Kind == hop.Discard:
		o.set(&outcome{status: spool.Sent, reply: reply.New(250, 0, 0, "discarded"), relay: "none"})
	default:
		return w, false
	}
	return w, true
}

// set takes an outcome for a recipient.
func (o *outcome) set(of *outcome) {
	rcpt := o.rcpt
	*o = *of
	o.rcpt = rcpt
}

// await collects the answers. What is answered is recorded while others take their time. When nothing goes on for a while, what
// has not begun is called back if there was more than that: its message may keep others from their turn.
func (r *round) await(answers <-chan answer, left int) {
	several := left > 1
	timer := time.NewTimer(withdrawal)
	defer timer.Stop()
	for left > 0 {
		select {
		case a := <-answers:
			left -= r.settle(a) + r.settleAll(answers, left-1)
			if left > 0 {
				r.logDeliveries(spool.Status.Final)
				if !r.record() { // then no more is to be sent than must be
					left -= r.recall()
				}
				r.acknowledge()
				r.offerMore()
			}
			timer.Reset(withdrawal)
		case <-timer.C:
			if several || r.gate.Crowded() {
				left -= r.recall()
			}
			timer.Reset(withdrawal)
		}
	}
}

// settleAll takes the answers that are there.
func (r *round) settleAll(answers <-chan answer, most int) (n int) {
	for n < most {
		select {
		case a := <-answers:
			n += r.settle(a)
		default:
			return n
		}
	}
	return n
}

func (r *round) settle(a answer) int {
	for i := range a.outcomes {
		r.outcomes[a.recipients[i]].set(&a.outcomes[i])
	}
	if a.noted != nil {
		r.noted = append(r.noted, a.noted)
	}
	r.outside[laneKey(a.hop)]--
	r.allOutside--
	return 1
}

// acknowledge lets carriers go on that wait for what they did to be recorded.
func (r *round) acknowledge() {
	for _, c := range r.noted {
		close(c)
	}
	r.noted = nil
}

// recall takes back what was not offered or is in its lane, and asks back what waits for a host, but not twice, lest it never have
// its turn. It returns how many answers will not come.
func (r *round) recall() (n int) {
	for key, list := range r.pending {
		n += len(list)
		delete(r.pending, key)
	}
	n += r.withdraw(r.transactions)
	for _, t := range r.transactions {
		if t.recall != nil && (!r.waited || r.gate.Crowded()) {
			t.recall()
		}
	}
	return n
}

// handBack gives a recipient whose domain has become this host's back to smtpd.
func (r *round) handBack(o *outcome) {
	e := r.item.Envelope
	uid := e.UID
	if uid == envelope.NoUID && e.Origin != envelope.OriginDSN {
		uid = int64(os.Getuid()) // with nobody's it would count as a notice of ours
	}
	err := r.report.Hand(&smtpc.Envelope{From: e.From, To: []envelope.Recipient{o.rcpt}, Whole: true, Parent: e.ID, UID: uid}, r.item.Body())
	rep, ok := errors.AsType[*reply.Reply](err)
	switch {
	case err == nil:
		o.status, o.reply = spool.Forwarded, reply.New(250, 0, 0, "the domain is this host's by now: handed back")
		o.relay = "local"
		r.record()
	case ok && rep.Permanent():
		o.status, o.reply = spool.Failed, rep
	default:
		o.status, o.reply = spool.Deferred, reply.New(451, 3, 0, "handing back failed for now").With(err)
	}
	o.relay = "local"
}
