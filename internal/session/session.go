// Package session is the process in which users read their mail: under their own uid, without capabilities, confined to the
// directories of their mail, without programs and without a network. authd gives it connections of users who have logged in; each
// is a session, a goroutine with the engine of its service over the user's store.
//
// It trusts authd for who a user is and where the mail lies. It trusts neither clients nor what lies in the mail directories: an
// engine that fails by a fault of the program ends its own session, and the process takes no more.
package session

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"postrider/internal/auth"
	"postrider/internal/fault"
	"postrider/internal/indexdir"
	"postrider/internal/logline"
	"postrider/internal/mailstore"
	"postrider/internal/session/handover"
)

// Request is a session that an engine is to serve.
type Request struct {
	handover.Session
	Settings handover.Hello
	Store    *mailstore.Store // of Session.Maildir
	Log      *Log
}

// Engine opens sessions of one service. Its error says why there is none; auth.ErrInUse is for a mailbox that another session holds.
type Engine func(ctx context.Context, r *Request) (Serve, error)

// Serve runs a session until the client leaves, or until shortly after the end of ctx, and says how it went in the words of the
// log. The connection is closed afterwards.
type Serve func(ctx context.Context, conn net.Conn) (summary string)

// Limits of the dialogue with authd, and of the end.
const (
	helloTimeout  = 30 * time.Second
	answerTimeout = 10 * time.Second // for authd to take one line
	drainTimeout  = 10 * time.Second // for sessions that were told to end
)

// Server serves the sessions of one process. Serve may be called once.
type Server struct {
	Engines map[string]Engine // by service
	// Confine leaves the process the directories of the mail, before the first session.
	Confine func(roots []string) error
	// Log returns where the process writes its log, by the value of log_format. Nil: nowhere.
	Log func(format string) *logline.Logger

	conn   *auth.Conn
	log    *logline.Logger
	roots  []root
	stores stores

	foreign sync.Once // said that a filesystem is not known

	writing  sync.Mutex
	sessions sync.WaitGroup
}

// Serve takes sessions until authd closes the connection, then serves those that it has to their end. The end of ctx asks them to
// end soon.
func (s *Server) Serve(ctx context.Context, conn *net.UnixConn) error {
	s.conn = auth.NewConn(conn)
	defer s.conn.Close()
	defer s.conn.Discard()
	hello, err := s.begin()
	if err != nil {
		return err
	}
	s.stores.watcher = mailstore.NewWatcher()
	defer s.stores.watcher.Close()

	stop := context.AfterFunc(ctx, s.takeNoMore)
	defer stop()
	err = s.take(ctx, hello)
	s.takeNoMore()
	s.drain(ctx)
	return err
}

// begin reads the first hello and confines the process.
func (s *Server) begin() (handover.Hello, error) {
	if err := s.conn.SetReadDeadline(time.Now().Add(helloTimeout)); err != nil {
		return handover.Hello{}, err
	}
	l, err := s.conn.ReadLine()
	if err != nil {
		return handover.Hello{}, fmt.Errorf("read greeting: %w", err)
	}
	hello, err := handover.ParseHello(l)
	if err != nil {
		return handover.Hello{}, fmt.Errorf("read greeting: %w", err)
	}
	if s.Log != nil {
		s.log = s.Log(hello.Log)
	}
	s.stores.boot = mailstore.Boot()   // before Confine: it is not within reach later
	for _, path := range hello.Roots { // before Confine: one that is replaced in between counts as replaced
		r, err := look(path)
		if err != nil {
			s.log.Warn("not within reach: %v", err)
		}
		s.roots = append(s.roots, r)
	}
	roots := hello.Roots
	if hello.IndexDir != "" {
		if s.stores.indexes, err = indexdir.Own(hello.IndexDir); err != nil {
			s.stores.indexes = indexdir.None
			s.log.Warn("%v; there are no indexes", err)
		} else {
			roots = append(slices.Clip(roots), string(s.stores.indexes))
		}
	}
	if err := s.Confine(roots); err != nil {
		return handover.Hello{}, fmt.Errorf("confine: %w", err)
	}
	return hello, s.conn.SetReadDeadline(time.Time{})
}

// take reads what authd says until it, or the process, has had enough.
func (s *Server) take(ctx context.Context, hello handover.Hello) error {
	for {
		l, err := s.conn.ReadLine()
		if err != nil {
			return nil // authd ended, or this process shall: what it serves goes on
		}
		if l.Verb == auth.Hello {
			if hello, err = handover.ParseHello(l); err != nil {
				return fmt.Errorf("read settings: %w", err)
			}
			continue
		}
		request, err := handover.ParseSession(l)
		if err != nil {
			return fmt.Errorf("read session: %w", err)
		}
		file := s.conn.File()
		if file == nil {
			return fmt.Errorf("%w: a session without a descriptor", auth.ErrSyntax)
		}
		r := &Request{Session: request, Settings: hello}
		r.Log = &Log{log: s.log, request: &r.Session}
		s.sessions.Go(func() { s.run(ctx, r, file) })
	}
}

// takeNoMore closes the connection to authd, which starts another process for those who come.
func (s *Server) takeNoMore() { s.conn.Close() }

// drain waits for the sessions, for a bounded time once ctx has ended.
func (s *Server) drain(ctx context.Context) {
	ended := make(chan struct{})
	go func() { s.sessions.Wait(); close(ended) }()
	select {
	case <-ended:
		return
	case <-ctx.Done():
	}
	timer := time.NewTimer(drainTimeout)
	defer timer.Stop()
	select {
	case <-ended:
	case <-timer.C:
	}
}

// run sees one session through.
func (s *Server) run(ctx context.Context, r *Request, file *os.File) {
	conn, err := unixConn(file)
	if err != nil {
		s.answer(r, auth.Later, err)
		return
	}
	defer conn.Close()
	var serve Serve
	give := func() {}
	err = fault.Guard(func() (err error) {
		if r.Store, give, err = s.stores.take(r, s.roots[0].path); err == nil {
			s.warnOfFilesystem(r)
			serve, err = s.engine(ctx, r)
		}
		return err
	})
	if err != nil {
		give() // first: who comes after the answer tries anew
		s.refuse(r, err)
		return
	}
	defer give()
	if s.answer(r, auth.OK, nil) != nil {
		conn.Close() // its client is told that there is no session: this one ends with its first word
	}
	summary := "Internal error"
	err = fault.Guard(func() error { summary = connected(ctx, conn, serve); return nil })
	r.Log.end(summary)
	s.answer(r, auth.End, nil)
	s.fault(r, err)
}

// warnOfFilesystem says once that mail lies where this host cannot know of all changes, though the configuration does not say so.
func (s *Server) warnOfFilesystem(r *Request) {
	if r.Store.Remote() && !r.Settings.Remote {
		s.foreign.Do(func() {
			s.log.Warn("%s: not one of the local filesystems that are known; its sessions poll, as if remote_mail were set", r.Maildir)
		})
	}
}

func (s *Server) engine(ctx context.Context, r *Request) (Serve, error) {
	engine := s.Engines[r.Service]
	if engine == nil {
		return nil, fmt.Errorf("no engine for %.20q", r.Service)
	}
	return engine(ctx, r)
}

// refuse answers a session that there cannot be.
func (s *Server) refuse(r *Request, err error) {
	if errors.Is(err, auth.ErrInUse) {
		s.answer(r, auth.No, nil)
	} else {
		s.answer(r, auth.Later, err)
		s.fault(r, err)
	}
	if slices.ContainsFunc(s.roots, root.replaced) {
		s.takeNoMore() // the next process is let into what is there now
	}
}

// answer tells authd about a session. Where authd has ended, nobody waits for it.
func (s *Server) answer(r *Request, verb auth.Verb, reason error) error {
	a := handover.Answer{Verb: verb, Number: r.Number}
	if reason != nil {
		a.Reason = reason.Error()
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	if err := s.conn.SetWriteDeadline(time.Now().Add(answerTimeout)); err != nil {
		return err
	}
	return s.conn.WriteLine(a.Line(), nil)
}

// fault logs a fault of the program. What the others share may be damaged by it: the process takes no more.
func (s *Server) fault(r *Request, err error) {
	var f *fault.Error
	if errors.As(err, &f) {
		r.Log.Error("%v\n%s", f, f.Stack)
		s.takeNoMore()
	}
}
