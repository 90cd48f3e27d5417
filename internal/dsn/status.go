package dsn

import (
	"fmt"
	"net/netip"
	"strings"

	"postrider/internal/address"
)

// writeStatus writes the part for programs (RFC 3464 §2).
func (d *Draft) writeStatus(w *writer) {
	prefix := "message/"
	if d.global {
		prefix = "message/global-"
	}
	d.part(w, prefix+"delivery-status", "Delivery report", eightBitIf(d.global))
	e := d.Envelope
	if e.From.EnvID != "" {
		d.field(w, "Original-Envelope-Id", e.From.EnvID)
	}
	w.line("Reporting-MTA: dns; %s", d.Hostname)
	w.line("X-Postrider-Queue-ID: %s", e.ID)
	if !e.From.Addr.IsNull() {
		w.line("X-Postrider-Sender: %s", d.typed(e.From.Addr))
	}
	w.line("Arrival-Date: %s", e.Time.Format(dateFormat))
	for i := range d.Recipients {
		w.line("")
		d.writeRecipientStatus(w, &d.Recipients[i])
	}
}

// field writes a field whose value may come from outside: without control characters, folded at blanks, at most maxField octets.
func (d *Draft) field(w *writer, name, value string) {
	value = clean(value, maxField)
	if !d.global {
		value = strings.Map(func(r rune) rune {
			if r >= 0x80 {
				return '?'
			}
			return r
		}, value)
	}
	w.line("%s: %s", name, fold(value, len(name)+2, 78, "\r\n "))
}

var actions = map[Kind]string{Failure: "failed", Delay: "delayed", Delivered: "delivered", Relayed: "relayed"}

func (d *Draft) writeRecipientStatus(w *writer, r *Recipient) {
	if kind, value, ok := strings.Cut(r.ORcpt, ";"); ok {
		w.line("Original-Recipient: %s", d.original(kind, value))
	} else if !r.Orig.IsNull() && r.Orig != r.Addr {
		w.line("Original-Recipient: %s", d.typed(r.Orig))
	}
	w.line("Final-Recipient: %s", d.typed(r.Addr))
	w.line("Action: %s", actions[d.Kind])
	w.line("Status: %s", d.status(r))
	if name, _ := r.host(); name != "" {
		d.field(w, "Remote-MTA", "dns; "+name)
		d.field(w, "Diagnostic-Code", "smtp; "+r.Reply.Error())
	} else {
		d.field(w, "Diagnostic-Code", "X-Postrider; "+r.Reply.Text)
	}
	if !r.Time.IsZero() {
		w.line("Last-Attempt-Date: %s", r.Time.Format(dateFormat))
	}
	if d.Kind == Delay && !d.Until.IsZero() {
		w.line("Will-Retry-Until: %s", d.Until.Format(dateFormat))
	}
}

// host is the host that answered: its name, or its address literal if it has none; and its address. Both are "" for this one.
func (r *Recipient) host() (name, ip string) {
	name, rest, _ := strings.Cut(r.MTA, "[")
	rest, _, _ = strings.Cut(rest, "]")
	addr, err := netip.ParseAddr(rest)
	if err != nil {
		return name, "" // a path is nobody's business
	}
	if name == "" || name == "unknown" || name == rest {
		return address.Literal(addr), ""
	}
	return name, addr.String()
}

// typed is an address with its type (RFC 3464 §2.1.2, RFC 6533 §3).
func (d *Draft) typed(a address.Address) string {
	s := a.String()
	switch {
	case a.IsASCII():
		return "rfc822; " + clean(s, maxLine)
	case d.global:
		return "utf-8; " + clean(s, maxLine)
	}
	return "utf-8; " + escape(s, `\+= `)
}

// original is what the client gave as ORCPT, which may be escaped already.
func (d *Draft) original(kind, value string) string {
	s := clean(kind+"; "+value, maxLine)
	if d.global {
		return s
	}
	return escape(s, "")
}

// escape writes utf-8-addr-xtext (RFC 6533 §3); more are the ASCII characters that it has to escape, too. What would become
// too long for a line loses its letters beyond ASCII.
func escape(s, more string) string {
	var b strings.Builder
	for _, r := range clean(s, maxLine) {
		if r >= 0x80 || strings.ContainsRune(more, r) {
			fmt.Fprintf(&b, `\x{%X}`, r)
		} else {
			b.WriteRune(r)
		}
	}
	if b.Len() <= maxLine {
		return b.String()
	}
	return strings.Map(func(r rune) rune {
		if r >= 0x80 {
			return '?'
		}
		return r
	}, clean(s, maxLine))
}

// status is the enhanced code in the class that the action asks for (RFC 3464 §2.3.4): a message given up after
// temporary failures has failed.
func (d *Draft) status(r *Recipient) string {
	if d.Kind == Failure && r.Expired {
		return "5.4.7" // RFC 3463 §3.5: delivery time expired
	}
	class := [...]string{Failure: "5", Delay: "4", Delivered: "2", Relayed: "2"}[d.Kind]
	if _, detail, ok := strings.Cut(r.Reply.Status(), "."); ok {
		return class + "." + detail
	}
	return class + ".0.0"
}
