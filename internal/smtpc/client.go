// Package smtpc is the client's side of SMTP (RFC 5321) and LMTP (RFC 2033) over a connection that somebody else has made:
// the submit sockets for sendmail, notices and forwarded copies, other hosts for relayd. It pipelines, sends in chunks where
// that is offered, and streams the message.
//
// The peer is not trusted. Replies are bounded, every reply as a whole and every block written has a deadline, no address or
// parameter can break out of its command, and a message counts as sent only by a 2xx reply after its end. A server that says
// what makes no sense, or 421, is not listened to any longer. What it answered is a *reply.Reply in an *Error, which also
// says where that was; any other error concerns the connection or the message's source and is temporary.
package smtpc

import (
	"context"
	"crypto/tls"
	"net"
	"strconv"
	"strings"
	"time"

	"postrider/internal/line"
	"postrider/internal/reply"
)

// Options of a connection.
type Options struct {
	Hello      string // our name in EHLO; "" = localhost
	Timeouts   Timeouts
	LMTP       bool     // LHLO, and a final reply for each recipient
	Mechanisms []string // of authentication that may be used, in upper case; nil = all that Auth knows
}

// Timeouts of each wait for the server. Zero values are those of RFC 5321 §4.5.3.2.
type Timeouts struct {
	Command time.Duration // greeting, commands, TLS handshake; 5 min
	Block   time.Duration // each block of the message; 3 min
	Final   time.Duration // the answer to the message; 10 min
}

func (t Timeouts) orDefault() Timeouts {
	if t.Command == 0 {
		t.Command = 5 * time.Minute
	}
	if t.Block == 0 {
		t.Block = 3 * time.Minute
	}
	if t.Final == 0 {
		t.Final = 10 * time.Minute
	}
	return t
}

// Client is one connection to a server. It is not for concurrent use.
type Client struct {
	raw     net.Conn // as it was given
	conn    net.Conn // raw, or TLS on it
	in      *line.Reader
	options Options

	greeting   string
	name       string            // of the server, by itself
	extensions map[string]string // keyword in upper case → parameters

	step   Step
	open   bool   // a transaction is to be reset before the next
	ended  bool   // the end of a message has been written and not been answered
	broken *Error // why the connection is of no more use

	out      []byte    // what is written next
	commands []command // of a transaction; their text is in out
	block    []byte    // of the message
}

// New awaits the greeting on conn and says EHLO, or HELO to a server that does not know it. It owns conn, and closes it if it
// fails.
func New(ctx context.Context, conn net.Conn, o Options) (*Client, error) {
	c := newClient(conn, o)
	defer c.watch(ctx)()
	if err := c.greet(); err != nil {
		return nil, because(ctx, err)
	}
	return c, nil
}

// NewTLS is New on a connection that is TLS from its start (RFC 8314 §3).
func NewTLS(ctx context.Context, conn net.Conn, config *tls.Config, o Options) (*Client, error) {
	c := newClient(conn, o)
	defer c.watch(ctx)()
	err := c.handshake(ctx, config)
	if err == nil {
		err = c.greet()
	}
	if err != nil {
		return nil, because(ctx, err)
	}
	return c, nil
}

func newClient(conn net.Conn, o Options) *Client {
	o.Timeouts = o.Timeouts.orDefault()
	if o.Hello == "" {
		o.Hello = "localhost"
	}
	c := &Client{raw: conn, options: o}
	c.use(conn)
	return c
}

// use speaks over conn from now on.
func (c *Client) use(conn net.Conn) {
	c.conn = conn
	c.in = line.NewReader(conn, c.options.Timeouts.Command)
	c.in.BareLF = true
}

func (c *Client) greet() error {
	c.step = StepGreeting
	r, err := c.read(c.options.Timeouts.Command)
	if err != nil {
		return err
	}
	if !took(r) {
		return c.end(r)
	}
	c.greeting = r.Text
	return c.hello()
}

// hello makes us known. A server that does not know EHLO gets HELO (RFC 5321 §3.2), whichever way it says so.
func (c *Client) hello() error {
	c.step = StepEHLO
	if c.options.LMTP {
		c.step = StepLHLO
	}
	r, err := c.command(string(c.step) + " " + c.options.Hello)
	if err == nil && r.Permanent() && !c.options.LMTP {
		c.step = StepHELO
		r, err = c.command("HELO " + c.options.Hello)
	}
	if err != nil {
		return err
	}
	if !took(r) {
		return c.end(r)
	}
	first, rest, _ := strings.Cut(r.Text, "\n")
	c.name, _, _ = strings.Cut(first, " ")
	c.extensions = extensions(rest)
	return nil
}

// end closes the connection because of a reply without which there is no session.
func (c *Client) end(r *reply.Reply) error {
	if refused(r) {
		return c.part(r)
	}
	return c.nonsense(r)
}

// extensions reads what stands below the first line of the reply to EHLO (RFC 5321 §4.1.1.1). AUTH= is how AUTH was written
// before it was agreed on.
func extensions(text string) map[string]string {
	ext := make(map[string]string)
	for l := range strings.SplitSeq(text, "\n") {
		keyword, params, _ := strings.Cut(l, " ")
		keyword = strings.ToUpper(keyword)
		if first, old := strings.CutPrefix(keyword, "AUTH="); old {
			keyword, params = "AUTH", ext["AUTH"]+" "+first+" "+params
		}
		if keyword != "" {
			ext[keyword] = params
		}
	}
	return ext
}

// Greeting is the text of the server's first reply.
func (c *Client) Greeting() string { return c.greeting }

// Name is what the server calls itself in its reply to EHLO, which may be anything.
func (c *Client) Name() string { return c.name }

// Extension says whether the server offered an extension (in upper case), and with which parameters.
func (c *Client) Extension(keyword string) (params string, ok bool) {
	params, ok = c.extensions[keyword]
	return params, ok
}

func (c *Client) has(keyword string) bool {
	_, ok := c.extensions[keyword]
	return ok
}

// MaxSize is the size in octets of the largest message that the server takes (RFC 1870 §4); ok = it named one.
func (c *Client) MaxSize() (n int64, ok bool) {
	word, _, _ := strings.Cut(c.extensions["SIZE"], " ")
	n, err := strconv.ParseInt(word, 10, 64)
	if err != nil || n <= 0 {
		return 0, false
	}
	return n, true
}

// MaxRecipients is how many recipients the server takes in one transaction (RFC 9422), 0 if it did not say.
func (c *Client) MaxRecipients() int {
	for word := range strings.FieldsSeq(c.extensions["LIMITS"]) {
		if digits, ok := strings.CutPrefix(strings.ToUpper(word), "RCPTMAX="); ok {
			n, err := strconv.ParseUint(digits, 10, 31)
			if err == nil {
				return int(n)
			}
		}
	}
	return 0
}

// TLS describes the connection's TLS, nil if it has none.
func (c *Client) TLS() *tls.ConnectionState {
	t, ok := c.conn.(*tls.Conn)
	if !ok {
		return nil
	}
	state := t.ConnectionState()
	return &state
}

// Usable says that another message may go over the connection.
func (c *Client) Usable() bool { return c.broken == nil }

// Quit takes leave and closes the connection. There is nothing to be done about its errors.
func (c *Client) Quit() {
	if c.broken == nil {
		c.step = StepQUIT
		c.options.Timeouts.Command = min(c.options.Timeouts.Command, 5*time.Second)
		c.command("QUIT")
	}
	c.conn.Close()
}

// Close ends the connection without a word.
func (c *Client) Close() error { return c.raw.Close() }
