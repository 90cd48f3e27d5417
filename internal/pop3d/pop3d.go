// Package pop3d is a POP3 session after its login: the TRANSACTION and UPDATE states of RFC 1939, with what RFC 2449 adds. It
// serves the INBOX of a mailstore.Store as Dovecot 2.3 does, down to the unique-ids, so that a client that changes servers
// fetches nothing twice.
//
// The client is hostile as far as it can be: it owns the mail, so it may have all of it, but lines, buffers and waiting are
// bounded. Messages are what strangers sent and other programs left; they are copied, never understood. What a client marks
// is removed after its QUIT and at no other end of a session.
package pop3d

import (
	"context"
	"errors"
	"net"
	"os"
	"time"

	"postrider/internal/crew"
	"postrider/internal/mailstore"
)

// ErrInUse says that another session has the mailbox (RFC 1939 §4); the client is told -ERR [IN-USE] (RFC 2449 §8.1.1).
var ErrInUse = errors.New("mailbox is in use by another POP3 session")

// Logger takes what an administrator should know of a session.
type Logger interface {
	Warn(format string, args ...any)
	Error(format string, args ...any)
}

// Options say whose mail a session serves. All but IdleTimeout and Crew are needed.
type Options struct {
	Store       *mailstore.Store
	Maildir     string        // absolute path of the directory that is the store's INBOX: the lock lies there
	User        string        // for the log
	IdleTimeout time.Duration // how long to wait for a command, and for a client that does not read; 0 = 10 min, the least that RFC 1939 §3 allows
	Log         Logger
	Crew        *crew.Crew // helps to count sizes; nil = nobody does
}

const defaultIdleTimeout = 10 * time.Minute

// Session is a mailbox locked for one client.
type Session struct {
	opts Options
	lock *os.File // nil = there is none to give back
}

// Open takes the lock of the mailbox. ErrInUse is not waited for. Where no lock file can be made, for want of space or
// rights, the session does without: who wants to delete mail because the disk is full must be able to, and two sessions at
// once remove no message twice.
func Open(ctx context.Context, o Options) (*Session, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if o.IdleTimeout <= 0 {
		o.IdleTimeout = defaultIdleTimeout
	}
	lock, err := takeLock(o.Maildir)
	if errors.Is(err, mailstore.ErrUnwritable) {
		o.Log.Warn("pop3 session of %s goes without a lock: %v", o.User, err)
		err = nil
	}
	if err != nil {
		return nil, err
	}
	return &Session{opts: o, lock: lock}, nil
}

// Close gives the lock back if Serve is never called; afterwards it does nothing.
func (s *Session) Close() {
	if s.lock != nil {
		s.lock.Close()
		s.lock = nil
	}
}

// Serve reads the mailbox, says +OK, and serves the connection to its end, which it closes. The lock is given back before the
// client hears the answer to its QUIT. When ctx is done the session ends; nothing is removed then.
func (s *Session) Serve(ctx context.Context, conn net.Conn) Summary {
	defer s.Close()
	defer conn.Close()
	w := newWire(ctx, conn, s.opts.IdleTimeout)
	defer w.flush()
	defer context.AfterFunc(ctx, w.interrupt)()
	drop, err := openMaildrop(ctx, s.opts)
	if err != nil {
		s.opts.Log.Error("pop3 session of %s: %v", s.opts.User, err)
		w.line("-ERR [SYS/TEMP] Mailbox cannot be read now.")
		return Summary{Reason: "Mailbox cannot be read"}
	}
	d := &dialogue{ctx: ctx, wire: w, drop: drop, opts: s.opts, unlock: s.Close}
	d.run()
	return d.sum
}
