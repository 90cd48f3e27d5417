package mailstore

import (
	"context"
	"errors"
	"io/fs"
	"time"
)

// Status is what STATUS asks of a folder.
type Status struct {
	Counts
	Recent               int // nobody was told of them
	UIDValidity, UIDNext uint32
	ModSeq               uint64 // HIGHESTMODSEQ
	ID                   string // MAILBOXID
	Size                 int64  // octets as served
	Sized                bool   // Size is known
}

// Status looks at a folder without moving its new mail. Of one that has not changed since its index was written it reads nothing else.
// With ErrUnwritable there is a Status too, without the mail that could get no UID.
func (s *Store) Status(ctx context.Context, name string) (Status, error) {
	if st, ok := s.statusInIndex(name); ok {
		return st, nil
	}
	b, err := s.Open(ctx, name, true)
	if b == nil {
		return Status{}, err
	}
	defer b.Close()
	st := Status{Counts: b.Counts(), Recent: b.RecentCount(), UIDValidity: b.UIDValidity(), UIDNext: b.UIDNext(), ModSeq: b.HighestModSeq(), ID: b.ID()}
	st.Size, st.Sized = b.Size()
	return st, err
}

// statusInIndex answers from the header of the index, if the folder is not in memory.
func (s *Store) statusInIndex(name string) (st Status, ok bool) {
	name, err := normalName(name)
	if err != nil || s.opts.Remote {
		return st, false
	}
	dir, exists := s.dir(name)
	if !exists || s.inMemory(dir) {
		return st, false
	}
	id, err := statID(dir + "/.")
	if err != nil {
		return st, false
	}
	x := s.index(dir, id)
	h, guid := x.peek()
	if h == nil || !h.current(dir) {
		return st, false
	}
	c := h.Counts
	return Status{
		Counts: Counts{Messages: int(c.Messages), Unseen: int(c.Unseen), FirstUnseen: int(c.FirstUnseen), Deleted: int(c.Deleted),
			New: int(c.New)},
		Recent:      int(c.New),
		UIDValidity: h.UIDValidity, UIDNext: h.UIDNext, ModSeq: h.ModSeq, ID: folderID(guid), Size: c.Size.Wire, Sized: c.Size.Unsized == 0,
	}, true
}

func (s *Store) inMemory(dir string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.folders[dir] != nil
}

// current says that nothing in a folder has changed since its index was written, as far as the times of its files show.
func (h *indexHeader) current(dir string) bool {
	now := time.Now()
	list, err := statID(dir + "/" + uidlistFile)
	if err != nil || list != h.List.ID || h.List.Version != 3 {
		return false
	}
	for sub, stamp := range map[string]stamp{"new": h.New, "cur": h.Cur} {
		id, err := statID(dir + "/" + sub)
		if err != nil || stamp.stale(id, now) {
			return false
		}
	}
	keywords, err := statID(dir + "/" + keywordsFile)
	return (err == nil || errors.Is(err, fs.ErrNotExist)) && keywords == h.Keywords
}
