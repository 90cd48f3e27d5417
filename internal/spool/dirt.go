package spool

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"postrider/internal/fault"
)

// dirt remembers what was removed from cur/ and makes it durable within a second, so that a power cut repeats at most the
// last second's deliveries. Journals go after that: while the name may come back, its journal says what was done.
type dirt struct {
	c     *Channel
	btrfs bool

	mu       sync.Mutex
	dirs     map[string]bool // subdirectories of cur/
	journals []string        // ids
	due      chan struct{}   // something was added to clean dirt
	quit     chan struct{}
	over     sync.WaitGroup
}

// syncDelay is how long a removal may stay in memory.
const syncDelay = 700 * time.Millisecond

func newDirt(c *Channel) *dirt {
	d := &dirt{c: c, dirs: make(map[string]bool), due: make(chan struct{}, 1), quit: make(chan struct{})}
	var st unix.Statfs_t
	if unix.Fstatfs(c.fd("cur"), &st) == nil {
		d.btrfs = st.Type == unix.BTRFS_SUPER_MAGIC
	}
	d.over.Go(d.run)
	d.over.Go(d.sweep)
	return d
}

func (d *dirt) add(id string, journal bool) {
	d.mu.Lock()
	d.dirs[Hash(id)] = true
	if journal {
		d.journals = append(d.journals, id)
	}
	d.mu.Unlock()
	d.wake()
}

func (d *dirt) wake() {
	select {
	case d.due <- struct{}{}:
	default:
	}
}

func (d *dirt) run() {
	for {
		select {
		case <-d.due:
			select {
			case <-time.After(syncDelay):
			case <-d.quit:
			}
			d.sync()
		case <-d.quit:
			d.sync()
			return
		}
	}
}

// sweep looks for journals without a message from time to time.
func (d *dirt) sweep() {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			d.c.sweepJournals(time.Now())
		case <-d.quit:
			return
		}
	}
}

func (d *dirt) close() {
	close(d.quit)
	d.over.Wait()
}

// sync makes the removals durable, and then removes the journals. What cannot be synced now is tried again, with all
// journals kept: removing them is never urgent.
func (d *dirt) sync() {
	d.mu.Lock()
	dirs, journals := d.dirs, d.journals
	d.dirs, d.journals = make(map[string]bool), nil
	d.mu.Unlock()
	if len(dirs) == 0 {
		return
	}
	failed, err := d.syncDirs(dirs)
	if err != nil {
		d.c.opt.Log.Error("%s: fsync of cur/ after removals: %v; messages delivered now may come again after a power cut", d.c.root, err)
		if !errors.Is(err, unix.EIO) { // which is not asked twice; orphan journals are swept later
			d.again(failed, journals)
		}
		return
	}
	fault.Point("done.synced")
	for _, id := range journals {
		if d.c.claim(id) { // not if the id is back already
			unix.Unlinkat(d.c.fd("log"), Hash(id)+"/"+id, 0)
			d.c.unclaim(id)
		}
	}
}

func (d *dirt) again(dirs []string, journals []string) {
	d.mu.Lock()
	for _, name := range dirs {
		d.dirs[name] = true
	}
	d.journals = append(d.journals, journals...)
	d.mu.Unlock()
	d.wake()
}

// syncDirs returns the directories that were not synced and the last reason.
func (d *dirt) syncDirs(dirs map[string]bool) (failed []string, err error) {
	if d.btrfs { // there an fsync of a directory does not bring its removals along
		if err := unix.Syncfs(d.c.fd("cur")); err != nil {
			return slices.Collect(maps.Keys(dirs)), err
		}
		return nil, nil
	}
	for name := range dirs {
		if e := syncDir(filepath.Join(d.c.dirs["cur"].Name(), name)); e != nil {
			failed, err = append(failed, name), e
		}
	}
	return failed, err
}

func syncDir(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}
