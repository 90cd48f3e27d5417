package dsn

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"postrider/internal/reply"
)

// dateFormat is RFC 5322 §3.3.
const dateFormat = "Mon, 2 Jan 2006 15:04:05 -0700"

// writer keeps the first error.
type writer struct {
	w   *bufio.Writer
	err error
}

func (w *writer) line(format string, args ...any) {
	if w.err == nil {
		_, w.err = fmt.Fprintf(w.w, format+"\r\n", args...)
	}
}

func (w *writer) flush() {
	if w.err == nil {
		w.err = w.w.Flush()
	}
}

const (
	maxField = 2048 // of a value, in octets
	maxLine  = 900  // broken even where there is no blank (RFC 5321 §4.5.3.1.6: 1000)
)

// clean makes one line of a text, at most limit octets.
func clean(s string, limit int) string {
	s = strings.TrimSpace(strings.ReplaceAll(reply.Clean(s), "\n", " "))
	if len(s) > limit {
		s = strings.ToValidUTF8(s[:limit], "")
	}
	return s
}

// fold breaks a text at blanks (RFC 5322 §2.2.3) into lines of width columns, used of which are taken on the first one, and
// breaks words of more than maxLine octets. Each further line begins with eol.
func fold(s string, used, width int, eol string) string {
	var b strings.Builder
	first := true
	for word := range strings.FieldsSeq(s) {
		for word != "" {
			n := len(word)
			if n > maxLine {
				n = len(strings.ToValidUTF8(word[:maxLine], ""))
			}
			switch {
			case first:
				first = false
			case used+1+n > width:
				b.WriteString(eol)
				used = len(eol) - len("\r\n")
			default:
				b.WriteByte(' ')
				used++
			}
			b.WriteString(word[:n])
			used += n
			word = word[n:]
		}
	}
	return b.String()
}

var subjects = map[Kind]string{
	Failure:   "Undelivered mail returned to sender",
	Delay:     "Delayed mail (still being tried)",
	Delivered: "Successful mail delivery report",
	Relayed:   "Mail passed on to a host that does not report",
}

func (d *Draft) writeHeader(w *writer) {
	subject := subjects[d.Kind]
	if d.Postmaster {
		subject = "Postmaster copy: " + strings.ToLower(subject[:1]) + subject[1:]
	}
	w.line("From: Mail Delivery System <MAILER-DAEMON@%s>", d.Hostname)
	w.line("To: %s", clean(d.To.String(), maxLine))
	w.line("Subject: %s", subject)
	w.line("Date: %s", d.Now.Format(dateFormat))
	w.line("Message-ID: %s", d.MessageID())
	w.line("Auto-Submitted: auto-replied")
	w.line("MIME-Version: 1.0")
	w.line("Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\"%s\"", d.boundary)
	if d.eightBit {
		w.line("Content-Transfer-Encoding: 8bit")
	}
	w.line("")
	w.line("This is a report in several parts (RFC 6522).")
}

// part begins a body part. An encoding of 7bit is the default and goes without saying.
func (d *Draft) part(w *writer, contentType, description, encoding string) {
	w.line("")
	w.line("--%s", d.boundary)
	w.line("Content-Type: %s", contentType)
	w.line("Content-Description: %s", description)
	if encoding != "" {
		w.line("Content-Transfer-Encoding: %s", encoding)
	}
	w.line("")
}

// eightBitIf is the encoding of a part.
func eightBitIf(eightBit bool) string {
	if eightBit {
		return "8bit"
	}
	return ""
}

func (d *Draft) writeContent(w *writer) {
	contentType, description := "text/rfc822-headers", "Header of the message"
	switch {
	case d.full && d.global:
		contentType, description = "message/global", "The message"
	case d.full:
		contentType, description = "message/rfc822", "The message"
	case d.global:
		contentType = "message/global-headers"
	}
	d.part(w, contentType, description, eightBitIf(d.eightBit))
	if w.err == nil {
		_, w.err = io.Copy(w.w, d.content)
	}
	w.line("")
	w.line("--%s--", d.boundary)
}
