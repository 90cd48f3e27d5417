package sortkey

import (
	"sync"

	"postrider/internal/imap"
)

// Ranks keeps where the messages of a folder stand by each criterion, for all that have it open: 8 octets for a message and a
// criterion. That stays true whatever messages come and go, as neither a message nor its UID changes. The zero Ranks knows
// nothing.
type Ranks struct {
	mu sync.Mutex
	by [imap.SortTo + 1]ranking // guarded; what is in one never changes
}

// ranking is messages, by their ascending UIDs, and their ranks.
type ranking struct {
	uidValidity uint32
	uids, ranks []uint32
}

// Find gives the ranks of messages by a criterion, whose UIDs ascend; nil unless all are known.
func (r *Ranks) Find(by imap.SortKey, uidValidity uint32, uids []uint32) []uint32 {
	r.mu.Lock()
	known := r.by[by]
	r.mu.Unlock()
	if known.uidValidity != uidValidity || len(known.uids) < len(uids) {
		return nil
	}
	ranks, at := make([]uint32, len(uids)), 0
	for i, uid := range uids {
		for at < len(known.uids) && known.uids[at] < uid {
			at++
		}
		if at == len(known.uids) || known.uids[at] != uid {
			return nil
		}
		ranks[i] = known.ranks[at]
	}
	return ranks
}

// Keep takes the ranks of messages, in the place of what was known by that criterion. They are not to be changed any more.
func (r *Ranks) Keep(by imap.SortKey, uidValidity uint32, uids, ranks []uint32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.by[by] = ranking{uidValidity, uids, ranks}
}
