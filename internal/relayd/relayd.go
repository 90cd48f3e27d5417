// Package relayd sends what is for other hosts: it takes messages from the remote channel of the spool, finds out where their
// recipients are served, hands the messages over in SMTP or LMTP, keeps what happened in the journal, tells senders, and tries
// again what did not succeed. docs/relay.md has its states and steps.
//
// Nothing from the network is trusted: a peer is believed about the recipients of the transaction at hand and nothing else, the
// DNS about where a domain's mail goes. Of a message relayd reads no more than it must to send it. Tables, passwords and
// configuration are the administrator's.
package relayd

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"postrider/internal/config"
	"postrider/internal/envelope"
	"postrider/internal/hop"
	"postrider/internal/logline"
	"postrider/internal/nexthop"
	"postrider/internal/queue"
	"postrider/internal/report"
	"postrider/internal/spool"
)

// Router says where a recipient goes.
type Router interface {
	// Hop returns the way of a recipient. An error means later.
	Hop(rcpt *envelope.Recipient, e *envelope.Envelope) (Way, error)
	// Demands returns what a hop's connections have to fulfil. An error means later.
	Demands(h hop.Hop) (Demands, error)
}

// Way is where a recipient goes.
type Way struct {
	Hop     hop.Hop
	Derived bool // from the recipient's domain: nobody configured it
	Ours    bool // the domain is this host's by now, and there is no hop
}

// Finder finds the hosts of a hop. Its error is a *reply.Reply.
type Finder interface {
	Find(ctx context.Context, h hop.Hop) ([]nexthop.Host, error)
}

// Settings are what a reload replaces, as one value.
type Settings struct {
	Config *config.Config
	Router Router
	Finder Finder
	Dialer Dialer
	Report report.Settings

	generation int64 // of Configure: sessions of other settings are not used again
}

// Bounds that no configuration changes.
const (
	maxActive    = 1000 // messages, weighed by their recipients
	weightOf     = 16   // recipients that weigh as much as another message
	severalMax   = 200  // active messages for several destinations
	oneMax       = 200  // active messages for one destination, at most
	largeFrom    = 8    // a message of that weight is large;
	maxLarge     = 10   // so many of them are active,
	maxWeight    = 30   // and none counts for more
	drainTime    = time.Minute
	withdrawal   = 5 * time.Second // without progress, what has not begun gives its place to others
	offeredInAll = 20
	offered      = 4 // transactions of one message in one lane at a time, so that others have their turn
)

// several is the destination of messages for more than one hop.
const several = "*"

// Manager is the daemon's logic. Configure must be called before Run.
type Manager struct {
	channel *spool.Channel
	log     *logline.Logger
	reports *report.Reporter

	settings atomic.Pointer[Settings]
	schedule *queue.Schedule
	gate     *queue.Gate
	large    chan struct{}
	hosts    *hosts
	started  time.Time

	stopping context.Context // ends when nothing new is to begin
	working  context.Context // ends when what is under way must end, too
	runs     sync.WaitGroup  // carriers

	mu         sync.Mutex
	lanes      map[string]*lane // by hop
	waited     map[string]bool  // ids of messages that gave their place to others
	generation int64
}

// New makes a manager for a channel. connections bounds its connections for its life.
func New(channel *spool.Channel, connections int, log *logline.Logger) *Manager {
	m := &Manager{
		channel: channel, log: log, reports: report.New(channel, log),
		gate: queue.NewGate(maxActive), large: make(chan struct{}, maxLarge),
		hosts: newHosts(connections), lanes: make(map[string]*lane), waited: make(map[string]bool), started: time.Now(),
	}
	m.schedule = queue.NewSchedule(m.room)
	return m
}

// Schedule is what waits.
func (m *Manager) Schedule() *queue.Schedule { return m.schedule }

// Configure replaces the settings. What is under way ends with the old ones.
func (m *Manager) Configure(s Settings) {
	c := &s.Config.Relayd
	m.hosts.configure(limits{c.InitialWindow, c.MaxWindow, c.MinBackoff.D(), c.MaxBackoff.D()})
	m.mu.Lock()
	m.generation++
	s.generation = m.generation
	m.mu.Unlock()
	m.settings.Store(&s)
	m.Revive(nil)
}

// Run delivers until ctx ends, then waits for what is under way, a bounded time.
func (m *Manager) Run(ctx context.Context) error { return m.run(ctx, m.channel.Watch) }

// run is Run with somebody who watches new/.
func (m *Manager) run(ctx context.Context, watch func(ctx context.Context, found func(name string)) error) error {
	working, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	m.stopping, m.working = ctx, working
	feeder := &queue.Feeder{
		Channel: m.channel, Schedule: m.schedule, Gate: m.gate, Log: m.log,
		Destination: m.destination, Longest: m.longest, Arrived: m.arrived, Suspend: m.suspend,
		Due:  func(item *spool.Item, n queue.Known) { m.work(item, n.Tries) },
		Gone: func(n queue.Known) { m.hasWaited(n.ID) }, // nobody asks any more
	}
	err := feeder.Run(ctx, watch)

	timer := time.AfterFunc(drainTime, end)
	defer timer.Stop()
	feeder.Wait()
	m.runs.Wait()
	m.hosts.close()
	return err
}

// longest is the most that lies between two attempts.
func (m *Manager) longest() time.Duration {
	d := m.settings.Load().Config.Relayd.MaxBackoff.D()
	return d + d/10
}

// suspend lets a message wait without a look at it while its lane is dead, if that is no news, and until there is some.
func (m *Manager) suspend(n queue.Known) bool {
	until, _ := m.deadUntil(n.Dest)
	now := time.Now()
	if !now.Before(until) || !m.seen(n) {
		return false
	}
	next, reached := m.milestone(n, now)
	if reached {
		return false
	}
	m.schedule.Add(n, min(until.Unix(), next.Unix())+1)
	m.schedule.Leave(n.Dest)
	return true
}

// seen says that a message was looked at before: by this process, or, as its name tells, by an earlier one.
func (m *Manager) seen(n queue.Known) bool {
	arrived, err := spool.IDTime(n.ID)
	return n.Tries > 0 || err == nil && n.Due-arrived.Unix() > 60
}

// milestone says whether it is time to give up, or, since the message was looked at last, to warn its sender: its due time was
// made not to lie beyond the next of these times. If not, it says when that will be.
func (m *Manager) milestone(n queue.Known, now time.Time) (next time.Time, reached bool) {
	arrived, err := spool.IDTime(n.ID)
	if err != nil {
		return now, true
	}
	c := &m.settings.Load().Config.Relayd
	next = arrived.Add(c.QueueLifetime.D())
	if !now.Before(next) {
		return next, true
	}
	warning := arrived.Add(c.DelayWarning.D())
	switch {
	case c.DelayWarning <= 0:
	case now.Before(warning):
		next = warning
	case warning.Unix() >= n.Due-1:
		return warning, true
	}
	return next, false
}

// destination is the routing key of a message by the tables of this moment: a hint for restarts and people.
func (m *Manager) destination(e *envelope.Envelope) string {
	var list []envelope.Recipient
	for i := range e.To {
		if e.To[i].Via == envelope.Remote {
			list = append(list, e.To[i])
		}
	}
	return m.destinationOf(list, e)
}

// destinationOf is that of some recipients.
func (m *Manager) destinationOf(list []envelope.Recipient, e *envelope.Envelope) string {
	s, dest := m.settings.Load(), ""
	for i := range list {
		w, err := s.Router.Hop(&list[i], e)
		if err != nil || w.Ours || dest != "" && dest != w.Hop.String() {
			return several
		}
		dest = w.Hop.String()
	}
	if dest == "" {
		return several
	}
	return dest
}
