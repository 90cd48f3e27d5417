package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"postrider/internal/auth"
	"postrider/internal/listen"
	"postrider/internal/logline"
)

// socketName is that of the listening socket in LISTEN_FDNAMES.
const socketName = "checkpassword"

// Limits of the server.
const (
	maxChildren  = 24               // more than authd asks at a time: the child of a question given up lives on for a while
	childTimeout = 40 * time.Second // less than authd waits
	drainTimeout = 10 * time.Second
	acceptPause  = 100 * time.Millisecond
)

// server starts a child per connection.
type server struct {
	args  []string // of a child
	log   *logline.Logger
	slots chan struct{} // one token per child
	alive sync.WaitGroup
}

// serve accepts connections until SIGTERM. All children are started by the calling goroutine, which keeps its thread.
func serve(args []string, log *logline.Logger) error {
	inherited, err := listen.Inherited()
	if err != nil {
		return err
	}
	listeners := inherited[socketName]
	if len(listeners) != 1 || len(inherited) != 1 {
		return fmt.Errorf("expected one socket named %q in LISTEN_FDNAMES, from systemd or postrider listen", socketName)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	signal.Ignore(syscall.SIGHUP) // nothing to reload: modules read their own files
	if err := listen.Notify("READY=1"); err != nil {
		log.Warn("%v", err)
	}
	s := &server{args: args, log: log, slots: make(chan struct{}, maxChildren)}
	return s.accept(ctx, listeners[0])
}

func (s *server) accept(ctx context.Context, l net.Listener) error {
	defer context.AfterFunc(ctx, func() { l.Close() })()
	for {
		c, err := l.Accept()
		switch {
		case err == nil:
			s.hand(c)
		case ctx.Err() != nil:
			s.drain()
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("accept: %w", err)
		default: // out of descriptors, most likely: it passes
			s.log.Error("accept: %v", err)
			time.Sleep(acceptPause)
		}
	}
}

// hand gives a connection to a child of its own, or says later.
func (s *server) hand(c net.Conn) {
	defer c.Close()
	select {
	case s.slots <- struct{}{}:
	default:
		s.refuse(c, "busy")
		return
	}
	if err := s.start(c); err != nil {
		<-s.slots
		s.log.Error("start child: %v", err)
		s.refuse(c, "cannot start")
	}
}

func (s *server) refuse(c net.Conn, why string) {
	c.SetDeadline(time.Now().Add(time.Second))
	auth.WriteLine(c, auth.NewLine(auth.Later, why))
}

// start runs a child. Its slot is given back when it has ended.
func (s *server) start(c net.Conn) error {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return errors.New("not a Unix socket")
	}
	f, err := u.File()
	if err != nil {
		return err
	}
	defer f.Close()
	ctx, cancel := context.WithTimeout(context.Background(), childTimeout)
	cmd := exec.CommandContext(ctx, "/proc/self/exe", s.args...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	cmd.Dir = "/"
	cmd.Stdin, cmd.Stderr = f, os.Stderr
	if err := cmd.Start(); err != nil {
		cancel()
		return err
	}
	s.alive.Go(func() {
		defer func() { <-s.slots }()
		defer cancel()
		err := cmd.Wait()
		if ctx.Err() != nil {
			s.log.Warn("a child was ended after %v: does a module hang?", childTimeout)
		} else if err != nil && !cmd.ProcessState.Exited() { // a child that exits has said why
			s.log.Warn("child: %v", err)
		}
	})
	return nil
}

// drain waits for children for a bounded time; they end by themselves in any case.
func (s *server) drain() {
	done := make(chan struct{})
	go func() { s.alive.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(drainTimeout):
	}
}
