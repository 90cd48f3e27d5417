package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"postrider/internal/envelope"
)

// State is where in a channel a message lies.
type State string

// States, by their directories.
const (
	Incoming State = "new"
	Queued   State = "cur" // active or deferred: Due tells
	Held     State = "hold"
	Damaged  State = "bad"
)

// Entry is a queue file as a reader from outside finds it: without lock, without promise that it is still there.
type Entry struct {
	Via   envelope.Via
	State State
	Name  Name
	Path  string
}

// List calls fn with every message of a channel, in no order, as the directories are read. The reader needs the right to
// read them: root, or the channel's uid. A channel that is not there is empty.
func List(root string, via envelope.Via, fn func(Entry) error) error {
	for _, state := range []State{Incoming, Queued, Held, Damaged} {
		for _, dir := range dirsOf(filepath.Join(root, string(via), string(state)), state) {
			err := eachName(dir, func(s string) error {
				if n, ok := listName(s, state); ok {
					return fn(Entry{via, state, n, filepath.Join(dir, s)})
				}
				return nil
			})
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("list queue: %w", err)
			}
		}
	}
	return nil
}

func dirsOf(dir string, state State) []string {
	if state != Queued {
		return []string{dir}
	}
	var dirs []string
	for i := range 256 {
		dirs = append(dirs, filepath.Join(dir, fmt.Sprintf("%02x", i)))
	}
	return dirs
}

func listName(s string, state State) (Name, bool) {
	if n, ok := ParseName(s); ok {
		return n, true
	}
	if state == Incoming {
		id, _, ok := parseNew(s)
		return Name{ID: id}, ok
	}
	if strings.HasSuffix(s, ".log") {
		return Name{}, false // the journal of a damaged message
	}
	if s, _, _ := strings.Cut(s, "."); state == Damaged { // a second one of that name
		if n, ok := ParseName(s); ok {
			return n, true
		}
		if id, _, ok := parseNew(s); ok { // damaged in new/
			return Name{ID: id}, true
		}
	}
	return Name{}, false
}

// Info is what a reader from outside learns of a message.
type Info struct {
	Envelope *envelope.Envelope
	Size     int64 // octets of the message
	via      envelope.Via
	journal  journal
}

// Read reads line 1, envelope and journal of an entry; it does not check the message's CRC.
func (e Entry) Read() (*Info, error) {
	f, err := os.OpenFile(e.Path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	buf := readBuffers.Get().(*[]byte)
	defer readBuffers.Put(buf)
	q, _, err := readHead(f, *buf)
	if err != nil {
		return nil, err
	}
	i := &Info{Envelope: q.env, Size: q.line1.Size, via: e.Via}
	i.journal, err = readJournal(e.journalPath(), e.Name.ID, q.line1.CRC)
	return i, err
}

// journalPath is where the journal of an entry lies, if it has one.
func (e Entry) journalPath() string {
	root := filepath.Dir(filepath.Dir(e.Path))
	if e.State == Queued {
		root = filepath.Dir(root)
	}
	if moved := filepath.Join(root, string(Damaged), e.Name.ID+".log"); e.State == Damaged {
		if _, err := os.Lstat(moved); err == nil {
			return moved
		}
	}
	return filepath.Join(root, "log", Hash(e.Name.ID), e.Name.ID)
}

// Pending are the recipients that wait, and Last the last result of one of them, or nil.
func (i *Info) Pending() []envelope.Recipient { return i.journal.pending(i.Envelope, i.via) }

// Last is the last result of the recipient in that line, or nil.
func (i *Info) Last(line int) *Result { return i.journal.last[line] }
