// Package maildir delivers messages durably into Maildirs of one uid: it runs as the mailboxes' owner, who may do to his own
// directories whatever he likes while a delivery goes on. It trusts the unique names that it is given, and nothing that it
// finds on disk.
//
// A Batch holds several messages, for one or several Maildirs. Each is streamed into tmp/ with LF line ends; Commit makes
// all of them durable together and moves them to new/. Either a message is then durable under its one name, or it failed
// and left nothing in tmp/.
package maildir

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
)

// Place says where a Maildir lies. What is missing of Path below Root is made, mode 0700; Root must exist. Outside Root
// only the last directory of Path is made.
type Place struct {
	Root, Path string
}

// ErrNoMaildir is wrapped when something else stands where the Maildir, or a directory of it, should be.
var ErrNoMaildir = errors.New("not a directory")

// Unique is the part of a file name that identifies one delivery: the seconds of the queue id, the id with the
// recipient's place in the envelope from the second on, and the host. It is the same each time the delivery is tried.
func Unique(t time.Time, id string, recipient int, host string) string {
	if recipient > 1 {
		id += "." + strconv.Itoa(recipient)
	}
	return strconv.FormatInt(t.Unix(), 10) + "." + id + "." + EscapeHost(host)
}

// EscapeHost is a host's name as it can stand in a file name.
func EscapeHost(host string) string { return hostEscapes.Replace(host) }

var hostEscapes = strings.NewReplacer("/", `\057`, ":", `\072`, ",", `\054`)

// ValidUnique says whether s can be the unique part of a name: one path component that ends where size and flags begin.
func ValidUnique(s string) bool {
	return s != "" && len(s) <= 200 && s[0] != '.' && !strings.ContainsAny(s, "/:,\x00")
}

// Batch is a set of messages that become durable together. It is not safe for concurrent use.
type Batch struct {
	// Sync makes the messages in tmp/ durable and moves them to new/: it is the one step that decides what a delivery
	// costs. Each message that fails keeps its error. The default is SyncFiles.
	Sync func([]*Message)

	disk disk
	dirs map[string]*dir
	msgs []*Message
	mark string // end of its names in tmp/, so that a writer that hung until now never publishes another's file
}

// NewBatch returns an empty batch.
func NewBatch() *Batch {
	return &Batch{Sync: SyncFiles, disk: osDisk{}, dirs: make(map[string]*dir), mark: "." + rand.Text()[:8]}
}

// bufferSize is what a message is collected in: one write for most.
const bufferSize = 64 << 10

// Message is one message on its way. The first error stays with it and removes its file.
type Message struct {
	disk   disk
	dir    *dir
	unique string
	again  bool
	file   *os.File // nil when closed
	tmp    string   // name of its file in tmp/; "" = there is none
	line   Converter
	buf    []byte
	name   string // the final one, once the size is known
	found  bool   // an earlier delivery left it under name
	err    error
}

// Create begins a message. With again set an earlier delivery of the same may have succeeded; it is then believed if it
// has the same bytes.
func (b *Batch) Create(p Place, unique string, again bool) (*Message, error) {
	if !ValidUnique(unique) {
		return nil, fmt.Errorf("create message: bad name %.40q", unique)
	}
	d, err := b.open(p, again)
	if err != nil {
		return nil, err
	}
	if again {
		d.removeLeft(b.disk, unique)
	}
	tmp := unique + b.mark
	f, err := b.disk.create(d.tmp, tmp)
	if err != nil {
		return nil, fmt.Errorf("create %s/tmp/%s: %w", p.Path, tmp, err)
	}
	m := &Message{disk: b.disk, dir: d, unique: unique, again: again, file: f, tmp: tmp, buf: takeBuffer()}
	b.msgs = append(b.msgs, m)
	return m, nil
}

// Write takes the next bytes of the message in wire form (CRLF line ends).
func (m *Message) Write(p []byte) (int, error) {
	if m.err != nil {
		return 0, m.err
	}
	n := len(p)
	for len(p) > 0 && m.err == nil {
		k := min(len(p), bufferSize-1-len(m.buf)) // a CR kept back may join them
		m.buf = m.line.Convert(m.buf, p[:k])
		p = p[k:]
		if len(m.buf) >= bufferSize-1 {
			m.flush()
		}
	}
	return n, m.err
}

// Close ends the message; the kernel begins to write it. What is not closed is not delivered.
func (m *Message) Close() error {
	if m.err != nil || m.file == nil || m.name != "" {
		return m.err
	}
	m.buf = m.line.End(m.buf)
	m.flush()
	giveBuffer(m.buf)
	m.buf = nil
	if m.err == nil {
		m.name = m.unique + m.line.Sizes()
		m.disk.start(m.file) // a hint: fsync tells whether it went well
	}
	return m.err
}

// Abort gives the message up.
func (m *Message) Abort() { m.fail(errAborted) }

var errAborted = errors.New("delivery given up")

// Err tells after Commit whether the message failed.
func (m *Message) Err() error { return m.err }

// Name is the message's file name in new/ (or, if an earlier delivery is found, in cur/) after Commit.
func (m *Message) Name() string { return m.name }

// Found says after Commit that an earlier delivery stands for this one.
func (m *Message) Found() bool { return m.found }

func (m *Message) flush() {
	if m.err != nil || len(m.buf) == 0 {
		return
	}
	if err := m.disk.write(m.file, m.buf); err != nil {
		m.fail(err)
	}
	m.buf = m.buf[:0]
}

// fail keeps the first error and removes the file. A file whose fsync failed is never synced again: its pages may be
// lost while the kernel calls them clean.
func (m *Message) fail(err error) {
	if m.err == nil {
		m.err = fmt.Errorf("deliver %s: %w", m.unique, err)
	}
	m.closeFile()
	m.removeTmp()
}

func (m *Message) closeFile() error {
	if m.file == nil {
		return nil
	}
	err := m.file.Close()
	m.file = nil
	return err
}

func (m *Message) removeTmp() {
	if m.tmp != "" {
		m.disk.unlink(m.dir.tmp, m.tmp) // if it stays, cleaning takes it
		m.tmp = ""
	}
}

// Commit delivers what was closed, gives up what was not, and takes back nothing: afterwards each message has its Err or
// its Name. A batch is committed once.
func (b *Batch) Commit() {
	ready := make([]*Message, 0, len(b.msgs))
	for _, m := range b.msgs {
		switch {
		case m.err != nil:
		case m.name == "":
			m.Abort()
		default:
			ready = append(ready, m)
		}
	}
	believeEarlier(b.dirs, ready)
	b.Sync(ready)
}

// Close gives up what was not committed, and closes the directories.
func (b *Batch) Close() {
	for _, m := range b.msgs {
		if m.file != nil {
			m.Abort()
		}
		if m.buf != nil {
			giveBuffer(m.buf)
			m.buf = nil
		}
	}
	for _, d := range b.dirs {
		d.close()
	}
	b.dirs, b.msgs = nil, nil
}

var _ io.WriteCloser = (*Message)(nil)
