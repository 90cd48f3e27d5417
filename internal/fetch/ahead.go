package fetch

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"

	"postrider/internal/imap"
)

// How many messages are read ahead, by what of each is in memory until it is written.
const (
	aheadTexts   = 16  // the text; all together have a room
	aheadRecords = 64  // what a cache keeps of a message
	aheadSizes   = 256 // numbers
)

// Lookahead is how many messages Ahead takes at most, for such items; 0 where there is nothing to read ahead.
func (f *Fetcher) Lookahead(items []imap.FetchItem) int {
	switch n := f.need(items); {
	case n.texts():
		return aheadTexts
	case n.file():
		return 0
	case n.record():
		return aheadRecords
	case n.info():
		return aheadSizes
	}
	return 0
}

// ahead is messages that helpers read while those before them are answered.
type ahead struct {
	messages []ready
	next     atomic.Int32 // that is to be read
	taken    int          // how many are answered
	wait     func()       // for the helpers to end
}

// ready is what was read of a message before it is answered.
type ready struct {
	once sync.Once   // reads it, or leaves it to the answer
	done atomic.Bool // it was read
	answer
	err error
}

// Ahead lets helpers read what is needed of the messages that are answered next, in that order, for the same items, as far as
// others leave processors. It is a matter of speed only; errors show when the message is answered. No more than Lookahead
// messages are taken.
func (f *Fetcher) Ahead(ctx context.Context, sources []Source, items []imap.FetchItem) {
	f.drop()
	need := f.need(items)
	room := f.roomFor(&need)
	a := new(ahead)
	for _, s := range sources[:min(len(sources), f.Lookahead(items))] {
		if !f.spares(s, &need) {
			a.messages = append(a.messages, ready{answer: answer{source: s, need: need, room: room}})
		}
	}
	if len(a.messages) < 2 {
		return
	}
	f.ahead = a
	a.wait = f.Crew.Begin(min(runtime.GOMAXPROCS(0), len(a.messages)/2)-1, func() {
		for a.read(ctx) {
		}
	})
}

// read reads the next message that nobody has begun to read; it is false if there is none.
func (a *ahead) read(ctx context.Context) bool {
	i := int(a.next.Add(1)) - 1
	if i >= len(a.messages) || ctx.Err() != nil {
		return false
	}
	r := &a.messages[i]
	r.once.Do(func() {
		r.read(ctx)
		r.done.Store(true)
	})
	return true
}

// spares says that there is nothing to read of a message but what the cache has.
func (f *Fetcher) spares(s Source, n *need) bool {
	switch {
	case n.file():
		return false
	case n.record():
		return f.has(s, n)
	}
	return s.Known()
}

// has says that the cache has what is needed of a message.
func (f *Fetcher) has(s Source, n *need) bool {
	if f.Cache == nil {
		return false
	}
	base, size := s.Name()
	_, whole, ok := f.Cache.Find(base, size)
	return ok && (whole || !n.whole(size))
}

func (r *ready) read(ctx context.Context) {
	switch {
	case r.need.texts():
		r.err = r.readText(ctx)
	case r.need.record():
		if r.err = r.build(ctx); r.err == nil && r.record != nil {
			r.record = r.record.Clone()
			r.close()
		}
	default:
		_, _, r.err = r.source.Info(ctx)
	}
}

// readText reads all of the file if there is room for it.
func (r *ready) readText(ctx context.Context) error {
	if err := r.open(ctx); err != nil {
		return err
	}
	text := r.room.take(r.file.size)
	if text == nil {
		r.close()
		return nil
	}
	return r.file.load(text)
}

// take returns what was read ahead of a message, nil if nothing was. While a helper is reading it, those after it are read here.
func (f *Fetcher) take(ctx context.Context, s Source) *ready {
	a := f.ahead
	if a == nil {
		return nil
	}
	for i := a.taken; i < len(a.messages); i++ {
		if r := &a.messages[i]; r.source == s {
			a.taken = i + 1
			for int(a.next.Load()) > i && !r.done.Load() && a.read(ctx) {
			}
			if !r.begun() {
				return nil
			}
			return r
		}
	}
	return nil
}

// begun says that a helper has read the message, after waiting until that has ended; if none has begun, none will.
func (r *ready) begun() bool {
	begun := true
	r.once.Do(func() { begun = false })
	return begun
}

// drop ends reading ahead.
func (f *Fetcher) drop() {
	a := f.ahead
	if a == nil {
		return
	}
	f.ahead = nil
	a.next.Store(int32(len(a.messages)))
	a.wait()
	for i := range a.messages {
		a.messages[i].close()
	}
}
