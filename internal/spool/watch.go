package spool

import (
	"errors"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"

	"postrider/internal/logline"
)

// watcher turns the kernel's events on one directory into names; "" asks for a scan.
type watcher struct {
	names chan string
	fs    *fsnotify.Watcher
	stop  chan struct{}
}

// newWatcher begins to watch. Without inotify (its limits reached, a filesystem without it) the watcher stays silent and the
// caller's timer does the work.
func newWatcher(dir string, log *logline.Logger) *watcher {
	w := &watcher{names: make(chan string, 256), stop: make(chan struct{})}
	fs, err := fsnotify.NewWatcher()
	if err == nil {
		if err = fs.Add(dir); err != nil {
			fs.Close()
		}
	}
	if err != nil {
		log.Warn("watch %s: %v; looking there each second instead", dir, err)
		return w
	}
	w.fs = fs
	go w.run()
	return w
}

// every is how often the caller scans.
func (w *watcher) every(hinted time.Duration) time.Duration {
	if w.fs == nil {
		return time.Second
	}
	return hinted
}

func (w *watcher) run() {
	defer close(w.names)
	for {
		name := ""
		select {
		case <-w.stop:
			return
		case e, ok := <-w.fs.Events:
			if !ok {
				return
			}
			if !e.Has(fsnotify.Create) {
				continue
			}
			name = filepath.Base(e.Name)
		case err, ok := <-w.fs.Errors:
			if !ok {
				return
			}
			if !errors.Is(err, fsnotify.ErrEventOverflow) {
				continue
			}
		}
		select {
		case w.names <- name:
		case <-w.stop:
			return
		}
	}
}

func (w *watcher) close() {
	close(w.stop)
	if w.fs != nil {
		w.fs.Close()
	}
}
