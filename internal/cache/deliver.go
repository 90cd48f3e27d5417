package cache

import (
	"bufio"
	"errors"
	"io/fs"

	"postrider/internal/maildir"
	"postrider/internal/mime"
)

// Bounds on what is read for a delivery's sake. Who reads the mail reads what is larger.
const (
	maxDelivered = 1 << 20 // octets of one message
	maxReading   = 4 << 20 // of all together
)

// Delivered appends to the cache at path the records of messages that were just delivered to new of the folder in dir, under these
// file names. Those that others have moved meanwhile are left to them.
func Delivered(path, dir string, names []string) error {
	lines := bufio.NewReaderSize(nil, mime.BufferSize)
	builder := NewBuilder(lines, mime.NewReader(lines))
	var b Batch
	left := int64(maxReading)
	for _, name := range names {
		n, err := b.deliver(builder, dir+"/new/"+name, name, left)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		left -= n
	}
	return Append(path, &b)
}

// deliver adds the record of a message if it has no more octets than there are left, and says how many it had.
func (b *Batch) deliver(builder *Builder, path, name string, left int64) (int64, error) {
	f, st, err := maildir.Open(path, maildir.Quiet)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	if st.Size() > min(left, maxDelivered) {
		return 0, nil
	}
	r, err := builder.Build(name, Info{Size: st.Size(), Date: st.ModTime()}, f, true)
	if r != nil {
		b.Add(r)
	}
	return st.Size(), err
}
