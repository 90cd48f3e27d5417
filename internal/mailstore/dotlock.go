package mailstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"postrider/internal/fault"
	"postrider/internal/maildir"
)

const (
	staleLock = 120 * time.Second // a dotlock that nobody touched for so long may be broken
	emptyLock = 10 * time.Second  // and one that is empty: its maker died before it wrote anything
	touchLock = 10 * time.Second  // how often its holder touches it
	maxWait   = 100 * time.Millisecond
)

// dotlock is a file that exists while its maker works, as Dovecot's.
type dotlock struct {
	path    string
	file    *os.File
	touched time.Time
}

// takeDotlock makes path, waiting for another's at most until timeout. One is stale when it has not changed for 120 s while
// we looked, for 10 s if it is empty, or when its maker's process on this host has ended.
func takeDotlock(ctx context.Context, path string, timeout time.Duration) (*dotlock, error) {
	deadline := time.Now().Add(timeout)
	var seen fileID
	var since time.Time
	for wait := time.Millisecond; ; wait = min(2*wait, maxWait) {
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o600)
		if err == nil {
			l := &dotlock{path: path, file: f, touched: time.Now()}
			fault.Point("mailstore.lock-made")
			l.sign()
			return l, nil
		}
		if !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
		id, err := statID(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			wait = time.Millisecond / 2
		case err != nil:
			return nil, err
		case id != seen:
			seen, since = id, time.Now()
			fallthrough
		default:
			if (time.Since(since) > patience(id) || ownerDead(path)) && breakLock(path, id) {
				wait = time.Millisecond / 2
			}
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("%w: %s", ErrLocked, path)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(wait):
		}
	}
}

// patience is how long a lock may go unchanged.
func patience(lock fileID) time.Duration {
	if lock.Size == 0 {
		return emptyLock
	}
	return staleLock
}

// breakLock removes a lock if it is still the one that was looked at.
func breakLock(path string, id fileID) bool {
	now, err := statID(path)
	return err == nil && now == id && os.Remove(path) == nil
}

// ownerDead reads "pid:host", which we write into a lock, and Dovecot into that of the uidlist.
func ownerDead(path string) bool {
	f, _, err := maildir.Open(path, os.O_RDONLY)
	if err != nil {
		return false
	}
	defer f.Close()
	var b [512]byte
	n, _ := io.ReadFull(f, b[:])
	pid, host, ok := strings.Cut(strings.TrimSpace(string(b[:n])), ":")
	own, err := os.Hostname()
	if !ok || err != nil || host != own {
		return false
	}
	id, err := strconv.Atoi(pid)
	return err == nil && id > 1 && unix.Kill(id, 0) == unix.ESRCH
}

// sign writes who holds the lock into it. Where that fails, others wait until it is stale.
func (l *dotlock) sign() {
	if host, err := os.Hostname(); err == nil {
		fmt.Fprintf(l.file, "%d:%s", os.Getpid(), host)
	}
}

// touch keeps the lock from looking stale during long work; it is cheap to call.
func (l *dotlock) touch() {
	if now := time.Now(); now.Sub(l.touched) > touchLock {
		l.touched = now
		unix.Futimes(int(l.file.Fd()), nil) // the worst is that it looks stale
	}
}

// ours says whether the lock was not broken by another meanwhile.
func (l *dotlock) ours() bool {
	at, err := os.Lstat(l.path)
	if err != nil {
		return false
	}
	own, err := l.file.Stat()
	return err == nil && os.SameFile(at, own)
}

// release removes the lock.
func (l *dotlock) release() {
	if l.ours() {
		os.Remove(l.path) // if it stays, it is stale when this process has ended
	}
	l.file.Close()
}

// replace gives target other contents: write fills tmp, which is synced and then takes its place. After a power cut it has the old contents
// or the new, the new for certain when its directory was synced. The mtime grows, so that a reader that compares times sees it. It
// returns what target is now. The lock is still held.
func (l *dotlock) replace(tmp, target, point string, write func(*os.File) error) (id fileID, err error) {
	os.Remove(tmp) // of one who died; O_EXCL then takes nothing else that stands there
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fileID{}, err
	}
	defer f.Close()
	defer func() {
		if err != nil && l.ours() {
			os.Remove(tmp)
		}
	}()
	if err := write(f); err != nil {
		return fileID{}, err
	}
	if err := growTime(f, target); err != nil {
		return fileID{}, err
	}
	if err := fdatasync(f); err != nil {
		return fileID{}, err
	}
	fault.Point(point)
	if !l.ours() {
		return fileID{}, fmt.Errorf("%w: %s was broken", ErrLocked, l.path)
	}
	if err := os.Rename(tmp, target); err != nil {
		return fileID{}, err
	}
	return openID(f)
}

// write gives target other contents.
func (l *dotlock) write(target, contents string) (fileID, error) {
	return l.replace(target+".tmp", target, "mailstore.file-written", func(f *os.File) error {
		_, err := f.WriteString(contents)
		return err
	})
}

// growTime sets f's mtime, in whole seconds, above that of the file that it will replace.
func growTime(f *os.File, target string) error {
	old, err := os.Lstat(target)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil || info.ModTime().Unix() > old.ModTime().Unix() {
		return err
	}
	t := unix.NsecToTimeval((old.ModTime().Unix() + 1) * int64(time.Second))
	return os.NewSyscallError("utimes", unix.Futimes(int(f.Fd()), []unix.Timeval{t, t}))
}
