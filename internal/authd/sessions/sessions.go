// Package sessions hands connections of users who have logged in to the session processes of their uids, which it has started,
// and ended when they are idle. docs/session.md has its states.
//
// It believes a session process about the sessions that it gave it and nothing else: the process is its user's, who may stop it
// or have it write anything. Lines, numbers of sessions and waiting times are bounded, and whoever waits for one process waits
// in a goroutine of his own.
package sessions

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"postrider/internal/auth"
	"postrider/internal/config"
	"postrider/internal/session/handover"
)

// Process is a running session process.
type Process interface {
	Conn() *net.UnixConn        // closing it lets the process end with its last session
	PID() int                   // for logs
	Kill()                      // ends one that does not; it need not be waited for
	Done() <-chan struct{}      // closed when it has ended
	Status() syscall.WaitStatus // after that: how; 0 also if nobody knows
}

// Starter starts session processes.
type Starter interface {
	Start(ctx context.Context, uid, gid uint32) (Process, error)
}

// Logger takes what an administrator should know.
type Logger interface {
	Warn(format string, args ...any)
}

// Settings are what a reload replaces, as one value.
type Settings struct {
	Config     *config.Config
	MailboxUID uint32 // many users' sessions: may have more processes than other uids, and these more sessions at once; 0 = none
}

// Login is a connection to hand over, and whose it is.
type Login struct {
	User    auth.User
	Service string // imap, pop3
	Session auth.Session
}

// Bounds that no configuration changes.
const (
	ordinaryProcesses = 4    // of one uid: one has only one home, as a rule
	ordinaryWaiting   = 8    // sessions that one process has not answered
	sharedWaiting     = 64   // the same, where it serves many users
	maxSessions       = 8192 // of one process
)

// times are how long things may take; tests shorten them.
type times struct {
	start  time.Duration // of a process, until it has its hello
	answer time.Duration // of a process, to one session
	write  time.Duration // of one line
	open   time.Duration // Open in all; the front waits a little longer
	end    time.Duration // of a process without sessions, before it is killed
	owing  time.Duration // of a process with sessions that owes answers, before it is killed
}

var defaultTimes = times{start: 10 * time.Second, answer: 20 * time.Second, write: 5 * time.Second, open: 35 * time.Second,
	end: 5 * time.Second, owing: time.Minute}

// Manager keeps the session processes. Configure must be called before Open.
type Manager struct {
	starter  Starter
	log      Logger
	times    times
	settings atomic.Pointer[Settings]

	mu      sync.Mutex
	current map[key]*process      // that take sessions
	alive   map[*process]struct{} // that have not ended, or are being started
	freed   chan struct{}         // closed, and replaced, when one has ended
	number  uint64                // of the last session
}

// New makes a manager.
func New(starter Starter, log Logger) *Manager {
	return &Manager{starter: starter, log: log, times: defaultTimes,
		current: make(map[key]*process), alive: make(map[*process]struct{}), freed: make(chan struct{})}
}

// Configure replaces the settings. Sessions that are there go on as they began; processes hear of it with their next session.
func (m *Manager) Configure(s Settings) { m.settings.Store(&s) }

// key is what the confinement of a process depends on: whose it is, and the directories of the mail.
type key struct {
	uid, gid uint32
	indexes  string // directory of all users' indexes, "" = none
	root     string // the home of a system user, the root of all mailboxes below it
	extra    string // directory of a Maildir outside root
}

// hello is what the process of a key is told.
func (s *Settings) hello(k key) handover.Hello {
	c := s.Config
	h := handover.Hello{Roots: []string{k.root}, Log: c.LogFormat, IndexDir: k.indexes, Remote: c.RemoteMail, MessageSize: int64(c.MessageSize),
		IMAPIdle: c.IMAPD.IdleTimeout.D(), POP3Idle: c.POP3D.IdleTimeout.D()}
	if k.root == filepath.Clean(c.MailRoot) {
		h.Mount = c.MailstoreID
	}
	if k.extra != "" {
		h.Roots = append(h.Roots, k.extra)
	}
	for _, f := range []handover.Folder{{Attr: "Drafts", Name: c.Folders.Drafts}, {Attr: "Sent", Name: c.Folders.Sent},
		{Attr: "Junk", Name: c.Folders.Junk}, {Attr: "Trash", Name: c.Folders.Trash}, {Attr: "Archive", Name: c.Folders.Archive}} {
		if f.Name != "" {
			h.Folders = append(h.Folders, f)
		}
	}
	return h
}

// Open has the process of the login's user take the connection in file, which stays the caller's to close. It returns the
// process's number. The error is auth.ErrInUse, or another, which means later.
func (m *Manager) Open(ctx context.Context, l Login, file *os.File) (pid int, err error) {
	u := l.User
	maildir := u.Maildir
	if maildir == "" {
		maildir = filepath.Join(u.Home, "Maildir")
	}
	c := m.settings.Load().Config
	k := key{uid: u.UID, gid: u.GID, indexes: c.IndexDir}
	k.root, k.extra = c.Roots(u.Home, maildir)
	request := handover.Session{
		ID: l.Session.ID, Service: l.Service, User: u.Name, Home: u.Home, Maildir: maildir,
		Quota: u.Quota, Tag: l.Session.Tag,
	}
	ctx, cancel := context.WithTimeout(ctx, m.times.open)
	defer cancel()
	for range 2 { // a process may end at the moment at which it is to be given a session
		if pid, err = m.open(ctx, k, request, file); !errors.Is(err, errAway) {
			break
		}
	}
	return pid, err
}

func (m *Manager) open(ctx context.Context, k key, request handover.Session, file *os.File) (pid int, err error) {
	p, err := m.enter(ctx, k)
	if err != nil {
		return 0, fmt.Errorf("session process: %w", err)
	}
	defer m.leave(p)
	err = p.open(ctx, request, file)
	if err != nil && !errors.Is(err, auth.ErrInUse) {
		return 0, fmt.Errorf("session process %d: %w", p.pid(), err)
	}
	return p.pid(), err
}

// enter returns the process of a key, once it is ready: the one that there is, or a new one. It does not become idle before leave.
func (m *Manager) enter(ctx context.Context, k key) (*process, error) {
	m.mu.Lock()
	p := m.current[k]
	if p == nil {
		p = &process{m: m, key: k, ready: make(chan struct{}), sessions: make(map[uint64]*session)}
		m.current[k] = p
		go p.start()
	}
	p.guests++
	p.rest()
	m.mu.Unlock()
	select {
	case <-p.ready:
		if p.failed == nil {
			return p, nil
		}
		m.leave(p)
		return nil, p.failed
	case <-ctx.Done():
		m.leave(p)
		return nil, ctx.Err()
	}
}

// leave is the end of what enter began.
func (m *Manager) leave(p *process) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p.guests--
	p.rest()
}

var errBusy = errors.New("too many session processes")

// admit counts a process, if there may be one more. Where there are too many in all, or of its uid, it ends one of these that is
// idle, and waits for that.
func (m *Manager) admit(ctx context.Context, p *process) error {
	for {
		m.mu.Lock()
		most, ofUID := m.limits(p.key.uid)
		all, same := 0, 0
		for other := range m.alive {
			all++
			if other.key.uid == p.key.uid {
				same++
			}
		}
		if all < most && same < ofUID {
			m.alive[p] = struct{}{}
			m.mu.Unlock()
			return nil
		}
		ending := m.endIdle(func(other *process) bool { return same < ofUID || other.key.uid == p.key.uid })
		freed := m.freed
		m.mu.Unlock()
		if !ending {
			return errBusy
		}
		select {
		case <-freed:
		case <-ctx.Done():
			return errBusy
		}
	}
}

// limits are how many processes there may be in all and of a uid.
func (m *Manager) limits(uid uint32) (all, ofUID int) {
	s := m.settings.Load()
	all = s.Config.Authd.MaxSessions
	switch {
	case s.Config.SingleUID:
		return all, all
	case uid == s.MailboxUID:
		return all, max(ordinaryProcesses, all/4)
	}
	return all, ordinaryProcesses
}

// shared says whether the processes of a uid serve many users.
func (m *Manager) shared(uid uint32) bool {
	s := m.settings.Load()
	return uid == s.MailboxUID || s.Config.SingleUID
}

// maxWaiting is how many answers a process of a uid may owe.
func (m *Manager) maxWaiting(uid uint32) int {
	if m.shared(uid) {
		return sharedWaiting
	}
	return ordinaryWaiting
}

// endIdle ends the process, of those that count, that has been idle for the longest time. It says whether any is about to end.
func (m *Manager) endIdle(counts func(*process) bool) (ending bool) {
	var victim *process
	for p := range m.alive {
		switch {
		case !counts(p):
		case p.gone:
			ending = ending || p.living == 0
		case !p.idle.IsZero() && (victim == nil || p.idle.Before(victim.idle)):
			victim = p
		}
	}
	if victim != nil {
		victim.part()
	}
	return ending || victim != nil
}

// ended is called when a process has ended. It returns how many sessions it had, when it was last heard.
func (m *Manager) ended(p *process) (sessions int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p.part()
	delete(m.alive, p)
	close(m.freed)
	m.freed = make(chan struct{})
	return p.living
}

// Close parts with all processes: they end with their last sessions.
func (m *Manager) Close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for p := range m.alive {
		p.part()
	}
}
