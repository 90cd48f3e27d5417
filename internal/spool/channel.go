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
	smtp uint32    // smtpd's uid, the owner of stage/
	born time.Time // what is older may have been delivered before

	mu     sync.Mutex
	busy   map[string]bool     // ids of open items
	warned map[string]bool     // names in new/ that were logged
	lost   map[string]*journal // of closed items, where the disk did not take them
	recent recentIDs
}

// OpenChannel takes the channel for this process; ErrLocked if another has it.
func OpenChannel(root string, via envelope.Via, o ChannelOptions) (*Channel, error) {
	c := &Channel{opt: o, via: via, root: filepath.Join(root, string(via)), dirs: make(map[string]*os.File, 5),
		busy: make(map[string]bool), warned: make(map[string]bool), lost: make(map[string]*journal), born: time.Now()}
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

	c      *Channel
	f      *os.File
	offset int64
	closed bool

	mu      sync.Mutex
	journal journal
}

// File is the queue file and where in it the message lies.
func (i *Item) File() (f *os.File, offset, size int64) { return i.f, i.offset, i.Size }

// Body reads the message from its start. If somebody cut the file off meanwhile it ends with io.ErrUnexpectedEOF.
func (i *Item) Body() io.Reader {
	return &wholeReader{io.NewSectionReader(i.f, i.offset, i.Size), i.Size}
}

type wholeReader struct {
	r    io.Reader
	left int64
}

func (w *wholeReader) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	if w.left -= int64(n); err == io.EOF && w.left > 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// Close gives the item back. It stays in the queue as it is.
func (i *Item) Close() error {
	if i.closed {
		return nil
	}
	i.closed = true
	i.c.mu.Lock()
	delete(i.c.busy, i.Name.ID)
	if i.journal.lost {
		i.c.lost[i.Name.ID] = &i.journal
	} else {
		delete(i.c.lost, i.Name.ID)
	}
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
	i, err := c.take(f, name, id, fresh, dest)
	if err != nil {
		f.Close()
		if errors.Is(err, errContent) || errors.Is(err, envelope.ErrBlank) {
			return nil, errors.Join(ErrSkip, c.toBad("new", name, id, err))
		}
		return nil, err
	}
	fault.Point("pickup.renamed")
	return i, nil
}

// take judges an open file of new/ and moves it to cur/ or hold/.
func (c *Channel) take(f *os.File, name, id string, fresh bool, dest func(*envelope.Envelope) string) (*Item, error) {
	i, err := c.item(f, id)
	if err != nil {
		return nil, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return nil, fmt.Errorf("pick up %s: %w", id, err)
	}
	i.Again = !fresh || time.Unix(st.Ctim.Unix()).Before(c.born)
	old, err := c.entriesOf(id, fresh)
	if err != nil {
		return nil, fmt.Errorf("pick up %s: %w", id, err)
	}
	for _, path := range old {
		if !c.sameMessage(path, i, st.Ino) {
			return nil, fmt.Errorf("%w: another message of that id is in %s", errContent, path)
		}
	}
	i.Name = Name{time.Now().Unix(), id, EscapeDest(dest(i.Envelope))}
	if _, moved := ParseName(name); i.Envelope.Hold != "" && !moved {
		return nil, c.holdNew(name, i)
	}
	if err := c.toCur(name, i, st); err != nil {
		return nil, err
	}
	for _, path := range old {
		if filepath.Base(path) != i.Name.String() || filepath.Base(filepath.Dir(path)) == "hold" {
			os.Remove(filepath.Join(c.root, path))
		}
	}
	i.Again = i.Again || len(old) > 0
	return i, nil
}

// toCur moves a name of new/ to cur/ and makes sure that what came there is the file that was judged.
func (c *Channel) toCur(name string, i *Item, judged unix.Stat_t) error {
	to := curPath(i.Name)
	err := unix.Renameat2(c.fd("new"), name, c.fd("cur"), to, unix.RENAME_NOREPLACE)
	if err == unix.EEXIST { // the same second: the same message, as was made sure of
		err = unix.Renameat(c.fd("new"), name, c.fd("cur"), to)
	}
	if err != nil {
		return fmt.Errorf("pick up %s: %w", i.Name.ID, err)
	}
	var st unix.Stat_t
	if err := unix.Fstatat(c.fd("cur"), to, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fmt.Errorf("pick up %s: %w", i.Name.ID, err)
	}
	if st.Ino != judged.Ino || st.Dev != judged.Dev {
		return errors.Join(ErrSkip, c.toBad("cur", to, i.Name.ID, errors.New("changed while it was picked up")))
	}
	return nil
}

// entriesOf lists the entries of an id in cur/ and hold/, as paths below the channel. An id that was made a moment ago can
// only be there if this process put it there a moment ago, so the directories are not read for it.
func (c *Channel) entriesOf(id string, fresh bool) ([]string, error) {
	made, err := IDTime(id)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	known := c.addRecent(id, now)
	if fresh && !known && made.After(c.born) && now.Sub(made) < recentSpan && !made.After(now) {
		return nil, nil
	}
	var found []string
	for _, dir := range []string{"cur/" + Hash(id), "hold"} {
		if err := eachName(filepath.Join(c.root, dir), func(s string) error {
			if n, ok := ParseName(s); ok && n.ID == id {
				found = append(found, dir+"/"+s)
			}
			return nil
		}); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// sameMessage says whether an entry is the file that was picked up, or a copy of it.
func (c *Channel) sameMessage(path string, i *Item, ino uint64) bool {
	f, err := os.OpenFile(filepath.Join(c.root, path), os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return errors.Is(err, fs.ErrNotExist)
	}
	defer f.Close()
	var st unix.Stat_t
	if unix.Fstat(int(f.Fd()), &st) == nil && st.Ino == ino {
		return true
	}
	head := make([]byte, envelope.Line1Size)
	f.ReadAt(head, 0)
	l, err := envelope.ParseLine1(head)
	return err == nil && l == envelope.Line1{ID: i.Envelope.ID, Size: i.Size, Env: i.offset, CRC: i.CRC}
}

// recentSpan is how long picked-up ids are remembered, at least.
const recentSpan = 15 * time.Second

// recentIDs are the ids of the last one or two spans.
type recentIDs struct {
	began     time.Time
	now, then map[string]struct{}
}

// addRecent remembers an id and says whether it was known.
func (c *Channel) addRecent(id string, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := &c.recent
	if r.now == nil || now.Sub(r.began) >= recentSpan || now.Before(r.began) {
		c.recent = recentIDs{began: now, now: make(map[string]struct{}), then: r.now}
	}
	_, a := r.now[id]
	_, b := r.then[id]
	r.now[id] = struct{}{}
	return a || b
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
	known := c.warned[name] || len(c.warned) >= maxWarned || strings.HasPrefix(name, probePrefix)
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

func (c *Channel) holdNew(name string, i *Item) error {
	if err := unix.Renameat2(c.fd("new"), name, c.fd("hold"), i.Name.String(), unix.RENAME_NOREPLACE); err != nil {
		return fmt.Errorf("hold %s: %w", i.Name.ID, err)
	}
	c.opt.Log.Log(logline.Queue{ID: i.Name.ID, Action: "hold", Text: i.Envelope.Hold})
	return ErrHeld
}

// toBad keeps a file that failed its checks. A journal goes along only out of cur/, and only when no other entry could own it.
func (c *Channel) toBad(dir, name, id string, why error) error {
	to, err := c.moveToBad(dir, name)
	if err != nil {
		c.opt.Log.Error("%s: damaged queue file %s/%s cannot be moved to bad/: %v", id, dir, name, err)
		return fmt.Errorf("keep %s in bad/: %w", id, err)
	}
	if dir == "cur" {
		if others, err := c.entriesOf(id, false); err == nil && len(others) == 0 {
			unix.Renameat2(c.fd("log"), Hash(id)+"/"+id, c.fd("bad"), id+".log", unix.RENAME_NOREPLACE)
		}
	}
	c.opt.Log.Error("%s: %s/bad/%s: kept, not delivered: %v", id, c.root, to, why)
	return nil
}

func (c *Channel) moveToBad(dir, name string) (to string, err error) {
	base := filepath.Base(name)
	to = base
	for n := 1; n < 1000; n++ {
		if err = unix.Renameat2(c.fd(dir), name, c.fd("bad"), to, unix.RENAME_NOREPLACE); err != unix.EEXIST {
			return to, err
		}
		to = fmt.Sprintf("%s.%d", base, n)
	}
	return to, err
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
	if err == unix.ELOOP {
		return nil, errors.Join(ErrSkip, c.toBad("cur", curPath(n), n.ID, err))
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", n.ID, err)
	}
	f := os.NewFile(uintptr(fd), n.String())
	i, err := c.itemOfCur(f, n)
	if err != nil {
		f.Close()
		if errors.Is(err, errContent) || errors.Is(err, envelope.ErrBlank) {
			return nil, errors.Join(ErrSkip, c.toBad("cur", curPath(n), n.ID, err))
		}
		return nil, err
	}
	i.Name, i.Again = n, true
	return i, nil
}

func (c *Channel) itemOfCur(f *os.File, n Name) (*Item, error) {
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: not a regular file", errContent)
	}
	return c.item(f, n.ID)
}

// Done removes a message from the queue; its directory is synced, and its journal removed, within a second. If somebody
// moved the file away meanwhile, the journal says that all was done, for when it comes back.
func (c *Channel) Done(i *Item) error {
	defer i.Close()
	err := unix.Unlinkat(c.fd("cur"), curPath(i.Name), 0)
	if err == unix.ENOENT {
		return c.finishMoved(i)
	}
	if err != nil {
		return fmt.Errorf("remove %s: %w", i.Name.ID, err)
	}
	fault.Point("done.unlinked")
	c.dirt.add(i.Name.ID, i.journal.exists)
	return nil
}

func (c *Channel) finishMoved(i *Item) error {
	var st unix.Stat_t
	if unix.Fstat(int(i.f.Fd()), &st) == nil && st.Nlink == 0 { // deleted, not moved: it never comes back
		c.dirt.add(i.Name.ID, i.journal.exists)
		return nil
	}
	sent := Result{Status: Sent}
	for _, r := range i.Pending() {
		sent.Lines = append(sent.Lines, r.Line)
	}
	return c.Record(i, sent)
}

// maxDue is the last second that ten digits hold.
const maxDue = 9_999_999_999

// Defer gives a message its next attempt.
func (c *Channel) Defer(i *Item, due time.Time) error {
	return c.rename(i, Name{min(max(due.Unix(), 0), maxDue), i.Name.ID, i.Name.Dest})
}

// DeferFor gives a message its next attempt, for another destination.
func (c *Channel) DeferFor(i *Item, due time.Time, dest string) error {
	return c.rename(i, Name{min(max(due.Unix(), 0), maxDue), i.Name.ID, EscapeDest(dest)})
}

func (c *Channel) rename(i *Item, to Name) error {
	defer i.Close()
	if to == i.Name {
		return nil
	}
	if err := unix.Renameat2(c.fd("cur"), curPath(i.Name), c.fd("cur"), curPath(to), unix.RENAME_NOREPLACE); err != nil {
		return fmt.Errorf("defer %s: %w", to.ID, err)
	}
	i.Name = to
	return nil
}

// Present says whether the message is still where this process put it: the administrator may have taken it away.
func (i *Item) Present() bool {
	var here, held unix.Stat_t
	return unix.Fstatat(i.c.fd("cur"), curPath(i.Name), &here, unix.AT_SYMLINK_NOFOLLOW) == nil &&
		unix.Fstat(int(i.f.Fd()), &held) == nil && here.Ino == held.Ino && here.Dev == held.Dev
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
	return c.toBad("cur", curPath(i.Name), i.Name.ID, why)
}

// rescanEvery is how long a message in new/ waits when no hint of it came; scanPause is between two scans that hints ask for.
const (
	rescanEvery = 30 * time.Second
	scanPause   = time.Second
)

// Watch calls found with names that appear in new/, those already there first, until ctx ends. Hints of the kernel only make it
// quick: what they miss is found by the next scan. A name may be reported more than once.
func (c *Channel) Watch(ctx context.Context, found func(name string)) error {
	dir := c.dirs["new"].Name()
	w := newWatcher(dir, c.opt.Log)
	defer func() { w.close() }()
	tick := time.NewTimer(0) // when to scan next
	defer tick.Stop()
	var scanned time.Time
	soon := func() { tick.Reset(max(0, scanPause-time.Since(scanned))) }
	for {
		select {
		case <-ctx.Done():
			return nil
		case name, ok := <-w.names:
			switch {
			case !ok:
				w.close()
				w = newWatcher(dir, c.opt.Log)
				soon()
			case name == "":
				soon()
			default:
				found(name)
			}
		case <-tick.C:
			if err := eachName(dir, func(s string) error { found(s); return ctx.Err() }); err != nil && ctx.Err() == nil {
				c.opt.Log.Error("scan %s: %v", dir, err)
			}
			scanned = time.Now()
			tick.Reset(w.every(rescanEvery))
		}
	}
}
