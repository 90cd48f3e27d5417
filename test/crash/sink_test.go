//go:build faults

package crash

import (
	"net"
	"net/textproto"
	"strings"
	"sync"
	"testing"
)

// sink is another host: it takes mail, remembers what it answered 250 to, and has recipients of its own kinds: `bad` is unknown,
// `slow` has to wait twice, a message for `late` is refused once after its end.
type sink struct {
	addr string

	mu    sync.Mutex
	taken map[string]int // "subject recipient" → how often
	asked map[string]int // the same → how often it was refused for now
}

func newSink(t *testing.T) *sink {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	s := &sink{addr: l.Addr().String(), taken: make(map[string]int), asked: make(map[string]int)}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go s.session(textproto.NewConn(conn))
		}
	}()
	return s
}

func (s *sink) session(c *textproto.Conn) {
	defer c.Close()
	c.PrintfLine("220 sink")
	var to []string
	for {
		line, err := c.ReadLine()
		if err != nil {
			return
		}
		switch verb, rest, _ := strings.Cut(line, ":<"); {
		case strings.HasPrefix(line, "EHLO"):
			c.PrintfLine("250-sink\r\n250 PIPELINING")
		case verb == "MAIL FROM":
			to = nil
			c.PrintfLine("250 2.1.0 go on")
		case verb == "RCPT TO":
			local, _, _ := strings.Cut(rest, "@")
			if local == "bad" {
				c.PrintfLine("550 5.1.1 nobody of that name")
				continue
			}
			to = append(to, local)
			c.PrintfLine("250 2.1.5 go on")
		case line == "DATA" && len(to) == 0:
			c.PrintfLine("554 5.5.1 no recipients")
		case line == "DATA":
			c.PrintfLine("354 go on")
			b, err := c.ReadDotBytes()
			if err != nil {
				return
			}
			c.PrintfLine("%s", s.take(string(b), to))
		case line == "QUIT":
			c.PrintfLine("221 bye")
			return
		default:
			c.PrintfLine("250 2.0.0 fine")
		}
	}
}

// take is the reply to a message.
func (s *sink) take(text string, to []string) string {
	_, subject, _ := strings.Cut(text, "Subject: ")
	subject, _, _ = strings.Cut(subject, "\n")
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range to {
		key := subject + " " + r
		if patience := map[string]int{"slow": 2, "late": 1}[r]; s.asked[key] < patience {
			s.asked[key]++
			return "451 4.7.1 come again"
		}
	}
	if !whole([]byte(text)) {
		return "554 5.6.0 DAMAGED"
	}
	for _, r := range to {
		s.taken[subject+" "+r]++
	}
	return "250 2.0.0 taken"
}

func (s *sink) count(subject, rcpt string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.taken[subject+" "+rcpt]
}
