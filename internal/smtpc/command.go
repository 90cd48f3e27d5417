package smtpc

import (
	"fmt"
	"strconv"
	"strings"

	"postrider/internal/envelope"
	"postrider/internal/reply"
	"postrider/internal/xtext"
)

// Envelope is what goes before a message. Parameters of extensions that the server does not offer are left out, but for
// SMTPUTF8, without which such mail cannot be sent.
type Envelope struct {
	From   envelope.Sender
	To     []envelope.Recipient
	Size   int64  // of the message in wire form, if it is known
	Whole  bool   // to all recipients or to none
	Parent string // submit.int only: queue id of the message that this one was made from
	UID    int64  // submit.int only: who counts as its submitter; envelope.NoUID = nobody
}

var errNoUTF8 = reply.New(553, 6, 7, "the server does not take internationalized addresses (SMTPUTF8)")

// mail is the MAIL command (RFC 5321 §4.1.1.2) with the parameters of RFC 1870, 6152, 6531 and 3461.
func (c *Client) mail(e *Envelope) (string, error) {
	var b []byte
	b = append(b, "MAIL FROM:<"...)
	b = append(b, e.From.Addr.String()...)
	b = append(b, '>')
	if c.has("SIZE") && e.Size > 0 {
		b = param(b, "SIZE", strconv.FormatInt(e.Size, 10))
	}
	if c.has("8BITMIME") {
		b = param(b, "BODY", strings.ToUpper(e.From.Body))
	}
	if e.utf8() {
		if !c.has("SMTPUTF8") {
			return "", errNoUTF8
		}
		b = append(b, " SMTPUTF8"...)
	}
	if c.has("DSN") {
		b = param(b, "RET", strings.ToUpper(e.From.Ret))
		b = param(b, "ENVID", xtext.Encode(e.From.EnvID))
	}
	if c.has("XPARENT") {
		b = param(b, "XPARENT", e.Parent)
		if e.UID >= 0 {
			b = param(b, "XUID", strconv.FormatInt(e.UID, 10))
		}
	}
	return checked(b)
}

// utf8 says whether the envelope needs SMTPUTF8.
func (e *Envelope) utf8() bool {
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

// rcpt is the RCPT command (RFC 5321 §4.1.1.3) with the parameters of RFC 3461.
func (c *Client) rcpt(r *envelope.Recipient) (string, error) {
	var b []byte
	b = append(b, "RCPT TO:<"...)
	b = append(b, r.Addr.String()...)
	b = append(b, '>')
	if c.has("DSN") {
		b = param(b, "NOTIFY", strings.ToUpper(strings.Join(r.Notify, ",")))
		if kind, addr, ok := strings.Cut(r.ORcpt, ";"); ok {
			b = param(b, "ORCPT", kind+";"+xtext.Encode(addr))
		}
	}
	return checked(b)
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

// maxCommand bounds a command line; servers take at least 512 octets and what their extensions add.
const maxCommand = 4096

// checked refuses a command that would be more than one.
func checked(b []byte) (string, error) {
	if len(b) > maxCommand {
		return "", fmt.Errorf("smtp: command longer than %d octets", maxCommand)
	}
	for _, c := range b {
		if c < ' ' || c == 0x7f {
			return "", fmt.Errorf("smtp: control character in %.100q", b)
		}
	}
	return string(b), nil
}
