package mailstore

import (
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fsnotify/fsnotify"
)

// How often a session looks without being told: watched, since notifications are hints only; and not watched, when the
// kernel gave no watch or other hosts write. lookAgain is when a directory that just changed has been at rest.
const (
	pollWatched   = time.Minute
	pollUnwatched = 5 * time.Second
	lookAgain     = youngAge + 100*time.Millisecond
	watchTick     = time.Second
)

// Watcher tells sessions that their folder may have changed. One serves a whole process: the kernel allows few per user.
type Watcher struct {
	notify *fsnotify.Watcher // nil = there is none: all poll
	done   chan struct{}
	wait   sync.WaitGroup

	mu    sync.Mutex
	hints map[string]map[*hints]struct{} // by directory
}

// hints is one session's subscription.
type hints struct {
	wake    func()
	watcher *Watcher
	dirs    []string
	watched bool
	due     time.Time   // of the next hint that needs no event
	dirty   atomic.Bool // there was a hint since changed was asked
}

// NewWatcher begins to watch. Where the kernel gives no notifications it polls.
func NewWatcher() *Watcher {
	w := &Watcher{done: make(chan struct{}), hints: make(map[string]map[*hints]struct{})}
	if n, err := fsnotify.NewWatcher(); err == nil {
		w.notify = n
	}
	w.wait.Go(w.run)
	return w
}

// Close ends it; its subscriptions get no more hints.
func (w *Watcher) Close() {
	close(w.done)
	w.wait.Wait()
	if w.notify != nil {
		w.notify.Close()
	}
}

// Watch has wake called, from another goroutine and without ever waiting, when Hinted says something new; once is enough, in a
// store without a Watcher too. The caller Syncs once afterwards: what changed before is not told.
func (b *Mailbox) Watch(wake func()) {
	if w := b.folder.store.opts.Watcher; w != nil && b.hints == nil {
		b.hints = w.subscribe(wake, !b.folder.store.opts.Remote, b.folder.path("new"), b.folder.path("cur"))
	}
}

// Hinted says whether it is time for a Sync: whether there was a hint since it was last asked.
func (b *Mailbox) Hinted() bool { return b.hints != nil && b.hints.changed() }

// subscribe watches dirs. trusted says that the kernel hears of all that changes there.
func (w *Watcher) subscribe(wake func(), trusted bool, dirs ...string) *hints {
	h := &hints{wake: wake, watcher: w, dirs: dirs, watched: trusted && w.notify != nil}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, dir := range dirs {
		if w.hints[dir] == nil {
			w.hints[dir] = make(map[*hints]struct{})
		}
		w.hints[dir][h] = struct{}{}
		if w.notify != nil && w.notify.Add(dir) != nil { // adding one twice is nothing
			h.watched = false
		}
	}
	h.due = time.Now().Add(h.poll())
	return h
}

// close ends the subscription.
func (h *hints) close() {
	w := h.watcher
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, dir := range h.dirs {
		delete(w.hints[dir], h)
		if len(w.hints[dir]) == 0 {
			delete(w.hints, dir)
			if w.notify != nil {
				w.notify.Remove(dir) // it may be gone with its directory
			}
		}
	}
}

// changed says whether there was a hint since it was last asked.
func (h *hints) changed() bool { return h.dirty.Swap(false) }

func (h *hints) poll() time.Duration {
	if h.watched {
		return pollWatched
	}
	return pollUnwatched
}

// send gives a hint. One stands for all that came before it is taken.
func (h *hints) send() {
	h.dirty.Store(true)
	h.wake()
}

func (w *Watcher) run() {
	var events chan fsnotify.Event
	var errs chan error
	if w.notify != nil {
		events, errs = w.notify.Events, w.notify.Errors
	}
	tick := time.NewTicker(watchTick)
	defer tick.Stop()
	for {
		select {
		case <-w.done:
			return
		case e, ok := <-events:
			if !ok {
				events = nil
				continue
			}
			if e.Op&(fsnotify.Create|fsnotify.Rename|fsnotify.Remove) != 0 {
				w.changed(e.Name)
			}
		case _, ok := <-errs: // an overflow: anything may have changed
			if !ok {
				errs = nil
				continue
			}
			w.remind(func(*hints) bool { return true })
		case now := <-tick.C:
			w.remind(func(h *hints) bool { return now.After(h.due) })
		}
	}
}

// changed tells those who watch the directory of a file, or the directory itself.
func (w *Watcher) changed(path string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	again := time.Now().Add(lookAgain)
	for _, dir := range []string{filepath.Dir(path), path} {
		for h := range w.hints[dir] {
			h.due = again
			h.send()
		}
	}
}

func (w *Watcher) remind(which func(*hints) bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	for _, hints := range w.hints {
		for h := range hints {
			if which(h) {
				h.due = now.Add(h.poll())
				h.send()
			}
		}
	}
}
