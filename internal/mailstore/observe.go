package mailstore

import "time"

// Observer tells one session which folders may have changed. It is for one goroutine.
type Observer struct {
	store   *Store
	wake    func()
	root    *observed
	folders map[string]*observed
}

// observed is a directory, or two, of one folder.
type observed struct {
	hints *hints
	id    fileID
}

// Observe begins to watch the store's list of folders: wake is called, from another goroutine and without ever waiting, when
// Changed or ListChanged says something new. In a store without a Watcher it returns nil.
func (s *Store) Observe(wake func()) *Observer {
	if s.opts.Watcher == nil {
		return nil
	}
	o := &Observer{store: s, wake: wake, folders: make(map[string]*observed)}
	o.root = &observed{hints: s.opts.Watcher.subscribe(wake, !s.opts.Remote, s.root)}
	return o
}

// Close ends it.
func (o *Observer) Close() {
	o.root.hints.close()
	for _, f := range o.folders {
		f.hints.close()
	}
	o.folders = nil
}

// ListChanged says whether something may have changed in the list of folders, or in that of subscriptions, since it was last asked.
func (o *Observer) ListChanged() bool { return o.root.hints.changed() }

// ListLater has ListChanged say so again after a while.
func (o *Observer) ListLater(d time.Duration) { time.AfterFunc(d, o.root.hints.send) }

// Watch begins to watch a folder, if it does not yet. One that was replaced counts as changed.
func (o *Observer) Watch(name string) error {
	name, err := normalName(name)
	if err != nil {
		return err
	}
	dir, exists := o.store.dir(name)
	if !exists {
		return ErrNoFolder
	}
	id, err := statID(dir + "/cur")
	if err != nil {
		return err
	}
	if f := o.folders[name]; f != nil {
		if sameInode(f.id, id) {
			return nil
		}
		o.Forget(name)
	}
	h := o.store.opts.Watcher.subscribe(o.wake, !o.store.opts.Remote, dir+"/new", dir+"/cur")
	h.dirty.Store(true)
	o.folders[name] = &observed{hints: h, id: id}
	return nil
}

// Forget ends the watch of a folder.
func (o *Observer) Forget(name string) {
	if f := o.folders[name]; f != nil {
		f.hints.close()
		delete(o.folders, name)
	}
}

// Changed says whether a watched folder may have changed since it was last asked.
func (o *Observer) Changed(name string) bool {
	f := o.folders[name]
	return f != nil && f.hints.changed()
}

// Touch has Changed say that a folder has.
func (o *Observer) Touch(name string) {
	if f := o.folders[name]; f != nil {
		f.hints.send()
	}
}
