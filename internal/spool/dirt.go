package spool

import (
	"os"
	"path/filepath"
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
	over     chan struct{}
}

// syncDelay is how long a removal may stay in memory.
const syncDelay = 700 * time.Millisecond

func newDirt(c *Channel) *dirt {
	d := &dirt{c: c, dirs: make(map[string]bool), due: make(chan struct{}, 1), quit: make(chan struct{}), over: make(chan struct{})}
	var st unix.Statfs_t
	if unix.Fstatfs(c.fd("cur"), &st) == nil {
		d.btrfs = st.Type == unix.BTRFS_SUPER_MAGIC
	}
	go d.run()
	return d
}

func (d *dirt) add(id string, journal bool) {
	d.mu.Lock()
	d.dirs[Hash(id)] = true
	if journal {
		d.journals = append(d.journals, id)
	}
	d.mu.Unlock()
	select {
	case d.due <- struct{}{}:
	default:
	}
}

func (d *dirt) run() {
	defer close(d.over)
	sweep := time.NewTicker(sweepEvery)
	defer sweep.Stop()
	for {
		select {
		case <-d.due:
			select {
			case <-time.After(syncDelay):
			case <-d.quit:
			}
			d.sync()
		case <-sweep.C:
			d.c.sweepJournals(time.Now())
		case <-d.quit:
			d.sync()
			return
		}
	}
}

func (d *dirt) close() {
	close(d.quit)
	<-d.over
}

// sync makes the removals durable. A directory that cannot be synced keeps the journals: removing them is never urgent.
func (d *dirt) sync() {
	d.mu.Lock()
	dirs, journals := d.dirs, d.journals
	d.dirs, d.journals = make(map[string]bool), nil
	d.mu.Unlock()
	if len(dirs) == 0 {
		return
	}
	if err := d.syncDirs(dirs); err != nil {
		d.c.opt.Log.Error("%s: fsync of cur/ after removals: %v; messages delivered now may come again after a power cut", d.c.root, err)
		return // orphan journals are swept later
	}
	fault.Point("done.synced")
	for _, id := range journals {
		if d.c.claim(id) { // not if the id is back already
			unix.Unlinkat(d.c.fd("log"), Hash(id)+"/"+id, 0)
			d.c.unclaim(id)
		}
	}
}

func (d *dirt) syncDirs(dirs map[string]bool) error {
	if d.btrfs { // there an fsync of a directory does not bring its removals along
		return unix.Syncfs(d.c.fd("cur"))
	}
	for name := range dirs {
		f, err := os.Open(filepath.Join(d.c.dirs["cur"].Name(), name))
		if err != nil {
			return err
		}
		err = f.Sync()
		f.Close()
		if err != nil {
			return err
		}
	}
	return nil
}
