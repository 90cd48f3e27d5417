// Package smtpctest is a strict little SMTP and LMTP server on a Unix socket, for the tests of programs that send mail.
package smtpctest

import (
	"cmp"
	"crypto/tls"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"postrider/internal/line"
)

// Server takes messages and remembers them. Set the fields before Start.
type Server struct {
	Extensions []string                        // offered in EHLO; nil with NoEHLO = a server that knows HELO only
	NoEHLO     bool                            //
	Answer     func(command string) string     // the reply to a command, without CRLF; "" = the usual one
	Taken      func(body string, n int) string // the reply to the nth message, from 1; "" = 250

	LMTP       bool                                     // LHLO, and a reply to the message for each recipient
	Final      func(rcpt string) string                 // LMTP: the reply for that argument of RCPT; "" = 250
	TLS        *tls.Config                              // offers STARTTLS
	Forget     bool                                     // messages are not remembered
	Users      map[string]string                        // names and passwords, for AUTH; nil = none offered
	Mechanisms []string                                 // offered; nil = all that fit
	Take       func(command string, conn net.Conn) bool // sees commands first, "connect" and "end" too; true = it took over, and has ended

	Path string // of the socket, after Start

	mu       sync.Mutex
	messages []Message
	commands []string
}

// Message is what one transaction brought.
type Message struct {
	From string   // argument of MAIL: "<a@b> SIZE=…"
	To   []string // arguments of the RCPT commands that were accepted
	Body string   // in wire form
	BDAT bool     // came in chunks
	TLS  bool     // came over TLS
	User string   // who had logged in
}

// All are the extensions of our own submit socket.
var All = []string{"PIPELINING", "SIZE 1000000", "8BITMIME", "SMTPUTF8", "DSN", "CHUNKING", "ENHANCEDSTATUSCODES", "LIMITS RCPTMAX=1000"}

// Start serves until the test ends.
func (s *Server) Start(t testing.TB) *Server {
	t.Helper()
	dir, err := os.MkdirTemp("", "pr")
	if err != nil {
		t.Fatal(err)
	}
	s.Path = filepath.Join(dir, "submit")
	l, err := net.Listen("unix", s.Path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	var sessions sync.WaitGroup
	var mu sync.Mutex
	var conns []net.Conn
	sessions.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, conn)
			mu.Unlock()
			sessions.Go(func() { s.serve(conn) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for _, c := range conns {
			c.Close()
		}
		mu.Unlock()
		sessions.Wait()
		os.RemoveAll(dir)
	})
	return s
}

// Messages are those that were accepted so far.
func (s *Server) Messages() []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Message(nil), s.messages...)
}

// Commands are all command lines so far.
func (s *Server) Commands() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.commands...)
}

// session is one connection.
type session struct {
	*Server
	conn   net.Conn
	in     *line.Reader
	msg    Message
	mail   bool
	body   strings.Builder
	chunks *line.Chunks
	user   string
}

const limit = 100 << 20

func (s *Server) serve(conn net.Conn) {
	defer conn.Close()
	c := &session{Server: s, conn: conn, in: line.NewReader(conn, 30*time.Second)}
	if s.Take != nil && s.Take("connect", conn) || !c.reply(c.answer("connect", "220 test ESMTP")) {
		return
	}
	for {
		b, err := c.in.ReadLine(8192)
		if err != nil {
			return
		}
		text := string(b)
		s.mu.Lock()
		s.commands = append(s.commands, text)
		s.mu.Unlock()
		if s.Take != nil && s.Take(text, c.conn) {
			return
		}
		verb, _, _ := strings.Cut(text, " ")
		if !c.command(strings.ToUpper(verb), text) || strings.EqualFold(verb, "QUIT") {
			return
		}
	}
}

// reply writes a reply; "close" is one that ends the connection without a word, and so does a 421.
func (c *session) reply(text string) bool {
	if text == "close" {
		return false
	}
	_, err := c.conn.Write([]byte(text + "\r\n"))
	return err == nil && !strings.HasPrefix(text, "421")
}

func (c *session) answer(command, usual string) string {
	if c.Answer != nil {
		if a := c.Answer(command); a != "" {
			return a
		}
	}
	return usual
}

func (c *session) command(verb, text string) bool {
	switch verb {
	case "EHLO", "LHLO":
		if (verb == "LHLO") != c.LMTP {
			return c.reply("500 5.5.1 wrong protocol")
		}
		return c.reply(c.answer(text, c.ehlo()))
	case "STARTTLS":
		return c.startTLS(c.answer(text, "220 2.0.0 go ahead"))
	case "AUTH":
		return c.auth(strings.Fields(text))
	case "HELO", "NOOP", "QUIT":
		return c.reply(c.answer(text, "250 ok"))
	case "RSET":
		c.restart()
		return c.reply(c.answer(text, "250 reset"))
	case "MAIL":
		a := c.answer(text, "250 2.1.0 sender ok")
		if c.mail {
			a = "503 5.5.1 nested MAIL"
		} else if a[0] == '2' {
			c.mail, c.msg.From = true, text[len("MAIL FROM:"):]
		}
		return c.reply(a)
	case "RCPT":
		a := c.answer(text, "250 2.1.5 recipient ok")
		if !c.mail {
			a = "503 5.5.1 MAIL first"
		} else if a[0] == '2' {
			c.msg.To = append(c.msg.To, text[len("RCPT TO:"):])
		}
		return c.reply(a)
	case "DATA":
		return c.data(text)
	case "BDAT":
		return c.bdat(strings.Fields(text))
	}
	return c.reply(c.answer(text, "500 5.5.2 unknown command"))
}

func (c *session) ehlo() string {
	if c.NoEHLO {
		return "502 5.5.1 no EHLO here"
	}
	text := "test"
	for _, e := range c.Extensions {
		text += "\n" + e
	}
	if c.TLS != nil && !c.secure() {
		text += "\nSTARTTLS"
	}
	if c.Users != nil {
		text += "\nAUTH " + strings.Join(c.mechanisms(), " ")
	}
	lines := strings.Split(text, "\n")
	for i := range lines[:len(lines)-1] {
		lines[i] = "250-" + lines[i]
	}
	lines[len(lines)-1] = "250 " + lines[len(lines)-1]
	return strings.Join(lines, "\r\n")
}

func (c *session) restart() {
	c.msg, c.mail, c.chunks = Message{}, false, nil
	c.body.Reset()
}

func (c *session) data(text string) bool {
	a := c.answer(text, "354 go ahead")
	if len(c.msg.To) == 0 && a[0] == '3' && c.Answer == nil {
		a = "554 5.5.1 no valid recipients"
	}
	if !c.reply(a) || a[0] != '3' {
		return a != "close"
	}
	if _, err := c.in.CopyDot(&c.body, limit); err != nil {
		return c.reply("550 5.6.0 " + err.Error())
	}
	return c.finish()
}

func (c *session) bdat(words []string) bool {
	size, err := strconv.ParseInt(words[1], 10, 64)
	if err != nil {
		return c.reply("501 5.5.4 bad BDAT")
	}
	if c.chunks == nil {
		c.chunks = new(line.Chunks)
	}
	c.msg.BDAT = true
	err = c.chunks.Copy(c.in, &c.body, size, limit)
	if a := c.answer(strings.Join(words, " "), ""); a != "" {
		c.restart()
		return c.reply(a)
	}
	if err != nil {
		c.restart()
		return c.reply("550 5.6.0 " + err.Error())
	}
	if len(c.msg.To) == 0 {
		return c.reply("503 5.5.1 no valid recipients")
	}
	if len(words) < 3 {
		return c.reply("250 2.0.0 chunk ok")
	}
	if unterminated, err := c.chunks.End(); err != nil || unterminated {
		return c.reply("550 5.6.0 unterminated")
	}
	return c.finish()
}

func (c *session) finish() bool {
	defer c.restart()
	if len(c.msg.To) == 0 {
		return c.reply("554 5.5.1 no valid recipients")
	}
	c.msg.Body, c.msg.TLS, c.msg.User = c.body.String(), c.secure(), c.user
	c.mu.Lock()
	n := len(c.messages) + 1
	c.mu.Unlock()
	if c.Take != nil && c.Take("end", c.conn) {
		return false
	}
	a := "250 2.0.0 queued as test" + strconv.Itoa(n)
	if c.Taken != nil {
		if t := c.Taken(c.msg.Body, n); t != "" {
			a = t
		}
	}
	if a[0] == '2' && !c.Forget {
		c.mu.Lock()
		c.messages = append(c.messages, c.msg)
		c.mu.Unlock()
	}
	if !c.LMTP {
		return c.reply(a)
	}
	for _, rcpt := range c.msg.To {
		final := a
		if c.Final != nil {
			final = cmp.Or(c.Final(rcpt), a)
		}
		if !c.reply(final) {
			return false
		}
	}
	return true
}
