// Package mailstore is a user's mail as a session process uses it: Maildir++ folders below a Maildir, with Dovecot's files
// (dovecot-uidlist, dovecot-keywords, dovecot-uidvalidity, subscriptions) in Dovecot's formats and under Dovecot's locks, so
// that Dovecot, delivery agents, mutt and rm may work on the same files at the same time.
//
// It runs as the owner of the mail and trusts nothing that it finds on disk: every parser is bounded, only regular files are
// opened, and a name that another program changed is looked for again by its base name. What is not durable is not answered.
package mailstore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"postrider/internal/filelock"
	"postrider/internal/indexdir"
	"postrider/internal/quota"
)

// Errors that a session answers in its own way. All others are temporary failures.
var (
	ErrNoFolder     = errors.New("no such folder")
	ErrExists       = errors.New("folder exists already")
	ErrName         = errors.New("bad folder name")
	ErrReset        = errors.New("folder was replaced, its UIDs are no longer valid") // close the session's mailbox
	ErrExpunged     = errors.New("message is gone")
	ErrKeywordLimit = errors.New("a folder has at most 26 keywords")
	ErrKeyword      = errors.New("bad keyword")
	ErrNoSpace      = errors.New("no space left")            // wrapped beside ENOSPC and EDQUOT
	ErrUnwritable   = errors.New("folder cannot be written") // what is there can be read and deleted; new mail waits
	ErrReadOnly     = errors.New("mailbox is open read-only")
	ErrLocked       = filelock.ErrLocked
)

// Options of a Store.
type Options struct {
	Remote      bool          // directory times are not to be trusted, whatever the filesystem: each Sync lists
	LockTimeout time.Duration // how long to wait for another program's lock; 0 = 122 s, as Dovecot
	IndexDir    indexdir.Dir  // of indexes and caches; "" = each folder has its own
	Boot        string        // identity of the running system; "" = Open finds it out
	Watcher     *Watcher      // of the process; nil = no hints
	Quota       *quota.Root   // nil = mail is not counted
	Kept        *Kept         // of the process; nil = the store has one of its own
}

// Store is the mail of one user. It is safe for concurrent use.
type Store struct {
	root string
	opts Options

	mu      sync.Mutex
	folders map[string]*folder // those that are open, and the last that were, by directory

	modSeqs  reserve
	validity atomic.Uint32 // the last UIDVALIDITY that was taken here
}

// defaultLockTimeout is Dovecot's: it outlasts a stale lock.
const defaultLockTimeout = staleLock + 2*time.Second

// Open opens the Maildir at root, an absolute path; cur, new and tmp are made if they are missing, root is not.
func Open(root string, opts Options) (*Store, error) {
	if opts.LockTimeout == 0 {
		opts.LockTimeout = defaultLockTimeout
	}
	if opts.Boot == "" {
		opts.Boot = Boot()
	}
	s := newStoreAt(filepath.Clean(root), opts)
	if err := makeMaildir(s.root); err != nil {
		return nil, fmt.Errorf("open mail store: %w", diskError(err))
	}
	s.opts.Remote = s.opts.Remote || !isLocal(s.root)
	s.takeSubscriptions()
	return s, nil
}

func newStoreAt(root string, opts Options) *Store {
	if opts.Kept == nil {
		opts.Kept = new(Kept)
	}
	return &Store{root: root, opts: opts, folders: make(map[string]*folder), modSeqs: reserve{path: filepath.Join(root, modSeqFile)}}
}

// makeMaildir makes what is missing of a Maildir in dir, durable.
func makeMaildir(dir string) error {
	made, err := makeDirs(dir)
	if err == nil && made {
		err = syncDir(dir)
	}
	return err
}

func makeDirs(dir string) (made bool, err error) {
	for _, sub := range []string{"tmp", "new", "cur"} {
		err := os.Mkdir(filepath.Join(dir, sub), 0o700)
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return made, err
		}
		made = made || err == nil
	}
	return made, nil
}

// diskError marks the errors for which a session has an answer of its own.
func diskError(err error) error {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return fmt.Errorf("%w: %w", ErrNoSpace, err)
	}
	return err
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	err = d.Sync()
	d.Close()
	return err
}

func fdatasync(f *os.File) error {
	for {
		if err := unix.Fdatasync(int(f.Fd())); err != unix.EINTR {
			return os.NewSyscallError("fdatasync", err)
		}
	}
}
