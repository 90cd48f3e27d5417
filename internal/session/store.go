package session

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"postrider/internal/indexdir"
	"postrider/internal/maildir"
	"postrider/internal/mailstore"
	"postrider/internal/quota"
)

// stores are the mail stores in use, one for each Maildir, so that its sessions share what they know of it; and some of users who left.
type stores struct {
	watcher *mailstore.Watcher
	indexes indexdir.Dir
	boot    string // identity of the running system
	kept    mailstore.Kept

	mu   sync.Mutex
	all  map[storeKey]*shared
	idle []*shared // nobody uses them; the longest unused first
}

// storeKey is which store a session uses. Others are made when the settings have changed.
type storeKey struct {
	path   string
	quota  int64
	mount  string
	remote bool
}

// maxIdle is how many stores are kept for users who come back. Their folders have a budget of their own.
const maxIdle = 64

// shared is a store and how many sessions use it.
type shared struct {
	key   storeKey
	users int         // guarded by stores.mu
	dir   os.FileInfo // the Maildir when the store was made; nil = there was none
	open  sync.Once
	store *mailstore.Store
	err   error
}

// take returns the store of a session's Maildir, which is the session's until give is called. root is the directory in which missing
// homes are made.
func (s *stores) take(r *Request, root string) (store *mailstore.Store, give func(), err error) {
	if err := maildir.CheckMount(root, r.Settings.Mount); err != nil {
		return nil, func() {}, err
	}
	key := storeKey{filepath.Clean(r.Maildir), r.Quota, r.Settings.Mount, r.Settings.Remote}
	dir, err := os.Stat(key.path)
	if err != nil {
		dir = nil
	}
	sh := s.use(key, dir)
	sh.open.Do(func() { sh.store, sh.err = s.openStore(r, root) })
	return sh.store, func() { s.give(sh) }, sh.err
}

// use returns the store of a Maildir that is dir now.
func (s *stores) use(key storeKey, dir os.FileInfo) *shared {
	s.mu.Lock()
	defer s.mu.Unlock()
	sh := s.all[key]
	if sh != nil && sh.users == 0 {
		s.idle = slices.DeleteFunc(s.idle, func(i *shared) bool { return i == sh })
		if dir == nil || sh.dir == nil || !os.SameFile(dir, sh.dir) {
			s.drop(sh)
			sh = nil
		}
	}
	if sh == nil {
		if s.all == nil {
			s.all = make(map[storeKey]*shared)
		}
		sh = &shared{key: key, dir: dir}
		s.all[key] = sh
	}
	sh.users++
	return sh
}

// give is the end of one use. One that could not be opened is nobody's next.
func (s *stores) give(sh *shared) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sh.users--
	if sh.store == nil || sh.err != nil {
		if s.all[sh.key] == sh {
			delete(s.all, sh.key)
		}
		return
	}
	if sh.users > 0 {
		return
	}
	s.idle = append(s.idle, sh)
	if len(s.idle) > maxIdle {
		s.drop(s.idle[0])
		s.idle = slices.Delete(s.idle, 0, 1)
	}
}

// drop forgets a store that nobody uses.
func (s *stores) drop(sh *shared) {
	delete(s.all, sh.key)
	sh.store.Close()
}

// openStore opens a Maildir. A user to whom no mail has come yet has none: it is made, and for homes below root the home, too.
func (s *stores) openStore(r *Request, root string) (*mailstore.Store, error) {
	o := mailstore.Options{Remote: r.Settings.Remote, IndexDir: s.indexes, Watcher: s.watcher, Boot: s.boot,
		Quota: quota.New(r.Maildir, r.Quota), Kept: &s.kept}
	store, err := mailstore.Open(r.Maildir, o)
	if !errors.Is(err, fs.ErrNotExist) {
		return store, err
	}
	place := maildir.Place{Root: r.Home, Path: r.Maildir}
	if strings.HasPrefix(filepath.Clean(r.Home), root+"/") {
		place.Root = root
	}
	if err := maildir.Make(place); err != nil {
		return nil, err
	}
	return mailstore.Open(r.Maildir, o)
}
