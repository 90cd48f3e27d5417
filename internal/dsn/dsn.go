// Package dsn writes delivery status notifications (RFC 3464) in the form of multipart/report messages (RFC 6522): failures,
// delays, successes. A report is streamed; nothing of the message is parsed but where its header ends. What others said
// (replies, addresses, the message) is not trusted: it can add no line to the report's own fields.
package dsn

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"time"

	"postrider/internal/address"
	"postrider/internal/envelope"
	"postrider/internal/reply"
)

// Kind is what a report says of all its recipients.
type Kind int

// The kinds of reports.
const (
	Failure   Kind = iota // given up
	Delay                 // still being tried
	Delivered             // in the mailbox, as asked for with NOTIFY=SUCCESS
	Relayed               // the same, but handed to a host that will not tell of it (RFC 3461 §5.2.2)
)

// Recipient is one recipient and what became of it.
type Recipient struct {
	envelope.Recipient
	Reply   *reply.Reply // what was said; its enhanced code is the status
	MTA     string       // host that said it, NAME[IP]; "" = this one
	Time    time.Time    // of the last attempt
	Expired bool         // failures: Reply is the last one before it was given up for its age
}

// Report is one notification about one message.
type Report struct {
	Kind       Kind
	Envelope   *envelope.Envelope // of the message
	Recipients []Recipient        // at least one
	Hostname   string             // ours
	Now        time.Time
	Until      time.Time // delays: for how long it will be tried

	// To is who is told: the sender, or the postmaster when the sender cannot be.
	To         address.Address
	Postmaster bool

	// HeaderLimit bounds a returned header, FullLimit a returned message, in octets. Beyond it a message is returned as
	// its header, as is one of a stranger: the address that it names may be anybody's. The defaults are 64 KiB each.
	HeaderLimit, FullLimit int64
	HeaderOnly             bool // whatever the sender asked for

	boundary string
}

// Message is the message that a report is about.
type Message struct {
	Size int64
	Open func() io.Reader // from its start, each time
}

// Draft is a report whose form is settled.
type Draft struct {
	*Report
	content  io.Reader // what is returned
	full     bool      // the whole message is
	eightBit bool      // it, or an address, has octets above 127
	global   bool      // in the form of RFC 6533
}

// defaultLimit is that of what is returned.
const defaultLimit = 64 << 10

// New settles how the message is returned. It reads what is returned once.
func New(r *Report, m Message) (*Draft, error) {
	if len(r.Recipients) == 0 || r.Envelope == nil {
		return nil, errors.New("dsn: nothing to report")
	}
	if r.HeaderLimit <= 0 {
		r.HeaderLimit = defaultLimit
	}
	if r.FullLimit <= 0 {
		r.FullLimit = defaultLimit
	}
	if r.boundary == "" {
		r.boundary = "=_" + rand.Text() // drawn after the message was written: it is not in there
	}
	d := &Draft{Report: r, full: r.returnsAll(m.Size)}
	eightBit, err := d.open(m)
	if err != nil {
		return nil, fmt.Errorf("dsn: read message: %w", err)
	}
	d.global = r.needsUTF8(eightBit)
	d.eightBit = eightBit || d.global
	return d, nil
}

// returnsAll says that the whole message is returned: only in failures, to one of those whom this host sends mail for, and not
// if it must not travel without TLS (RFC 8689 §5).
func (r *Report) returnsAll(size int64) bool {
	e := r.Envelope
	client := e.Origin == envelope.OriginAuth || e.Origin == envelope.OriginLocal || e.Origin == envelope.OriginNet
	return r.Kind == Failure && e.From.Ret == "full" && client && size <= r.FullLimit && !r.HeaderOnly && !e.From.RequireTLS
}

// open sets what is returned, and says whether it has octets above 127.
func (d *Draft) open(m Message) (eightBit bool, err error) {
	if d.full {
		d.content = m.Open()
		return hasEightBit(m.Open())
	}
	head, err := header(m.Open(), d.HeaderLimit)
	if err != nil {
		return false, err
	}
	d.content = bytes.NewReader(head)
	return hasEightBit(bytes.NewReader(head))
}

// needsUTF8 says that the report must have the form of RFC 6533: it cannot say all in ASCII, and is for somebody who can read
// it. Everybody else gets addresses in their ASCII form (RFC 6533 §3), lest the report itself come to a host that does not
// take it.
func (r *Report) needsUTF8(content bool) bool {
	if !r.To.IsASCII() {
		return true
	}
	return r.Envelope.From.SMTPUTF8 && !r.Postmaster && (content || !r.hasASCIIAddresses())
}

func (r *Report) hasASCIIAddresses() bool {
	for i := range r.Recipients {
		if rc := &r.Recipients[i]; !rc.Addr.IsASCII() || !rc.Orig.IsASCII() || !isASCII(rc.ORcpt) {
			return false
		}
	}
	return r.Envelope.From.Addr.IsASCII()
}

// Sender is what MAIL says of the report: the null sender, and what its octets need.
func (d *Draft) Sender() envelope.Sender {
	s := envelope.Sender{SMTPUTF8: d.global, RequireTLS: d.Envelope.From.RequireTLS}
	if d.eightBit {
		s.Body = "8bitmime"
	}
	return s
}

// MessageID is the same whenever the same failures are reported again: a recipient's line of the envelope is in one report
// of a kind.
func (r *Report) MessageID() string {
	first := r.Recipients[0].Line
	for _, rc := range r.Recipients {
		first = min(first, rc.Line)
	}
	return fmt.Sprintf("<%s.%c%d@%s>", r.Envelope.ID, "rdsp"[r.Kind], first, r.Hostname)
}

// WriteTo writes the report in wire form. It can be written once.
func (d *Draft) WriteTo(w io.Writer) (int64, error) {
	count := &counter{w: w}
	out := &writer{w: bufio.NewWriterSize(count, 32<<10)}
	d.writeHeader(out)
	d.writeText(out)
	d.writeStatus(out)
	d.writeContent(out)
	out.flush()
	if out.err != nil {
		return count.n, fmt.Errorf("dsn: %w", out.err)
	}
	return count.n, nil
}

// Reader returns the report as a stream. It must be read to its end, or closed.
func (d *Draft) Reader() io.ReadCloser {
	r, w := io.Pipe()
	go func() {
		_, err := d.WriteTo(w)
		w.CloseWithError(err)
	}()
	return r
}

type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// header returns a message's header with its last line end: the octets before the first empty line, whole lines only, at
// most limit.
func header(r io.Reader, limit int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, limit+4))
	if err != nil {
		return nil, err
	}
	if bytes.HasPrefix(b, []byte("\r\n")) {
		return nil, nil
	}
	if i := bytes.Index(b, []byte("\r\n\r\n")); i >= 0 && int64(i)+2 <= limit {
		return b[:i+2], nil
	}
	b = b[:min(int64(len(b)), limit)]
	return b[:bytes.LastIndexByte(b, '\n')+1], nil
}

func hasEightBit(r io.Reader) (bool, error) {
	buf := make([]byte, 32<<10)
	for {
		n, err := r.Read(buf)
		for _, c := range buf[:n] {
			if c >= 0x80 {
				return true, nil
			}
		}
		if err == io.EOF {
			return false, nil
		}
		if err != nil {
			return false, err
		}
	}
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
