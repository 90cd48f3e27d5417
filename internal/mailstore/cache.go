package mailstore

import (
	"postrider/internal/cache"
	"postrider/internal/sortkey"
)

// Cache is that of the folder. Who asks it for records calls its Refresh first.
func (b *Mailbox) Cache() *cache.Cache { return b.folder.cache }

// Ranks are those of the folder's messages, as far as sessions found them out since it is in memory.
func (b *Mailbox) Ranks() *sortkey.Ranks { return &b.folder.ranks }

// Known returns what was found out about a message before, now or by one who wrote it to the cache, as of its last Refresh.
func (b *Mailbox) Known(m *Message) (Info, bool) {
	if i, ok := m.Known(); ok {
		return i, true
	}
	kept, _, ok := b.folder.cache.Find(m.Base(), m.Size())
	if !ok || kept.Wire < 0 {
		return Info{}, false
	}
	i := Info(kept)
	b.learn(m, i)
	return i, true
}

// cachePath is that of a folder.
func (s *Store) cachePath(dir string, id fileID) string {
	return s.opts.IndexDir.Path(dir, cache.FileName, id.Dev, id.Ino)
}

// tidyCache drops what the cache has of messages that are gone, if that is most of it. The one who closes the folder does it, so
// that no client waits, and the one who removes messages, so that it does not grow while nobody closes.
func (f *folder) tidyCache(messages []*Message) {
	if !f.cache.Worth(len(messages)) {
		return
	}
	if f.cache.Refresh(); !f.cache.Worth(len(messages)) {
		return // it is only large
	}
	alive := make(map[string]struct{}, len(messages))
	for _, m := range messages {
		alive[m.Base()] = struct{}{}
	}
	f.cache.Tidy(func(base string) bool {
		_, ok := alive[base]
		return ok
	}) // if it fails the next one tries
}
