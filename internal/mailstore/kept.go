package mailstore

import (
	"slices"
	"sync"
)

// Bounds of what is kept of folders that nobody has open.
const (
	maxKept         = 128
	maxKeptMessages = 150_000 // some 300 octets each, and up to 72 of ranks and 240 of what the cache has
)

// Kept are the folders that nobody has open and that the stores of one process remember all the same, for when they are opened again. The
// longest unused are forgotten first. The zero value has none.
type Kept struct {
	mu       sync.Mutex // taken after that of a store
	folders  []*folder  // the longest unused first
	messages int
}

// put adds a folder, and returns those that there is no more room for.
func (k *Kept) put(f *folder) (over []*folder) {
	f.kept = f.count()
	k.mu.Lock()
	defer k.mu.Unlock()
	k.folders, k.messages = append(k.folders, f), k.messages+f.kept
	for len(k.folders) > maxKept || k.messages > maxKeptMessages {
		oldest := k.folders[0]
		k.folders, k.messages = slices.Delete(k.folders, 0, 1), k.messages-oldest.kept
		over = append(over, oldest)
	}
	return over
}

// take removes a folder, if it is there.
func (k *Kept) take(f *folder) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if i := slices.Index(k.folders, f); i >= 0 {
		k.folders, k.messages = slices.Delete(k.folders, i, i+1), k.messages-f.kept
	}
}

func (k *Kept) has(f *folder) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Contains(k.folders, f)
}

// forget drops the folder, unless somebody has opened it meanwhile.
func (f *folder) forget() {
	s := f.store
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.users == 0 && s.folders[f.dir] == f && !s.opts.Kept.has(f) {
		delete(s.folders, f.dir)
	}
}

// Close ends a store that nobody has a folder of open: nothing of it is kept.
func (s *Store) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.folders {
		if f.users == 0 {
			s.opts.Kept.take(f)
			delete(s.folders, f.dir)
		}
	}
}
