package mailstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync/atomic"

	"postrider/internal/cache"
)

// folder is the state of one folder, shared by the sessions of the process that have it open.
type folder struct {
	store *Store
	dir   string
	users int // guarded by store.mu
	cache *cache.Cache
	turn  chan struct{} // whoever put a token in uses what follows

	id        fileID                // of the directory
	state     *State                // what sessions see; nil = not yet read
	published atomic.Pointer[State] // the same, for those who do not wait their turn

	list               *uidfile
	new, cur           map[string]string // file names by base name
	newStamp, curStamp Stamp
	newTwice, curTwice []string
	quiet              bool              // nothing changed during the last listing of both
	dirty              bool              // something was read that state does not have yet
	gone               map[uint32]bool   // in the uidlist, but the file is gone: its name gets another UID if it comes back
	newKeys            map[string]string // what the uidlist is to say beside the UID of messages that get one, by base name
	keywords           KeywordNames
	keywordsID         fileID
	modSeq             uint64     // the largest that was given
	vanished           []vanished // the last that went, in order
	vanishedAll        uint64     // all that went later are in vanished
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
	if err := makeMaildir(dir); err != nil {
		return nil, fmt.Errorf("open %s: %w", name, diskError(err))
	}
	id, err := statID(dir + "/.")
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.folders[dir]
	if f == nil || !sameInode(f.id, id) {
		f = &folder{store: s, dir: dir, cache: cache.Open(dir), turn: make(chan struct{}, 1), id: id, gone: make(map[uint32]bool)}
		s.folders[dir] = f
	}
	f.users++
	return f, nil
}

func (s *Store) closeFolder(f *folder) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.users--; f.users == 0 && s.folders[f.dir] == f {
		delete(s.folders, f.dir)
		f.cache.Close()
	}
}

func sameInode(a, b fileID) bool { return a.Dev == b.Dev && a.Ino == b.Ino }

// begin waits for the folder's state.
func (f *folder) begin(ctx context.Context) error {
	select {
	case f.turn <- struct{}{}:
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

// publish makes a new state of what is known; messages that stayed as they were stay the same.
func (f *folder) publish() {
	if f.list == nil {
		return
	}
	var old []*Message
	if f.state != nil {
		old = f.state.Messages
	}
	messages, modSeq := make([]*Message, 0, len(f.cur)+len(f.new)), f.nextModSeq()
	for _, r := range f.list.records {
		if !f.counts(r) {
			continue
		}
		name, inCur := f.cur[r.base]
		if !inCur {
			var inNew bool
			if name, inNew = f.new[r.base]; !inNew {
				continue
			}
		}
		for len(old) > 0 && old[0].UID < r.uid {
			old = old[1:]
		}
		if len(old) == 0 || old[0].UID != r.uid {
			messages = append(messages, newMessage(r.uid, name, r.keys, !inCur, modSeq))
			continue
		}
		messages = append(messages, old[0].named(name, !inCur, modSeq))
	}
	f.dirty = false
	f.number(messages, modSeq)
	f.state = &State{UIDValidity: f.list.validity, UIDNext: f.list.next, ModSeq: f.modSeq, GUID: f.list.guid, Messages: messages,
		Keywords: f.keywords, vanished: f.vanished, vanishedAll: f.vanishedAll}
	f.restamp()
}

// restamp notes the times under which the state is true.
func (f *folder) restamp() {
	s := *f.state
	s.List, s.New, s.Cur = f.list.id, f.newStamp, f.curStamp
	if s.List == f.state.List && s.New == f.state.New && s.Cur == f.state.Cur {
		return
	}
	f.state = &s
	if index := f.store.opts.Index; index != nil {
		index.Save(f.dir, f.state) // it is disposable
	}
}

// find returns the message of a UID as it is now, nil = none.
func (s *State) find(uid uint32) *Message {
	if i, ok := s.position(uid); ok {
		return s.Messages[i]
	}
	return nil
}

func (s *State) position(uid uint32) (int, bool) {
	return slices.BinarySearchFunc(s.Messages, uid, func(m *Message, uid uint32) int { return cmp.Compare(m.UID, uid) })
}

// sizeSuffix are the sizes that a base name ends with.
func sizeSuffix(base string) string {
	if i := strings.Index(base, ",S="); i >= 0 {
		return base[i:]
	}
	if i := strings.Index(base, ",W="); i >= 0 {
		return base[i:]
	}
	return ""
}
