// Package quota counts what a Maildir holds and says whether more may come, by the file maildirsize of Maildir++, which Dovecot and
// Courier may write as well: the limits in its first line, then what was added and taken away, summed up from time to time. The
// Trash folder counts.
//
// The file may have been written by anybody who may write to the mailbox, the user first of all: what cannot be true is counted anew,
// from the names of the messages' files. Links are not followed.
package quota

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"postrider/internal/filelock"
)

// ErrExceeded says that there is no room for what was to come.
var ErrExceeded = errors.New("over quota")

// Amount is an amount of mail, or a limit; in a limit 0 is none.
type Amount struct {
	Octets   int64 // of the files
	Messages int64
}

// Limited says whether a limit limits anything.
func (a Amount) Limited() bool { return a.Octets > 0 || a.Messages > 0 }

// exceeds says whether the amount is more than a limit allows.
func (a Amount) exceeds(limit Amount) bool {
	return limit.Octets > 0 && a.Octets > limit.Octets || limit.Messages > 0 && a.Messages > limit.Messages
}

// Plus is the sum of both.
func (a Amount) Plus(b Amount) Amount { return Amount{a.Octets + b.Octets, a.Messages + b.Messages} }

// Minus is the difference.
func (a Amount) Minus(b Amount) Amount { return Amount{a.Octets - b.Octets, a.Messages - b.Messages} }

// bounded keeps what others announce from making a sum overflow.
func (a Amount) bounded() Amount { return Amount{min(a.Octets, maxSum), min(a.Messages, maxSum)} }

// Root is the quota of one Maildir with all its folders. It keeps nothing in memory, and is safe for concurrent use by any number
// of processes.
type Root struct {
	dir      string
	limit    Amount        // of the user database
	patience time.Duration // with others who have the lock
}

// New returns the quota of the Maildir at dir. Octets is the user database's limit, which stands above that of the file; 0 = it has none,
// and the file's first line counts. Without either nothing is counted.
func New(dir string, octets int64) *Root {
	return &Root{dir, Amount{Octets: max(octets, 0)}, 30 * time.Second}
}

// Within returns the same quota for one who waits no longer than this for others who have it locked.
func (r *Root) Within(patience time.Duration) *Root { return &Root{r.dir, r.limit, patience} }

const lockFile = "postrider.quota"

// settleTime is what it is always worth to wait for the lock: else all is to be counted once more.
const settleTime = 100 * time.Millisecond

// lock keeps the file to ourselves among the programs of this suite.
func (r *Root) lock(ctx context.Context) (*os.File, error) {
	return filelock.Take(ctx, filepath.Join(r.dir, lockFile), r.patience)
}

// Active says whether mail is counted here, with one system call at most.
func (r *Root) Active() bool {
	if r.limit.Limited() {
		return true
	}
	var st unix.Stat_t
	err := unix.Lstat(filepath.Join(r.dir, sizeFile), &st)
	return err != unix.ENOENT && (err != nil || st.Mode&unix.S_IFMT == unix.S_IFREG)
}

// Usage returns what there is and what there may be. A limit that limits nothing says that there is no quota.
func (r *Root) Usage(ctx context.Context) (used, limit Amount, err error) {
	if !r.Active() {
		return Amount{}, Amount{}, nil
	}
	s, unlock, err := r.begin(ctx)
	if err != nil {
		return Amount{}, Amount{}, err
	}
	defer unlock()
	return s.used, s.limit, nil
}

// begin reads the file under the lock.
func (r *Root) begin(ctx context.Context) (s *sizes, unlock func(), err error) {
	lock, err := r.lock(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("quota: %w", err)
	}
	if s, err = r.load(ctx); err != nil {
		lock.Close()
		return nil, nil, fmt.Errorf("quota: %w", err)
	}
	return s, func() { lock.Close() }, nil
}

// Room says whether there would be room for more now: nil, or ErrExceeded.
func (r *Root) Room(ctx context.Context, more Amount) error {
	used, limit, err := r.Usage(ctx)
	if err == nil && used.Plus(more.bounded()).exceeds(limit) {
		err = ErrExceeded
	}
	return err
}

// Change is mail on its way into the Maildir, or out of it. A nil Change is that of a Maildir that is not counted.
type Change struct {
	root     *Root
	file     fs.FileInfo // maildirsize as it was when this was begun, or nil
	reserved Amount
}

// Reserve counts mail that is about to come, or returns ErrExceeded. The Change is to be ended by Done.
func (r *Root) Reserve(ctx context.Context, more Amount) (*Change, error) {
	if !r.Active() {
		return nil, nil
	}
	s, unlock, err := r.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if s.used.Plus(more.bounded()).exceeds(s.limit) {
		return nil, ErrExceeded
	}
	if err := r.add(s, more); err != nil {
		return nil, fmt.Errorf("quota: %w", err)
	}
	return &Change{r, s.file, more}, nil
}

// Begin is before mail is moved within the Maildir, or removed. It waits for nothing and never fails: who removes mail shall.
func (r *Root) Begin() *Change {
	if !r.Active() {
		return nil
	}
	file, _ := os.Lstat(filepath.Join(r.dir, sizeFile))
	return &Change{root: r, file: file}
}

// Done counts what has come, or with negative numbers gone, after all. If the file was written anew meanwhile nobody knows what that
// has counted: all is counted once more. The mail is where it is, so there is no error: what could not be written down is counted at
// the next look.
func (c *Change) Done(ctx context.Context, came Amount) {
	if c == nil {
		return
	}
	r := c.root.Within(max(c.root.patience, settleTime))
	lock, err := r.lock(ctx)
	if err == nil {
		defer lock.Close()
		err = r.settle(ctx, c, came.Minus(c.reserved))
	}
	if err != nil && r.limit.Limited() { // else it has the limit, and stays
		os.Remove(filepath.Join(r.dir, sizeFile))
	}
}

func (r *Root) settle(ctx context.Context, c *Change, delta Amount) error {
	file, err := os.Lstat(filepath.Join(r.dir, sizeFile))
	if err != nil || !os.SameFile(file, c.file) {
		_, err = r.recount(ctx)
		return err
	}
	if delta == (Amount{}) {
		return nil
	}
	return r.append(delta)
}
