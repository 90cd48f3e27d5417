package dsn

import (
	"bufio"
	"fmt"
	"mime/quotedprintable"
	"strings"
	"time"
	"unicode"

	"postrider/internal/address"
	"postrider/internal/envelope"
)

const (
	textWidth = 76   // of a line
	maxSaid   = 1000 // octets of a reply; the part for programs has more
)

// summaries are what happened.
var summaries = map[Kind]string{
	Failure:   "The message below could not be delivered to the recipients listed here. It will not be tried again.",
	Delay:     "The message below could not be delivered yet to the recipients listed here. It is still being tried; you need not send it again.",
	Delivered: "The message below was delivered to the recipients listed here, as you asked to be told.",
	Relayed:   "The message below was passed on for the recipients listed here, to hosts that do not tell when it is delivered. There may be no further notice.",
}

// writeText writes the part for people: what happened, to whom, what was said, what to do.
func (d *Draft) writeText(w *writer) {
	switch {
	case d.global:
		d.part(w, "text/plain; charset=utf-8", "Notification", "8bit")
		d.text(w)
	case d.hasASCIIText():
		d.part(w, "text/plain; charset=us-ascii", "Notification", "")
		d.text(w)
	default: // in an encoding that any host takes
		d.part(w, "text/plain; charset=utf-8", "Notification", "quoted-printable")
		encoder := quotedprintable.NewWriter(w.w)
		plain := &writer{w: bufio.NewWriter(encoder), err: w.err}
		d.text(plain)
		plain.flush()
		if w.err = plain.err; w.err == nil {
			w.err = encoder.Close()
		}
	}
}

func (d *Draft) hasASCIIText() bool {
	for i := range d.Recipients {
		if !isASCII(d.Recipients[i].Reply.Text) || !isASCII(d.Recipients[i].MTA) {
			return false
		}
	}
	return d.hasASCIIAddresses()
}

func (d *Draft) text(w *writer) {
	w.line("This is the mail system of %s.", d.Hostname)
	w.line("")
	if d.Postmaster {
		w.paragraph("", "The sender of this message, "+angled(d.Envelope.From.Addr)+", cannot be told:")
		w.line("")
	}
	w.paragraph("", summaries[d.Kind])
	if d.Kind == Delay && !d.Until.IsZero() {
		w.paragraph("", "It is tried until "+d.Until.Format(dateFormat)+".")
	}
	for i := range d.Recipients {
		d.writeRecipientText(w, i)
	}
	if d.Kind == Failure && !d.Postmaster {
		w.line("")
		w.paragraph("", fmt.Sprintf("For help, write to <postmaster@%s> and mention %s.", d.Hostname, d.Envelope.ID))
	}
	if d.Envelope.Origin == envelope.OriginMX && !d.Postmaster {
		w.line("")
		w.paragraph("", "If you did not send this message, somebody else wrote your address on it. Then you need not do anything.")
	}
}

// paragraph writes a text of any length, indented.
func (w *writer) paragraph(indent, text string) {
	w.line("%s%s", indent, fold(text, len(indent), textWidth, "\r\n"+indent))
}

// writeRecipientText writes to whom. Recipients of whom the same is to be said share it.
func (d *Draft) writeRecipientText(w *writer, i int) {
	r := &d.Recipients[i]
	if i == 0 || !r.alike(&d.Recipients[i-1]) {
		w.line("")
	}
	to := angled(r.Addr)
	if !r.Orig.IsNull() && r.Orig != r.Addr {
		who := "you"
		if d.Postmaster {
			who = "the sender"
		}
		to += " (" + who + " wrote to " + angled(r.Orig) + ")"
	}
	w.line("%s", fold(to, 0, textWidth, "\r\n  "))
	if i+1 < len(d.Recipients) && r.alike(&d.Recipients[i+1]) {
		return
	}
	w.line("  %s", fold(d.said(r), 2, textWidth, "\r\n    "))
	if help := advice(r); help != "" && d.Kind == Failure && !d.Postmaster {
		w.paragraph("  ", "What to do: "+help)
	}
}

// alike says that the same is to be said of two recipients.
func (r *Recipient) alike(o *Recipient) bool {
	return r.MTA == o.MTA && r.Expired == o.Expired && r.Time.Equal(o.Time) &&
		r.Reply.Code == o.Reply.Code && r.Reply.Enhanced == o.Reply.Enhanced && r.Reply.Text == o.Reply.Text
}

// said is what was said and by whom. Our own findings need no SMTP code.
func (d *Draft) said(r *Recipient) string {
	text := visible(clean(r.Reply.Text, maxSaid)) + " (" + d.status(r) + ")"
	if name, ip := r.host(); name != "" {
		if ip != "" {
			name += " [" + ip + "]"
		}
		text = visible(clean(name, maxSaid)) + " said: " + visible(clean(r.Reply.Error(), maxSaid))
	}
	if d.Kind == Failure && r.Expired {
		text = "It was tried for " + span(r.Time.Sub(d.Envelope.Time)) + ". At last: " + text
	}
	return text
}

// visible replaces characters that are there to change how others look.
func visible(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp) {
			return '?'
		}
		return r
	}, s)
}

func angled(a address.Address) string { return "<" + clean(a.String(), maxLine) + ">" }

// span is a duration for people.
func span(d time.Duration) string {
	count, unit := int(d.Minutes()), "minute"
	switch {
	case d >= 48*time.Hour:
		count, unit = int(d.Hours()/24), "day"
	case d >= 2*time.Hour:
		count, unit = int(d.Hours()), "hour"
	}
	if count != 1 {
		unit += "s"
	}
	return fmt.Sprintf("%d %s", max(count, 0), unit)
}
