package queue

import (
	"container/heap"
	"context"
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"postrider/internal/envelope"
	"postrider/internal/spool"
)

// Known is a name with what this process knows of the message.
type Known struct {
	spool.Name
	Tries uint8 // attempts in the life of this process
	Fresh bool  // nobody can have delivered it
}

// After is what is known after another attempt.
func (k Known) After() Known {
	return Known{Name: k.Name, Tries: min(k.Tries, math.MaxUint8-1) + 1}
}

// Entry is a name that waits: 32 bytes, a million of which must not matter.
type Entry struct {
	id    [envelope.IDLength]byte
	due   uint32 // as the file's name says
	when  uint32 // as we mean it
	dest  uint32 // of Schedule.dests
	tries uint8
	fresh bool
}

// destination is what messages for the same place share: a turn, and a bound on those that are active.
type destination struct {
	name          string
	refs          int        // entries and active messages; without any the place in dests is free
	ready         [2][]Entry // first come, first served: new messages, and those that were tried
	turn          int        // of these
	active, limit int
	queued        bool // in the ring
}

func (d *destination) room() bool  { return d.limit == 0 || d.active < d.limit }
func (d *destination) waits() bool { return len(d.ready[0])+len(d.ready[1]) > 0 }

// take takes out the next message: new ones and others in turns, lest a backlog hold up what comes.
func (d *destination) take() Entry {
	d.turn = 1 - d.turn
	if len(d.ready[d.turn]) == 0 {
		d.turn = 1 - d.turn
	}
	list := &d.ready[d.turn]
	e := (*list)[0]
	if *list = (*list)[1:]; len(*list) == 0 {
		*list = nil
	}
	return e
}

// Schedule holds the messages that wait for a time, and those whose time has come. The latter have their turn destination by
// destination, so that many messages for one do not hold up the others.
type Schedule struct {
	limit func(dest string) int // nil = none

	mu      sync.Mutex
	flushed time.Time // when all were last made due
	later   byTime
	dests   []destination
	index   map[string]uint32
	free    []uint32
	ring    []uint32 // destinations that have something ready, and room
	wake    chan struct{}
}

// NewSchedule returns an empty schedule. limit says how many messages of a destination may be active at once, until SetLimit says
// otherwise (nil: as many as there are). Leave has to be called for each that Next or Enter made active. limit must not call the
// schedule.
func NewSchedule(limit func(dest string) int) *Schedule {
	return &Schedule{limit: limit, index: make(map[string]uint32), wake: make(chan struct{}, 1)}
}

// place finds the destination of that name, or makes it. The caller holds mu.
func (s *Schedule) place(name string) uint32 {
	if k, ok := s.index[name]; ok {
		return k
	}
	var k uint32
	if n := len(s.free); n > 0 {
		k, s.free = s.free[n-1], s.free[:n-1]
	} else {
		k = uint32(len(s.dests))
		s.dests = append(s.dests, destination{})
	}
	s.dests[k] = destination{name: name}
	if s.limit != nil {
		s.dests[k].limit = s.limit(name)
	}
	s.index[name] = k
	return k
}

// drop gives back a reference to a destination. The caller holds mu.
func (s *Schedule) drop(k uint32) {
	d := &s.dests[k]
	if d.refs--; d.refs == 0 {
		delete(s.index, d.name)
		*d = destination{}
		s.free = append(s.free, k)
	}
}

// entry makes an entry of a name, and with it a reference. The caller holds mu.
func (s *Schedule) entry(n Known, when int64) Entry {
	k := s.place(n.Dest)
	s.dests[k].refs++
	e := Entry{due: seconds(n.Due), when: seconds(when), dest: k, tries: n.Tries, fresh: n.Fresh}
	copy(e.id[:], n.ID)
	return e
}

// seconds lasts until 2106.
func seconds(t int64) uint32 { return uint32(min(max(t, 0), math.MaxUint32)) }

func (s *Schedule) known(e Entry) Known {
	return Known{spool.Name{Due: int64(e.due), ID: string(e.id[:]), Dest: s.dests[e.dest].name}, e.tries, e.fresh}
}

// Add lets a name wait until when, in epoch seconds.
func (s *Schedule) Add(n Known, when int64) {
	s.mu.Lock()
	heap.Push(&s.later, s.entry(n, when))
	s.mu.Unlock()
	s.notify()
}

// Put lets entries have their turn now.
func (s *Schedule) Put(entries []Entry) {
	s.mu.Lock()
	for _, e := range entries {
		s.makeReady(e)
	}
	s.mu.Unlock()
	s.notify()
}

// Keep makes an entry for somebody else's list. It must come back by Put.
func (s *Schedule) Keep(n Known) Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.entry(n, 0)
}

func (s *Schedule) makeReady(e Entry) {
	d := &s.dests[e.dest]
	k := 1
	if e.fresh {
		k = 0
	}
	d.ready[k] = append(d.ready[k], e)
	s.enqueue(e.dest)
}

// enqueue gives a destination a turn if it has use for one. The caller holds mu.
func (s *Schedule) enqueue(k uint32) {
	if d := &s.dests[k]; !d.queued && d.waits() && d.room() {
		d.queued = true
		s.ring = append(s.ring, k)
	}
}

func (s *Schedule) notify() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// movedAtOnce bounds the work of one Next.
const movedAtOnce = 1000

// Next takes out a name whose turn has come.
func (s *Schedule) Next(now time.Time) (Known, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for n := 0; n < movedAtOnce && len(s.later) > 0 && int64(s.later[0].when) <= now.Unix(); n++ {
		s.makeReady(heap.Pop(&s.later).(Entry))
	}
	if len(s.ring) == 0 {
		return Known{}, false
	}
	k := s.ring[0]
	if s.ring = s.ring[1:]; len(s.ring) == 0 {
		s.ring = nil
	}
	d := &s.dests[k]
	d.queued = false
	if !d.waits() || !d.room() {
		return Known{}, false
	}
	n := s.known(d.take())
	if s.limit != nil {
		d.active++ // which keeps the entry's reference
		s.enqueue(k)
	} else {
		s.enqueue(k)
		s.drop(k)
	}
	return n, true
}

// Enter makes a message of a destination active that was not in the schedule, if there is room.
func (s *Schedule) Enter(dest string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.place(dest)
	s.dests[k].refs++
	if !s.dests[k].room() {
		s.drop(k)
		return false
	}
	s.dests[k].active++
	return true
}

// Leave says that an active message of a destination is no longer. Add it first, if it is to wait.
func (s *Schedule) Leave(dest string) {
	if s.limit == nil {
		return
	}
	s.mu.Lock()
	if k, ok := s.index[dest]; ok {
		s.dests[k].active--
		s.enqueue(k)
		s.drop(k)
	}
	s.mu.Unlock()
	s.notify()
}

// SetLimit bounds the active messages of a destination for as long as it has any, waiting or active.
func (s *Schedule) SetLimit(dest string, limit int) {
	s.mu.Lock()
	if k, ok := s.index[dest]; ok {
		s.dests[k].limit = max(limit, 1)
		s.enqueue(k)
	}
	s.mu.Unlock()
	s.notify()
}

// Await returns when something is due. Nothing waits for longer than longest, whatever the clock said when it began to.
func (s *Schedule) Await(ctx context.Context, longest func() time.Duration) error {
	for {
		s.clamp(time.Now().Add(longest()))
		wait, due := s.wait(time.Now())
		if due {
			return ctx.Err()
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-s.wake:
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// wait is the time until the next is due, at most a minute, so that a clock that was set counts soon.
func (s *Schedule) wait(now time.Time) (time.Duration, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.ring) > 0 {
		return 0, true
	}
	if len(s.later) == 0 {
		return time.Minute, false
	}
	d := time.Unix(int64(s.later[0].when), 0).Sub(now)
	return min(d, time.Minute), d <= 0
}

// clamp brings forward what is not due before latest. It leaves the heap in order.
func (s *Schedule) clamp(latest time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	limit := seconds(latest.Unix())
	if len(s.later) == 0 || s.later[0].when <= limit {
		return // what lies behind has its turn when it comes to the top
	}
	for i := range s.later {
		s.later[i].when = min(s.later[i].when, limit)
	}
}

// Flush makes those due that match (nil: all), and returns how many waited.
func (s *Schedule) Flush(match func(id string) bool) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	kept := s.later[:0]
	for _, e := range s.later {
		if match == nil || match(string(e.id[:])) {
			s.makeReady(e)
			n++
		} else {
			kept = append(kept, e)
		}
	}
	s.later = kept
	if match == nil {
		s.flushed = time.Now()
	}
	heap.Init(&s.later)
	s.notify()
	return n
}

// FlushedSince says whether all were made due after t: then a message that was being tried at t is due as well.
func (s *Schedule) FlushedSince(t time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.flushed.After(t)
}

// byTime is a heap.
type byTime []Entry

func (h byTime) Len() int           { return len(h) }
func (h byTime) Less(i, j int) bool { return h[i].when < h[j].when }
func (h byTime) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *byTime) Push(x any)        { *h = append(*h, x.(Entry)) }
func (h *byTime) Pop() any {
	old := *h
	e := old[len(old)-1]
	*h = old[:len(old)-1]
	return e
}

// Backoff is the time to the next attempt: the age of the message, within bounds, give or take a tenth.
func Backoff(age, least, most time.Duration) time.Duration {
	d := min(max(age, least), most)
	return time.Duration(float64(d) * (0.9 + rand.Float64()/5))
}
