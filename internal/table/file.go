// Package table holds the plain text tables of the suite: aliases, users, domains, virtual addresses, and the system's
// passwd. Nothing is compiled: a file is read again when it has changed. What a lookup sees is one whole version of a
// file; a version with an error in it is reported and not used while there is an older one.
//
// The files belong to the administrator, who is trusted but makes mistakes; every parser is bounded, and none opens
// what a line names.
package table

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"postrider/internal/problem"
)

// checkInterval is the time between two looks at a file; settleTime is how long a change must have rested, because
// editors and scripts write in place, and half a table would refuse mail for the users in its other half.
const (
	checkInterval = 100 * time.Millisecond
	settleTime    = 100 * time.Millisecond
)

// ErrUnavailable is wrapped by the error of a lookup that cannot tell: the table has never been read whole. What it
// does not have may exist, so the answer to a client is temporary.
var ErrUnavailable = errors.New("table unavailable")

// version identifies the contents of a file without reading them.
type version struct {
	dev, inode   uint64
	size         int64
	mtime, ctime int64 // nanoseconds
}

func versionOf(info fs.FileInfo) version {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return version{size: info.Size(), mtime: info.ModTime().UnixNano()}
	}
	return version{uint64(st.Dev), st.Ino, st.Size, st.Mtim.Nano(), st.Ctim.Nano()}
}

// snapshot is one parsed version of a file; immutable.
type snapshot[T any] struct {
	entries T
	err     error // why entries may lack something; nil once a version was read whole
}

// parser reads a table. It returns what it could make sense of even if it reports errors.
type parser[T any] func(path, text string) (T, problem.List)

// file is a table that follows its file. Lookups share snapshots without a lock; at most one of them at a time looks
// whether the file has changed.
type file[T any] struct {
	path   string
	parse  parser[T]
	now    func() time.Time
	report func(error) // told of each new error once; may be called from several goroutines

	current atomic.Pointer[snapshot[T]]
	start   time.Time
	due     atomic.Int64 // time of the next look, since start: a clock set back must not put it off

	mu     sync.Mutex // guards what follows
	seen   version    // of the last attempt to read; zero = read again
	absent bool       // there has been no file so far
	said   string     // the last error reported
}

func newFile[T any](path string, o Options, parse parser[T]) *file[T] {
	f := &file[T]{path: path, parse: parse, now: o.Now, report: o.Report}
	if f.now == nil {
		f.now = time.Now
	}
	if f.report == nil {
		f.report = func(error) {}
	}
	f.start = f.now()
	return f
}

// get returns the newest good version. Its error is about keys that the version does not have.
func (f *file[T]) get() *snapshot[T] {
	now := f.now()
	s := f.current.Load()
	if s != nil && int64(now.Sub(f.start)) < f.due.Load() {
		return s
	}
	if s == nil {
		f.mu.Lock() // the first lookup: all wait
	} else if !f.mu.TryLock() {
		return s
	}
	defer f.mu.Unlock()
	if s = f.current.Load(); s != nil && int64(now.Sub(f.start)) < f.due.Load() {
		return s
	}
	f.refresh(now)
	f.due.Store(int64(now.Add(checkInterval).Sub(f.start)))
	return f.current.Load()
}

// refresh reads the file if it has changed. The caller holds mu.
func (f *file[T]) refresh(now time.Time) {
	old := f.current.Load()
	info, err := os.Stat(f.path)
	if err != nil {
		f.failed(old, err)
		return
	}
	v := versionOf(info)
	settled := isSettled(v, now)
	if old != nil && (v == f.seen || !settled) {
		return
	}
	if !settled { // and there is nothing older to go on with
		v = f.settle(v)
	}
	f.seen = v
	text, err := read(f.path)
	if err != nil {
		f.failed(old, err)
		return
	}
	f.absent = false
	entries, problems := f.parse(f.path, text)
	err = problems.Err()
	if err == nil || old == nil || old.err != nil {
		f.current.Store(&snapshot[T]{entries, unavailable(f.path, err)})
	}
	f.say(err)
}

// settle waits until a file that was changed a moment ago rests, for a second at most, and returns the version then.
func (f *file[T]) settle(v version) version {
	for range int(time.Second / settleTime) {
		time.Sleep(settleTime)
		info, err := os.Stat(f.path)
		if err != nil || versionOf(info) == v {
			return v
		}
		v = versionOf(info)
	}
	return version{} // still being written: read what there is, and again
}

func isSettled(v version, now time.Time) bool {
	age := now.Sub(time.Unix(0, v.ctime))
	return age < 0 || age >= settleTime // a change in the future: the clock was set back
}

// inherit takes over what the same table was before the configuration was read again: a file that is missing or half written
// at this moment must not make its users unknown. It is read again at the first lookup.
func (f *file[T]) inherit(o *file[T]) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if s := o.current.Load(); f.path == o.path && s != nil && s.err == nil {
		f.current.Store(s)
		f.absent = o.absent
		f.say(f.load().Err()) // now, not at some lookup: somebody is watching
	}
}

// failed handles a file that cannot be read. One that is missing from the start is an empty table; one that was there keeps
// its last contents, as between the two renames of an editor.
func (f *file[T]) failed(old *snapshot[T], err error) {
	f.seen = version{}
	missing := errors.Is(err, fs.ErrNotExist)
	if old == nil {
		f.absent = missing
	}
	if missing && f.absent {
		err = nil
	}
	if old == nil {
		empty, _ := f.parse(f.path, "")
		f.current.Store(&snapshot[T]{empty, unavailable(f.path, err)})
	}
	f.say(err)
}

func unavailable(path string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %s", ErrUnavailable, path)
}

// load reads the file now, as a check does, and returns everything that is wrong with it.
func (f *file[T]) load() problem.List {
	text, err := read(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return problem.List{{File: f.path, Text: cause(err)}}
	}
	_, problems := f.parse(f.path, text)
	return problems
}

// cause drops the path from an error that is reported with its file in front.
func cause(err error) string {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err.Error()
	}
	return err.Error()
}

// say reports an error that was not the last one reported.
func (f *file[T]) say(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text != "" && text != f.said {
		f.report(err)
	}
	f.said = text
}

// read returns the text of a regular file.
func read(path string) (string, error) {
	h, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // nonblocking: a FIFO must not hold up mail
	if err != nil {
		return "", err
	}
	defer h.Close()
	info, err := h.Stat()
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "", &fs.PathError{Op: "read", Path: path, Err: errors.New("not a regular file")}
	}
	data, err := io.ReadAll(io.LimitReader(h, maxFile+1))
	if err != nil {
		return "", err
	}
	if len(data) > maxFile {
		return "", &fs.PathError{Op: "read", Path: path, Err: fmt.Errorf("larger than %d MiB", maxFile>>20)}
	}
	return string(data), nil
}
