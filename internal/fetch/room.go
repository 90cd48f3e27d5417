package fetch

import (
	"sync"
	"sync/atomic"
)

// room is memory for the texts of whole messages: one large one, or several that are read ahead. What does not fit is read
// piece by piece when it is sent. Several goroutines may take of it.
type room struct {
	used atomic.Int64
	text [roomSize]byte
}

const roomSize = 512 << 10

var rooms = sync.Pool{New: func() any { return new(room) }}

// take returns n octets, nil if there are no more.
func (r *room) take(n int64) []byte {
	if r == nil || n > roomSize {
		return nil
	}
	end := r.used.Add(n)
	if end > roomSize {
		return nil
	}
	return r.text[end-n : end : end]
}

// roomFor is where the text of a message goes that is answered, or read ahead, for such a need; nil if it is not to be in memory.
// Unless messages are read ahead, no other message is in it.
func (f *Fetcher) roomFor(n *need) *room {
	if !n.texts() {
		return nil
	}
	if f.room == nil {
		f.room = rooms.Get().(*room)
	}
	if f.ahead == nil {
		f.room.used.Store(0)
	}
	return f.room
}

// leaveRoom ends the use of the room.
func (f *Fetcher) leaveRoom() {
	if f.room != nil {
		rooms.Put(f.room)
		f.room = nil
	}
}
