package table

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"postrider/internal/config"
	"postrider/internal/problem"
	"postrider/internal/usertest"
)

// rig is a table file with a clock that the test turns, and the errors reported.
type rig struct {
	t      *testing.T
	path   string
	ahead  atomic.Int64
	mu     sync.Mutex
	errors []string
}

func newRig(t *testing.T) *rig {
	return &rig{t: t, path: filepath.Join(t.TempDir(), "table")}
}

func (r *rig) options() Options {
	return Options{
		Now: func() time.Time { return time.Now().Add(time.Duration(r.ahead.Load())) },
		Report: func(err error) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.errors = append(r.errors, err.Error())
		},
	}
}

func (r *rig) write(text string) {
	r.t.Helper()
	if err := os.WriteFile(r.path, []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// later lets the interval between two looks pass, and a change settle.
func (r *rig) later() { r.ahead.Add(int64(checkInterval + settleTime)) }

func (r *rig) reported() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.errors...)
}

// words is a table of one word per line, of which "bad" is an error.
func (r *rig) words() *file[map[string]bool] {
	return newFile(r.path, r.options(), func(path, text string) (map[string]bool, problem.List) {
		words, rd := make(map[string]bool), &reading{path: path}
		for n, line := range rd.lines(text, false) {
			if line == "bad" {
				rd.fail(n, "bad word")
				continue
			}
			words[line] = true
		}
		return words, rd.problems
	})
}

func (r *rig) expect(f *file[map[string]bool], word string, has, available bool) {
	r.t.Helper()
	if s := f.get(); s.entries[word] != has || (s.err == nil) != available {
		r.t.Errorf("%s: %v, %v; want %v, available %v", word, s.entries[word], s.err, has, available)
	} else if s.err != nil && !errors.Is(s.err, ErrUnavailable) {
		r.t.Errorf("error %v is not ErrUnavailable", s.err)
	}
}

func TestFileFollowsChanges(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	f := r.words()
	r.expect(f, "a", false, true) // a missing table is empty
	r.write("a\n")
	r.expect(f, "a", false, true) // it is not looked at for every lookup
	r.later()
	r.expect(f, "a", true, true)
	r.write("a\nb\n")
	r.later()
	r.expect(f, "b", true, true)

	if err := os.Remove(r.path); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		r.later()
		r.expect(f, "b", true, true) // vanished: as before
	}
	if got := r.reported(); len(got) != 1 || !strings.Contains(got[0], "no such file") {
		t.Errorf("reported %q, want that the file vanished, once", got)
	}
	r.write("c\n")
	r.later()
	r.expect(f, "b", false, true)
	r.expect(f, "c", true, true)
}

func TestFileKeepsGoodVersion(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.write("a\nb\n")
	f := r.words()
	r.expect(f, "a", true, true)
	r.write("a\nbad\nc\nbad\n")
	for range 3 {
		r.later()
		r.expect(f, "b", true, true)
		r.expect(f, "c", false, true)
	}
	if got, want := r.reported(), r.path+":2: bad word\n"+r.path+":4: bad word"; len(got) != 1 || got[0] != want {
		t.Errorf("reported %q, want once %q", got, want)
	}
	r.write("a\nc\n")
	r.later()
	r.expect(f, "b", false, true)
	r.expect(f, "c", true, true)
	r.write("bad\n")
	r.later()
	r.expect(f, "c", true, true)
	if got := r.reported(); len(got) != 2 {
		t.Errorf("reported %q: a new error is reported again", got)
	}
}

func TestFileNeverRead(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.write("a\nbad\n")
	f := r.words()
	r.expect(f, "a", true, false) // the good lines count, the others may exist
	r.write("a\nb\n")
	r.later()
	r.expect(f, "b", true, true)
}

func TestFileNotRegular(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	if err := os.Mkdir(r.path, 0o700); err != nil {
		t.Fatal(err)
	}
	f := r.words()
	r.expect(f, "a", false, false)
	if problems := f.load(); problems.Err() == nil || !strings.HasSuffix(problems.Error(), ": not a regular file") {
		t.Errorf("load: %v", problems)
	}
	if err := os.Remove(r.path); err != nil {
		t.Fatal(err)
	}
	r.write("a")
	r.later()
	r.expect(f, "a", true, true)
	if got := r.reported(); len(got) != 1 {
		t.Errorf("reported %q, want one error", got)
	}
}

func TestFileUnreadable(t *testing.T) {
	t.Parallel()
	if !usertest.Run(t) {
		return
	}
	r := newRig(t)
	r.write("a")
	if err := os.Chmod(r.path, 0); err != nil {
		t.Fatal(err)
	}
	f := r.words()
	r.expect(f, "a", false, false)
	if err := os.Chmod(r.path, 0o600); err != nil {
		t.Fatal(err)
	}
	r.later()
	r.expect(f, "a", true, true)
}

// A change that is still going on is not used while there is an older version.
func TestFileSettles(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.write("a\nb\n")
	f := r.words()
	r.later()
	r.expect(f, "b", true, true)
	r.ahead.Store(0)
	r.write("a\n")
	info, err := os.Stat(r.path)
	if err != nil {
		t.Fatal(err)
	}
	changed := versionOf(info).ctime
	f.mu.Lock()
	f.refresh(time.Unix(0, changed+int64(settleTime/2)))
	f.mu.Unlock()
	if !f.current.Load().entries["b"] {
		t.Error("a change half the settle time old is used")
	}
	f.mu.Lock()
	f.refresh(time.Unix(0, changed+int64(settleTime)))
	f.mu.Unlock()
	if f.current.Load().entries["b"] {
		t.Error("a settled change is not used")
	}
}

func TestFileConcurrent(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.write("a\n")
	f := r.words()
	f.get() // the first version, before there is a bad one
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 500 {
				r.later()
				if s := f.get(); !s.entries["a"] || s.err != nil {
					t.Error("a is missing")
					return
				}
			}
		})
	}
	next := &rig{t: t, path: r.path + ".new"}
	for _, text := range []string{"a\nb\n", "a\n", "a\nbad\n", "a\nc\n"} {
		next.write(text)
		if err := os.Rename(next.path, r.path); err != nil {
			t.Error(err)
		}
	}
	group.Wait()
}

func TestBounds(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ text, want string }{
		"long line":    {strings.Repeat("x", maxLine+1), "t:1: longer than"},
		"long logical": {"a\n" + strings.Repeat(" "+strings.Repeat("x", 1000)+"\n", maxLine/1000), "t:1: longer than"},
		"control":      {"ok\na\x00b", "t:2: control character"},
		"utf-8":        {"a\xffb", "t:1: invalid UTF-8"},
		"continued":    {"  x\ny\n", "t:1: begins with white space"},
	} {
		r := &reading{path: "t"}
		for range r.lines(c.text, true) {
		}
		if len(r.problems) != 1 || !strings.HasPrefix(r.problems[0].String(), c.want) {
			t.Errorf("%s: %.200v", name, r.problems)
		}
	}
	r := &reading{path: "t", entries: maxEntries - 2}
	n := 0
	for range r.lines("a\nb\nc\nd\n", false) {
		n++
	}
	if n != 3 || len(r.problems) != 1 {
		t.Errorf("%d lines, %v", n, r.problems)
	}
}

// TestInherit: a file that is gone when the configuration is read again does not make its users unknown.
func TestInherit(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "domains")
	if err := os.WriteFile(path, []byte("example.org local\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	cfg := config.Default()
	cfg.Tables.Domains = path
	old := Open(cfg, Options{})
	if kind, err := old.Domains.Lookup("example.org"); kind != LocalDomain || err != nil {
		t.Fatalf("%v, %v", kind, err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	for name, o := range map[string]Options{"reload": {Previous: old}, "start": {}} {
		kind, err := Open(cfg, o).Domains.Lookup("example.org")
		if err != nil || (kind == LocalDomain) != (name == "reload") {
			t.Errorf("%s: %v, %v", name, kind, err)
		}
	}
}
