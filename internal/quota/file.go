package quota

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	sizeFile = "maildirsize"
	sizeTmp  = "postrider.maildirsize.tmp"
	maxFile  = 5120             // octets; a longer file is summed up
	trusted  = 15 * time.Minute // how long a sum that is over the limit is believed
	maxSum   = 1 << 50          // octets or messages; more is nobody's mail, and a file of such lines does not overflow
)

// sizes is what the file says.
type sizes struct {
	used, limit Amount
	lines       int // that were summed up
	file        fs.FileInfo
	changed     time.Time
	length      int
}

// errUntrue is a file that has to be written anew.
var errUntrue = errors.New("maildirsize is not to be believed")

// load returns what there is, counted anew where the file does not say it: it is too long, damaged, has another limit, or says that
// too much is there and is not fresh.
func (r *Root) load(ctx context.Context) (*sizes, error) {
	s, err := r.read()
	switch {
	case err == nil && r.limit.Limited() && s.limit != r.limit:
	case err == nil && s.used.exceeds(s.limit) && (s.lines > 1 || time.Since(s.changed) > trusted):
	case err == nil:
		return s, nil
	case !errors.Is(err, errUntrue) && !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	return r.recount(ctx)
}

// read reads the file. With errUntrue the limit may be known all the same.
func (r *Root) read() (*sizes, error) {
	path := filepath.Join(r.dir, sizeFile)
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENXIO) {
		return &sizes{}, errUntrue
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return &sizes{}, errUntrue
	}
	text := make([]byte, maxFile+1)
	n, err := io.ReadFull(f, text)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return nil, err
	}
	s, err := parse(text[:n])
	s.changed, s.file = info.ModTime(), info
	return s, err
}

// parse reads limits and sums. The limits are right also beside errUntrue, if there was a first line.
func parse(text []byte) (*sizes, error) {
	s := &sizes{length: len(text)}
	first, rest, complete := bytes.Cut(text, []byte("\n"))
	if !complete {
		return s, errUntrue
	}
	s.limit = parseLimit(string(first))
	if len(text) > maxFile || len(rest) == 0 || rest[len(rest)-1] != '\n' {
		return s, errUntrue
	}
	for line := range strings.SplitSeq(string(rest[:len(rest)-1]), "\n") {
		delta, ok := parseDelta(line)
		if !ok {
			return s, errUntrue
		}
		s.used = s.used.Plus(delta)
		s.lines++
	}
	if s.used.Octets < 0 || s.used.Messages < 0 {
		return s, errUntrue
	}
	return s, nil
}

// parseLimit reads "10000000S,1000C"; what else stands there is passed over, as in Dovecot.
func parseLimit(line string) (limit Amount) {
	for part := range strings.SplitSeq(line, ",") {
		if part == "" {
			continue
		}
		n, err := strconv.ParseInt(part[:len(part)-1], 10, 64)
		if err != nil || n < 0 {
			continue
		}
		switch part[len(part)-1] {
		case 'S':
			limit.Octets = n
		case 'C':
			limit.Messages = n
		}
	}
	return limit
}

// parseDelta reads "octets messages", which Courier fills up with spaces.
func parseDelta(line string) (delta Amount, ok bool) {
	fields := strings.Fields(line)
	if len(fields) != 2 {
		return Amount{}, false
	}
	for i, n := range [...]*int64{&delta.Octets, &delta.Messages} {
		value, err := strconv.ParseInt(fields[i], 10, 64)
		if err != nil || value > maxSum || value < -maxSum {
			return Amount{}, false
		}
		*n = value
	}
	return delta, true
}

// add counts a change of what was read; the lock is held. A file that would become too long is written anew.
func (r *Root) add(s *sizes, delta Amount) error {
	if s.length > maxFile-len(line(delta)) {
		s.used = s.used.Plus(delta)
		return r.write(s)
	}
	return r.append(delta)
}

// append writes a line at the end of the file.
func (r *Root) append(delta Amount) error {
	f, err := os.OpenFile(filepath.Join(r.dir, sizeFile), os.O_WRONLY|os.O_APPEND|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(line(delta))
	return errors.Join(err, f.Close())
}

func line(a Amount) string { return fmt.Sprintf("%d %d\n", a.Octets, a.Messages) }

// limitLine is the first line as Dovecot writes it.
func limitLine(limit Amount) string {
	var parts []string
	if limit.Octets > 0 || limit.Messages == 0 {
		parts = append(parts, fmt.Sprintf("%dS", limit.Octets))
	}
	if limit.Messages > 0 {
		parts = append(parts, fmt.Sprintf("%dC", limit.Messages))
	}
	return strings.Join(parts, ",") + "\n"
}

// write replaces the file. It is not synced: what a power cut takes is counted again.
func (r *Root) write(s *sizes) error {
	os.Remove(filepath.Join(r.dir, sizeTmp)) // of one who died; only we write it, under the lock
	f, err := os.OpenFile(filepath.Join(r.dir, sizeTmp), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	text := limitLine(s.limit) + line(s.used)
	_, err = f.WriteString(text)
	if err == nil {
		s.file, err = f.Stat()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), filepath.Join(r.dir, sizeFile))
	}
	if err != nil {
		os.Remove(f.Name())
		return err
	}
	s.lines, s.length, s.changed = 1, len(text), time.Now()
	return nil
}
