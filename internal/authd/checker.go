package authd

import (
	"context"
	"errors"
	"fmt"
	"time"

	"postrider/internal/auth"
	"postrider/internal/listen"
)

// Limits towards checkpassword. PAM may take seconds on purpose or hang on a dead directory server.
const (
	checkTimeout = 45 * time.Second
	checkWait    = 10 * time.Second // for one of the questions at a time
	maxChecks    = 8
)

// Checker asks the checkpassword program: one connection per question, which is a process of its own there.
type Checker struct {
	path  string
	slots chan struct{}
}

// NewChecker returns the client of the socket at path.
func NewChecker(path string) *Checker {
	return &Checker{path: path, slots: make(chan struct{}, maxChecks)}
}

// Check implements Checkpassword.
func (c *Checker) Check(ctx context.Context, service, rip, name, password string) (auth.User, bool, error) {
	return c.ask(ctx, auth.NewLine(auth.Check, service, rip, name, password))
}

// Who implements Checkpassword.
func (c *Checker) Who(ctx context.Context, name string) (auth.User, bool, error) {
	return c.ask(ctx, auth.NewLine(auth.Who, name))
}

func (c *Checker) ask(ctx context.Context, question auth.Line) (auth.User, bool, error) {
	if err := c.enter(ctx); err != nil {
		return auth.User{}, false, err
	}
	defer func() { <-c.slots }()
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	conn, err := listen.DialUnix(ctx, c.path)
	if err != nil {
		return auth.User{}, false, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })()
	if err := auth.WriteLine(conn, question); err != nil {
		return auth.User{}, false, err
	}
	answer, err := auth.ReadLine(auth.NewReader(conn))
	if err != nil {
		return auth.User{}, false, err
	}
	return readAnswer(answer)
}

func (c *Checker) enter(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, checkWait)
	defer cancel()
	select {
	case c.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return errors.New("too many questions at once")
	}
}

// readAnswer reads what checkpassword says.
func readAnswer(answer auth.Line) (auth.User, bool, error) {
	switch answer.Verb {
	case auth.OK:
		u, err := auth.ParseUser(answer)
		return u, err == nil, err
	case auth.No:
		return auth.User{}, false, nil
	case auth.Later:
		return auth.User{}, false, errors.New(answer.Words[0])
	}
	return auth.User{}, false, fmt.Errorf("unexpected %s", answer.Verb)
}
