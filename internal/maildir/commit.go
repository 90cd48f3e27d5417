package maildir

import (
	"sync"

	"postrider/internal/fault"
)

// parallelSyncs bounds the fsyncs at the same time; each holds a thread.
const parallelSyncs = 16

// SyncFiles is the way that asks nothing special of the filesystem: fsync each file, rename all, fsync each directory.
func SyncFiles(msgs []*Message) {
	fault.Point("maildir.written")
	syncEach(msgs)
	fault.Point("maildir.synced")
	for _, m := range msgs {
		m.publish()
	}
	fault.Point("maildir.renamed")
	syncDirs(msgs)
	fault.Point("maildir.dirsynced")
}

func syncEach(msgs []*Message) {
	if len(msgs) == 1 {
		msgs[0].sync()
		return
	}
	var wait sync.WaitGroup
	next := make(chan *Message)
	for range min(parallelSyncs, len(msgs)) {
		wait.Go(func() {
			for m := range next {
				m.sync()
			}
		})
	}
	for _, m := range msgs {
		next <- m
	}
	close(next)
	wait.Wait()
}

// sync makes the file durable under its name in tmp/. An earlier delivery that is believed was synced before it got its
// name.
func (m *Message) sync() {
	if m.err != nil || m.found {
		return
	}
	err := m.disk.sync(m.file)
	if errClose := m.closeFile(); err == nil {
		err = errClose // a network filesystem may say it here
	}
	if err != nil {
		m.fail(err)
	}
}

// publish gives the message its final name.
func (m *Message) publish() {
	if m.err != nil || m.found {
		return
	}
	if err := m.disk.rename(m.dir.tmp, m.tmp, m.dir.new, m.name); err != nil {
		m.fail(err)
		return
	}
	m.tmp = ""
}

// syncDirs makes the names durable, each directory once. Where that fails the files stay: the messages are tried again,
// under the same names.
func syncDirs(msgs []*Message) {
	seen := make(map[*dir]bool, 1)
	for _, m := range msgs {
		d := m.dir
		if m.err == nil && !seen[d] {
			seen[d] = true
			d.newErr = m.disk.syncDir(d.new)
			if d.curFound {
				d.curErr = m.disk.syncDir(d.cur)
			}
		}
	}
	for _, m := range msgs {
		if m.err != nil {
			continue
		}
		if m.dir.newErr != nil {
			m.fail(m.dir.newErr)
		} else if m.found && m.dir.curErr != nil {
			m.fail(m.dir.curErr)
		}
	}
}
