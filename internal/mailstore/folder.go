package mailstore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"postrider/internal/cache"
	"postrider/internal/maildir"
	"postrider/internal/sortkey"
)

// folder is the state of one folder, shared by the sessions of the process that have it open. The last that nobody has open are kept
// for a while.
type folder struct {
	store *Store
	dir   string
	cache *cache.Cache
	ranks sortkey.Ranks
	users int           // guarded by store.mu
	kept  int           // how many messages count in store.opts.Kept, and guarded by it
	turn  chan struct{} // whoever put a token in uses what follows

	id        fileID                // of the directory
	state     *state                // what sessions see; nil = not yet read
	published atomic.Pointer[state] // the same, for those who do not wait their turn
	learned   atomic.Bool           // of some message more may be known than the index has

	list       *uidfile          // nil = there is none, or none that can be read
	fresh      []record          // lines of the list that state does not have yet
	whole      []record          // all lines of the list, if it was read from its beginning since state was made
	newKeys    map[string]string // what the list is to say beside the UID of messages that get one, by base name
	new, cur   directory         // what is known of them
	quiet      bool              // nothing changed during the last listing of both
	dirty      bool              // something was read that state does not have yet
	foreign    bool              // and it is not known to be our doing
	keywords   KeywordNames
	keywordsID fileID

	arrived uint32 // messages from this UID on that this process put here are told to no session that writes yet; 0 = none

	sums   baseSums // nil, or those of state's messages
	index  index
	unseen map[uint32]entry // what others told of, as the index says, and is not in state yet
	doubt  bool             // the index may not have what was told: all messages are numbered anew
	clock  time.Time        // when what is known of the files began to be read
}

func (f *folder) path(name string) string { return f.dir + "/" + name }

// openFolder returns the shared state of a folder; it is given back by closeFolder.
func (s *Store) openFolder(name string) (*folder, error) {
	name, err := normalName(name)
	if err != nil {
		return nil, err
	}
	dir, exists := s.dir(name)
	if !exists {
		return nil, fmt.Errorf("open %s: %w", name, ErrNoFolder)
	}
	id, err := statID(dir + "/.")
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	known := s.folders[dir]
	f := known
	if f == nil || !sameInode(f.id, id) {
		if err := makeMaildir(dir); err != nil {
			return nil, fmt.Errorf("open %s: %w", name, diskError(err))
		}
		f = &folder{store: s, dir: dir, cache: cache.Open(s.cachePath(dir, id)), turn: make(chan struct{}, 1), id: id, index: s.index(dir, id)}
		s.folders[dir] = f
		if s.opts.IndexDir != "" {
			os.Remove(f.path(indexFile)) // of before: who still has it shall not number changes by it
		}
	}
	if known != nil {
		s.opts.Kept.take(known)
	}
	f.users++
	return f, nil
}

func (s *Store) closeFolder(f *folder) {
	for _, over := range s.leave(f) {
		over.forget()
	}
}

// leave ends one use of a folder; over are those that are not to be kept any longer.
func (s *Store) leave(f *folder) (over []*folder) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.users--; f.users > 0 {
		return nil
	}
	f.cache.Rest(2 * f.count()) // more are mostly of messages that are gone
	if s.folders[f.dir] != f {
		return nil
	}
	return s.opts.Kept.put(f)
}

// count is how many messages the folder has, as far as was found out.
func (f *folder) count() int {
	if p := f.published.Load(); p != nil {
		return len(p.messages)
	}
	return 0
}

func sameInode(a, b fileID) bool { return a.Dev == b.Dev && a.Ino == b.Ino }

// begin waits for the folder's state.
func (f *folder) begin(ctx context.Context) error {
	select {
	case f.turn <- struct{}{}:
		f.clock = time.Now()
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (f *folder) end() {
	f.published.Store(f.state)
	<-f.turn
}

// check says whether the directory is still the one that was opened.
func (f *folder) check() error {
	id, err := statID(f.dir + "/.")
	if errors.Is(err, fs.ErrNotExist) {
		return ErrNoFolder
	}
	if err == nil && !sameInode(id, f.id) {
		return ErrReset
	}
	return err
}

// sizeSuffix are the sizes that a base name ends with.
func sizeSuffix(base string) string {
	if i := strings.Index(base, maildir.SizeField); i >= 0 {
		return base[i:]
	}
	if i := strings.Index(base, maildir.WireField); i >= 0 {
		return base[i:]
	}
	return ""
}
