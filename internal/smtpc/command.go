package smtpc

import (
	"fmt"
	"strconv"
	"strings"

	"postrider/internal/address"
	"postrider/internal/envelope"
	"postrider/internal/reply"
	"postrider/internal/xtext"
)

// Envelope is what goes before a message. Parameters of extensions that the server does not offer are left out, but for
// SMTPUTF8 where it is needed.
type Envelope struct {
	From       envelope.Sender
	To         []envelope.Recipient
	Size       int64  // of the message in wire form, if it is known
	UTF8Header bool   // a message that came with SMTPUTF8 has a header that needs it
	Whole      bool   // to all recipients or to none
	Parent     string // submit.int only: queue id of the message that this one was made from
	UID        int64  // submit.int only: who counts as its submitter; envelope.NoUID = nobody
}

// international says whether the server must take SMTPUTF8 whoever the recipients are (RFC 6531 §3.2).
func (e *Envelope) international() bool {
	return e.From.SMTPUTF8 && e.UTF8Header || !e.From.Addr.IsASCII()
}

// marked says whether the message is sent with SMTPUTF8 to a server that offers it.
func (e *Envelope) marked() bool {
	if e.From.SMTPUTF8 || !e.From.Addr.IsASCII() {
		return true
	}
	for i := range e.To {
		if !e.To[i].Addr.IsASCII() {
			return true
		}
	}
	return false
}

// command is one of those that make a transaction. Its text ends at end in the client's out.
type command struct {
	step Step
	rcpt int // of the envelope
	end  int
}

// line adds the text that was just written to out as a command, or takes it back if it would be more than one.
func (c *Client) line(step Step, rcpt int) error {
	from := 0
	if n := len(c.commands); n > 0 {
		from = c.commands[n-1].end
	}
	if _, err := check(c.out, from); err != nil {
		return &Error{Step: step, Err: err}
	}
	c.out = append(c.out, "\r\n"...)
	c.commands = append(c.commands, command{step, rcpt, len(c.out)})
	return nil
}

// maxCommand bounds a command line; servers take at least 512 octets and what their extensions add.
const maxCommand = 4096

// check refuses a command that would be more than one. It stands in b from an offset on.
func check(b []byte, from int) ([]byte, error) {
	if len(b)-from > maxCommand {
		return nil, fmt.Errorf("command longer than %d octets", maxCommand)
	}
	for _, c := range b[from:] {
		if c < ' ' || c == 0x7f {
			return nil, fmt.Errorf("control character in %.100q", b[from:])
		}
	}
	return b, nil
}

// mail writes the MAIL command (RFC 5321 §4.1.1.2) with the parameters of RFC 1870, 6152, 6531 and 3461.
func (c *Client) mail(b []byte, e *Envelope) ([]byte, error) {
	b = append(b, "MAIL FROM:"...)
	b, err := path(b, e.From.Addr)
	if err != nil {
		return nil, err
	}
	if c.has("SIZE") && e.Size > 0 {
		b = append(b, " SIZE="...)
		b = strconv.AppendInt(b, e.Size, 10)
	}
	if c.has("8BITMIME") {
		b = param(b, "BODY", strings.ToUpper(e.From.Body))
	}
	if c.has("SMTPUTF8") && e.marked() {
		b = append(b, " SMTPUTF8"...)
	}
	if c.has("DSN") {
		b = param(b, "RET", strings.ToUpper(e.From.Ret))
		b = param(b, "ENVID", asciiXtext(e.From.EnvID))
	}
	if c.has("XPARENT") {
		b = param(b, "XPARENT", e.Parent)
		if e.UID >= 0 {
			b = append(b, " XUID="...)
			b = strconv.AppendInt(b, e.UID, 10)
		}
	}
	return b, nil
}

// rcpt writes the RCPT command (RFC 5321 §4.1.1.3) with the parameters of RFC 3461.
func (c *Client) rcpt(b []byte, r *envelope.Recipient, utf8 bool) ([]byte, error) {
	b = append(b, "RCPT TO:"...)
	b, err := path(b, r.Addr)
	if err != nil {
		return nil, err
	}
	if c.has("DSN") {
		if len(r.Notify) > 0 {
			b = param(b, "NOTIFY", strings.ToUpper(strings.Join(r.Notify, ",")))
		}
		if kind, addr, ok := strings.Cut(r.ORcpt, ";"); ok {
			b = param(b, "ORCPT", kind+";"+originalRecipient(kind, addr, utf8))
		}
	}
	return b, nil
}

// path writes an address, its domain as A-labels.
func path(b []byte, a address.Address) ([]byte, error) {
	for i := range len(a.Domain) {
		if a.Domain[i] < 0x80 {
			continue
		}
		var err error
		if a.Domain, err = address.Domain(a.Domain); err != nil {
			return nil, err
		}
		break
	}
	b = append(b, '<')
	b = append(b, a.String()...)
	return append(b, '>'), nil
}

// originalRecipient writes the address of an ORCPT: as xtext, but for the type utf-8, whose own escapes (RFC 6533 §3) it may
// hold already and without SMTPUTF8 gets for all that is not ASCII.
func originalRecipient(kind, addr string, utf8 bool) string {
	if !strings.EqualFold(kind, "utf-8") {
		return asciiXtext(addr)
	}
	var b strings.Builder
	for _, r := range addr {
		if r <= ' ' || r == '+' || r == '=' || r == 0x7f || r >= 0x80 && !utf8 {
			fmt.Fprintf(&b, "\\x{%02X}", r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// asciiXtext is xtext (RFC 3461 §4) without the octets that only SMTPUTF8 allows.
func asciiXtext(s string) string {
	s = xtext.Encode(s)
	var b strings.Builder
	for i := range len(s) {
		if s[i] >= 0x80 {
			fmt.Fprintf(&b, "+%02X", s[i])
		} else {
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

func param(b []byte, key, value string) []byte {
	if value == "" {
		return b
	}
	b = append(b, ' ')
	b = append(b, key...)
	b = append(b, '=')
	return append(b, value...)
}

// tooMany says that a server refuses a recipient only because the transaction has enough of them (RFC 5321 §4.5.3.1.10,
// RFC 3463 X.5.3).
func tooMany(r *reply.Reply) bool {
	if r.Code != 452 && r.Code != 552 && !r.Temporary() {
		return false
	}
	return r.Enhanced[1] == 5 && r.Enhanced[2] == 3 ||
		(r.Code == 452 || r.Code == 552) && strings.Contains(strings.ToLower(r.Text), "too many recipients")
}
