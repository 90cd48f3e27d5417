// Package job is what the manager of localdeliver and its workers say to each other over a stream socket: a greeting, then
// batches of jobs, each with the bytes of its message, and a result for each. The two do not trust each other: every
// frame is bounded, every value is checked by whoever reads it.
//
// A frame is its length (4 octets, big endian) and its values, in the order of the struct: strings behind their length,
// numbers as uvarints. Nothing is sent ahead: a worker reads a whole batch before it writes its first result.
package job

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"

	"postrider/internal/maildir"
	"postrider/internal/reply"
)

// Version of the protocol. Manager and worker are one program; a difference says that it was replaced meanwhile.
const Version = 5

// Bounds.
const (
	MaxFrame     = 128 << 10 // octets
	MaxBatch     = 1000      // jobs
	MaxAddresses = 1000      // of one forward
	maxText      = 4096      // of a string, but for lists
)

// ErrProtocol is wrapped by errors that the other side made.
var ErrProtocol = errors.New("worker protocol")

// Hello is the first frame, from the manager: what holds for all jobs of this worker.
type Hello struct {
	Version     int
	Roots       []string // directories that the worker needs
	MaxForwards int      // members of one .forward
	Origin      string   // domain of unqualified addresses
	Delimiter   string   // between user and extension, one character; "" = none
	BounceFull  bool     // mail for a full mailbox fails at once
	Mailboxes   string   // below this directory missing homes are made; "" = nowhere
	IndexDir    string   // of the indexes of all users; "" = they lie with the mail
	Mount       string   // what the directory says it is, if the mail lies on a mount; "" = it need not
}

// Job is one delivery: one recipient of one message. Size octets in wire form follow its frame.
type Job struct {
	Unique    string // part of the file name
	Sender    string // reverse-path without brackets
	Recipient string // whose mailbox it is, qualified
	Original  string // as the sender wrote it, if that is another address
	User      string // canonical name: alice, or alice@example.org
	Extension string
	Home      string
	Maildir   string
	Size      int64
	Quota     int64  // octets of all mail; 0 = the user database has none
	Kept      string // file name of an earlier delivery that needs no other; "" = none is known
	Again     bool   // an earlier delivery may have happened
}

// Kind is what became of a job.
type Kind int

// The kinds of results.
const (
	Delivered Kind = iota // durable under File
	Forward               // to be sent to Addresses; also durable under File if that is not empty
	Deferred
	Failed
)

// Result answers one job.
type Result struct {
	Kind      Kind
	File      string
	Addresses []string     // as the user wrote them
	Reply     *reply.Reply // which the sender may be told
	Detail    string       // which only the log is told
	Patient   bool         // the cause is not the mail's: no time is too long
}

// Encoder writes frames; the caller flushes.
type Encoder struct {
	*bufio.Writer
	buf []byte
}

// NewEncoder returns an Encoder with a buffer of 64 KiB.
func NewEncoder(w io.Writer) *Encoder { return &Encoder{Writer: bufio.NewWriterSize(w, 64<<10)} }

// Hello writes the greeting.
func (e *Encoder) Hello(h Hello) error {
	e.begin()
	e.number(int64(h.Version))
	e.list(h.Roots)
	e.number(int64(h.MaxForwards))
	e.text(h.Origin)
	e.text(h.Delimiter)
	e.text(h.Mailboxes)
	e.text(h.Mount)
	e.text(h.IndexDir)
	e.flag(h.BounceFull)
	return e.end()
}

// Batch announces n jobs.
func (e *Encoder) Batch(n int) error {
	e.begin()
	e.number(int64(n))
	return e.end()
}

// Job writes a job. Its message follows.
func (e *Encoder) Job(j *Job) error {
	e.begin()
	for _, s := range []string{j.Unique, j.Sender, j.Recipient, j.Original, j.User, j.Extension, j.Home, j.Maildir, j.Kept} {
		e.text(s)
	}
	e.number(j.Size)
	e.number(j.Quota)
	e.flag(j.Again)
	return e.end()
}

// Result writes a result.
func (e *Encoder) Result(r *Result) error {
	e.begin()
	e.number(int64(r.Kind))
	e.text(r.File)
	e.list(r.Addresses)
	said := r.Reply
	if said == nil {
		said = &reply.Reply{}
	}
	e.number(int64(said.Code))
	for _, n := range said.Enhanced {
		e.number(int64(n))
	}
	e.text(said.Text[:min(len(said.Text), maxText)])
	e.text(r.Detail[:min(len(r.Detail), maxText)])
	e.flag(r.Patient)
	return e.end()
}

func (e *Encoder) begin() { e.buf = append(e.buf[:0], 0, 0, 0, 0) }

func (e *Encoder) end() error {
	n := len(e.buf) - 4
	if n > MaxFrame {
		return fmt.Errorf("%w: frame of %d octets", ErrProtocol, n)
	}
	binary.BigEndian.PutUint32(e.buf, uint32(n))
	_, err := e.Write(e.buf)
	return err
}

func (e *Encoder) text(s string) {
	e.buf = binary.AppendUvarint(e.buf, uint64(len(s)))
	e.buf = append(e.buf, s...)
}

func (e *Encoder) number(n int64) { e.buf = binary.AppendUvarint(e.buf, uint64(n)) }

func (e *Encoder) flag(b bool) {
	var n int64
	if b {
		n = 1
	}
	e.number(n)
}

func (e *Encoder) list(l []string) {
	e.number(int64(len(l)))
	for _, s := range l {
		e.text(s)
	}
}

// Decoder reads frames.
type Decoder struct {
	*bufio.Reader
	frame []byte // what is left of it
	err   error
	store []byte
}

// NewDecoder returns a Decoder with a buffer of 64 KiB.
func NewDecoder(r io.Reader) *Decoder { return &Decoder{Reader: bufio.NewReaderSize(r, 64<<10)} }

// Hello reads the greeting.
func (d *Decoder) Hello() (Hello, error) {
	if err := d.begin(); err != nil {
		return Hello{}, err
	}
	h := Hello{Version: d.small(math.MaxInt32), Roots: d.list(16)}
	h.MaxForwards = d.small(MaxAddresses)
	h.Origin, h.Delimiter, h.Mailboxes, h.Mount, h.IndexDir = d.text(), d.text(), d.text(), d.text(), d.text()
	h.BounceFull = d.flag()
	if d.err == nil && h.Version != Version {
		d.fail("version %d", h.Version)
	}
	return h, d.end()
}

// Batch reads the number of jobs to come; io.EOF: there are no more batches.
func (d *Decoder) Batch() (int, error) {
	if err := d.begin(); err != nil {
		return 0, err
	}
	n := d.small(MaxBatch)
	if d.err == nil && n == 0 {
		d.fail("empty batch")
	}
	return n, d.end()
}

// Job reads a job. The caller then reads exactly Size octets.
func (d *Decoder) Job() (*Job, error) {
	if err := d.begin(); err != nil {
		return nil, err
	}
	j := &Job{}
	for _, s := range []*string{&j.Unique, &j.Sender, &j.Recipient, &j.Original, &j.User, &j.Extension, &j.Home, &j.Maildir, &j.Kept} {
		*s = d.text()
		if strings.ContainsAny(*s, "\r\n\x00") {
			d.fail("control character")
		}
	}
	j.Size = d.number(math.MaxInt64 >> 1)
	j.Quota = d.number(math.MaxInt64)
	j.Again = d.flag()
	if d.err == nil && (!maildir.ValidUnique(j.Unique) || !strings.HasPrefix(j.Home, "/") || !strings.HasPrefix(j.Maildir, "/")) {
		d.fail("bad name or path")
	}
	return j, d.end()
}

// Result reads a result. It comes from a process that its user may have taken over.
func (d *Decoder) Result() (*Result, error) {
	if err := d.begin(); err != nil {
		return nil, err
	}
	r := &Result{Kind: Kind(d.small(int64(Failed))), File: d.text(), Addresses: d.list(MaxAddresses), Reply: &reply.Reply{}}
	r.Reply.Code = d.small(599)
	for i := range r.Reply.Enhanced {
		r.Reply.Enhanced[i] = d.small(999)
	}
	r.Reply.Text = reply.Clean(d.text())
	r.Detail = reply.Clean(d.text())
	r.Patient = d.flag()
	if d.err == nil {
		r.check(d)
	}
	return r, d.end()
}

// check holds a result to its kind.
func (r *Result) check(d *Decoder) {
	class := map[Kind]int{Delivered: 2, Forward: 2, Deferred: 4, Failed: 5}[r.Kind]
	e := r.Reply.Enhanced[0]
	switch {
	case r.Reply.Code/100 != class || e != class:
		d.fail("kind %d with reply %d, status %d", r.Kind, r.Reply.Code, e)
	case r.Kind == Delivered && r.File == "":
		d.fail("delivered nowhere")
	case (r.Kind == Forward) != (len(r.Addresses) > 0):
		d.fail("kind %d with %d addresses", r.Kind, len(r.Addresses))
	}
}

// begin reads a frame. The end of the stream before it is io.EOF.
func (d *Decoder) begin() error {
	var head [4]byte
	if _, err := io.ReadFull(d.Reader, head[:]); err != nil {
		return err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > MaxFrame {
		return fmt.Errorf("%w: frame of %d octets", ErrProtocol, n)
	}
	if cap(d.store) < int(n) {
		d.store = make([]byte, n)
	}
	d.frame, d.err = d.store[:n], nil
	if _, err := io.ReadFull(d.Reader, d.frame); err != nil {
		return fmt.Errorf("%w: frame cut short: %w", ErrProtocol, err)
	}
	return nil
}

func (d *Decoder) end() error {
	if d.err == nil && len(d.frame) > 0 {
		d.fail("%d octets too many", len(d.frame))
	}
	return d.err
}

func (d *Decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: %s", ErrProtocol, fmt.Sprintf(format, args...))
	}
}

func (d *Decoder) number(limit int64) int64 {
	n, used := binary.Uvarint(d.frame)
	if d.err != nil || used <= 0 || n > uint64(limit) {
		d.fail("bad number")
		return 0
	}
	d.frame = d.frame[used:]
	return int64(n)
}

func (d *Decoder) small(limit int64) int { return int(d.number(limit)) }

func (d *Decoder) flag() bool { return d.number(1) == 1 }

func (d *Decoder) text() string {
	n := d.small(maxText)
	if d.err != nil || n > len(d.frame) {
		d.fail("bad string")
		return ""
	}
	s := string(d.frame[:n])
	d.frame = d.frame[n:]
	return s
}

func (d *Decoder) list(limit int64) []string {
	var l []string
	for range d.small(limit) {
		if d.err != nil {
			return nil
		}
		l = append(l, d.text())
	}
	return l
}
