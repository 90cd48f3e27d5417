package spool

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"postrider/internal/envelope"
	"postrider/internal/fault"
	"postrider/internal/reply"
	"postrider/internal/xtext"
)

// Status is what became of a recipient.
type Status string

// Sent, Failed, Expired and Forwarded are final. Delayed and Reported are no results: they say what the sender has been told.
const (
	Sent      Status = "sent"
	Deferred  Status = "deferred"
	Failed    Status = "failed"
	Expired   Status = "expired"
	Forwarded Status = "forwarded"
	Delayed   Status = "delayed"  // the sender was told that it takes longer
	Reported  Status = "reported" // the sender was told that it failed
)

// all statuses; anything else makes a record unreadable.
var all = []Status{Sent, Deferred, Failed, Expired, Forwarded, Delayed, Reported}

// Final says that nothing more is to be tried.
func (s Status) Final() bool {
	return s == Sent || s == Failed || s == Expired || s == Forwarded
}

// Result is one line of a journal: what happened to some recipients, named by their lines in the queue file.
type Result struct {
	Time     time.Time
	Lines    []int
	Status   Status
	Attempts int          // so far, this one included
	Reply    *reply.Reply // what was said
	Relay    string       // by whom
	Ours     bool         // or rather by us, of Relay: it was lost, or refused TLS
	Text     string       // a name: the file delivered to, the id forwarded or reported as
}

// journal is what is known of the attempts for one message.
type journal struct {
	exists    bool
	durable   bool  // its name is on disk for certain
	lost      bool  // the disk does not have all of it
	good      int64 // octets of whole records
	size      int64 // of the file
	compacted int64 // octets when it was last written anew
	last      map[int]*Result
	told      map[Status]map[int]bool // Delayed, Reported
}

// maxJournal bounds a journal; compaction keeps real ones far below.
const maxJournal = 256 << 20

const journalMagic = "postrider-journal1"

func journalHead(id string, crc uint32) string {
	return fmt.Sprintf("%s id=%s crc32c=%08x\n", journalMagic, id, crc)
}

// note applies a result to what is known.
func (j *journal) note(r *Result) {
	if j.last == nil {
		j.last = make(map[int]*Result)
		j.told = map[Status]map[int]bool{Delayed: {}, Reported: {}}
	}
	for _, l := range r.Lines {
		switch {
		case j.told[r.Status] != nil:
			j.told[r.Status][l] = true
		case j.last[l] == nil || !j.last[l].Status.Final():
			j.last[l] = r
		}
	}
}

// loadJournal reads the journal of an item. One that belongs to another file of that id is an errContent: obeying it could
// drop mail.
func (c *Channel) loadJournal(i *Item) error {
	j, err := readJournal(c.journalPath(i.Envelope.ID), i.Envelope.ID, i.CRC)
	i.journal = j
	c.mu.Lock()
	if known := c.lost[i.Envelope.ID]; known != nil && err == nil {
		known.exists, known.durable, known.good, known.size = j.exists, false, j.good, j.size
		i.journal = *known
	}
	c.mu.Unlock()
	if j.exists && j.good < j.size {
		c.opt.Log.Warn("%s: journal torn after %d of %d octets by a crash; the rest is dropped", i.Envelope.ID, j.good, j.size)
	}
	return err
}

func readJournal(path, id string, crc uint32) (journal, error) {
	var j journal
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return j, nil
	}
	if err != nil {
		return j, fmt.Errorf("read journal: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxJournal))
	if err == nil && len(b) == maxJournal {
		err = fmt.Errorf("more than %d octets", maxJournal)
	}
	if err != nil {
		return j, fmt.Errorf("read journal: %w", err)
	}
	return parseJournal(b, id, crc)
}

// append writes a record: TIME LINES STATUS [key=value…] ;CRC.
func (r *Result) append(b []byte) []byte {
	from := len(b)
	b = fmt.Appendf(b, "%d.%06d ", r.Time.Unix(), r.Time.Nanosecond()/1000)
	b = appendRanges(b, r.Lines)
	b = append(append(b, ' '), r.Status...)
	if r.Attempts > 0 {
		b = fmt.Appendf(b, " n=%d", r.Attempts)
	}
	if r.Reply != nil {
		b = fmt.Appendf(b, " code=%d dsn=%s reply=", r.Reply.Code, r.Reply.Status())
		b = xtext.Append(b, cut(r.Reply.Text, 1024))
	}
	if r.Relay != "" {
		b = xtext.Append(append(b, " relay="...), cut(r.Relay, 256))
	}
	if r.Ours {
		b = append(b, " ours=1"...)
	}
	if r.Text != "" {
		b = xtext.Append(append(b, " text="...), cut(r.Text, 512))
	}
	return fmt.Appendf(b, " ;%08x\n", crc32.Checksum(b[from:], castagnoli))
}

func cut(s string, n int) string {
	if len(s) > n {
		return s[:n]
	}
	return s
}

// parseRecord reads a record without its line feed; false = not whole.
func parseRecord(l string) (*Result, bool) {
	body, sum, ok := strings.Cut(l, " ;")
	if !ok || fmt.Sprintf("%08x", crc32.Checksum([]byte(body), castagnoli)) != sum {
		return nil, false
	}
	w := strings.Split(body, " ")
	if len(w) < 3 {
		return nil, false
	}
	sec, us, _ := strings.Cut(w[0], ".")
	s, err1 := strconv.ParseInt(sec, 10, 64)
	u, err2 := strconv.ParseInt(us, 10, 32)
	r := &Result{Time: time.Unix(s, u*1000), Status: Status(w[2])}
	var ok1 bool
	if r.Lines, ok1 = parseRanges(w[1]); err1 != nil || err2 != nil || !ok1 || !slices.Contains(all, r.Status) {
		return nil, false
	}
	for _, p := range w[3:] {
		key, enc, _ := strings.Cut(p, "=")
		v, err := xtext.Decode(enc)
		if err != nil {
			return nil, false
		}
		r.set(key, v)
	}
	return r, true
}

func (r *Result) set(key, v string) {
	if r.Reply == nil && (key == "code" || key == "dsn" || key == "reply") {
		r.Reply = &reply.Reply{}
	}
	switch key {
	case "n":
		r.Attempts, _ = strconv.Atoi(v)
	case "code":
		r.Reply.Code, _ = strconv.Atoi(v)
	case "dsn":
		for i, d := range strings.SplitN(v, ".", 3) {
			r.Reply.Enhanced[i], _ = strconv.Atoi(d)
		}
	case "reply":
		r.Reply.Text = v
	case "relay":
		r.Relay = v
	case "ours":
		r.Ours = v == "1"
	case "text":
		r.Text = v
	}
}

// appendRanges writes 3,5,17-66.
func appendRanges(b []byte, lines []int) []byte {
	lines = slices.Sorted(slices.Values(lines))
	for i := 0; i < len(lines); {
		k := i
		for k+1 < len(lines) && lines[k+1] <= lines[k]+1 {
			k++
		}
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, int64(lines[i]), 10)
		if lines[k] > lines[i] {
			b = strconv.AppendInt(append(b, '-'), int64(lines[k]), 10)
		}
		i = k + 1
	}
	return b
}

func parseRanges(s string) ([]int, bool) {
	var lines []int
	for part := range strings.SplitSeq(s, ",") {
		a, b, more := strings.Cut(part, "-")
		from, err := strconv.Atoi(a)
		to := from
		if more && err == nil {
			to, err = strconv.Atoi(b)
		}
		if err != nil || from < 1 || to < from || len(lines)+to-from >= envelope.MaxRecipients {
			return nil, false
		}
		for l := from; l <= to; l++ {
			lines = append(lines, l)
		}
	}
	return lines, true
}

// Record appends results to the journal of a message and makes them durable, but for mere reasons of a deferral: if a power cut
// takes those, nothing is lost but words. Results count for this process even when they cannot be written, and are written with the
// next record that succeeds, be it empty. It is safe for concurrent use.
func (c *Channel) Record(i *Item, results ...Result) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	var b []byte
	matters := false
	for k := range results {
		r := results[k]
		if len(r.Lines) == 0 {
			continue
		}
		matters = matters || r.matters()
		if err := i.checkLines(r.Lines); err != nil {
			return err
		}
		if r.Time.IsZero() {
			r.Time = time.Now()
		}
		i.journal.note(&r)
		b = r.append(b)
	}
	if len(b) == 0 && !i.journal.lost {
		return nil
	}
	if err := c.store(i, b, matters); err != nil {
		i.journal.lost = true
		return fmt.Errorf("journal of %s: %w", i.Name.ID, err)
	}
	i.journal.lost = false
	return nil
}

// matters says that a result must not be forgotten: something would happen twice.
func (r *Result) matters() bool { return r.Status != Deferred || r.Text != "" }

// checkLines refuses lines that are no recipients: a record of them could not be read back.
func (i *Item) checkLines(lines []int) error {
	first, last := i.Envelope.To[0].Line, i.Envelope.To[len(i.Envelope.To)-1].Line
	for _, l := range lines {
		if l < first || l > last {
			return fmt.Errorf("journal of %s: line %d is no recipient", i.Name.ID, l)
		}
	}
	return nil
}

// store appends records, or writes everything that is known anew: after a failure, and when the journal has become large.
func (c *Channel) store(i *Item, b []byte, sync bool) error {
	j := &i.journal
	if j.lost {
		return c.compact(i)
	}
	if err := c.appendJournal(i, b, sync); err != nil {
		return err
	}
	if j.size > max(4*i.offset+64<<10, 2*j.compacted) {
		if err := c.compact(i); err != nil {
			c.opt.Log.Warn("%s: compact the journal: %v", i.Name.ID, err)
		}
	}
	return nil
}

func (c *Channel) journalPath(id string) string {
	return filepath.Join(c.dirs["log"].Name(), Hash(id), id)
}

func (c *Channel) appendJournal(i *Item, b []byte, sync bool) error {
	id, j := i.Name.ID, &i.journal
	f, err := os.OpenFile(c.journalPath(id), os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if j.good == 0 {
		b = append([]byte(journalHead(id, i.CRC)), b...)
	}
	if j.good < j.size {
		if err := f.Truncate(j.good); err != nil {
			return err
		}
	}
	if _, err := f.WriteAt(b, j.good); err != nil {
		j.size = maxJournal // whatever got there is cut off before the next record
		return full(err)
	}
	fault.Point("journal.written")
	if sync {
		if err := unix.Fdatasync(int(f.Fd())); err != nil {
			return fmt.Errorf("fdatasync: %w", err)
		}
		if !j.durable {
			if err := c.syncLogDir(id); err != nil {
				return err
			}
			j.durable = true
		}
		fault.Point("journal.synced")
	}
	j.exists, j.good = true, j.good+int64(len(b))
	j.size = j.good
	return nil
}

func (c *Channel) syncLogDir(id string) error {
	return syncDir(filepath.Join(c.dirs["log"].Name(), Hash(id)))
}

// compact writes the journal anew, with one record for all recipients whose last results are alike.
func (c *Channel) compact(i *Item) error {
	b := []byte(journalHead(i.Name.ID, i.CRC))
	for _, r := range i.journal.summary() {
		b = r.append(b)
	}
	path := c.journalPath(i.Name.ID)
	if err := writeSynced(path+".tmp", b); err != nil {
		os.Remove(path + ".tmp")
		return err
	}
	if err := os.Rename(path+".tmp", path); err != nil {
		return err
	}
	if err := c.syncLogDir(i.Name.ID); err != nil {
		return err
	}
	n := int64(len(b))
	i.journal.exists, i.journal.durable = true, true
	i.journal.good, i.journal.size, i.journal.compacted = n, n, n
	return nil
}

// summary is everything a journal says, in as few results as possible.
func (j *journal) summary() []Result {
	var out []Result
	at := make(map[string]int) // by what a result says without its lines
	for l, r := range j.last {
		one := *r
		one.Lines = nil
		key := string(one.append(nil))
		k, ok := at[key]
		if !ok {
			k = len(out)
			at[key], out = k, append(out, one)
		}
		out[k].Lines = append(out[k].Lines, l)
	}
	for status, lines := range j.told {
		if len(lines) > 0 {
			out = append(out, Result{Time: time.Now(), Status: status, Lines: slices.Collect(maps.Keys(lines))})
		}
	}
	return out
}

func writeSynced(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Write(b); err != nil {
		return err
	}
	return f.Sync()
}

// Pending are the recipients of this channel that have no final result yet.
func (i *Item) Pending() []envelope.Recipient {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.journal.pending(i.Envelope, i.c.via)
}

func (j *journal) pending(e *envelope.Envelope, via envelope.Via) []envelope.Recipient {
	var p []envelope.Recipient
	for _, r := range e.To {
		if last := j.last[r.Line]; r.Via == via && (last == nil || !last.Status.Final()) {
			p = append(p, r)
		}
	}
	return p
}

// Last is the last result of a recipient, or nil.
func (i *Item) Last(line int) *Result {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.journal.last[line]
}

// Delayed says whether the sender was told that it takes longer for a recipient.
func (i *Item) Delayed(line int) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.journal.told[Delayed][line]
}

// Unreported are the failures of which the sender has not been told.
func (i *Item) Unreported() []Result {
	i.mu.Lock()
	defer i.mu.Unlock()
	var out []Result
	for _, r := range i.Envelope.To {
		last := i.journal.last[r.Line]
		if r.Via == i.c.via && last != nil && (last.Status == Failed || last.Status == Expired) && !i.journal.told[Reported][r.Line] {
			one := *last
			one.Lines = []int{r.Line}
			out = append(out, one)
		}
	}
	return out
}

// Attempts is how often this message was deferred.
func (i *Item) Attempts() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	n := 0
	for _, r := range i.journal.last {
		n = max(n, r.Attempts)
	}
	return n
}

// Journals without a message are kept for a while: the administrator may bring the message back.
const (
	sweepEvery   = time.Hour
	orphanMaxAge = 7 * 24 * time.Hour
)

// sweepJournals removes journals whose message left the queue long ago.
func (c *Channel) sweepJournals(now time.Time) {
	held := make(map[string]bool)
	for _, dir := range []string{"new", "hold", "bad"} {
		eachName(c.dirs[dir].Name(), func(s string) error {
			if id, _, ok := parseNew(s); ok {
				held[id] = true
			}
			return nil
		})
	}
	for k := range 256 {
		xx := fmt.Sprintf("%02x", k)
		queued := make(map[string]bool)
		if err := eachName(filepath.Join(c.root, "cur", xx), func(s string) error {
			if n, ok := ParseName(s); ok {
				queued[n.ID] = true
			}
			return nil
		}); err != nil {
			continue
		}
		dir := filepath.Join(c.root, "log", xx)
		eachName(dir, func(s string) error {
			id := strings.TrimSuffix(s, ".tmp")
			st, err := os.Lstat(filepath.Join(dir, s))
			if err == nil && !queued[id] && !held[id] && now.Sub(st.ModTime()) > orphanMaxAge && c.claim(id) {
				os.Remove(filepath.Join(dir, s))
				c.unclaim(id)
			}
			return nil
		})
	}
}
