package mailstore

import (
	"slices"
	"time"
)

// maxVanished bounds what is remembered of messages that went.
const maxVanished = 4096

// vanished is a message that went, and at which mod-sequence.
type vanished struct {
	uid    uint32
	modSeq uint64
}

// nextModSeq is larger than all that were given: the time in microseconds, where the clock goes forward.
func (f *folder) nextModSeq() uint64 {
	return max(f.modSeq+1, uint64(max(time.Now().UnixMicro(), 0)))
}

// number notes whether the messages differ from the last state, and what went. modSeq is that of the new and changed ones.
func (f *folder) number(messages []*Message, modSeq uint64) {
	if f.state == nil {
		f.modSeq, f.vanished, f.vanishedAll = modSeq, nil, modSeq
		return
	}
	changed, now := false, messages
	for _, m := range f.state.Messages {
		for len(now) > 0 && now[0].UID < m.UID {
			now, changed = now[1:], true
		}
		if len(now) == 0 || now[0].UID != m.UID {
			f.vanished, changed = append(f.vanished, vanished{m.UID, modSeq}), true
			continue
		}
		changed = changed || now[0].ModSeq == modSeq
		now = now[1:]
	}
	if changed || len(now) > 0 {
		f.modSeq = modSeq
	}
	if over := len(f.vanished) - maxVanished; over > 0 {
		f.vanishedAll = f.vanished[over-1].modSeq
		f.vanished = append([]vanished(nil), f.vanished[over:]...)
	}
}

// Vanished returns the UIDs, ascending, of messages that went after a mod-sequence. ok is false if that is not remembered: then every
// UID below UIDNEXT that the view does not have may be one.
func (b *Mailbox) Vanished(since uint64) (uids []uint32, ok bool) {
	s := b.state
	if since < s.vanishedAll {
		return nil, false
	}
	for _, v := range s.vanished {
		if v.modSeq > since {
			uids = append(uids, v.uid)
		}
	}
	slices.Sort(uids)
	return uids, true
}
