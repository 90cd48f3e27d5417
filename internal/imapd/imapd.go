// Package imapd serves IMAP4rev1 and, to who enables it, IMAP4rev2 (RFC 3501, 9051) to a user who has logged in: one session over
// one connection and one mail store. Where the RFCs leave freedom it answers as Dovecot 2.3 does, since that is what clients were
// tried with.
//
// A session runs as the owner of the mail; the client is that user, or who stole a password. It can read and destroy that
// user's mail, which is its purpose, but not make the process, which serves others too, use unbounded memory or wait for
// ever: commands are bounded by package imap, output waits only for a client that goes on reading, and input that comes
// meanwhile is kept up to a mebibyte. What stands in the Maildir was written by strangers and other programs; packages
// mailstore, fetch and search bound it.
package imapd

import (
	"context"
	"net"
	"time"

	"postrider/internal/crew"
	"postrider/internal/imap"
	"postrider/internal/mailstore"
)

// SpecialFolder is a folder with a use of its own (RFC 6154): an attribute as \Sent, and its name; no name, no folder.
type SpecialFolder struct {
	Attr imap.MailboxAttr
	Name string
}

// Logger takes what the administrator should know.
type Logger interface {
	Warn(format string, args ...any)
	Error(format string, args ...any)
}

// Options are what a session is for.
type Options struct {
	Store *mailstore.Store
	Tag   string // of the LOGIN or AUTHENTICATE that is to be answered; "" if there is none

	Crew        *crew.Crew      // helps with what takes long; nil = nobody does
	Folders     []SpecialFolder // created and subscribed at the first login
	MessageSize int64           // octets that APPEND takes; 0 = no limit
	IdleTimeout time.Duration   // without any input, IDLE included; 0 = 30 minutes
	Log         Logger          // names the user in its lines; nil = nobody listens

	limit  int   // messages that a command works on; 0 = maxMessages
	sorted int64 // octets of keys that a command sorts by; 0 = maxSorted
}

const defaultIdle = 30 * time.Minute

// Serve carries the session to its end and closes conn, which has to be a socket with deadlines. When ctx is done the session
// ends between two commands, or between two messages of a long one.
func Serve(ctx context.Context, conn net.Conn, o *Options) *Summary {
	return newSession(conn, o, defaultTimes).serve(ctx)
}

// withDefaults are the options with all set.
func (o Options) withDefaults() *Options {
	if o.IdleTimeout <= 0 {
		o.IdleTimeout = defaultIdle
	}
	if o.limit <= 0 {
		o.limit = maxMessages
	}
	if o.sorted <= 0 {
		o.sorted = maxSorted
	}
	if o.Log == nil {
		o.Log = silent{}
	}
	return &o
}

func (s *session) serve(ctx context.Context) *Summary {
	defer s.stream.conn.Close()
	stop := context.AfterFunc(ctx, s.stream.interrupt)
	defer stop()
	s.run(ctx)
	return s.summary()
}

type silent struct{}

func (silent) Warn(string, ...any)  {}
func (silent) Error(string, ...any) {}
