package authd

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"postrider/internal/auth"
	"postrider/internal/listen"
)

// Limits towards checkpassword. PAM may take seconds on purpose or hang on a dead directory server, so questions about users
// have places of their own: mail is not to stop for that.
const (
	checkTimeout   = 45 * time.Second
	maxChecks      = 8
	reservedChecks = 2 // of maxChecks, for trusted pairs
	maxWhos        = 8
)

// Bounds of what is remembered of the name service.
const (
	rememberFor   = 10 * time.Second // how late a change of users is noticed
	maxRemembered = 4096             // answers
)

// Checker asks the checkpassword program: one connection per question, which is a process of its own there.
type Checker struct {
	path         string
	checks, whos *gate
	now          func() time.Time

	mu      sync.Mutex
	answers map[string]memory
}

// memory is who has a name, or that nobody has it.
type memory struct {
	user  auth.User
	found bool
	until time.Time
}

// NewChecker returns the client of the socket at path.
func NewChecker(path string) *Checker {
	return &Checker{path: path, checks: newGate(maxChecks, reservedChecks), whos: newGate(maxWhos, 0), now: time.Now,
		answers: make(map[string]memory)}
}

// Check implements Checkpassword.
func (c *Checker) Check(ctx context.Context, trusted bool, service, rip, name, password string) (auth.User, bool, error) {
	leave, err := c.checks.enter(ctx, trusted)
	if err != nil {
		return auth.User{}, false, err
	}
	defer leave()
	return c.ask(ctx, auth.NewLine(auth.Check, service, rip, name, password))
}

// Who implements Checkpassword.
func (c *Checker) Who(ctx context.Context, name string) (auth.User, bool, error) {
	if a, ok := c.remembered(name); ok {
		return a.user, a.found, nil
	}
	leave, err := c.whos.enter(ctx, false)
	if err != nil {
		return auth.User{}, false, err
	}
	defer leave()
	u, found, err := c.ask(ctx, auth.NewLine(auth.Who, name))
	if err == nil {
		c.remember(name, u, found)
	}
	return u, found, err
}

func (c *Checker) remembered(name string) (memory, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	a, ok := c.answers[name]
	return a, ok && c.now().Before(a.until)
}

// remember keeps an answer in the place of any other if there are too many.
func (c *Checker) remember(name string, u auth.User, found bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.answers[name]; !ok && len(c.answers) >= maxRemembered {
		for other := range c.answers {
			delete(c.answers, other)
			break
		}
	}
	c.answers[name] = memory{u, found, c.now().Add(rememberFor)}
}

// ask puts one question.
func (c *Checker) ask(ctx context.Context, question auth.Line) (auth.User, bool, error) {
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
