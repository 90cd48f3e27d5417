package password

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"syscall"
	"time"

	"postrider/internal/problem"
)

// maxTable bounds the file in octets.
const maxTable = 64 << 20

// settleTime is how long a change must have rested before it is read, since an editor may write in place.
const settleTime = 100 * time.Millisecond

// Table is the passwords file, read again when it has changed.
type Table struct {
	path   string
	report func(error)
	now    func() time.Time

	mu      sync.Mutex
	seen    version
	loaded  bool
	entries map[string][]Entry
	plain   bool // some line has no SCRAM keys
	said    string
}

// version tells the states of a file apart.
type version struct {
	device, inode uint64
	size          int64
	mtime, ctime  int64
}

// NewTable returns the table at path. report is told of each line that cannot be used, once per change of the file.
func NewTable(path string, report func(error)) *Table {
	return &Table{path: path, report: report, now: time.Now}
}

// Lookup returns the lines of a user. A missing file has none; one that cannot be read is an error, unless it could be
// read before.
func (t *Table) Lookup(name string) ([]Entry, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.refresh(); err != nil {
		return nil, err
	}
	return t.entries[name], nil
}

// AllSCRAM says whether there is a password and each one has SCRAM keys.
func (t *Table) AllSCRAM() (bool, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.refresh(); err != nil {
		return false, err
	}
	return len(t.entries) > 0 && !t.plain, nil
}

// refresh reads the file if it has changed. The caller holds mu.
func (t *Table) refresh() error {
	info, err := os.Stat(t.path)
	if errors.Is(err, fs.ErrNotExist) {
		t.store(nil, version{})
		return nil
	}
	if err != nil {
		return t.failed(err)
	}
	v := versionOf(info)
	age := t.now().Sub(time.Unix(0, v.ctime))
	settled := age < 0 || age >= settleTime
	if t.loaded && (v == t.seen || !settled) {
		return nil
	}
	text, err := read(t.path)
	if err != nil {
		return t.failed(err)
	}
	entries, problems := Parse(t.path, text)
	if !settled {
		v = version{}
	}
	t.store(entries, v)
	t.say(problems.Err())
	return nil
}

func (t *Table) store(entries map[string][]Entry, v version) {
	t.entries, t.seen, t.loaded, t.plain = entries, v, true, false
	for _, list := range entries {
		for _, e := range list {
			if _, ok := e.SCRAM(); !ok {
				t.plain = true
			}
		}
	}
}

// failed reports an error and goes on with what was read before, if anything was.
func (t *Table) failed(err error) error {
	err = fmt.Errorf("read passwords: %w", err)
	t.say(err)
	if t.loaded {
		return nil
	}
	return err
}

// say reports what it has not just reported.
func (t *Table) say(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text != "" && text != t.said {
		t.report(err)
	}
	t.said = text
}

func versionOf(info fs.FileInfo) version {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return version{size: info.Size(), mtime: info.ModTime().UnixNano()}
	}
	return version{st.Dev, st.Ino, st.Size, st.Mtim.Nano(), st.Ctim.Nano()}
}

// read returns the text of a regular file; it does not wait for the writer of a FIFO.
func read(path string) (string, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("%s: not a regular file", path)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxTable+1))
	if err != nil {
		return "", err
	}
	if len(b) > maxTable {
		return "", fmt.Errorf("%s: larger than %d MiB", path, maxTable>>20)
	}
	return string(b), nil
}

// Load reads a table once, for a tool that checks it.
func Load(path string) (map[string][]Entry, problem.List) {
	text, err := read(path)
	if err != nil {
		var l problem.List
		l.Add(path, 0, "%v", err)
		return nil, l
	}
	return Parse(path, text)
}
