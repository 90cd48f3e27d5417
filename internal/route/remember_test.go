package route

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"time"

	"postrider/internal/auth"
)

// counting counts the questions to a directory.
type counting struct {
	Directory
	asked int
}

func (c *counting) Who(ctx context.Context, name string) (auth.User, error) {
	c.asked++
	return c.Directory.Who(ctx, name)
}

func TestRemember(t *testing.T) {
	t.Parallel()
	who := authd{"nss@example.org": 3000, "slow@example.org": 0}
	asked := &counting{Directory: who}
	now := time.Unix(1000, 0)
	m := Remember(asked).(*memory)
	m.now = func() time.Time { return now }
	ask := func(name string, wantUID uint32, wantErr error, wantAsked int) {
		t.Helper()
		u, err := m.Who(t.Context(), name)
		if u.UID != wantUID || !errors.Is(err, wantErr) || asked.asked != wantAsked {
			t.Errorf("%s: %+v, %v after %d questions; want uid %d, %v, %d", name, u, err, asked.asked, wantUID, wantErr, wantAsked)
		}
	}
	ask("nss@example.org", 3000, nil, 1)
	ask("nss@example.org", 3000, nil, 1)
	ask("new@example.org", 0, auth.ErrUnknown, 2)
	who["new@example.org"] = 3001
	ask("new@example.org", 0, auth.ErrUnknown, 2)
	ask("slow@example.org", 0, auth.ErrLater, 3)
	ask("slow@example.org", 0, auth.ErrLater, 4)
	now = now.Add(rememberFor)
	ask("new@example.org", 3001, nil, 5)
	ask("nss@example.org", 3000, nil, 6)
}

func TestRememberIsBounded(t *testing.T) {
	t.Parallel()
	m := Remember(authd{}).(*memory)
	for i := range 3 * maxRemembered {
		if _, err := m.Who(t.Context(), strconv.Itoa(i)); !errors.Is(err, auth.ErrUnknown) {
			t.Fatal(err)
		}
		if len(m.answers) > maxRemembered {
			t.Fatalf("%d answers kept", len(m.answers))
		}
	}
}
