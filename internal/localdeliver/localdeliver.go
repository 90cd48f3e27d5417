// Package localdeliver is the manager of local delivery: it takes messages from the local channel of the spool, finds out
// whose mailboxes they are for, has workers under the owners' uids deliver them in batches, keeps what happened in the
// journal, forwards and reports through smtpd, and tries again what did not succeed. docs/delivery.md has its states and steps.
//
// The manager holds no capability and parses nothing but envelopes and its workers' answers. It believes a worker only
// about the deliveries that it gave it. Tables and configuration are the administrator's.
package localdeliver

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"postrider/internal/address"
	"postrider/internal/config"
	"postrider/internal/envelope"
	"postrider/internal/logline"
	"postrider/internal/queue"
	"postrider/internal/report"
	"postrider/internal/spool"
	"postrider/internal/table"
)

// Router says who owns a mailbox; *route.Resolver is one.
type Router interface {
	// User returns the owner of the mailbox and the extension. Its error wraps route.ErrUnknown, or means "later".
	User(ctx context.Context, a address.Address) (table.User, string, error)
	// Alias returns the alias that a recipient names, if it was left for the delivery.
	Alias(a address.Address) (table.Alias, bool, error)
	// Qualify completes an address without a domain.
	Qualify(a address.Address) address.Address
}

// Process is a running worker.
type Process interface {
	net.Conn               // closing it lets the worker end
	Kill()                 // ends one that does not; it need not be waited for
	Done() <-chan struct{} // closed when it has ended
}

// Starter starts workers.
type Starter interface {
	Start(ctx context.Context, uid, gid uint32) (Process, error)
}

// Settings are what a reload replaces, as one value.
type Settings struct {
	Config    *config.Config
	Router    Router
	Submitter report.Submitter
	Host      string // of file names in Maildirs

	MailboxUID uint32 // may have more workers than other users, as many homes may be its own; 0 = none

	reports report.Settings // made of the others
}

// Bounds that no configuration changes.
const (
	maxActive     = 1000             // messages, weighed by their recipients
	weightOf      = 16               // recipients that weigh as much as another message
	maxBatchBytes = 64 << 20         // of a batch, unless it is one message
	stallTime     = time.Second      // without an answer a lane counts as stalled
	drainTime     = 30 * time.Second // for batches in flight at the end
	lookupTime    = 20 * time.Second // to find out whose the mailboxes are
)

// Manager is the daemon's logic. Configure must be called before Run.
type Manager struct {
	channel *spool.Channel
	starter Starter
	log     *logline.Logger

	settings atomic.Pointer[Settings]
	schedule *queue.Schedule
	gate     *queue.Gate
	slots    chan struct{} // one token for each worker
	scarce   chan struct{} // a lane waits for a worker: an idle one is to end
	reports  *report.Reporter

	stopping context.Context // ends when nothing new is to begin
	working  context.Context // ends when what is under way must end, too

	mu    sync.Mutex
	lanes map[laneKey]*lane
	alive map[uint32]int // workers that have not ended, by uid
	runs  sync.WaitGroup // lanes
}

// New makes a manager for a channel. maxWorkers holds for its life.
func New(channel *spool.Channel, starter Starter, maxWorkers int, log *logline.Logger) *Manager {
	return &Manager{
		channel: channel, starter: starter, log: log,
		schedule: queue.NewSchedule(nil), gate: queue.NewGate(maxActive),
		slots: make(chan struct{}, maxWorkers), scarce: make(chan struct{}),
		reports: report.New(channel, log),
		lanes:   make(map[laneKey]*lane), alive: make(map[uint32]int),
	}
}

// Schedule is what waits.
func (m *Manager) Schedule() *queue.Schedule { return m.schedule }

// Configure replaces the settings. What is under way ends with the old ones.
func (m *Manager) Configure(s Settings) {
	s.reports = s.forReports()
	m.settings.Store(&s)
}

// Run delivers until ctx ends, then waits for the batches in flight, a bounded time.
func (m *Manager) Run(ctx context.Context) error {
	working, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	m.stopping, m.working = ctx, working
	feeder := &queue.Feeder{
		Channel: m.channel, Schedule: m.schedule, Gate: m.gate, Log: m.log,
		Destination: destination, Longest: m.longest, Arrived: m.arrived,
		Due: func(item *spool.Item, n queue.Known) { m.work(item, n.Tries) },
	}
	err := feeder.Run(ctx, m.channel.Watch)

	timer := time.AfterFunc(drainTime, end)
	defer timer.Stop()
	feeder.Wait()
	m.runs.Wait()
	return err
}

// longest is the most that lies between two attempts.
func (m *Manager) longest() time.Duration {
	d := m.settings.Load().Config.LocalDeliver.MaxBackoff.D()
	return d + d/10
}

// destination is the routing key of a message: its domain, a hint for people.
func destination(e *envelope.Envelope) string {
	domain := ""
	for _, r := range e.To {
		if r.Via != envelope.Local {
			continue
		}
		if domain != "" && domain != r.Addr.Domain {
			return "*"
		}
		domain = r.Addr.Domain
	}
	return domain
}
