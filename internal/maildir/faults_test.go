package maildir

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

// badDisk fails calls by a plan, and remembers what was durable when.
type badDisk struct {
	osDisk
	fail func(call string) error

	mu      sync.Mutex
	calls   int
	synced  map[string]int // by name in tmp/: how often its file was synced
	failed  map[string]int // by name in tmp/: how often that failed
	renamed []string
	errs    int
}

// uniqueOf is a name in tmp/ without what tells its writers apart; other names stay as they are.
func uniqueOf(name string) string {
	if strings.Contains(name, ",") {
		return name
	}
	return name[:strings.LastIndexByte(name, '.')]
}

func (d *badDisk) plan(call string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.calls++
	err := d.fail(call)
	if err != nil {
		d.errs++
	}
	return err
}

func (d *badDisk) create(dir int, name string) (*os.File, error) {
	if err := d.plan("create"); err != nil {
		return nil, err
	}
	return d.osDisk.create(dir, name)
}

func (d *badDisk) write(f *os.File, p []byte) error {
	if err := d.plan("write"); err != nil {
		d.osDisk.write(f, p[:len(p)/2])
		return err
	}
	return d.osDisk.write(f, p)
}

func (d *badDisk) sync(f *os.File) error {
	err := d.plan("sync")
	d.mu.Lock()
	defer d.mu.Unlock()
	if err != nil {
		d.failed[uniqueOf(f.Name())]++
		return err
	}
	d.synced[uniqueOf(f.Name())]++
	return nil
}

func (d *badDisk) rename(from int, old string, to int, name string) error {
	if err := d.plan("rename"); err != nil {
		return err
	}
	d.renamed = append(d.renamed, uniqueOf(old))
	return d.osDisk.rename(from, old, to, name)
}

func (d *badDisk) syncDir(fd int) error { return d.plan("syncDir") }

// TestErrors fails single calls of a batch: whatever happens, a message is either in new/ whole or not there, and never
// both answered as failed for good and left in tmp/.
func TestErrors(t *testing.T) {
	t.Parallel()
	for _, errno := range []error{unix.ENOSPC, unix.EDQUOT, unix.EIO} {
		for _, call := range []string{"create", "write", "sync", "rename", "syncDir"} {
			t.Run(fmt.Sprint(call, errno), func(t *testing.T) {
				t.Parallel()
				home := t.TempDir()
				if _, err := deliver(t, home, "1.first.host", "x\r\n", false); err != nil {
					t.Fatal(err)
				}
				once := false
				d := newBadDisk(func(c string) error {
					if c == call && !once {
						once = true
						return errno
					}
					return nil
				})
				ok, failed := runBatch(t, d, home, 5, false)
				wantFailed := 1
				if call == "syncDir" {
					wantFailed = 5
				}
				if failed != wantFailed || ok != 5-wantFailed {
					t.Errorf("%d delivered, %d failed, want %d failed", ok, failed, wantFailed)
				}
			})
		}
	}
}

func newBadDisk(fail func(string) error) *badDisk {
	return &badDisk{fail: fail, synced: make(map[string]int), failed: make(map[string]int)}
}

// runBatch delivers n messages and checks what holds under all failures.
func runBatch(t interface {
	Fatalf(string, ...any)
}, d *badDisk, home string, n int, again bool) (ok, failed int) {
	b := NewBatch()
	b.disk = d
	defer b.Close()
	place := Place{home, filepath.Join(home, "Maildir")}
	texts := make(map[string]string)
	var msgs []*Message
	for i := range n {
		name := fmt.Sprintf("2.id%d.host", i)
		texts[name] = strings.Repeat("line\r\n", 1+i*7000)
		m, err := b.Create(place, name, again)
		if err != nil {
			failed++
			continue
		}
		m.Write([]byte(texts[name]))
		m.Close()
		msgs = append(msgs, m)
	}
	b.Commit()
	for _, m := range msgs {
		if m.Err() != nil {
			failed++
			continue
		}
		ok++
		got, err := os.ReadFile(filepath.Join(place.Path, "new", m.Name()))
		if err != nil {
			t.Fatalf("delivered, but: %v", err)
		}
		if string(got) != strings.ReplaceAll(texts[m.unique], "\r\n", "\n") {
			t.Fatalf("%s: wrong bytes", m.Name())
		}
	}
	for _, name := range d.renamed {
		if d.synced[name] != 1 {
			t.Fatalf("%s got its name after %d fsyncs", name, d.synced[name])
		}
	}
	for name, n := range d.failed {
		if n > 1 || d.synced[name] > 0 {
			t.Fatalf("%s: fsync tried again after it failed", name)
		}
	}
	if left, err := os.ReadDir(filepath.Join(place.Path, "tmp")); err != nil || len(left) > 0 {
		t.Fatalf("left in tmp: %v %v", left, err)
	}
	return ok, failed
}

// TestBatches fails calls at random and then delivers the same again on a good disk: everything is there once.
func TestBatches(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		home, err := os.MkdirTemp("", "pr")
		if err != nil {
			r.Fatal(err)
		}
		defer os.RemoveAll(home)
		if err := os.MkdirAll(filepath.Join(home, "Maildir/tmp"), 0o700); err != nil {
			r.Fatal(err)
		}
		bad := rapid.SliceOfNDistinct(rapid.IntRange(0, 40), 0, 6, rapid.ID).Draw(r, "bad calls")
		n := rapid.IntRange(1, 8).Draw(r, "messages")
		calls := 0
		d := newBadDisk(func(string) error {
			calls++
			for _, k := range bad {
				if k == calls {
					return errors.New("injected")
				}
			}
			return nil
		})
		ok, failed := runBatch(r, d, home, n, rapid.Bool().Draw(r, "again"))
		if ok+failed != n || d.errs == 0 && failed > 0 {
			r.Fatalf("%d delivered, %d failed of %d", ok, failed, n)
		}
		if ok, _ := runBatch(r, newBadDisk(func(string) error { return nil }), home, n, true); ok != n {
			r.Fatalf("second run: %d of %d", ok, n)
		}
		if got, _ := os.ReadDir(filepath.Join(home, "Maildir/new")); len(got) != n {
			r.Fatalf("%d files for %d messages", len(got), n)
		}
	})
}
