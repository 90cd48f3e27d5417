package worker

import (
	"postrider/internal/cache"
	"postrider/internal/indexdir"
)

// maxRecording is how many batches may wait until their messages are in the caches. Others are left to who reads the mail.
const maxRecording = 16

// recorder writes what IMAP clients will ask for of delivered messages to the caches of their mailboxes, beside the deliveries, which
// do not wait for it. What it cannot do is done by the session that needs it.
type recorder struct {
	indexes indexdir.Dir
	batches chan map[string][]string // file names by Maildir
	done    chan struct{}
}

func newRecorder(indexes indexdir.Dir) *recorder {
	r := &recorder{indexes: indexes, batches: make(chan map[string][]string, maxRecording), done: make(chan struct{})}
	go func() {
		defer close(r.done)
		for batch := range r.batches {
			for dir, names := range batch {
				if path, err := r.indexes.Find(dir, cache.FileName); err == nil {
					cache.Delivered(path, dir, names)
				}
			}
		}
	}()
	return r
}

// record takes the messages of a batch that were delivered now.
func (r *recorder) record(list []*delivery) {
	batch := make(map[string][]string)
	for _, d := range list {
		if d.message != nil && d.message.Err() == nil {
			batch[d.Maildir] = append(batch[d.Maildir], d.message.Name())
		}
	}
	select {
	case r.batches <- batch:
	default:
	}
}

// close waits for what was taken.
func (r *recorder) close() {
	close(r.batches)
	<-r.done
}
