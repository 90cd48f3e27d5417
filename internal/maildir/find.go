package maildir

import (
	"bytes"
	"io"
	"strings"

	"golang.org/x/sys/unix"
)

// believeEarlier looks for earlier deliveries of the messages that may have one, once per Maildir. Where one has the
// same bytes, the new file goes and the old name stands. A search that fails finds nothing: the message is then delivered
// again under the same name.
func believeEarlier(dirs map[string]*dir, msgs []*Message) {
	for _, d := range dirs {
		wanted := make(map[string]*Message)
		for _, m := range msgs {
			if m.dir == d && m.again {
				wanted[m.unique] = m
			}
		}
		if len(wanted) == 0 {
			continue
		}
		// new/ first: a file that its reader moves meanwhile goes from new/ to cur/
		d.search(d.new, wanted)
		if len(wanted) > 0 && d.search(d.cur, wanted) {
			d.curFound = true
		}
	}
}

// search lists one directory and settles the messages whose earlier delivery is there and true. It takes them out of wanted.
func (d *dir) search(fd int, wanted map[string]*Message) (any bool) {
	list, err := openFileAt(fd, ".", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return false
	}
	defer list.Close()
	for {
		names, err := list.Readdirnames(1024)
		for _, name := range names {
			unique, _, _ := strings.Cut(name, ":")
			unique, _, _ = strings.Cut(unique, ",")
			if m := wanted[unique]; m != nil && m.sameAs(fd, name) {
				delete(wanted, unique)
				m.settle(name)
				any = true
			}
		}
		if err != nil || len(wanted) == 0 {
			return any
		}
	}
}

// settle takes an earlier delivery for this one.
func (m *Message) settle(name string) {
	m.closeFile()
	m.removeTmp()
	m.name, m.found = name, true
}

// sameAs says whether a file of the Maildir has the message's bytes; after a power cut it may have the name alone.
func (m *Message) sameAs(fd int, name string) bool {
	f, err := openFileAt(fd, name, unix.O_RDONLY|unix.O_NONBLOCK)
	if err != nil {
		return false
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() || info.Size() != m.line.size {
		return false
	}
	same, err := equal(io.NewSectionReader(m.file, 0, m.line.size), f)
	return err == nil && same && m.disk.sync(f) == nil
}

func equal(a, b io.Reader) (bool, error) {
	p, q := takeBuffer()[:bufferSize], takeBuffer()[:bufferSize]
	defer giveBuffer(p)
	defer giveBuffer(q)
	for {
		n, errA := io.ReadFull(a, p)
		k, errB := io.ReadFull(b, q)
		if !bytes.Equal(p[:n], q[:k]) {
			return false, nil
		}
		for _, err := range []error{errA, errB} {
			if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
				return false, err
			}
		}
		if errA != nil || errB != nil {
			return true, nil
		}
	}
}
