package dsn

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"postrider/internal/address"
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

// field writes a field whose value may come from outside: without control characters, folded at blanks (RFC 5322 §2.2.3), at
// most maxField octets.
func (w *writer) field(name, value string, global bool) {
	w.line("%s: %s", name, fold(clean(value, global), 78-len(name)-2, "\r\n "))
}

const (
	maxField = 2048 // of a value, in octets
	maxLine  = 900  // folded even where there is no blank (RFC 5321 §4.5.3.1.6: 1000)
)

// clean makes one line of a text.
func clean(s string, global bool) string {
	s = strings.TrimSpace(strings.ReplaceAll(reply.Clean(s), "\n", " "))
	if !global {
		s = strings.Map(func(r rune) rune {
			if r >= 0x80 {
				return '?'
			}
			return r
		}, s)
	}
	if len(s) > maxField {
		s = strings.ToValidUTF8(s[:maxField], "")
	}
	return s
}

// fold breaks a line before words that do not fit into width, and into words of more than maxLine octets.
func fold(s string, width int, eol string) string {
	var b strings.Builder
	room := width
	for i, word := range strings.Fields(s) {
		for len(word) > maxLine {
			cut := len(strings.ToValidUTF8(word[:maxLine], ""))
			b.WriteString(eol + word[:cut])
			word, room = word[cut:], 0
		}
		if i > 0 && len(word)+1 > room {
			b.WriteString(eol)
			room = 76
		} else if i > 0 {
			b.WriteByte(' ')
			room--
		}
		b.WriteString(word)
		room -= len(word)
	}
	return b.String()
}

var subjects = map[Kind]string{
	Failure:   "Undelivered mail returned to sender",
	Delay:     "Delayed mail (still being tried)",
	Delivered: "Successful mail delivery report",
}

func (d *Draft) writeHeader(w *writer) {
	subject := subjects[d.Kind]
	if d.Postmaster {
		subject = "Postmaster copy: " + strings.ToLower(subject[:1]) + subject[1:]
	}
	w.line("From: Mail Delivery System <MAILER-DAEMON@%s>", d.Hostname)
	w.line("To: %s", clean(d.To.String(), true))
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
func (d *Draft) part(w *writer, contentType, description string, eightBit bool) {
	w.line("")
	w.line("--%s", d.boundary)
	w.line("Content-Type: %s", contentType)
	w.line("Content-Description: %s", description)
	if eightBit {
		w.line("Content-Transfer-Encoding: 8bit")
	}
	w.line("")
}

var summaries = map[Kind]string{
	Failure:   "The message below could not be delivered to the recipients listed here. It will not be tried again.",
	Delay:     "The message below could not be delivered yet to the recipients listed here. It is still being tried; you need not send it again.",
	Delivered: "The message below was delivered to the recipients listed here, as you asked to be told.",
}

func (d *Draft) writeText(w *writer) {
	d.part(w, "text/plain; charset="+map[bool]string{true: "utf-8", false: "us-ascii"}[d.global], "Notification", d.global)
	w.line("This is the mail system of %s.", d.Hostname)
	w.line("")
	if d.Postmaster {
		w.line("%s", fold("The sender of this message, <"+clean(d.Envelope.From.Addr.String(), d.global)+">, cannot be told:", 76, "\r\n"))
		w.line("")
	}
	w.line("%s", fold(summaries[d.Kind], 76, "\r\n"))
	if d.Kind == Delay && !d.Until.IsZero() {
		w.line("It will be given up on %s.", d.Until.Format(dateFormat))
	}
	for i := range d.Recipients {
		d.writeRecipientText(w, &d.Recipients[i])
	}
	if d.Kind == Failure && !d.Postmaster {
		w.line("")
		w.line("For help, write to <postmaster@%s> and mention %s.", d.Hostname, d.Envelope.ID)
	}
}

func (d *Draft) writeRecipientText(w *writer, r *Recipient) {
	w.line("")
	to := "<" + clean(r.Addr.String(), d.global) + ">"
	if !r.Orig.IsNull() && r.Orig != r.Addr {
		to += " (you wrote to <" + clean(r.Orig.String(), d.global) + ">)"
	}
	w.line("%s", fold(to, 76, "\r\n  "))
	by := "this host"
	if r.MTA != "" {
		by = r.MTA
	}
	said := clean(r.Reply.Text, d.global)
	if r.Reply.Code != 0 {
		said = clean(r.Reply.Error(), d.global)
	}
	w.line("  %s", fold(clean(by, d.global)+" said: "+said, 74, "\r\n    "))
	if help := advice(r.Reply); help != "" && d.Kind == Failure && !d.Postmaster {
		w.line("  %s", fold(help, 74, "\r\n  "))
	}
}

// advice is what the sender can do, by enhanced status code (RFC 3463 §3).
func advice(r *reply.Reply) string {
	e := r.Enhanced
	switch {
	case e[1] == 1:
		return "Please check the address for errors."
	case e[1] == 2 && e[2] == 2:
		return "The mailbox is full. Please reach the recipient in another way, or try again later."
	case e[1] == 3 && e[2] == 4:
		return "The message is too large. Please send less, or a link."
	case e[1] == 4 && e[2] == 6:
		return "The recipient's mail is forwarded in a circle, which the recipient has to mend."
	case e[1] == 4 && e[2] == 7:
		return "It was tried for as long as we try. You may send it again later."
	case e[1] == 7:
		return "The recipient's host does not accept this message."
	}
	return ""
}

func (d *Draft) writeStatus(w *writer) {
	prefix := "message/"
	if d.global {
		prefix = "message/global-"
	}
	d.part(w, prefix+"delivery-status", "Delivery report", d.global)
	e := d.Envelope
	if e.From.EnvID != "" {
		w.field("Original-Envelope-Id", e.From.EnvID, d.global)
	}
	w.line("Reporting-MTA: dns; %s", d.Hostname)
	w.line("Arrival-Date: %s", e.Time.Format(dateFormat))
	for i := range d.Recipients {
		w.line("")
		d.writeRecipientStatus(w, &d.Recipients[i])
	}
}

var actions = map[Kind]string{Failure: "failed", Delay: "delayed", Delivered: "delivered"}

func (d *Draft) writeRecipientStatus(w *writer, r *Recipient) {
	if kind, value, ok := strings.Cut(r.ORcpt, ";"); ok {
		w.field("Original-Recipient", kind+"; "+value, d.global)
	} else if !r.Orig.IsNull() && r.Orig != r.Addr {
		w.field("Original-Recipient", typed(r.Orig), d.global)
	}
	w.field("Final-Recipient", typed(r.Addr), d.global)
	w.line("Action: %s", actions[d.Kind])
	w.line("Status: %s", status(r.Reply, d.Kind))
	if r.MTA != "" {
		w.field("Remote-MTA", "dns; "+r.MTA, d.global)
		w.field("Diagnostic-Code", "smtp; "+r.Reply.Error(), d.global)
	} else {
		w.field("Diagnostic-Code", "X-Postrider; "+r.Reply.Text, d.global)
	}
	if !r.Time.IsZero() {
		w.line("Last-Attempt-Date: %s", r.Time.Format(dateFormat))
	}
	if d.Kind == Delay && !d.Until.IsZero() {
		w.line("Will-Retry-Until: %s", d.Until.Format(dateFormat))
	}
}

// typed is an address with its type (RFC 3464 §2.1.2, RFC 6533 §3).
func typed(a address.Address) string {
	if a.IsASCII() {
		return "rfc822; " + a.String()
	}
	return "utf-8; " + a.String()
}

// status is the enhanced code in the class that the action asks for (RFC 3464 §2.3.4): a message given up after
// temporary failures has failed.
func status(r *reply.Reply, kind Kind) string {
	class := [...]string{Failure: "5", Delay: "4", Delivered: "2"}[kind]
	s := r.Status()
	if _, detail, ok := strings.Cut(s, "."); ok {
		return class + "." + detail
	}
	return class + ".0.0"
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
	d.part(w, contentType, description, d.eightBit)
	if w.err == nil {
		_, w.err = io.Copy(w.w, d.content)
	}
	w.line("")
	w.line("--%s--", d.boundary)
}
