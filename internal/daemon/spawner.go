package daemon

import (
	"context"
	"errors"
	"fmt"
	"os/user"
	"strconv"
	"time"

	"postrider/internal/config"
	"postrider/internal/sandbox"
)

// Spawner starts the process that starts the daemon's workers, while the daemon may: workers living ones at most, of these perUID
// under one uid. It also returns the uid of the mailbox user, 0 if there is none. What it takes from cfg holds until a restart.
func (d *Daemon) Spawner(cfg *config.Config, workers, perUID int) (*sandbox.Spawner, uint32, error) {
	limits := sandbox.Limits{FirstUID: cfg.FirstValidUID, SingleUID: cfg.SingleUID, Workers: workers, PerUID: perUID}
	if !cfg.SingleUID {
		var err error
		if limits.MailboxUID, limits.MailboxGID, err = mailboxUser(cfg.MailboxUser); err != nil {
			d.Log.Info("mailbox_user: %v; users below first_valid_uid have no mailboxes", err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	s, err := sandbox.StartSpawner(ctx, limits)
	return s, limits.MailboxUID, err
}

// mailboxUser is the owner of the mailboxes that have no system user: an account, or a number that is its uid and gid.
func mailboxUser(name string) (uid, gid uint32, err error) {
	account, err := user.Lookup(name)
	if err != nil {
		n, bad := strconv.ParseUint(name, 10, 32)
		if bad != nil {
			return 0, 0, err
		}
		return uint32(n), uint32(n), nil
	}
	u, errUID := strconv.ParseUint(account.Uid, 10, 32)
	g, errGID := strconv.ParseUint(account.Gid, 10, 32)
	if err := errors.Join(errUID, errGID); err != nil {
		return 0, 0, fmt.Errorf("%s: %w", name, err)
	}
	return uint32(u), uint32(g), nil
}

// SpawnerKeys are the settings that Spawner takes.
func SpawnerKeys(started, now *config.Config) Keys {
	return Keys{
		{"first_valid_uid", started.FirstValidUID != now.FirstValidUID},
		{"mailbox_user", started.MailboxUser != now.MailboxUser},
		{"single_uid", started.SingleUID != now.SingleUID},
	}
}

// WhileSpawner returns a context that ends with ctx, or, with the cause sandbox.ErrGone, when the spawner has ended: only a new
// start gets a new one.
func WhileSpawner(ctx context.Context, s *sandbox.Spawner) (context.Context, context.CancelFunc) {
	ctx, fail := context.WithCancelCause(ctx)
	go func() {
		select {
		case <-s.Gone():
			fail(sandbox.ErrGone)
		case <-ctx.Done():
		}
	}()
	return ctx, func() { fail(nil) }
}
