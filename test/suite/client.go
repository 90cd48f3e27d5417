package suite

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"os"
	"strings"
	"testing"
	"time"
)

// Client is one SMTP connection of a test.
type Client struct {
	*textproto.Conn
	tb   testing.TB
	conn net.Conn
}

// Dial connects to a service and reads its greeting.
func (s *Suite) Dial(service string) *Client {
	s.tb.Helper()
	conn, err := net.DialTimeout("tcp", s.Addr[service], 10*time.Second)
	check(s.tb, err)
	if service == "submissions" {
		conn = tls.Client(conn, s.TLSConfig())
	}
	return greet(s.tb, conn)
}

// DialAfter connects to a service, sends what a proxy would, and reads the greeting.
func (s *Suite) DialAfter(service, head string) *Client {
	s.tb.Helper()
	conn, err := net.DialTimeout("tcp", s.Addr[service], 10*time.Second)
	check(s.tb, err)
	_, err = conn.Write([]byte(head))
	check(s.tb, err)
	return greet(s.tb, conn)
}

// DialUnix connects to a Unix socket of the suite and reads its greeting.
func (s *Suite) DialUnix(name string) *Client {
	s.tb.Helper()
	conn, err := net.Dial("unix", s.Run+"/"+name)
	check(s.tb, err)
	return greet(s.tb, conn)
}

func greet(tb testing.TB, conn net.Conn) *Client {
	conn.SetDeadline(time.Now().Add(60 * time.Second))
	c := &Client{textproto.NewConn(conn), tb, conn}
	tb.Cleanup(func() { c.Close() })
	c.Expect(220)
	return c
}

// TLSConfig trusts the suite's authority.
func (s *Suite) TLSConfig() *tls.Config {
	s.tb.Helper()
	pem, err := os.ReadFile(s.CA)
	check(s.tb, err)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	return &tls.Config{RootCAs: pool, ServerName: s.Host}
}

// TB is the test that the connection belongs to.
func (c *Client) TB() testing.TB { return c.tb }

// Expect reads a reply of that code and returns its text.
func (c *Client) Expect(code int) string {
	c.tb.Helper()
	got, text, err := c.ReadResponse(0)
	if err != nil && got == 0 {
		c.tb.Fatalf("want %d: %v", code, err)
	}
	if got != code {
		c.tb.Fatalf("want %d: %d %s", code, got, text)
	}
	return text
}

// Cmd sends a line and expects a reply of that code.
func (c *Client) Cmd(code int, format string, args ...any) string {
	c.tb.Helper()
	if err := c.PrintfLine(format, args...); err != nil {
		c.tb.Fatal(err)
	}
	return c.Expect(code)
}

// StartTLS upgrades the connection and says EHLO again.
func (c *Client) StartTLS(config *tls.Config) {
	c.tb.Helper()
	c.Cmd(220, "STARTTLS")
	t := tls.Client(c.conn, config)
	if err := t.Handshake(); err != nil {
		c.tb.Fatalf("handshake: %v", err)
	}
	c.conn, c.Conn = t, textproto.NewConn(t)
	c.Cmd(250, "EHLO client.example")
}

// Certificate is what the server showed.
func (c *Client) Certificate() *x509.Certificate {
	return c.conn.(*tls.Conn).ConnectionState().PeerCertificates[0]
}

// Raw sends octets as they are, in one piece.
func (c *Client) Raw(text string) {
	c.tb.Helper()
	if _, err := c.conn.Write([]byte(text)); err != nil {
		c.tb.Fatal(err)
	}
}

// Closed expects that the server has nothing more to say and closes.
func (c *Client) Closed() {
	c.tb.Helper()
	if rest, err := io.ReadAll(c.R); err != nil || len(rest) > 0 {
		c.tb.Fatalf("not the end of the connection: %q, %v", rest, err)
	}
}

// Login authenticates with PLAIN.
func (c *Client) Login(user, password string) {
	c.tb.Helper()
	c.Cmd(235, "AUTH PLAIN %s", base64.StdEncoding.EncodeToString([]byte("\x00"+user+"\x00"+password)))
}

// Text is a small message with a subject.
func Text(subject string) string {
	return "From: sender@elsewhere.example\r\nTo: somebody@example.test\r\nSubject: " + subject + "\r\nDate: Sat, 21 Nov 2026 20:00:00 +0000\r\nMessage-ID: <" +
		strings.ReplaceAll(subject, " ", ".") + "@elsewhere.example>\r\n\r\nHello.\r\n.. two dots\r\n"
}

// Send sends one message and returns its queue id.
func (c *Client) Send(from string, to []string, text string) string {
	c.tb.Helper()
	c.Cmd(250, "MAIL FROM:<%s>", from)
	for _, t := range to {
		c.Cmd(250, "RCPT TO:<%s>", t)
	}
	c.Cmd(354, "DATA")
	w := c.DotWriter()
	fmt.Fprint(w, text)
	if err := w.Close(); err != nil {
		c.tb.Fatal(err)
	}
	return QueueID(c.tb, c.Expect(250))
}

// QueueID finds the id in a reply: "… queued as ID".
func QueueID(tb testing.TB, reply string) string {
	tb.Helper()
	_, id, ok := strings.Cut(reply, "queued as ")
	if !ok {
		tb.Fatalf("no queue id in %q", reply)
	}
	return strings.Fields(id)[0]
}

// MailTo sends a message to port 25 from outside.
func (s *Suite) MailTo(subject string, to ...string) string {
	s.tb.Helper()
	c := s.Dial("smtp")
	c.Cmd(250, "EHLO client.example")
	id := c.Send("sender@elsewhere.example", to, Text(subject))
	c.Cmd(221, "QUIT")
	return id
}
