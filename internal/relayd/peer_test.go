package relayd

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"postrider/internal/hop"
	"postrider/internal/smtpc"
)

// peer is a host that answers by script, over a pipe, to a real client.
type peer struct {
	mu         sync.Mutex
	extensions []string
	dial       func(ctx context.Context, t Target) error // before a connection is made
	script     func(d *dialogue, command string) string  // the reply to a command; "" = the usual one; see dialogue.reply
	open, most int                                       // connections now, and at the same time
	called     []Target
	taken      []taken
}

// taken is a message that a peer took.
type taken struct {
	from   string // arguments of MAIL
	to     []string
	body   string
	number int // of the connection
	at     time.Time
}

// dialogue is one connection.
type dialogue struct {
	*peer
	number int // from 1
	lmtp   bool
	conn   net.Conn
	in     *bufio.Reader
	msg    taken
	sent   int // messages
}

// on sets the script.
func (p *peer) on(script func(d *dialogue, command string) string) {
	p.mu.Lock()
	p.script = script
	p.mu.Unlock()
}

// says sets a script that has a reply for commands that begin so.
func (p *peer) says(command, reply string) {
	p.on(func(_ *dialogue, c string) string {
		if strings.HasPrefix(c, command) {
			return reply
		}
		return ""
	})
}

// refuse lets connections fail; nil lets them succeed.
func (p *peer) refuse(dial func(ctx context.Context, t Target) error) {
	p.mu.Lock()
	p.dial = dial
	p.mu.Unlock()
}

func (p *peer) offers(extensions ...string) {
	p.mu.Lock()
	p.extensions = extensions
	p.mu.Unlock()
}

func (p *peer) messages() []taken {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]taken(nil), p.taken...)
}

// recipients are those of all messages, as they came.
func (p *peer) recipients() (list []string) {
	for _, m := range p.messages() {
		list = append(list, m.to...)
	}
	return list
}

func (p *peer) sorted() string {
	list := p.recipients()
	slices.Sort(list)
	return strings.Join(list, " ")
}

func (p *peer) targets() []Target {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]Target(nil), p.called...)
}

// attempts is how many connections were tried.
func (p *peer) attempts() int { return len(p.targets()) }

func (p *peer) connected() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.open
}

func (p *peer) maximum() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.most
}

// dialled is what the Dialer does.
func (p *peer) dialled(ctx context.Context, t Target) (Session, error) {
	p.mu.Lock()
	p.called = append(p.called, t)
	number, dial := len(p.called), p.dial
	p.open++
	p.most = max(p.most, p.open)
	p.mu.Unlock()
	closed := func() {
		p.mu.Lock()
		p.open--
		p.mu.Unlock()
	}
	if dial != nil {
		if err := dial(ctx, t); err != nil {
			closed()
			return nil, fmt.Errorf("connect to %s: %w", t, err)
		}
	}
	here, there := net.Pipe()
	lmtp := t.Hop.Kind == hop.LMTP
	go func() {
		defer closed()
		defer there.Close()
		(&dialogue{peer: p, number: number, lmtp: lmtp, conn: there, in: bufio.NewReaderSize(there, 1<<17)}).serve()
	}()
	c, err := smtpc.New(ctx, here, smtpc.Options{Hello: "mail.example.org", LMTP: lmtp})
	if err != nil {
		return nil, explained(t, err)
	}
	return c, nil
}

func (d *dialogue) answer(command, usual string) string {
	d.mu.Lock()
	script := d.script
	d.mu.Unlock()
	if script != nil {
		if a := script(d, command); a != "" {
			return a
		}
	}
	return usual
}

// reply writes a reply; "close" ends the connection without a word, "hang" waits for the other side to end it, and 421 ends it, too.
func (d *dialogue) reply(text string) bool {
	switch text {
	case "close":
		return false
	case "hang":
		io.Copy(io.Discard, d.in)
		return false
	}
	_, err := io.WriteString(d.conn, text+"\r\n")
	return err == nil && !strings.HasPrefix(text, "421")
}

func (d *dialogue) line() (string, bool) {
	l, err := d.in.ReadString('\n')
	return strings.TrimRight(l, "\r\n"), err == nil
}

func (d *dialogue) serve() {
	if !d.reply(d.answer("connect", "220 test ESMTP")) {
		return
	}
	for {
		l, ok := d.line()
		if !ok || !d.command(l) || l == "QUIT" {
			return
		}
	}
}

func (d *dialogue) command(l string) bool {
	verb, rest, _ := strings.Cut(l, " ")
	switch verb {
	case "EHLO", "LHLO":
		d.mu.Lock()
		list := append([]string{"test"}, d.extensions...)
		d.mu.Unlock()
		for i := range list[:len(list)-1] {
			list[i] = "250-" + list[i]
		}
		list[len(list)-1] = "250 " + list[len(list)-1]
		return d.reply(d.answer(l, strings.Join(list, "\r\n")))
	case "RSET":
		d.msg = taken{}
		return d.reply(d.answer(l, "250 reset"))
	case "MAIL":
		d.msg = taken{from: rest, number: d.number}
		return d.reply(d.answer(l, "250 2.1.0 ok"))
	case "RCPT":
		a := d.answer(l, "250 2.1.5 ok")
		if a[0] == '2' {
			d.msg.to = append(d.msg.to, strings.TrimPrefix(rest, "TO:"))
		}
		return d.reply(a)
	case "DATA":
		usual := "354 go ahead"
		if len(d.msg.to) == 0 {
			usual = "554 5.5.1 no recipients"
		}
		a := d.answer(l, usual)
		return d.reply(a) && (a[0] != '3' || d.message())
	case "QUIT":
		return d.reply(d.answer(l, "221 bye"))
	}
	return d.reply("500 5.5.2 what")
}

// message reads one, and answers as "end", or in LMTP as "end TO" for each recipient. It is taken if the other side was told so.
func (d *dialogue) message() bool {
	var b strings.Builder
	for {
		l, ok := d.line()
		if !ok {
			return false
		}
		if l == "." {
			break
		}
		b.WriteString(strings.TrimPrefix(l, ".") + "\r\n")
	}
	d.msg.body, d.msg.at = b.String(), time.Now()
	if !d.lmtp {
		a := d.answer("end", "250 2.0.0 queued")
		if !d.reply(a) {
			return false
		}
		if a[0] == '2' {
			d.remember(d.msg)
		}
		return true
	}
	for _, to := range d.msg.to {
		a := d.answer("end "+to, "250 2.0.0 delivered")
		if !d.reply(a) {
			return false
		}
		if a[0] == '2' {
			one := d.msg
			one.to = []string{to}
			d.remember(one)
		}
	}
	return true
}

func (d *dialogue) remember(m taken) {
	d.sent++
	d.mu.Lock()
	d.taken = append(d.taken, m)
	d.mu.Unlock()
}
