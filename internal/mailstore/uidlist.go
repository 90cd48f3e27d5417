package mailstore

import (
	"bufio"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
)

// maxLine bounds a line of any of Dovecot's files, maxUidlist the octets of a uidlist.
const (
	maxLine    = 64 << 10
	maxUidlist = 512 << 20
)

// maxUID leaves room above every UID for a UIDNEXT.
const maxUID = math.MaxUint32 - 1

var errUidlist = errors.New("not a uidlist")

// uidlist is the head of a dovecot-uidlist (version 3; 1 is read), and what is to be known of its lines as a whole.
type uidlist struct {
	validity uint32
	next     uint32 // larger than every UID that was given
	guid     string
	fields   string // unknown ones of the header: "Pxy Z1"
	lines    int
	version  int
	damaged  bool // write it anew
}

type record struct {
	uid  uint32
	keys string // "S12 W14"
	base string
}

func newUidlist(validity uint32) *uidlist {
	return &uidlist{validity: validity, next: 1, guid: newGUID(), version: 3}
}

func newGUID() string {
	var b [16]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// parseUidlist reads a whole file. It returns its lines, and the octets of complete ones. An error says that the header is unusable, or
// what reading failed with.
func parseUidlist(r io.Reader) (*uidlist, []record, int64, error) {
	lines := newLineReader(r)
	header, err := lines.next()
	if err == io.EOF {
		err = errUidlist
	}
	if err != nil {
		return nil, nil, 0, err
	}
	l, err := parseHeader(header)
	if err != nil {
		return nil, nil, 0, err
	}
	records, err := l.parseRecords(lines, 0)
	return l, records, lines.read, err
}

// parseHeader reads "3 V<uidvalidity> N<uidnext> G<guid> ..." or, of version 1, "1 <uidvalidity> <uidnext>".
func parseHeader(line string) (*uidlist, error) {
	l := newUidlist(0)
	version, rest, _ := strings.Cut(line, " ")
	var err error
	switch version {
	case "1":
		validity, next, _ := strings.Cut(rest, " ")
		l.version = 1
		if l.validity, err = parseUID(validity); err == nil {
			l.next, err = parseUID(next)
		}
	case "3":
		err = l.parseFields(rest)
	default:
		err = errUidlist
	}
	if err != nil || l.validity == 0 {
		return nil, fmt.Errorf("%w: header %.80q", errUidlist, line)
	}
	l.next = max(l.next, 1)
	return l, nil
}

func (l *uidlist) parseFields(s string) (err error) {
	var unknown []string
	for field := range strings.SplitSeq(s, " ") {
		if field == "" {
			continue
		}
		switch value := field[1:]; field[0] {
		case 'V':
			l.validity, err = parseUID(value)
		case 'N':
			l.next, err = parseUID(value)
		case 'G':
			l.guid = value
		default:
			unknown = append(unknown, field)
		}
		if err != nil {
			return err
		}
	}
	l.fields = strings.Join(unknown, " ")
	return nil
}

func parseUID(s string) (uint32, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	return uint32(n), err
}

// parseRecords takes the lines that follow; their UIDs ascend, above last. A line that is none costs its message the UID, nothing else.
func (l *uidlist) parseRecords(lines *lineReader, last uint32) (records []record, err error) {
	for {
		line, err := lines.next()
		if err == io.EOF {
			return records, nil
		}
		if err == errLongLine {
			l.damaged = true
			continue
		}
		if err != nil {
			return records, err
		}
		r, ok := parseRecord(line, l.version)
		if !ok || r.uid <= last {
			l.damaged = true
			continue
		}
		last = r.uid
		l.next = max(l.next, last+1)
		l.lines++
		records = append(records, r)
	}
}

// parseRecord reads "<uid> [K<value> ...] :<base>" or, of version 1, "<uid> <base>".
func parseRecord(line string, version int) (r record, ok bool) {
	uid, rest, ok := strings.Cut(line, " ")
	n, err := parseUID(uid)
	if !ok || err != nil || n == 0 || n > maxUID {
		return record{}, false
	}
	if version == 3 {
		keys, base, found := rest, "", false
		if strings.HasPrefix(rest, ":") {
			keys, base, found = "", rest[1:], true
		} else {
			keys, base, found = strings.Cut(rest, " :")
		}
		if !found {
			return record{uid: n}, false
		}
		r.keys, rest = keys, base
	}
	r.uid, r.base = n, baseOf(rest)
	return r, validBase(r.base)
}

// validBase says whether a file's base name can stand in a uidlist.
func validBase(base string) bool {
	return base != "" && base[0] != '.' && len(base) <= maxName && !strings.ContainsAny(base, "\n\x00/")
}

// write writes the list as version 3.
func (l *uidlist) write(w *bufio.Writer, lines []record) error {
	fmt.Fprintf(w, "3 V%d N%d G%s", l.validity, l.next, l.guid)
	if l.fields != "" {
		w.WriteString(" " + l.fields)
	}
	w.WriteByte('\n')
	for _, r := range lines {
		w.WriteString(r.line())
	}
	return w.Flush()
}

func (r record) line() string {
	if r.keys == "" {
		return strconv.FormatUint(uint64(r.uid), 10) + " :" + r.base + "\n"
	}
	return strconv.FormatUint(uint64(r.uid), 10) + " " + r.keys + " :" + r.base + "\n"
}

var errLongLine = errors.New("line too long")

// lineReader reads complete lines of at most maxLine octets.
type lineReader struct {
	r    *bufio.Reader
	read int64 // octets of the lines that were read
}

func newLineReader(r io.Reader) *lineReader {
	return &lineReader{r: bufio.NewReaderSize(io.LimitReader(r, maxUidlist), maxLine)}
}

// next returns a line without its end; an unfinished one at the end of the file is not there yet. After errLongLine the
// next line can be read.
func (l *lineReader) next() (string, error) {
	long := false
	var size int64
	for {
		b, err := l.r.ReadSlice('\n')
		size += int64(len(b))
		switch {
		case err == bufio.ErrBufferFull:
			long = true
			continue
		case err != nil:
			return "", err
		case long:
			l.read += size
			return "", errLongLine
		}
		l.read += size
		return string(b[:len(b)-1]), nil
	}
}
