package relayd

import (
	"context"
	"maps"
	"slices"
	"time"

	"postrider/internal/hop"
	"postrider/internal/reply"
	"postrider/internal/spool"
)

// transaction is some recipients of one message on their way over one hop.
type transaction struct {
	hop        hop.Hop
	derived    bool // the hop is the recipients' own domain
	round      *round
	item       *spool.Item
	recipients []int // of the round's outcomes
	answer     chan<- answer
	patience   context.Context // ends when it is to come back if it has not begun
	recall     context.CancelFunc
}

// answer is what came of a transaction: an outcome for each of its recipients; one without status was not tried. The carrier
// waits for noted before it takes anything else, so that a kill repeats at most what each carrier had in hand.
type answer struct {
	*transaction
	outcomes []outcome
	noted    chan<- struct{} // to be closed; nil = nobody waits
}

// lane is the queue of one hop, with its carriers. It lives while there is work, or a reason to remember that it is dead.
type lane struct {
	hop hop.Hop
	// guarded by Manager.mu:
	queue    []*transaction
	carriers int
	window   int       // of the host that was used last
	dead     time.Time // until then nothing is tried
	why      *reply.Reply
	hosts    []string // with which there was trouble
}

// laneKey names a lane as queue files name their destination.
func laneKey(h hop.Hop) string { return spool.EscapeDest(h.String()) }

// room is how many messages of a destination may be active.
func (m *Manager) room(dest string) int {
	if dest == several {
		return severalMax
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	window := unproven
	if l := m.lanes[dest]; l != nil && l.window > 0 {
		window = l.window
	}
	return min(4+4*window, oneMax)
}

// deadUntil is when a lane may be tried again, and why not before; in the past if it may be now.
func (m *Manager) deadUntil(key string) (time.Time, *reply.Reply) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if l := m.lanes[key]; l != nil {
		return l.dead, l.why
	}
	return time.Time{}, nil
}

// offer queues a transaction in its lane, and sees to it that somebody carries it. One that waited before goes first.
func (m *Manager) offer(t *transaction) {
	t.patience, t.recall = context.WithCancel(m.stopping)
	m.mu.Lock()
	defer m.mu.Unlock()
	key := laneKey(t.hop)
	l := m.lanes[key]
	if l == nil {
		m.sweep(time.Now())
		l = &lane{hop: t.hop}
		m.lanes[key] = l
	}
	if t.round.waited {
		l.queue = slices.Insert(l.queue, 0, t)
	} else {
		l.queue = append(l.queue, t)
	}
	if most := m.settings.Load().Config.Relayd.MaxWindow; l.carriers < min(most, l.carriers+len(l.queue)) {
		l.carriers++
		m.runs.Go(func() { m.carry(l) })
	}
}

// maxLanes is how many are remembered before those without work are dropped.
const maxLanes = 1000

// sweep drops lanes without work, those that are dead only if there are too many of them. The caller holds mu.
func (m *Manager) sweep(now time.Time) {
	for _, dead := range []bool{false, true} {
		if len(m.lanes) < maxLanes {
			return
		}
		for key, l := range m.lanes {
			if l.carriers == 0 && len(l.queue) == 0 && (dead || now.After(l.dead)) {
				delete(m.lanes, key)
			}
		}
	}
}

// withdraw takes transactions out of their lanes that no carrier has taken, and returns how many they are.
func (m *Manager) withdraw(list []*transaction) (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, t := range list {
		l := m.lanes[laneKey(t.hop)]
		if l == nil {
			continue
		}
		if i := slices.Index(l.queue, t); i >= 0 {
			l.queue = slices.Delete(l.queue, i, i+1)
			t.recall()
			n++
		}
	}
	return n
}

// next takes a lane's next transaction; without one the carrier leaves.
func (m *Manager) next(l *lane) *transaction {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(l.queue) == 0 {
		l.carriers--
		return nil
	}
	t := l.queue[0]
	if l.queue = l.queue[1:]; len(l.queue) == 0 {
		l.queue = nil
	}
	return t
}

// note remembers how wide the window of a lane's host is, and that the lane lives.
func (m *Manager) note(l *lane, window int) {
	m.mu.Lock()
	changed := window > 0 && window != l.window
	if changed {
		l.window = window
	}
	l.dead, l.why = time.Time{}, nil
	m.mu.Unlock()
	if changed {
		key := laneKey(l.hop)
		m.schedule.SetLimit(key, m.room(key))
	}
}

// suspendLane lets nothing of a lane be tried until then.
func (m *Manager) suspendLane(l *lane, until time.Time, why *reply.Reply) {
	m.mu.Lock()
	l.dead, l.why = until, why
	m.mu.Unlock()
}

// blame remembers with which hosts a lane had trouble, if it had any: they may have died of it.
func (m *Manager) blame(l *lane, hosts []string) {
	if len(hosts) > 0 {
		m.mu.Lock()
		l.hosts = hosts
		m.mu.Unlock()
	}
}

// Revive forgets that destinations are dead (nil: all), and with them their hosts: somebody says that they are not, or the
// configuration is another one. That of messages for several may be any.
func (m *Manager) Revive(dests []string) {
	m.mu.Lock()
	all := dests == nil || slices.Contains(dests, several)
	if all {
		dests = slices.Collect(maps.Keys(m.lanes))
	}
	keys := []string{}
	for _, dest := range dests {
		if l := m.lanes[dest]; l != nil {
			l.dead, l.why = time.Time{}, nil
			keys = append(keys, l.hosts...)
		}
	}
	m.mu.Unlock()
	if all {
		keys = nil
	}
	m.hosts.revive(keys)
}

// carry takes transactions of a lane to its hosts until there are none.
func (m *Manager) carry(l *lane) {
	c := &carrier{Manager: m, lane: l}
	defer c.leave()
	for t := m.next(l); t != nil; t = m.next(l) {
		c.transact(t)
	}
}
