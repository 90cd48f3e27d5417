package localdeliver

import (
	"context"
	"errors"
	"slices"
	"time"

	"postrider/internal/localdeliver/job"
	"postrider/internal/queue"
	"postrider/internal/reply"
	"postrider/internal/sandbox"
	"postrider/internal/spool"
)

// laneKey is whose worker it is and what that is confined to.
type laneKey struct {
	uid, gid uint32
	root     string // the home of a system user, the root of all mailboxes below it
	extra    string // directory of a mailbox outside root
}

// delivery is one recipient of one message on its way through a lane.
type delivery struct {
	job     job.Job
	item    *spool.Item
	arrived time.Time
	sent    time.Time // to the worker
	answer  chan<- answer
	index   int // of the recipient in the message's round
}

// answer is what came of a delivery; a nil result: nothing was tried.
type answer struct {
	*delivery
	result *job.Result
}

// lane is the queue of one worker. Its goroutine lives while there is work, or a worker.
type lane struct {
	m   *Manager
	key laneKey
	// guarded by m.mu:
	queue   []*delivery
	stalled bool
	staffed bool          // it has a worker
	idle    bool          // that has nothing to do
	parked  []queue.Entry // messages for which there was no room

	wake    chan struct{} // something was queued
	give    chan struct{} // another lane asks for the worker's place
	process *process      // nil: none
	last    *process      // the one before, which may not have ended; nil: none
	failed  time.Duration // rest after a worker that failed; doubles
}

// maxQueued is how many deliveries may wait in a lane.
func maxQueued(batch int) int { return 2 * batch }

// errUnended says that a lane's last worker is still there: the next one would only hang as it does.
var errUnended = errors.New("the last worker has not ended")

// maxRest is the longest rest of a lane whose workers fail.
const maxRest = time.Minute

// offer queues a delivery in its lane, unless there is no room.
func (m *Manager) offer(key laneKey, d *delivery) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.lanes[key]
	if l == nil {
		l = &lane{m: m, key: key, wake: make(chan struct{}, 1), give: make(chan struct{}, 1)}
		m.lanes[key] = l
		m.runs.Go(l.run)
	}
	if l.stalled || len(l.queue) >= maxQueued(m.settings.Load().Config.LocalDeliver.BatchSize) {
		return false
	}
	l.queue = append(l.queue, d)
	l.nudge()
	return true
}

// park lets a message wait for room in a lane. It may have become idle meanwhile.
func (m *Manager) park(key laneKey, n queue.Known) {
	e := m.schedule.Keep(n)
	m.mu.Lock()
	defer m.mu.Unlock()
	if l := m.lanes[key]; l != nil {
		l.parked = append(l.parked, e)
		l.nudge()
		return
	}
	m.schedule.Put([]queue.Entry{e})
}

func (l *lane) nudge() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// run is the lane's goroutine.
func (l *lane) run() {
	for {
		limits := l.m.settings.Load().Config.LocalDeliver
		if !l.await(limits.WorkerIdle.D()) {
			l.closeWorker()
			if l.retire() {
				return
			}
			continue
		}
		l.linger(limits.BatchLinger.D(), limits.BatchSize)
		if batch := l.take(limits.BatchSize); len(batch) > 0 {
			l.deliver(batch)
			l.yield()
		}
		l.unpark(maxQueued(limits.BatchSize))
	}
}

// await returns true when there is something to do, false when the worker should end: after a while of idleness, because
// another lane needs its place, or at the end.
func (l *lane) await(idle time.Duration) bool {
	var ended <-chan struct{}
	if l.process == nil {
		idle = 0
		if l.lives() {
			idle, ended = maxRest, l.last.Done()
		}
	}
	timer := time.NewTimer(idle)
	defer timer.Stop()
	defer l.setIdle(false)
	for {
		queued, parked := l.waiting()
		if l.m.stopping.Err() != nil {
			return queued > 0 // to be sent back
		}
		if queued > 0 || parked > 0 {
			return l.awaitQueued(queued)
		}
		l.setIdle(true)
		select {
		case <-l.wake:
		case <-timer.C:
			return false
		case <-ended:
			return false
		case <-l.give:
			return false
		case <-l.m.scarceFor(l):
			return false
		case <-l.m.stopping.Done():
			return false
		}
	}
}

// awaitQueued gives what was parked and is now being opened the time to get here, lest this loop spin.
func (l *lane) awaitQueued(queued int) bool {
	if queued > 0 {
		return true
	}
	timer := time.NewTimer(100 * time.Millisecond)
	defer timer.Stop()
	select {
	case <-l.wake:
	case <-timer.C:
	case <-l.m.stopping.Done():
	}
	return true
}

func (l *lane) setIdle(idle bool) {
	l.m.mu.Lock()
	l.idle = idle
	l.m.mu.Unlock()
}

// lives says that the lane's last worker has not ended.
func (l *lane) lives() bool { return l.last != nil && !l.last.ended() }

// scarceFor is the channel by which others ask for this lane's worker.
func (m *Manager) scarceFor(l *lane) <-chan struct{} {
	if l.process == nil {
		return nil
	}
	return m.scarce
}

func (l *lane) waiting() (queued, parked int) {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	return len(l.queue), len(l.parked)
}

// linger waits for company: until the batch is full or its first delivery has waited for d.
func (l *lane) linger(d time.Duration, size int) {
	l.m.mu.Lock()
	var first time.Time
	if len(l.queue) > 0 {
		first = l.queue[0].arrived
	}
	l.m.mu.Unlock()
	timer := time.NewTimer(d - time.Since(first))
	defer timer.Stop()
	for {
		if queued, _ := l.waiting(); queued >= size || queued == 0 {
			return
		}
		select {
		case <-l.wake:
		case <-timer.C:
			return
		case <-l.m.stopping.Done():
			return
		}
	}
}

// take takes the next batch out of the queue, bounded in number and octets.
func (l *lane) take(size int) []*delivery {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	n, octets := 0, int64(0)
	for n < min(size, len(l.queue)) && (n == 0 || octets+l.queue[n].job.Size <= maxBatchBytes) {
		octets += l.queue[n].job.Size
		n++
	}
	batch := slices.Clone(l.queue[:n])
	l.queue = slices.Delete(l.queue, 0, n)
	return batch
}

// unpark lets messages in for which there is room now.
func (l *lane) unpark(limit int) {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	n := min(limit-len(l.queue), len(l.parked))
	if l.stalled || n <= 0 {
		return
	}
	l.m.schedule.Put(l.parked[:n])
	if l.parked = l.parked[n:]; len(l.parked) == 0 {
		l.parked = nil
	}
}

// retire removes an idle lane. One whose worker does not end is kept, so that there is no other in its place.
func (l *lane) retire() bool {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	if len(l.queue) > 0 || (len(l.parked) > 0 || l.lives()) && l.m.stopping.Err() == nil {
		return false
	}
	delete(l.m.lanes, l.key)
	return true
}

// deliver has the worker deliver a batch, and answers each delivery.
func (l *lane) deliver(batch []*delivery) {
	if l.m.stopping.Err() != nil {
		for _, d := range batch {
			d.answer <- answer{delivery: d}
		}
		return
	}
	results, err := l.attempt(batch)
	switch {
	case err == nil:
		l.failed = 0
	case noRoom(err):
		l.failed = roomTime
	default:
		l.fail(err)
	}
	for i, d := range batch {
		switch {
		case err == nil:
			d.answer <- answer{d, results[i]}
		case noRoom(err) || errors.Is(err, context.Canceled):
			d.answer <- answer{delivery: d}
		default:
			d.answer <- answer{d, &job.Result{Kind: job.Deferred, Reply: processFailed(err)}}
		}
	}
	l.rest()
}

// roomTime is how long a lane for whose worker there was no room leaves the others alone.
const roomTime = time.Second

// noRoom says that no worker failed: there was none.
func noRoom(err error) bool { return errors.Is(err, sandbox.ErrBusy) || errors.Is(err, errUnended) }

func processFailed(err error) *reply.Reply {
	if errors.Is(err, sandbox.ErrRefused) {
		return reply.New(451, 3, 5, "no mail is delivered under that uid").With(err)
	}
	return reply.New(451, 3, 0, "delivery process failed").With(err)
}

// attempt makes sure of a worker and has it deliver.
func (l *lane) attempt(batch []*delivery) ([]*job.Result, error) {
	if l.process != nil && l.process.ended() {
		l.closeWorker() // it went between two batches
	}
	if l.process == nil {
		begun := l.watch(0)
		err := l.start()
		begun()
		if err != nil {
			return nil, err
		}
	}
	defer l.watch(len(batch))()
	return l.process.deliver(batch, l.m.settings.Load().Config.LocalDeliver.WorkerTimeout.D())
}

// start waits for a place and starts the worker. Where the uid has too many, another of its lanes is asked for a place.
func (l *lane) start() error {
	if !l.awaitLast() {
		return errUnended
	}
	for until := time.Now().Add(stallTime); ; {
		if err := l.m.takeSlot(); err != nil {
			return err
		}
		p, err := l.m.startProcess(l.key)
		if err == nil {
			l.process, l.last = p, nil
			l.setStaffed(true)
			return nil
		}
		<-l.m.slots
		if !errors.Is(err, sandbox.ErrBusy) || time.Now().After(until) {
			return err
		}
		l.askSibling()
		select {
		case <-time.After(slotTime):
		case <-l.m.stopping.Done():
			return context.Canceled
		}
	}
}

// awaitLast gives the last worker a moment to end.
func (l *lane) awaitLast() bool {
	if !l.lives() {
		return true
	}
	timer := time.NewTimer(stallTime)
	defer timer.Stop()
	select {
	case <-l.last.Done():
		return true
	case <-timer.C:
	case <-l.m.stopping.Done():
	}
	return false
}

func (l *lane) setStaffed(staffed bool) {
	l.m.mu.Lock()
	l.staffed = staffed
	l.m.mu.Unlock()
}

// askSibling asks a lane of the same uid to give its worker up, an idle one if there is one.
func (l *lane) askSibling() {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	var sibling *lane
	for key, other := range l.m.lanes {
		if key.uid == l.key.uid && other.staffed {
			if sibling = other; other.idle {
				break
			}
		}
	}
	if sibling == nil {
		return
	}
	select {
	case sibling.give <- struct{}{}:
	default:
	}
}

// slotTime is how long a worker that was asked to end may take before another one is asked.
const slotTime = 100 * time.Millisecond

// takeSlot waits for a worker's place, and asks an idle lane, or one between two batches, for its own.
func (m *Manager) takeSlot() error {
	for {
		select {
		case m.slots <- struct{}{}:
			return nil
		case m.scarce <- struct{}{}:
		case <-m.stopping.Done():
			return context.Canceled
		}
		timer := time.NewTimer(slotTime)
		select {
		case m.slots <- struct{}{}:
			timer.Stop()
			return nil
		case <-timer.C:
		case <-m.stopping.Done():
			timer.Stop()
			return context.Canceled
		}
	}
}

// yield gives the worker's place to a lane that waits for one.
func (l *lane) yield() {
	select {
	case <-l.m.scarceFor(l):
		l.closeWorker()
	case <-l.give:
		l.closeWorker()
	default:
	}
}

// closeWorker lets the worker end. Its place is free when it has.
func (l *lane) closeWorker() {
	if p := l.process; p != nil {
		l.process, l.last = nil, p
		l.setStaffed(false)
		l.m.runs.Go(func() {
			p.end()
			<-l.m.slots
		})
	}
}

// fail ends a worker that hung, died or lied.
func (l *lane) fail(err error) {
	if errors.Is(err, context.Canceled) {
		return
	}
	l.m.log.Error("worker for uid %d: %v", l.key.uid, err)
	if l.process != nil {
		l.process.Kill()
		l.closeWorker()
	}
	l.failed = min(max(2*l.failed, time.Second), maxRest)
}

// rest keeps a lane whose worker failed from starting another one at once, or before that has ended.
func (l *lane) rest() {
	if l.failed == 0 {
		return
	}
	defer l.stall()()
	timer := time.NewTimer(l.failed)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-l.m.stopping.Done():
	}
	if l.lives() {
		select {
		case <-l.last.Done():
		case <-l.m.stopping.Done():
		}
	}
}

// watch begins a stall when what follows takes long; n messages then do not count as active. The function that it returns
// ends that.
func (l *lane) watch(n int) (stop func()) {
	ended, begun := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(begun)
		timer := time.NewTimer(stallTime)
		defer timer.Stop()
		select {
		case <-ended:
			return
		case <-timer.C:
		}
		l.m.gate.Extend(n)
		defer l.m.gate.Extend(-n)
		defer l.stall()()
		<-ended
	}()
	return func() { close(ended); <-begun }
}

// stall sends back what waits in the queue and lets nothing in until the function that it returns is called.
func (l *lane) stall() (end func()) {
	l.m.mu.Lock()
	l.stalled = true
	queue := l.queue
	l.queue = nil
	l.m.mu.Unlock()
	for _, d := range queue {
		d.answer <- answer{delivery: d}
	}
	return func() {
		l.m.mu.Lock()
		l.stalled = false
		l.m.mu.Unlock()
	}
}
