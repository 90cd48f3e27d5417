package spool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"postrider/internal/envelope"
	"postrider/internal/fault"
	"postrider/internal/logline"
)

// ChannelOptions are what a Channel needs to know of its surroundings.
type ChannelOptions struct {
	AllowRemote bool // work on NFS or FUSE all the same
	Log         *logline.Logger
}

// Channel is one consumer's half of the spool: its queue. It is safe for concurrent use; one process has it at a time.
type Channel struct {
	opt  ChannelOptions
	via  envelope.Via
	root string // of the channel
	lock *os.File
	dirs map[string]*os.File // new, cur, log, hold, bad
	dirt *dirt
	smtp uint32 // smtpd's uid, the owner of stage/

	mu     sync.Mutex
	busy   map[string]bool // ids of open items
	warned map[string]bool // names in new/ that were logged
}

// OpenChannel takes the channel for this process; ErrLocked if another has it.
func OpenChannel(root string, via envelope.Via, o ChannelOptions) (*Channel, error) {
	c := &Channel{opt: o, via: via, root: filepath.Join(root, string(via)), dirs: make(map[string]*os.File, 5),
		busy: make(map[string]bool), warned: make(map[string]bool)}
	if err := c.open(); err != nil {
		c.closeFiles()
		return nil, fmt.Errorf("open channel %s: %w", c.root, err)
	}
	c.dirt = newDirt(c)
	return c, nil
}

func (c *Channel) open() error {
	var err error
	if c.lock, err = os.OpenFile(filepath.Join(c.root, ".lock"), os.O_CREATE|os.O_RDWR|unix.O_NOFOLLOW, 0o600); err != nil {
		return err
	}
	if err := unix.Flock(int(c.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err == unix.EWOULDBLOCK {
		return ErrLocked
	} else if err != nil {
		return fmt.Errorf("flock: %w", err)
	}
	if err := c.checkFilesystem(); err != nil {
		return err
	}
	var stage unix.Stat_t
	if err := unix.Stat(filepath.Join(filepath.Dir(c.root), "stage"), &stage); err != nil {
		return fmt.Errorf("stat stage: %w", err)
	}
	c.smtp = stage.Uid
	for _, name := range []string{"new", "cur", "log", "hold", "bad"} {
		path := filepath.Join(c.root, name)
		if name != "new" {
			if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
				return err
			}
		}
		if c.dirs[name], err = os.OpenFile(path, unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0); err != nil {
			return err
		}
	}
	return c.makeHashed()
}

// checkFilesystem refuses filesystems whose renames and locks are unproven.
func (c *Channel) checkFilesystem() error {
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(c.lock.Fd()), &st); err != nil {
		return fmt.Errorf("statfs: %w", err)
	}
	switch st.Type {
	case unix.NFS_SUPER_MAGIC, unix.FUSE_SUPER_MAGIC, unix.CIFS_SUPER_MAGIC, unix.SMB2_SUPER_MAGIC:
		if !c.opt.AllowRemote {
			return errors.New("the spool is on a network or FUSE filesystem (allow_remote_spool = true to dare it)")
		}
	}
	return nil
}

// makeHashed makes the 256 subdirectories of cur/ and log/ that are missing.
func (c *Channel) makeHashed() error {
	for _, name := range []string{"cur", "log"} {
		fd := int(c.dirs[name].Fd())
		for i := range 256 {
			if err := unix.Mkdirat(fd, fmt.Sprintf("%02x", i), 0o700); err != nil && err != unix.EEXIST {
				return fmt.Errorf("mkdir %s/%02x: %w", name, i, err)
			}
		}
		if err := c.dirs[name].Sync(); err != nil {
			return fmt.Errorf("fsync %s: %w", name, err)
		}
	}
	return nil
}

// Close makes removals durable and gives the channel back.
func (c *Channel) Close() error {
	c.dirt.close()
	c.closeFiles()
	return nil
}

func (c *Channel) closeFiles() {
	for _, d := range c.dirs {
		d.Close()
	}
	if c.lock != nil {
		c.lock.Close()
	}
}

func (c *Channel) fd(dir string) int { return int(c.dirs[dir].Fd()) }

// curPath is a name's path below cur/.
func curPath(n Name) string { return Hash(n.ID) + "/" + n.String() }

// Item is a message that this process works on. Close gives it back; so do Done, Defer, Hold and Bad.
type Item struct {
	Name     Name
	Envelope *envelope.Envelope
	Again    bool  // an earlier delivery may have happened
	Size     int64 // octets of the message
	CRC      uint32

	c       *Channel
	f       *os.File
	offset  int64
	journal journal
	closed  bool
}

// File is the queue file and where in it the message lies.
func (i *Item) File() (f *os.File, offset, size int64) { return i.f, i.offset, i.Size }

// Body reads the message from its start.
func (i *Item) Body() io.Reader { return io.NewSectionReader(i.f, i.offset, i.Size) }

// Close gives the item back. It stays in the queue as it is.
func (i *Item) Close() error {
	if i.closed {
		return nil
	}
	i.closed = true
	i.c.mu.Lock()
	delete(i.c.busy, i.Name.ID)
	i.c.mu.Unlock()
	return i.f.Close()
}

// claim marks an id as being worked on.
func (c *Channel) claim(id string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.busy[id] {
		return false
	}
	c.busy[id] = true
	return true
}

func (c *Channel) unclaim(id string) {
	c.mu.Lock()
	delete(c.busy, id)
	c.mu.Unlock()
}

// Pickup moves a name from new/ to cur/, due now, after checking that it is a queue file of ours. dest gives its routing key.
// ErrSkip: not a queue file (logged once); ErrHeld: its envelope asked for it; ErrBusy: that id is being delivered, try
// again later; fs.ErrNotExist: somebody removed it.
func (c *Channel) Pickup(name string, dest func(*envelope.Envelope) string) (*Item, error) {
	id, fresh, ok := parseNew(name)
	if !ok {
		return nil, c.skip(name, "not a name of ours")
	}
	if !c.claim(id) {
		return nil, ErrBusy
	}
	i, err := c.pickup(name, id, fresh, dest)
	if err != nil {
		c.unclaim(id)
		return nil, err
	}
	return i, nil
}

func (c *Channel) pickup(name, id string, fresh bool, dest func(*envelope.Envelope) string) (*Item, error) {
	f, err := c.openNew(name)
	if err != nil {
		return nil, err
	}
	i, err := c.item(f, id)
	if err != nil {
		f.Close()
		if errors.Is(err, errContent) || errors.Is(err, envelope.ErrBlank) {
			c.toBad("new", name, id, err)
			return nil, ErrSkip
		}
		return nil, err
	}
	i.Again = !fresh
	_, moved := ParseName(name)
	if i.Envelope.Hold != "" && !moved {
		f.Close()
		return nil, c.holdNew(name, i, dest)
	}
	i.Name = Name{time.Now().Unix(), id, EscapeDest(dest(i.Envelope))}
	if !fresh {
		c.dropOld(id)
	}
	if err := unix.Renameat2(c.fd("new"), name, c.fd("cur"), curPath(i.Name), unix.RENAME_NOREPLACE); err != nil {
		f.Close()
		return nil, fmt.Errorf("pick up %s: %w", id, err)
	}
	fault.Point("pickup.renamed")
	return i, nil
}

// openNew opens what lies in new/ under that name, if it is a regular file of an owner that may put files there.
func (c *Channel) openNew(name string) (*os.File, error) {
	fd, err := unix.Openat(c.fd("new"), name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	switch err {
	case nil:
	case unix.ENOENT:
		return nil, fmt.Errorf("pick up %s: %w", name, err)
	case unix.ELOOP, unix.EACCES, unix.EPERM, unix.ENXIO:
		return nil, c.skip(name, err.Error())
	default:
		return nil, fmt.Errorf("pick up %s: %w", name, err)
	}
	f := os.NewFile(uintptr(fd), name)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		f.Close()
		return nil, fmt.Errorf("pick up %s: %w", name, err)
	}
	why := ""
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		why = "not a regular file"
	case st.Uid != c.smtp && st.Uid != 0 && st.Uid != uint32(os.Geteuid()):
		why = fmt.Sprintf("owner is uid %d", st.Uid)
	}
	if why != "" {
		f.Close()
		return nil, c.skip(name, why)
	}
	return f, nil
}

// maxWarned bounds the memory for names that were complained of.
const maxWarned = 10_000

func (c *Channel) skip(name, why string) error {
	c.mu.Lock()
	known := c.warned[name] || len(c.warned) >= maxWarned || strings.HasPrefix(name, ".probe.")
	if !known {
		c.warned[name] = true
	}
	c.mu.Unlock()
	if !known {
		c.opt.Log.Warn("%s/new/%.80q: left alone: %s", c.root, name, why)
	}
	return ErrSkip
}

// item reads an open queue file.
func (c *Channel) item(f *os.File, id string) (*Item, error) {
	q, err := verify(f)
	if err != nil {
		return nil, err
	}
	if q.line1.ID != id {
		return nil, fmt.Errorf("%w: line 1 says id=%s", errContent, q.line1.ID)
	}
	if !q.env.Has(c.via) {
		return nil, fmt.Errorf("%w: no recipient for this channel", errContent)
	}
	i := &Item{Envelope: q.env, Size: q.line1.Size, CRC: q.line1.CRC, c: c, f: f, offset: q.line1.Env}
	if err := c.loadJournal(i); err != nil {
		return nil, err
	}
	return i, nil
}

func (c *Channel) holdNew(name string, i *Item, dest func(*envelope.Envelope) string) error {
	to := Name{time.Now().Unix(), i.Envelope.ID, EscapeDest(dest(i.Envelope))}
	if err := unix.Renameat2(c.fd("new"), name, c.fd("hold"), to.String(), unix.RENAME_NOREPLACE); err != nil {
		return fmt.Errorf("hold %s: %w", to.ID, err)
	}
	c.opt.Log.Log(logline.Queue{ID: to.ID, Action: "hold", Text: i.Envelope.Hold})
	return ErrHeld
}

// dropOld removes the entries of an id that comes back: the name that was moved to new/ replaces them.
func (c *Channel) dropOld(id string) {
	for _, dir := range []string{"cur/" + Hash(id), "hold"} {
		names, err := readNames(filepath.Join(c.root, dir))
		if err != nil {
			continue
		}
		for _, s := range names {
			if n, ok := ParseName(s); ok && n.ID == id {
				os.Remove(filepath.Join(c.root, dir, s))
			}
		}
	}
}

func readNames(dir string) ([]string, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return d.Readdirnames(-1)
}

// toBad keeps a file that failed its checks, its journal too.
func (c *Channel) toBad(dir, name, id string, why error) {
	to := filepath.Base(name)
	if err := unix.Renameat2(c.fd(dir), name, c.fd("bad"), to, unix.RENAME_NOREPLACE); err != nil {
		c.opt.Log.Error("%s: damaged queue file %s/%s cannot be moved to bad/: %v", id, dir, name, err)
		return
	}
	unix.Renameat2(c.fd("log"), Hash(id)+"/"+id, c.fd("bad"), id+".log", unix.RENAME_NOREPLACE)
	c.opt.Log.Error("%s: %s/bad/%s: kept, not delivered: %v", id, c.root, to, why)
}

// Scan calls fn with every name in cur/, in no order. It is meant for a start: files are not opened.
func (c *Channel) Scan(fn func(Name) error) error {
	for i := range 256 {
		if err := eachName(filepath.Join(c.root, "cur", fmt.Sprintf("%02x", i)), func(s string) error {
			n, ok := ParseName(s)
			if !ok {
				c.opt.Log.Warn("%s/cur/%02x/%.80q: not a name of ours, left alone", c.root, i, s)
				return nil
			}
			return fn(n)
		}); err != nil {
			return fmt.Errorf("scan queue: %w", err)
		}
	}
	return nil
}

// eachName calls fn with the names of a directory, a thousand read at a time.
func eachName(dir string, fn func(string) error) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	for {
		names, err := d.Readdirnames(1000)
		for _, s := range names {
			if err := fn(s); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// Open opens a message of cur/ for another attempt. fs.ErrNotExist: the administrator removed or moved it; ErrBusy; ErrSkip: it
// was damaged and is in bad/ now.
func (c *Channel) Open(n Name) (*Item, error) {
	if !c.claim(n.ID) {
		return nil, ErrBusy
	}
	i, err := c.openCur(n)
	if err != nil {
		c.unclaim(n.ID)
		return nil, err
	}
	return i, nil
}

func (c *Channel) openCur(n Name) (*Item, error) {
	fd, err := unix.Openat(c.fd("cur"), curPath(n), unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", n.ID, err)
	}
	f := os.NewFile(uintptr(fd), n.String())
	i, err := c.item(f, n.ID)
	if err != nil {
		f.Close()
		if errors.Is(err, errContent) || errors.Is(err, envelope.ErrBlank) {
			c.toBad("cur", curPath(n), n.ID, err)
			return nil, ErrSkip
		}
		return nil, err
	}
	i.Name, i.Again = n, true
	return i, nil
}

// Done removes a message from the queue; its directory is synced, and its journal removed, within a second.
func (c *Channel) Done(i *Item) error {
	defer i.Close()
	err := unix.Unlinkat(c.fd("cur"), curPath(i.Name), 0)
	if err != nil && err != unix.ENOENT {
		return fmt.Errorf("remove %s: %w", i.Name.ID, err)
	}
	fault.Point("done.unlinked")
	c.dirt.add(i.Name.ID, i.journal.exists)
	return nil
}

// Defer gives a message its next attempt.
func (c *Channel) Defer(i *Item, due time.Time) error {
	defer i.Close()
	to := Name{due.Unix(), i.Name.ID, i.Name.Dest}
	if to == i.Name {
		return nil
	}
	if err := unix.Renameat2(c.fd("cur"), curPath(i.Name), c.fd("cur"), curPath(to), unix.RENAME_NOREPLACE); err != nil {
		return fmt.Errorf("defer %s: %w", to.ID, err)
	}
	i.Name = to
	return nil
}

// Hold keeps a message until somebody moves it back to new/.
func (c *Channel) Hold(i *Item) error {
	defer i.Close()
	if err := unix.Renameat2(c.fd("cur"), curPath(i.Name), c.fd("hold"), i.Name.String(), unix.RENAME_NOREPLACE); err != nil {
		return fmt.Errorf("hold %s: %w", i.Name.ID, err)
	}
	return nil
}

// Bad keeps a message that cannot be delivered for a reason that lies in its file.
func (c *Channel) Bad(i *Item, why error) error {
	defer i.Close()
	c.toBad("cur", curPath(i.Name), i.Name.ID, why)
	return nil
}

// rescanEvery is how long a message in new/ waits when no hint of it came.
const rescanEvery = 30 * time.Second

// Watch calls found with names that appear in new/, those already there first, until ctx ends. Hints of the kernel only make it
// quick: what they miss is found by the next scan. A name may be reported more than once.
func (c *Channel) Watch(ctx context.Context, found func(name string)) error {
	w := newWatcher(c.dirs["new"].Name(), c.opt.Log)
	defer func() { w.close() }()
	tick := time.NewTicker(w.every(rescanEvery))
	defer tick.Stop()
	scan := func() {
		if err := eachName(c.dirs["new"].Name(), func(s string) error { found(s); return ctx.Err() }); err != nil && ctx.Err() == nil {
			c.opt.Log.Error("scan %s: %v", c.dirs["new"].Name(), err)
		}
	}
	scan()
	for {
		select {
		case <-ctx.Done():
			return nil
		case name, ok := <-w.names:
			if !ok {
				w.close()
				w = newWatcher(c.dirs["new"].Name(), c.opt.Log)
				tick.Reset(w.every(rescanEvery))
				scan()
			} else if name == "" {
				scan()
			} else {
				found(name)
			}
		case <-tick.C:
			scan()
		}
	}
}
