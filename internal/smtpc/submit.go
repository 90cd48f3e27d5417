package smtpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"syscall"
	"time"

	"postrider/internal/listen"
	"postrider/internal/reply"
)

// Dial connects to a Unix socket and greets. While the server is busy, or being restarted, it tries again for as long as
// patience lasts; for a socket that is not there it waits a second at most, because a restart makes a new one.
func Dial(ctx context.Context, socket string, o Options, patience time.Duration) (*Client, error) {
	start := time.Now()
	for pause := 20 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		c, err := dial(ctx, socket, o)
		if err == nil {
			return c, nil
		}
		most := patience
		if errors.Is(err, syscall.ENOENT) {
			most = min(patience, time.Second)
		}
		if !passing(err) || time.Since(start)+pause > most {
			return c, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(pause):
		}
	}
}

func dial(ctx context.Context, socket string, o Options) (*Client, error) {
	conn, err := listen.DialUnix(ctx, socket)
	if err != nil {
		if inner := errors.Unwrap(err); inner != nil {
			err = inner // the path that was dialled may not be the one that was asked for
		}
		return nil, fmt.Errorf("connect to %s: %w", socket, err)
	}
	return New(ctx, conn, o)
}

// passing says that the server has more connections than it takes, or is about to come back. It may have no time for a word:
// then its backlog is full (EAGAIN), or the connection ends before or after the greeting. A socket that is just being made has
// not yet its mode (EACCES), and while it is replaced there is none (ENOENT).
func passing(err error) bool {
	r, ok := errors.AsType[*reply.Reply](err)
	return ok && r.Temporary() || slices.ContainsFunc(busy, func(b error) bool { return errors.Is(err, b) })
}

var busy = []error{syscall.EAGAIN, syscall.EACCES, syscall.ENOENT, syscall.ECONNREFUSED, syscall.ECONNRESET, syscall.EPIPE, io.EOF, io.ErrUnexpectedEOF}
