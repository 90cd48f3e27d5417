package envelope

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"postrider/internal/address"
	"postrider/internal/xtext"
)

// Magic begins line 1 of every queue file; the digit is the version of the format.
const Magic = "postrider1"

// IDLength is the number of characters of a queue id.
const IDLength = 16

// Line1 is the first line of a queue file. It is of fixed width, so that it can be written last.
type Line1 struct {
	ID   string
	Size int64  // octets of the message
	Env  int64  // octets from the start of the file to the message
	CRC  uint32 // CRC-32C of everything after line 1
}

// Line1Size is its length in octets, line feed included.
const Line1Size = len(Magic) + len(" id=") + IDLength + len(" size=") + 12 + len(" env=") + 12 + len(" crc32c=") + 8 + 1

// Append writes the line.
func (l Line1) Append(b []byte) []byte {
	return fmt.Appendf(b, "%s id=%s size=%012d env=%012d crc32c=%08x\n", Magic, l.ID, l.Size, l.Env, l.CRC)
}

// Blank is what stands in place of line 1 until the file is complete.
func Blank() []byte {
	b := make([]byte, Line1Size)
	for i := range b {
		b[i] = ' '
	}
	b[Line1Size-1] = '\n'
	return b
}

// Append writes the lines between line 1 and the message, the empty line included, and sets the Line of each recipient.
func (e *Envelope) Append(b []byte) []byte {
	b = e.From.append(b)
	for i := range e.To {
		e.To[i].Line = i + 3
		b = e.To[i].append(b)
	}
	b = e.Client.append(b)
	b = append(append(b, "origin: "...), e.Origin...)
	if e.UID != NoUID {
		b = strconv.AppendInt(append(b, " uid="...), e.UID, 10)
	}
	b = param(b, "parent", e.Parent)
	b = param(b, "hold", e.Hold)
	b = param(b, "score", e.Score)
	b = append(b, "\ntime: "...)
	b = appendTime(b, e.Time)
	b = append(b, '\n')
	for _, l := range e.Extra {
		b = append(append(b, clean(l)...), '\n')
	}
	return append(b, '\n')
}

func (s *Sender) append(b []byte) []byte {
	b = appendPath(append(b, "from: "...), s.Addr)
	b = param(b, "ret", s.Ret)
	b = param(b, "envid", s.EnvID)
	b = param(b, "body", s.Body)
	if s.SMTPUTF8 {
		b = append(b, " smtputf8"...)
	}
	if s.RequireTLS {
		b = append(b, " requiretls"...)
	}
	return append(appendExtra(b, s.Extra), '\n')
}

func (r *Recipient) append(b []byte) []byte {
	b = appendPath(append(b, "to: "...), r.Addr)
	b = append(append(b, " via="...), r.Via...)
	b = param(b, "notify", strings.Join(r.Notify, ","))
	b = param(b, "orcpt", r.ORcpt)
	if !r.Orig.IsNull() && r.Orig != r.Addr {
		b = param(b, "orig", r.Orig.String())
	}
	return append(appendExtra(b, r.Extra), '\n')
}

func (c *Client) append(b []byte) []byte {
	name := c.Name
	if name == "" {
		name = "unknown"
	}
	b = xtext.Append(append(b, "client: "...), name)
	if c.IP.IsValid() {
		b = append(append(append(b, " ["...), c.IP.Unmap().WithZone("").String()...), ']')
	}
	b = param(b, "helo", c.Helo)
	b = param(b, "proto", c.Proto)
	b = param(b, "auth", c.Auth)
	b = param(b, "tls", c.TLS)
	return append(b, '\n')
}

// appendPath writes `<path>`. No address that the address package made holds a control character; one from elsewhere that
// does must not break the line. Same finds it out.
func appendPath(b []byte, a address.Address) []byte {
	return append(append(append(b, '<'), clean(a.String())...), '>')
}

func param(b []byte, key, value string) []byte {
	if value == "" {
		return b
	}
	b = append(append(append(b, ' '), key...), '=')
	return xtext.Append(b, clean(value))
}

func appendExtra(b []byte, words []string) []byte {
	for _, w := range words {
		b = append(append(b, ' '), clean(w)...)
	}
	return b
}

func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if isControl(r) {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
}

// Same says whether two envelopes name the same sender and the same recipients for the same channels.
func (e *Envelope) Same(o *Envelope) bool {
	return e.From.Addr == o.From.Addr && slices.EqualFunc(e.To, o.To, func(a, b Recipient) bool {
		return a.Addr == b.Addr && a.Via == b.Via && a.Line == b.Line
	})
}

// appendTime writes epoch seconds with six decimals.
func appendTime(b []byte, t time.Time) []byte {
	us := t.UnixMicro()
	return fmt.Appendf(b, "%d.%06d", us/1e6, us%1e6)
}
