package auth

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// Limits of what a front says of a session.
const (
	maxSessionID = 64
	maxTag       = 1024
)

// openTimeout is for the answer to Open: authd gives a session process 10 s to start and 20 s to take a connection.
const openTimeout = 40 * time.Second

// Session is what a front says of the session that a login is to open; whose it is, authd knows.
type Session struct {
	ID  string // of the session in all logs: up to 64 visible ASCII characters but < and >
	Tag string // of the IMAP command that is still to be answered, up to 1024 octets; empty where there is none
}

func (s Session) line() Line {
	l := NewLine(Begin).With("id", s.ID)
	if s.Tag != "" {
		l = l.With("tag", s.Tag)
	}
	return l
}

// ParseSession reads a session line of the auth socket. Unknown keys are skipped.
func ParseSession(l Line) (Session, error) {
	if l.Verb != Begin {
		return Session{}, fmt.Errorf("%w: %s instead of session", ErrSyntax, l.Verb)
	}
	var s Session
	s.ID, _ = l.Get("id")
	s.Tag, _ = l.Get("tag")
	if s.ID == "" || len(s.ID) > maxSessionID || strings.ContainsFunc(s.ID, func(r rune) bool {
		return r <= ' ' || r > '~' || r == '<' || r == '>'
	}) {
		return Session{}, fmt.Errorf("%w: bad session id", ErrSyntax)
	}
	if len(s.Tag) > maxTag || strings.ContainsFunc(s.Tag, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return Session{}, fmt.Errorf("%w: bad tag", ErrSyntax)
	}
	return s, nil
}

// Open has authd hand a connection to the session process of the user whom the last Step returned: a connected Unix stream
// socket, which stays the caller's to close. It returns that process's number, for the log. The error is ErrInUse or ErrLater.
// It may be called once, within 30 s of the Step, where Request.Session was set; afterwards the exchange has ended.
func (x *Exchange) Open(ctx context.Context, s Session, file *os.File) (pid int, err error) {
	if !x.proven {
		return 0, later("authd: no login to open a session of")
	}
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	answer, err := x.client.roundTrip(ctx, x.conn, s.line(), file)
	if err != nil {
		x.drop()
		return 0, later("authd: %w", err)
	}
	switch answer.Verb {
	case OK:
		text, _ := answer.Get("pid")
		if pid, err = strconv.Atoi(text); err != nil || pid <= 0 {
			x.drop()
			return 0, later("authd: %w: bad pid", ErrSyntax)
		}
	case No:
		err = ErrInUse
	case Later:
		err = later("authd: %s", answer.Words[0])
	default:
		x.drop()
		return 0, later("authd: unexpected %s", answer.Verb)
	}
	x.finish()
	return pid, err
}
