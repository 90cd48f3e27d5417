//go:build faults

package crash

import (
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"net"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"postrider/test/suite"
)

// text is a message that proves its own completeness: its last line is a checksum of its body.
func text(n int64) string {
	var b strings.Builder
	for i := range 20 + n%100 {
		fmt.Fprintf(&b, "line %d of message %d, of which not a bit may be lost\r\n", i, n)
	}
	body := b.String()
	return fmt.Sprintf("Subject: message %d\r\n\r\n%ssum: %08x\r\n", n, body, crc32.ChecksumIEEE([]byte(body)))
}

// whole says whether a Maildir file holds all of a message.
func whole(file []byte) bool {
	_, body, ok := strings.Cut(string(file), "\n\n")
	i := strings.LastIndex(body, "sum: ")
	if !ok || i < 0 {
		return false
	}
	var want uint32
	if n, _ := fmt.Sscanf(body[i:], "sum: %08x\n", &want); n != 1 || !strings.HasSuffix(body, "\n") {
		return false
	}
	return crc32.ChecksumIEEE([]byte(strings.ReplaceAll(body[:i], "\n", "\r\n"))) == want
}

// load sends messages until stop is closed or the connection breaks, and reports each id that was answered 250 with its
// recipients in the two channels.
type load struct {
	addr  string
	acked func(id string, users []string, remote bool)
	n     atomic.Int64
	stop  chan struct{}
}

func (l *load) run(sessions int) {
	var wg sync.WaitGroup
	for range sessions {
		wg.Go(func() {
			for l.session() {
			}
		})
	}
	wg.Wait()
}

// session sends a few messages over one connection; false = the server is gone, or it is time to stop.
func (l *load) session() bool {
	conn, err := net.DialTimeout("tcp", l.addr, 2*time.Second)
	if err != nil {
		return false
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	c := textproto.NewConn(conn)
	if !expect(c, 220) || !cmd(c, 250, "EHLO crash.example") {
		return false
	}
	for range 1 + rand.IntN(5) {
		select {
		case <-l.stop:
			return false
		default:
		}
		if !l.message(c) {
			return false
		}
	}
	cmd(c, 221, "QUIT")
	return true
}

func (l *load) message(c *textproto.Conn) bool {
	n := l.n.Add(1)
	users := suite.Users[:1+rand.IntN(len(suite.Users))]
	remote := rand.IntN(5) == 0
	if !cmd(c, 250, "MAIL FROM:<>") {
		return false
	}
	for _, u := range users {
		if !cmd(c, 250, "RCPT TO:<"+u+"@"+suite.Domain+">") {
			return false
		}
	}
	if remote && !cmd(c, 250, "RCPT TO:<x@far.example>") || !cmd(c, 354, "DATA") {
		return false
	}
	w := c.DotWriter()
	fmt.Fprint(w, text(n))
	if w.Close() != nil {
		return false
	}
	_, reply, err := c.ReadResponse(250)
	if err != nil {
		return false
	}
	_, id, _ := strings.Cut(reply, "queued as ")
	l.acked(strings.Fields(id)[0], users, remote)
	return true
}

func cmd(c *textproto.Conn, code int, line string) bool {
	return c.PrintfLine("%s", line) == nil && expect(c, code)
}

func expect(c *textproto.Conn, code int) bool {
	_, _, err := c.ReadResponse(code)
	return err == nil
}

// reader is a user who reads his mail: a third of new/ goes to cur/.
func reader(s *suite.Suite, stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		case <-time.After(20 * time.Millisecond):
		}
		for _, u := range suite.Users {
			files, _ := filepath.Glob(s.Mailbox(u) + "/new/*")
			for _, f := range files {
				if rand.IntN(3) == 0 {
					os.Rename(f, s.Mailbox(u)+"/cur/"+filepath.Base(f)+":2,S")
				}
			}
		}
	}
}
