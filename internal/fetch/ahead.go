package fetch

import (
	"context"
	"runtime"
	"sync/atomic"

	"postrider/internal/imap"
)

// How many messages are read ahead, by what of each is in memory until it is written.
const (
	aheadFiles   = 8   // a buffer
	aheadRecords = 64  // what a cache keeps of a message
	aheadSizes   = 256 // numbers
)

// Lookahead is how many messages Ahead takes at most, for such items; 0 where there is nothing to read ahead.
func (f *Fetcher) Lookahead(items []imap.FetchItem) int {
	switch n := f.need(items); {
	case n.parts || n.tree:
		return 0
	case n.file():
		return aheadFiles
	case n.record():
		return aheadRecords
	case n.info():
		return aheadSizes
	}
	return 0
}

// ready is what was read of a message before it is answered.
type ready struct {
	answer
	err error
}

// Ahead reads what is needed of the messages that are answered next, in that order, for the same items: several at a time, as far as
// others leave processors. It is a matter of speed only; errors show when the message is answered. No more than Lookahead messages
// are taken.
func (f *Fetcher) Ahead(ctx context.Context, sources []Source, items []imap.FetchItem) {
	f.drop()
	need := f.need(items)
	for _, s := range sources[:min(len(sources), f.Lookahead(items))] {
		if need.file() || !need.record() || !f.has(s, &need) {
			f.ahead = append(f.ahead, ready{answer: answer{source: s, need: need}})
		}
	}
	if len(f.ahead) < 2 {
		f.drop()
		return
	}
	var next atomic.Int32
	f.Crew.Do(min(runtime.GOMAXPROCS(0), len(f.ahead)/2)-1, func(bool) {
		for i := next.Add(1) - 1; int(i) < len(f.ahead) && ctx.Err() == nil; i = next.Add(1) - 1 {
			f.ahead[i].read(ctx)
		}
	})
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

// read may be called by a helper.
func (r *ready) read(ctx context.Context) {
	switch {
	case r.need.file():
		if r.err = r.load(ctx); r.err == nil && !r.need.ofRecord() {
			r.err = r.examine()
		}
	case r.need.record():
		if r.err = r.build(ctx); r.err == nil && r.record != nil {
			r.record = r.record.Clone()
			r.close()
		}
	default:
		_, _, r.err = r.source.Info(ctx)
	}
}

// take returns what was read ahead of a message, nil if nothing was. What was read of messages before it is dropped.
func (f *Fetcher) take(s Source) *ready {
	for i := f.taken; i < len(f.ahead); i++ {
		if f.ahead[i].source != s {
			continue
		}
		for ; f.taken < i; f.taken++ {
			f.ahead[f.taken].close()
		}
		f.taken++
		return &f.ahead[i]
	}
	return nil
}

func (f *Fetcher) drop() {
	for i := range f.ahead {
		f.ahead[i].close()
	}
	clear(f.ahead)
	f.ahead, f.taken = f.ahead[:0], 0
}
