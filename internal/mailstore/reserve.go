package mailstore

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"postrider/internal/filelock"
	"postrider/internal/maildir"
)

const modSeqFile = "postrider.modseq"

// reserveStep is how far ahead mod-sequences, which are µs, are reserved: one write for each user and hour in which something changes.
const reserveStep = 3_600_000_000

// reserve is a number, durable in the Maildir's root, that is not less than any mod-sequence that was given in the store. Indexes can be
// lost, and the clock of a host can be set back: what is then numbered anew begins above it.
type reserve struct {
	path string

	mu   sync.Mutex
	upTo uint64
}

// told is not less than any mod-sequence that a client has heard; 0 = none was ever given.
func (r *reserve) told() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	f, _, err := maildir.Open(r.path, os.O_RDONLY)
	if err == nil {
		r.take(f)
		f.Close()
	}
	return r.upTo
}

// take reads the number. A file that has none says nothing.
func (r *reserve) take(f *os.File) {
	b, _ := io.ReadAll(io.LimitReader(f, 64))
	if n, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64); err == nil && n <= maxModSeq {
		r.upTo = max(r.upTo, n)
	}
}

// reserve makes the number larger than modSeq. Where it cannot be written, only a clock that is set back can do harm.
func (r *reserve) reserve(modSeq uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if modSeq <= r.upTo {
		return
	}
	f, err := os.OpenFile(r.path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
	if err != nil {
		return
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return // from a pipe nothing may ever come
	}
	if err := filelock.Lock(context.Background(), f, true, time.Second); err != nil {
		return
	}
	if r.take(f); modSeq <= r.upTo {
		return
	}
	first := r.upTo == 0
	next := modSeq + reserveStep
	line := fmt.Appendf(nil, "%020d\n", next)
	if _, err := f.WriteAt(line, 0); err != nil || f.Truncate(int64(len(line))) != nil || fdatasync(f) != nil {
		return
	}
	if r.upTo = next; first {
		syncDir(filepath.Dir(r.path))
	}
}
