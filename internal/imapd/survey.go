package imapd

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"postrider/internal/imap"
)

// How many messages are taken at once of those that are looked at: enough for a cache to be read in large pieces, and so few that all
// who look have something to do until the end.
const (
	minSurveyed = 16
	maxSurveyed = 128
	shares      = 32
)

// survey looks at n messages for one command: in this goroutine and, if that takes long, in as many more as help is free. From
// begin each gets a function of its own, which is called for some of the numbers from 0 to n-1, and may use the headers that begin
// gets. The first error ends all.
func (s *session) survey(ctx context.Context, tag string, n int, slow bool, begin func(*headers) func(i int) error) error {
	helpers, step := 0, min(max(n/shares, minSurveyed), maxSurveyed)
	if slow {
		s.box.Cache().Refresh()
		helpers = (n - 1) / step
	}
	var next atomic.Int64
	var failure error
	var once sync.Once
	said := time.Now()
	s.o.Crew.Do(helpers, func(helper bool) {
		var h headers
		defer h.done(s.box.Mailbox)
		look := begin(&h)
		defer next.Store(int64(n)) // who ends early ends all; else nothing is left
		for {
			end := int(next.Add(int64(step)))
			err := ctx.Err()
			for i := end - step; i < min(end, n) && err == nil; i++ {
				err = look(i)
			}
			if err == nil && !helper {
				err = s.progress(&said, tag, uint64(min(end, n)), uint64(n))
			}
			if err != nil {
				once.Do(func() { failure = err })
				return
			}
			if end >= n {
				return
			}
		}
	})
	return failure
}

// progress tells a client that waits how much of total is done for it (RFC 9585), and finds out whether it is still there.
func (s *session) progress(said *time.Time, tag string, done, total uint64) error {
	if time.Since(*said) < s.stream.times.silence {
		return nil
	}
	*said = time.Now()
	s.w.Untagged(imap.OK, imap.CodeInProgress(tag, done, total), fmt.Sprintf("Searched %d%% of the mailbox", done*100/total))
	return s.w.Flush()
}
