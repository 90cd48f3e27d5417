package spool

import (
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"postrider/internal/envelope"
	"postrider/internal/fault"
	"postrider/internal/logline"
)

// Marks of the disk guard: what must be free before a message is begun. A Create with low set needs half.
const (
	spaceFactor = 2    // times the largest message
	minInodes   = 1000 // where the filesystem counts them
)

// StageOptions are the limits and the log of a Stage.
type StageOptions struct {
	MessageSize int64 // largest message, octets
	Log         *logline.Logger
}

// Stage is where messages are written. It is safe for concurrent use.
type Stage struct {
	opt     StageOptions
	dir     *os.File                  // stage/
	new     map[envelope.Via]*os.File // the channels' new/, opened by path only: smtpd may not list them
	ids     ids
	sync    groupSync
	broken  atomic.Bool
	largest atomic.Int64 // message that the guard makes room for
	nagged  atomic.Int64 // when the log last said so
	closing chan struct{}
	publish sync.WaitGroup // what goes on in the background
	closer  sync.Once
	watch   sync.Once // begins to look for what others left

	mu     sync.Mutex
	open   int // messages that are being written
	closed bool
}

// OpenStage opens the spool for writing and tries out that a message can move from stage/ to each channel.
func OpenStage(root string, o StageOptions) (*Stage, error) {
	s := &Stage{opt: o, new: make(map[envelope.Via]*os.File, 2), closing: make(chan struct{})}
	var err error
	if s.dir, err = os.OpenFile(filepath.Join(root, "stage"), unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err != nil {
		return nil, fmt.Errorf("open spool: %w", err)
	}
	s.sync.dir, s.sync.fail = s.dir, s.fail
	s.largest.Store(o.MessageSize)
	for _, via := range []envelope.Via{envelope.Local, envelope.Remote} {
		path := filepath.Join(root, string(via), "new")
		fd, err := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			s.Close()
			return nil, fmt.Errorf("open spool: %w", &os.PathError{Op: "open", Path: path, Err: err})
		}
		s.new[via] = os.NewFile(uintptr(fd), path)
		if err := s.probe(via); err != nil {
			s.Close()
			return nil, fmt.Errorf("open spool: %w", err)
		}
	}
	return s, nil
}

// probePrefix begins the names of probes, which consumers pass over.
const probePrefix = ".probe."

// probe moves an empty file into a channel and takes it away: two mounts, a wrong owner or a filesystem without
// RENAME_NOREPLACE show here and not at the first message.
func (s *Stage) probe(via envelope.Via) error {
	name := probePrefix + s.ids.next(time.Now())
	fd, err := unix.Openat(s.fd(), name, unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return fmt.Errorf("create a file in %s: %w", s.dir.Name(), err)
	}
	unix.Close(fd)
	to := int(s.new[via].Fd())
	if err := unix.Renameat2(s.fd(), name, to, name, unix.RENAME_NOREPLACE); err != nil {
		unix.Unlinkat(s.fd(), name, 0)
		return fmt.Errorf("rename from %s to %s (they must be one mount of a local filesystem): %w", s.dir.Name(), s.new[via].Name(), err)
	}
	if err := unix.Unlinkat(to, name, 0); err != nil {
		return fmt.Errorf("remove a file of ours from %s: %w", s.new[via].Name(), err)
	}
	return nil
}

func (s *Stage) fd() int { return int(s.dir.Fd()) }

// Close ends what goes on in the background and refuses new messages. The directories are closed when the last message that
// is being written is finished.
func (s *Stage) Close() error {
	s.closer.Do(func() {
		close(s.closing)
		s.publish.Wait()
		s.mu.Lock()
		s.closed = true
		last := s.open == 0
		s.mu.Unlock()
		if last {
			s.closeFiles()
		}
	})
	return nil
}

func (s *Stage) closeFiles() {
	for _, d := range s.new {
		d.Close()
	}
	s.dir.Close()
}

// enter counts a message that is being written.
func (s *Stage) enter() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return fmt.Errorf("spool: %w", os.ErrClosed)
	}
	s.open++
	return nil
}

func (s *Stage) leave() {
	s.mu.Lock()
	s.open--
	last := s.open == 0 && s.closed
	s.mu.Unlock()
	if last {
		s.closeFiles()
	}
}

// SetMessageSize changes the largest message for which there must be room.
func (s *Stage) SetMessageSize(n int64) { s.largest.Store(n) }

// guard refuses a message while the disk could not take it.
func (s *Stage) guard(low bool) error {
	if s.broken.Load() {
		s.nag()
		return ErrBroken
	}
	var st unix.Statfs_t
	if err := unix.Fstatfs(s.fd(), &st); err != nil {
		return fmt.Errorf("statfs %s: %w", s.dir.Name(), err)
	}
	space, inodes := spaceFactor*s.largest.Load(), uint64(minInodes)
	if low {
		space, inodes = space/2, inodes/2
	}
	if int64(st.Bavail)*st.Bsize < space {
		return fmt.Errorf("%w: %d KiB free, %d needed", ErrFull, int64(st.Bavail)*st.Bsize>>10, space>>10)
	}
	if st.Files > 0 && st.Ffree < inodes {
		return fmt.Errorf("%w: %d inodes free, %d needed", ErrFull, st.Ffree, inodes)
	}
	return nil
}

// fail remembers that the disk lost data that it had taken: after an EIO from fsync the pages are marked clean, and a second
// fsync would say yes.
func (s *Stage) fail(err error) {
	if errors.Is(err, unix.EIO) {
		s.broken.Store(true)
		s.nag()
	}
}

func (s *Stage) nag() {
	now := time.Now().Unix()
	if last := s.nagged.Load(); now-last >= 60 && s.nagged.CompareAndSwap(last, now) {
		s.opt.Log.Error("%s: fsync failed with an input/output error: all mail is refused for now (451); look at the disk, then restart smtpd", s.dir.Name())
	}
}

// Message is a queue file that is being written. One goroutine uses it.
type Message struct {
	stage *Stage
	id    string
	f     *os.File
	vias  []envelope.Via // the first is the name that f was created under
	env   int64          // octets before the message
	size  int64          // octets of the message
	crc   uint32
	buf   *[]byte // what is not yet in the file
	flush bool    // something is
	err   error
	done  bool
}

// buffers hold what a small message needs, so that it costs one write.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 64<<10); return &b }}

// Create begins a message. It sets the envelope's ID, the Line of each recipient, and Time if that is zero. With low, the
// lower disk mark is good enough: notices to senders must get out for the spool to drain. An envelope that a consumer would
// not read back as it is is refused here, before anything is promised.
func (s *Stage) Create(env *envelope.Envelope, low bool) (*Message, error) {
	if err := s.enter(); err != nil {
		return nil, err
	}
	m, err := s.begin(env, low)
	if err != nil {
		s.leave()
		return nil, err
	}
	if err := m.writeEnvelope(env); err != nil {
		m.Abort()
		return nil, err
	}
	return m, nil
}

func (s *Stage) begin(env *envelope.Envelope, low bool) (*Message, error) {
	if err := s.guard(low); err != nil {
		return nil, err
	}
	m := &Message{stage: s}
	for _, via := range []envelope.Via{envelope.Local, envelope.Remote} {
		if env.Has(via) {
			m.vias = append(m.vias, via)
		}
	}
	if len(m.vias) == 0 {
		return nil, errors.New("spool: a message without recipients")
	}
	if err := m.create(); err != nil {
		return nil, err
	}
	fault.Point("accept.created")
	return m, nil
}

func (m *Message) writeEnvelope(env *envelope.Envelope) error {
	env.ID = m.id
	if env.Time.IsZero() {
		env.Time = time.Now()
	}
	m.buf = buffers.Get().(*[]byte)
	head := env.Append(append((*m.buf)[:0], envelope.Blank()...))
	*m.buf = head
	m.env, m.crc = int64(len(head)), crcOf(head)
	back, err := envelope.Parse(m.id, head[envelope.Line1Size:])
	if err != nil {
		return fmt.Errorf("spool: envelope cannot be written: %w", err)
	}
	if m.env > envelope.MaxSize || !env.Same(back) {
		return fmt.Errorf("spool: envelope cannot be written: %d octets, or addresses that change", m.env)
	}
	return nil
}

// create makes the first name and takes its lock. Between the two a starting smtpd may have taken the file for a crashed
// one's and removed it: then another id is tried.
func (m *Message) create() error {
	s := m.stage
	for range 10 {
		m.id = s.ids.next(time.Now())
		name := m.name(0)
		fd, err := unix.Openat(s.fd(), name, unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_RDWR|unix.O_CLOEXEC, 0o640)
		if err == unix.EEXIST {
			continue
		}
		if err != nil {
			return fmt.Errorf("spool: create %s: %w", name, full(err))
		}
		m.f = os.NewFile(uintptr(fd), name)
		ok, err := lockNamed(s.fd(), name, fd)
		if ok && err == nil {
			return nil
		}
		m.f.Close()
		if err != nil {
			unix.Unlinkat(s.fd(), name, 0)
			return fmt.Errorf("spool: create %s: %w", name, err)
		}
	}
	return errors.New("spool: no free id after ten tries")
}

// lockNamed locks an open file and says whether name is still this file. The mode is made what consumers of the group need,
// whatever the umask was.
func lockNamed(dir int, name string, fd int) (bool, error) {
	if err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		if err == unix.EWOULDBLOCK {
			return false, nil
		}
		return false, fmt.Errorf("flock: %w", err)
	}
	var a, b unix.Stat_t
	if err := unix.Fstat(fd, &a); err != nil {
		return false, fmt.Errorf("fstat: %w", err)
	}
	if err := unix.Fstatat(dir, name, &b, unix.AT_SYMLINK_NOFOLLOW); err != nil || a.Ino != b.Ino || a.Dev != b.Dev {
		return false, nil
	}
	if a.Mode&0o777 != 0o640 {
		if err := unix.Fchmod(fd, 0o640); err != nil && err != unix.EPERM {
			return false, fmt.Errorf("fchmod: %w", err)
		}
	}
	return true, nil
}

// full turns the errors of a full disk into ErrFull.
func full(err error) error {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	return err
}

// name is the i-th name in stage/.
func (m *Message) name(i int) string { return m.id + "." + string(m.vias[i]) }

// ID is the queue id.
func (m *Message) ID() string { return m.id }

// Size is the number of octets of the message so far.
func (m *Message) Size() int64 { return m.size }

// Write adds to the message, which is in wire form: lines end in CRLF.
func (m *Message) Write(p []byte) (int, error) {
	if m.done {
		return 0, os.ErrClosed
	}
	if m.err != nil {
		return 0, m.err
	}
	m.crc = crc32.Update(m.crc, castagnoli, p)
	m.size += int64(len(p))
	*m.buf = append(*m.buf, p...)
	if len(*m.buf) >= 56<<10 {
		if m.err = m.drain(); m.err != nil {
			return 0, m.err
		}
	}
	return len(p), nil
}

func (m *Message) drain() error {
	m.flush = true
	if _, err := m.f.Write(*m.buf); err != nil {
		return fmt.Errorf("spool: write: %w", full(err))
	}
	*m.buf = (*m.buf)[:0]
	return nil
}

// Commit makes the message durable and hands it to its channels. After nil it will be delivered, whatever happens; after
// an error nothing of it is left.
func (m *Message) Commit() error {
	if m.done {
		return errors.New("spool: commit of a finished message")
	}
	defer m.Abort()
	if m.err != nil {
		return m.err
	}
	if err := m.store(); err != nil {
		m.stage.fail(err)
		return err
	}
	return m.release()
}

// store ends with everything on disk: file, names, nothing else needed.
func (m *Message) store() error {
	if err := m.complete(); err != nil {
		return err
	}
	if err := m.f.Sync(); err != nil {
		return fmt.Errorf("spool: fsync: %w", full(err))
	}
	fault.Point("accept.synced")
	if len(m.vias) > 1 {
		fd := m.stage.fd()
		if err := unix.Linkat(fd, m.name(0), fd, m.name(1), 0); err != nil {
			if err == unix.ENOENT {
				return ErrRemoved
			}
			return fmt.Errorf("spool: link: %w", full(err))
		}
		fault.Point("accept.linked")
	}
	if err := m.stage.sync.wait(); err != nil {
		return fmt.Errorf("spool: fsync of stage: %w", full(err))
	}
	fault.Point("accept.dirsynced")
	if m.stage.broken.Load() {
		return ErrBroken
	}
	return nil
}

// complete writes what is left and line 1.
func (m *Message) complete() error {
	line1 := envelope.Line1{ID: m.id, Size: m.size, Env: m.env, CRC: m.crc}.Append(nil)
	if !m.flush {
		copy(*m.buf, line1)
		err := m.drain()
		fault.Point("accept.written")
		return err
	}
	if err := m.drain(); err != nil {
		return err
	}
	fault.Point("accept.written")
	if _, err := m.f.WriteAt(line1, 0); err != nil {
		return fmt.Errorf("spool: write line 1: %w", full(err))
	}
	fault.Point("accept.patched")
	return nil
}

// release moves each name to its channel. The message is durable already: only its removal by the administrator can still
// refuse it, and a rename that fails otherwise is tried until it succeeds.
func (m *Message) release() error {
	for i, via := range m.vias {
		err := m.stage.rename(m.name(i), via, m.id)
		switch {
		case err == nil:
			fault.Point("accept.renamed." + string(via))
		case err == unix.ENOENT && i == 0:
			return ErrRemoved
		case err == unix.ENOENT: // the other half is on its way
		default:
			m.keepTrying(i, err)
			return nil
		}
	}
	m.finish()
	return nil
}

func (s *Stage) rename(name string, via envelope.Via, to string) error {
	return unix.Renameat2(s.fd(), name, int(s.new[via].Fd()), to, unix.RENAME_NOREPLACE)
}

// keepTrying publishes the names from the i-th on, once a second, holding the lock.
func (m *Message) keepTrying(i int, err error) {
	m.done = true
	s := m.stage
	s.opt.Log.Error("%s: rename from stage/ to %s/new: %v; trying again each second", m.id, m.vias[i], err)
	s.publish.Add(1)
	go func() {
		defer s.publish.Done()
		defer m.free()
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for left := m.vias[i:]; len(left) > 0; {
			select {
			case <-s.closing:
				return // found in stage/ by the next start, or by another smtpd
			case <-tick.C:
			}
			left = slices.DeleteFunc(slices.Clone(left), func(via envelope.Via) bool {
				err := s.rename(m.id+"."+string(via), via, m.id)
				return err == nil || err == unix.ENOENT
			})
		}
	}()
}

func (m *Message) finish() {
	m.done = true
	m.free()
}

// free gives back the lock, the buffer and the place among the open messages.
func (m *Message) free() {
	defer m.stage.leave()
	m.f.Close()
	if m.buf != nil && cap(*m.buf) <= 256<<10 {
		buffers.Put(m.buf)
	}
	m.buf = nil
}

// Abort removes what was written. After Commit it does nothing.
func (m *Message) Abort() {
	if m.done {
		return
	}
	for i := range m.vias {
		unix.Unlinkat(m.stage.fd(), m.name(i), 0)
	}
	m.finish()
}

// groupSync shares one fsync of a directory among all who ask for it before it begins.
type groupSync struct {
	dir  *os.File
	fail func(error) // told of errors before anybody who waits

	mu      sync.Mutex
	running bool
	next    *syncRound
	err     error // an EIO: a later fsync would say yes to what this one lost
}

type syncRound struct {
	done chan struct{}
	err  error
}

// wait returns after an fsync that began after the call. "One is running, join it" would not cover names made since.
func (g *groupSync) wait() error {
	g.mu.Lock()
	if g.next == nil {
		g.next = &syncRound{done: make(chan struct{})}
	}
	round := g.next
	if g.running {
		g.mu.Unlock()
		<-round.done
		return round.err
	}
	g.running = true
	g.mu.Unlock()
	g.run()
	return round.err
}

// run does the round that is due, and leaves one that has gathered meanwhile to a goroutine of its own.
func (g *groupSync) run() {
	g.mu.Lock()
	round, err := g.next, g.err
	g.next = nil
	g.mu.Unlock()
	if err == nil {
		if err = g.dir.Sync(); err != nil {
			g.fail(err)
		}
	}
	round.err = err
	close(round.done)
	g.mu.Lock()
	if errors.Is(err, unix.EIO) {
		g.err = err
	}
	g.running = g.next != nil
	more := g.running
	g.mu.Unlock()
	if more {
		go g.run()
	}
}
