// Package mbox reads mailboxes that are one file (RFC 4155): mboxrd, which quotes every line that begins with "From ", and mboxo,
// which quotes only those. Where a message ends is told by the lines alone; Content-Length is what somebody else counted.
//
// The file is not trusted: what is kept in memory of a message is its header, up to a bound.
package mbox

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// ErrFormat says that there is no mbox here.
var ErrFormat = errors.New("no mbox: it does not begin with a From_ line")

// maxHeader bounds what of a header is looked through for the lines that a mail reader put there; what follows is passed on.
const maxHeader = 256 << 10

// Reader reads messages one after another.
type Reader struct {
	Plain bool // mboxo: only ">From " was quoted, and ">>From " is as it was

	lines  *bufio.Reader
	offset int64 // of the next line
	from   []byte
	at     int64 // offset of from
	first  bool
	whole  bool  // the file is read from its beginning
	rest   *body // of the message before
}

// NewReader reads from r, which begins offset octets behind the beginning of the file, at a From_ line.
func NewReader(r io.Reader, offset int64) *Reader {
	return &Reader{lines: bufio.NewReaderSize(r, 64<<10), offset: offset, first: true, whole: offset == 0}
}

// Message is a message in the file. Its text can be read until the next one is asked for.
type Message struct {
	Offset   int64     // of its From_ line
	Date     time.Time // from that line, in local time unless that says otherwise; zero if it has none
	Status   string    // letters of Status and X-Status: R(ead), O(ld), A(nswered), F(lagged), T (a draft), D(eleted)
	Keywords []string  // of X-Keywords
	Internal bool      // no mail: where a mail reader keeps what it knows of the file

	io.Reader // the text, lines as in the file, without From_ line, quoting, and the header fields that a mail reader put there
}

// Offset is how far the file has been read: where the next message begins, or the end.
func (r *Reader) Offset() int64 {
	if r.from != nil {
		return r.at
	}
	return r.offset
}

// Next returns the next message, or io.EOF.
func (r *Reader) Next() (*Message, error) {
	if r.rest != nil {
		if _, err := io.Copy(io.Discard, r.rest); err != nil {
			return nil, err
		}
		r.rest = nil
	}
	first := r.first
	if first {
		if err := r.begin(); err != nil {
			return nil, err
		}
	}
	if r.from == nil {
		return nil, io.EOF
	}
	m := &Message{Offset: r.at}
	m.Date, _ = fromLine(r.from)
	r.from = nil
	b := &body{r: r, lineStart: true}
	header, err := b.header(m)
	if err != nil {
		return nil, err
	}
	m.Internal = m.Internal && first && r.whole
	r.rest = b
	m.Reader = io.MultiReader(bytes.NewReader(header), b)
	return m, nil
}

// begin finds the first From_ line, behind empty lines at most.
func (r *Reader) begin() error {
	r.first = false
	for {
		at := r.offset
		line, err := r.line()
		switch {
		case err == io.EOF && len(line) == 0:
			return io.EOF
		case err != nil && err != io.EOF:
			return err
		case empty(line):
			continue
		case !bytes.HasPrefix(line, []byte("From ")) || !ends(line):
			return fmt.Errorf("%w at offset %d", ErrFormat, at)
		}
		r.from, r.at = bytes.Clone(line), at
		return nil
	}
}

// line returns the next line, or the next part of one that is very long.
func (r *Reader) line() ([]byte, error) {
	line, err := r.lines.ReadSlice('\n')
	r.offset += int64(len(line))
	if err == bufio.ErrBufferFull {
		err = nil
	}
	return line, err
}

func empty(line []byte) bool { return len(line) == 1 && line[0] == '\n' || string(line) == "\r\n" }
func ends(line []byte) bool  { return len(line) > 0 && line[len(line)-1] == '\n' }

// body is the text of a message, without the empty line that belongs to the From_ line behind it.
type body struct {
	r         *Reader
	lineStart bool
	held      []byte // an empty line, of which it is not known yet whose it is
	out       []byte // is returned next
	done      bool
}

// next returns the next line or part of a line of the message, io.EOF at its end. The slice is valid until the next call.
func (b *body) next() ([]byte, error) {
	if b.done {
		return nil, io.EOF
	}
	if b.out != nil {
		line := b.out
		b.out = nil
		return line, nil
	}
	at := b.r.offset
	line, err := b.r.line()
	if len(line) == 0 {
		b.done = err == io.EOF
		return nil, err // an empty line at the end of the file is the format's
	}
	if err != nil && err != io.EOF {
		return nil, err
	}
	start := b.lineStart
	b.lineStart = ends(line)
	if start && b.held != nil {
		if _, ok := fromLine(line); ok {
			b.r.from, b.r.at = bytes.Clone(line), at
			b.done = true
			return nil, io.EOF
		}
	}
	if start {
		line = b.unquote(line)
	}
	before := b.held
	b.held = nil
	if start && empty(line) {
		b.held = bytes.Clone(line)
		if before == nil {
			return b.next()
		}
		return before, nil
	}
	if before != nil {
		b.out = line
		return before, nil
	}
	return line, nil
}

// unquote takes away what keeps a line from being taken for a From_ line.
func (b *body) unquote(line []byte) []byte {
	bare := bytes.TrimLeft(line, ">")
	quotes := len(line) - len(bare)
	if quotes == 0 || b.r.Plain && quotes > 1 || !bytes.HasPrefix(bare, []byte("From ")) {
		return line
	}
	return line[1:]
}

// Read is the rest of the message.
func (b *body) Read(p []byte) (int, error) {
	line, err := b.next()
	if err != nil {
		return 0, err
	}
	n := copy(p, line)
	if n < len(line) {
		b.out = append(line[n:len(line):len(line)], b.out...)
	}
	return n, nil
}

// header reads the header, with the empty line behind it, and takes out of it what is not of the message. A header that is too
// long is read as far as the bound.
func (b *body) header(m *Message) ([]byte, error) {
	var header []byte
	dropping, start := false, true
	for size := 0; size < maxHeader; {
		line, err := b.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		size += len(line)
		if start && line[0] != ' ' && line[0] != '\t' {
			dropping = m.take(line)
		}
		if !dropping {
			header = append(header, line...)
		}
		if start && empty(line) {
			break
		}
		start = ends(line)
	}
	return header, nil
}

// take reads a header field that a mail reader has put there, and says whether it is one.
func (m *Message) take(line []byte) bool {
	name, value, _ := strings.Cut(string(line), ":")
	switch strings.ToLower(name) {
	case "status", "x-status":
		m.Status += strings.TrimSpace(value)
	case "x-keywords":
		m.Keywords = append(m.Keywords, strings.Fields(value)...)
	case "x-imap":
		m.Internal = true
	case "x-imapbase", "x-uid", "content-length":
	default:
		return false
	}
	return true
}

// fromLine says whether a line is "From <sender> <date>", as asctime(3) writes a date, with a zone perhaps before or behind the year.
func fromLine(line []byte) (time.Time, bool) {
	text, ok := strings.CutPrefix(strings.TrimRight(string(line[:min(len(line), 1000)]), "\r\n"), "From ")
	if !ok {
		return time.Time{}, false
	}
	fields := strings.Fields(text)
	for i := len(fields) - 5; i >= 0; i-- { // a sender may have spaces
		if t, ok := parseDate(fields[i:]); ok {
			return t, true
		}
	}
	return time.Time{}, false
}

// parseDate reads "Sat Jan 3 01:05:34 [zone] 1996 [zone]", of which the seconds may be missing.
func parseDate(fields []string) (time.Time, bool) {
	if len(fields) > 7 {
		return time.Time{}, false
	}
	date := strings.Join(fields, " ")
	for _, clock := range []string{"15:04:05", "15:04"} {
		for _, form := range []string{"2006", "2006 -0700", "-0700 2006", "2006 MST", "MST 2006"} {
			if t, err := time.ParseInLocation("Mon Jan 2 "+clock+" "+form, date, time.Local); err == nil {
				return t, true
			}
		}
	}
	return time.Time{}, false
}
