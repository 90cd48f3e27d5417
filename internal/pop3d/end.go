package pop3d

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"postrider/internal/line"
)

// ending is why a session ends without a QUIT, in Dovecot's words.
type ending string

func (e ending) Error() string { return string(e) }

// quit is the UPDATE state (RFC 1939 §6). It begins when all answers are sent; a client that goes away then changes nothing.
func (d *dialogue) quit() {
	if err := d.wire.flush(); err != nil {
		d.leave(err)
		return
	}
	d.wire.detach()
	ctx := context.WithoutCancel(d.ctx)
	errRemove, errSeen := d.drop.remove(ctx), d.drop.saveSeen(ctx, markDeleted)
	for _, err := range []error{errRemove, errSeen} {
		if err != nil {
			d.opts.Log.Error("pop3 session of %s: %v", d.opts.User, err)
		}
	}
	d.unlock()
	d.sum.Reason = "Logged out"
	switch {
	case errRemove != nil:
		d.wire.line("-ERR [SYS/TEMP] Some deleted messages not removed.")
		d.sum.Reason = "Storage error during logout."
	case d.drop.deleted > 0:
		d.wire.line("+OK Logging out, messages deleted.")
	default:
		d.wire.line("+OK Logging out.")
	}
	if errRemove == nil {
		d.sum.Deleted = d.drop.deleted
	}
}

// errCut ends a session in the middle of a message: nothing that can be said would not be taken for a part of it.
const errCut = ending("Message cannot be read")

// leave ends a session without a QUIT: nothing is removed, but what was read is seen.
func (d *dialogue) leave(err error) {
	answer, reason := d.farewell(err)
	d.wire.detach()
	if answer != "" {
		d.wire.line("-ERR " + answer)
	}
	d.sum.Reason = reason
	ctx, cancel := context.WithTimeout(context.WithoutCancel(d.ctx), lastTimeout)
	defer cancel()
	if err := d.drop.saveSeen(ctx, 0); err != nil {
		d.opts.Log.Warn("pop3 session of %s: %v", d.opts.User, err)
	}
}

// farewell is what the client and the log are told. After an error of the connection, and when it was idle for too long
// (RFC 1939 §3), the client is told nothing.
func (d *dialogue) farewell(err error) (answer, reason string) {
	var e ending
	var read *line.ReadError
	switch seconds := d.opts.IdleTimeout.Seconds(); {
	case d.ctx.Err() != nil:
		return "[SYS/TEMP] Server shutting down.", "Server shutting down."
	case isTimeout(d.wire.err):
		return "", fmt.Sprintf("Client has not read server output for %.0f secs", seconds)
	case d.wire.err != nil:
		return "", "Connection closed: " + d.wire.err.Error()
	case isTimeout(err):
		return "", fmt.Sprintf("Inactivity - no input for %.0f secs", seconds)
	case errors.Is(err, line.ErrTooLong):
		return "Input line too long.", "Input line too long"
	case err == errCut:
		return "", string(errCut)
	case errors.As(err, &e):
		return string(e), string(e)
	case errors.As(err, &read) && read.Err != io.EOF:
		return "", "Connection closed: " + read.Err.Error()
	}
	return "", "Connection closed"
}

func isTimeout(err error) bool {
	var t net.Error
	return errors.As(err, &t) && t.Timeout()
}
