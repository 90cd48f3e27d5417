package session

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"sync"

	"postrider/internal/maildir"
	"postrider/internal/mailstore"
	"postrider/internal/quota"
)

// stores are the mail stores in use, one for each Maildir, so that its sessions share what they know of it.
type stores struct {
	watcher *mailstore.Watcher
	boot    string // identity of the running system
	kept    mailstore.Kept

	mu  sync.Mutex
	all map[string]*shared // by path
}

// shared is a store and how many sessions use it.
type shared struct {
	users int // guarded by stores.mu
	open  sync.Once
	store *mailstore.Store
	err   error
}

// take returns the store of a session's Maildir, which is the session's until give is called. root is the directory in which missing
// homes are made.
func (s *stores) take(r *Request, root string) (store *mailstore.Store, give func(), err error) {
	path := filepath.Clean(r.Maildir)
	s.mu.Lock()
	if s.all == nil {
		s.all = make(map[string]*shared)
	}
	sh := s.all[path]
	if sh == nil {
		sh = new(shared)
		s.all[path] = sh
	}
	sh.users++
	s.mu.Unlock()
	give = func() { s.give(path, sh) }
	sh.open.Do(func() { sh.store, sh.err = s.openStore(r, root) })
	return sh.store, give, sh.err
}

// give is the end of one use. One that could not be opened is nobody's next.
func (s *stores) give(path string, sh *shared) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sh.users--
	if s.all[path] == sh && (sh.users == 0 || sh.err != nil) {
		delete(s.all, path)
	}
	if sh.users == 0 && sh.store != nil {
		sh.store.Close()
	}
}

// openStore opens a Maildir. A user to whom no mail has come yet has none: it is made, and for homes below root the home, too.
func (s *stores) openStore(r *Request, root string) (*mailstore.Store, error) {
	o := mailstore.Options{Remote: r.Settings.Remote, Watcher: s.watcher, Boot: s.boot, Quota: quota.New(r.Maildir, r.Quota),
		Kept: &s.kept}
	if err := maildir.CheckMount(root, r.Settings.Mount); err != nil {
		return nil, err
	}
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
