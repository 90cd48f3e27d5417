package suite

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Reader is one IMAP or POP3 connection of a test.
type Reader struct {
	tb   testing.TB
	conn net.Conn
	r    *bufio.Reader
	tags int
}

// DialReader connects to imap, imaps, pop3 or pop3s and reads the greeting.
func (s *Suite) DialReader(service string) *Reader {
	s.tb.Helper()
	conn, err := net.DialTimeout("tcp", s.Addr[service], 10*time.Second)
	check(s.tb, err)
	if strings.HasSuffix(service, "s") {
		conn = tls.Client(conn, s.TLSConfig())
	}
	check(s.tb, conn.SetDeadline(time.Now().Add(60*time.Second)))
	r := &Reader{tb: s.tb, conn: conn, r: bufio.NewReader(conn)}
	s.tb.Cleanup(func() { conn.Close() })
	if line := r.Line(); !strings.HasPrefix(line, "* OK") && !strings.HasPrefix(line, "+OK") {
		s.tb.Fatalf("greeting %q", line)
	}
	return r
}

// Read connects to imaps and logs a user in.
func (s *Suite) Read(user string) *Reader {
	s.tb.Helper()
	r := s.DialReader("imaps")
	r.Do("OK", "LOGIN %q %q", user, Password)
	return r
}

// StartTLS upgrades the connection after the server has agreed.
func (r *Reader) StartTLS(config *tls.Config) {
	r.tb.Helper()
	conn := tls.Client(r.conn, config)
	check(r.tb, conn.Handshake())
	r.conn, r.r = conn, bufio.NewReader(conn)
}

// Line reads one line without its CRLF.
func (r *Reader) Line() string {
	r.tb.Helper()
	line, err := r.r.ReadString('\n')
	if err != nil {
		r.tb.Fatalf("after %q: %v", line, err)
	}
	return strings.TrimSuffix(line, "\r\n")
}

// Raw sends octets as they are.
func (r *Reader) Raw(text string) {
	r.tb.Helper()
	_, err := io.WriteString(r.conn, text)
	check(r.tb, err)
}

var literal = regexp.MustCompile(`\{(\d+)\}$`)

// Answer reads a line of IMAP with its literals.
func (r *Reader) Answer() string {
	r.tb.Helper()
	text := r.Line()
	for {
		m := literal.FindStringSubmatch(text)
		if m == nil {
			return text
		}
		n, err := strconv.Atoi(m[1])
		check(r.tb, err)
		b := make([]byte, n)
		_, err = io.ReadFull(r.r, b)
		check(r.tb, err)
		text += "\r\n" + string(b) + r.Line()
	}
}

// Do sends an IMAP command, expects OK, NO or BAD, and returns the untagged answers and the tagged one, a line each.
func (r *Reader) Do(want, format string, args ...any) string {
	r.tb.Helper()
	return r.Finish(r.Begin(format, args...), want)
}

// Begin sends an IMAP command and returns its tag.
func (r *Reader) Begin(format string, args ...any) string {
	r.tb.Helper()
	r.tags++
	tag := fmt.Sprintf("t%d", r.tags)
	r.Raw(tag + " " + fmt.Sprintf(format, args...) + "\r\n")
	return tag
}

// Finish reads until the command with that tag has ended.
func (r *Reader) Finish(tag, want string) string {
	r.tb.Helper()
	var all strings.Builder
	for {
		line := r.Answer()
		fmt.Fprintln(&all, line)
		if rest, ok := strings.CutPrefix(line, tag+" "); ok {
			if !strings.HasPrefix(rest, want) {
				r.tb.Fatalf("want %s:\n%s", want, all.String())
			}
			return all.String()
		}
	}
}

// POP sends a POP3 command and returns the first line of the answer, which must begin with want.
func (r *Reader) POP(want, format string, args ...any) string {
	r.tb.Helper()
	r.Raw(fmt.Sprintf(format, args...) + "\r\n")
	line := r.Line()
	if !strings.HasPrefix(line, want) {
		r.tb.Fatalf("%s: want %s: %s", fmt.Sprintf(format, args...), want, line)
	}
	return line
}

// Dots reads the rest of a POP3 answer of several lines.
func (r *Reader) Dots() (lines []string) {
	r.tb.Helper()
	for {
		line := r.Line()
		if line == "." {
			return lines
		}
		lines = append(lines, strings.TrimPrefix(line, "."))
	}
}

// Ended waits for the end of the connection and returns what came before it.
func (r *Reader) Ended() string {
	r.tb.Helper()
	rest, err := io.ReadAll(r.r)
	if err != nil {
		r.tb.Fatalf("not the end of the connection: %q, %v", rest, err)
	}
	return string(rest)
}

// Close ends the connection without a word.
func (r *Reader) Close() { r.conn.Close() }

// SessionProcess finds the one session process of a uid.
func (s *Suite) SessionProcess(uid int) int {
	s.tb.Helper()
	found := 0
	for pid, args := range s.processes() {
		if len(args) == 2 && args[1] == "-session" && owner(pid) == uid {
			if found != 0 {
				s.tb.Fatalf("uid %d has session processes %d and %d", uid, found, pid)
			}
			found = pid
		}
	}
	if found == 0 {
		s.tb.Fatalf("uid %d has no session process", uid)
	}
	return found
}

// owner is the uid of a process, -1 if it has ended.
func owner(pid int) int {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return -1
	}
	_, rest, _ := strings.Cut(string(b), "\nUid:\t")
	uid, err := strconv.Atoi(strings.SplitN(rest, "\t", 2)[0])
	if err != nil {
		return -1
	}
	return uid
}
