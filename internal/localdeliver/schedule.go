package localdeliver

import (
	"container/heap"
	"context"
	"math"
	"sync"
	"time"

	"postrider/internal/envelope"
	"postrider/internal/spool"
)

// known is a name with what this process knows of the message.
type known struct {
	spool.Name
	tries uint8 // attempts in the life of this process
	fresh bool  // no worker can have seen it
}

// after is what is known after another attempt.
func (k known) after() known {
	return known{Name: k.Name, tries: min(k.tries, math.MaxUint8-1) + 1}
}

// entry is a name that waits: 32 bytes, a million of which must not matter.
type entry struct {
	id    [envelope.IDLength]byte
	due   uint32 // as the file's name says
	when  uint32 // as we mean it
	dest  uint32 // index of the destination's text
	tries uint8
	fresh bool
}

// schedule holds the messages that wait for a time, and those whose time has come.
type schedule struct {
	flushed time.Time // when all were last made due; guarded by mu
	mu      sync.Mutex
	later   byTime
	ready   []entry // first come, first served
	dests   []string
	index   map[string]uint32
	wake    chan struct{}
}

func newSchedule() *schedule {
	return &schedule{index: make(map[string]uint32), wake: make(chan struct{}, 1)}
}

// entry makes an entry of a name. The caller holds mu.
func (s *schedule) entry(n known, when int64) entry {
	k, ok := s.index[n.Dest]
	if !ok {
		k = uint32(len(s.dests))
		s.dests = append(s.dests, n.Dest)
		s.index[n.Dest] = k
	}
	e := entry{due: seconds(n.Due), when: seconds(when), dest: k, tries: n.tries, fresh: n.fresh}
	copy(e.id[:], n.ID)
	return e
}

// seconds lasts until 2106.
func seconds(t int64) uint32 { return uint32(min(max(t, 0), math.MaxUint32)) }

func (s *schedule) name(e entry) known {
	return known{spool.Name{Due: int64(e.due), ID: string(e.id[:]), Dest: s.dests[e.dest]}, e.tries, e.fresh}
}

// add lets a name wait until when, in epoch seconds.
func (s *schedule) add(n known, when int64) {
	s.mu.Lock()
	heap.Push(&s.later, s.entry(n, when))
	s.mu.Unlock()
	s.notify()
}

// put lets entries be next.
func (s *schedule) put(entries []entry) {
	s.mu.Lock()
	s.ready = append(s.ready, entries...)
	s.mu.Unlock()
	s.notify()
}

// keep makes an entry for somebody else's list.
func (s *schedule) keep(n known) entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.entry(n, 0)
}

func (s *schedule) notify() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// next takes out a name that is due.
func (s *schedule) next(now time.Time) (known, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.ready) > 0 {
		e := s.ready[0]
		s.ready = s.ready[1:]
		if len(s.ready) == 0 {
			s.ready = nil
		}
		return s.name(e), true
	}
	if len(s.later) == 0 || int64(s.later[0].when) > now.Unix() {
		return known{}, false
	}
	return s.name(heap.Pop(&s.later).(entry)), true
}

// await returns when something is due. Nothing waits for longer than longest, whatever the clock said when it began to.
func (s *schedule) await(ctx context.Context, longest func() time.Duration) error {
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
func (s *schedule) wait(now time.Time) (time.Duration, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.ready) > 0 {
		return 0, true
	}
	if len(s.later) == 0 {
		return time.Minute, false
	}
	d := time.Unix(int64(s.later[0].when), 0).Sub(now)
	return min(d, time.Minute), d <= 0
}

// clamp brings forward what is not due before latest. It leaves the heap in order.
func (s *schedule) clamp(latest time.Time) {
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

// flush makes those due that match (nil: all), and returns how many waited.
func (s *schedule) flush(match func(id string) bool) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	kept, n := s.later[:0], len(s.ready)
	for _, e := range s.later {
		if match == nil || match(string(e.id[:])) {
			s.ready = append(s.ready, e)
		} else {
			kept = append(kept, e)
		}
	}
	n = len(s.ready) - n
	s.later = kept
	if match == nil {
		s.flushed = time.Now()
	}
	heap.Init(&s.later)
	s.notify()
	return n
}

// flushedSince says whether all were made due after t: then a message that was being tried at t is due as well.
func (s *schedule) flushedSince(t time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.flushed.After(t)
}

// byTime is a heap.
type byTime []entry

func (h byTime) Len() int           { return len(h) }
func (h byTime) Less(i, j int) bool { return h[i].when < h[j].when }
func (h byTime) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *byTime) Push(x any)        { *h = append(*h, x.(entry)) }
func (h *byTime) Pop() any {
	old := *h
	e := old[len(old)-1]
	*h = old[:len(old)-1]
	return e
}
