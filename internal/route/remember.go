package route

import (
	"context"
	"errors"
	"sync"
	"time"

	"postrider/internal/auth"
)

// Bounds of what a memory keeps.
const (
	rememberFor   = 10 * time.Second // how late a change of users is noticed
	maxRemembered = 4096             // answers
)

// memory is a Directory that remembers the answers of another.
type memory struct {
	directory Directory
	now       func() time.Time

	mu      sync.Mutex
	answers map[string]answer
}

type answer struct {
	user  auth.User
	err   error // nil or auth.ErrUnknown
	until time.Time
}

// Remember returns a Directory that asks d and remembers for 10 seconds who is there and who is not, so that nobody keeps authd
// busy by asking for the same. That d cannot tell is not remembered.
func Remember(d Directory) Directory {
	return &memory{directory: d, now: time.Now, answers: make(map[string]answer)}
}

func (m *memory) Who(ctx context.Context, address string) (auth.User, error) {
	now := m.now()
	m.mu.Lock()
	a, ok := m.answers[address]
	m.mu.Unlock()
	if ok && now.Before(a.until) {
		return a.user, a.err
	}
	u, err := m.directory.Who(ctx, address)
	if err != nil && !errors.Is(err, auth.ErrUnknown) {
		return u, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.answers) >= maxRemembered {
		clear(m.answers)
	}
	m.answers[address] = answer{u, err, now.Add(rememberFor)}
	return u, err
}
