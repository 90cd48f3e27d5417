package story

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"postrider/internal/config"
	"postrider/internal/control"
	"postrider/internal/envelope"
	"postrider/internal/logline"
	"postrider/internal/reply"
	"postrider/internal/spool"
)

// Bounds of what is told of one message.
const (
	maxEvents     = 200 // lines of the log, the first half and the last
	maxRecipients = 50
)

// teller puts stories into words.
type teller struct {
	out        io.Writer
	err        error // of out, the first
	queue      *queue
	collection *collection
	config     *config.Config
	now        time.Time
}

// clean is a text from outside on one line, fit for a terminal.
func clean(s string) string { return strings.ReplaceAll(reply.Clean(s), "\n", " ") }

func (t *teller) say(depth int, format string, args ...any) {
	_, err := fmt.Fprintf(t.out, "%*s%s\n", 2*depth, "", clean(fmt.Sprintf(format, args...)))
	if t.err == nil {
		t.err = err
	}
}

// when is a time as people of this host read it.
func (t *teller) when(at time.Time) string {
	if at.IsZero() {
		return "(no time)"
	}
	return at.In(t.now.Location()).Format(time.DateTime)
}

// tell tells the story of one message; false if nothing is known of it.
func (t *teller) tell(ctx context.Context, id string) bool {
	found, entries := t.queue.find(ctx, id), t.collection.of(id)
	if len(found) == 0 && len(entries) == 0 {
		return false
	}
	t.title(id, found, entries)
	t.origin(id, found, entries)
	t.events(entries)
	told := ended(entries)
	for _, m := range found {
		t.recipients(m, told)
		t.next(id, m)
	}
	if len(found) == 0 {
		t.gone(entries)
	}
	for _, child := range t.collection.children(id) {
		t.child(child)
	}
	return true
}

// title names the message by what the queue has of it, else the log.
func (t *teller) title(id string, found []*message, entries []*logline.Entry) {
	for _, m := range found {
		if m.envelope != nil || m.size > 0 {
			t.say(0, "%s from <%s>, %d octets", id, m.sender, m.size)
			return
		}
	}
	for _, e := range entries {
		if a, ok := e.Event.(logline.Active); ok {
			t.say(0, "%s from <%s>, %d octets", id, a.From, a.Size)
			return
		}
	}
	t.say(0, "%s", id)
}

// origin says where the message came from, and what it was made from; the log, if it has that line, says it among the events.
func (t *teller) origin(id string, found []*message, entries []*logline.Entry) {
	logged := false
	for _, e := range entries {
		_, is := e.Event.(logline.Accept)
		logged = logged || is
	}
	parent := t.collection.parent[id]
	for _, m := range found {
		if m.envelope == nil {
			continue
		}
		if parent == "" {
			parent = m.envelope.Parent
		}
		if !logged {
			t.say(1, "%s  accepted from %s", t.when(m.arrival), client(m.envelope))
			logged = true
		}
	}
	if !logged {
		if at, err := arrival(id); err == nil {
			t.say(1, "%s  accepted (by its id)", t.when(at))
		}
	}
	if parent != "" {
		t.say(1, "It was made from %s.", parent)
	}
}

// client is where an envelope says that a message came from.
func client(e *envelope.Envelope) string {
	var words []string
	switch {
	case e.Origin == envelope.OriginDSN:
		words = append(words, "the suite itself")
	case e.Client.IP != (netip.Addr{}):
		words = append(words, fmt.Sprintf("%s[%s]", e.Client.Name, e.Client.IP))
	case e.UID != envelope.NoUID:
		words = append(words, fmt.Sprintf("uid %d of this host", e.UID))
	default:
		words = append(words, "a process of this host")
	}
	if e.Client.Auth != "" {
		words = append(words, "logged in as "+e.Client.Auth)
	}
	if e.Client.Proto != "" {
		words = append(words, "by "+e.Client.Proto)
	}
	return strings.Join(words, ", ")
}

// events tells what the log has, in the order of time.
func (t *teller) events(entries []*logline.Entry) {
	for i, e := range entries {
		if left := len(entries) - maxEvents; left > 0 && i >= maxEvents/2 && i < maxEvents/2+left {
			if i == maxEvents/2 {
				t.say(1, "… %d more …", left)
			}
			continue
		}
		if text := event(e); text != "" {
			t.say(1, "%s  %s", t.when(e.Time), text)
		}
	}
}

// event is one line of the log in words.
func event(e *logline.Entry) string {
	switch v := e.Event.(type) {
	case logline.Accept:
		return accepted(v)
	case logline.MessageID:
		return "Message-ID " + v.MessageID
	case logline.Active:
		return fmt.Sprintf("%s took it up for %s", e.Program, recipients(v.Rcpt))
	case logline.Delivery:
		return delivery(v)
	case logline.Removed:
		return "left the queue of " + e.Program
	case logline.Notice:
		switch v.Severity {
		case logline.LevelWarning:
			return e.Program + ": warning: " + v.Text
		case logline.LevelError:
			return e.Program + ": error: " + v.Text
		}
		return v.Text
	}
	return ""
}

func accepted(v logline.Accept) string {
	text := "accepted from " + v.Client
	if v.Username != "" {
		text += ", logged in as " + v.Username
	}
	if v.UID != "" && !strings.Contains(v.Client, "uid=") {
		text += ", uid " + v.UID
	}
	return text
}

func recipients(n int) string {
	if n == 1 {
		return "1 recipient"
	}
	return fmt.Sprintf("%d recipients", n)
}

// delivery is the result of an attempt. Postfix's words for it are those of people who read logs; these are for the others.
func delivery(v logline.Delivery) string {
	text := map[string]string{"sent": "delivered", "deferred": "not delivered yet", "bounced": "refused for good", "expired": "given up"}[v.Status]
	if text == "" {
		text = v.Status
	}
	to := "<" + v.To + ">"
	if v.OrigTo != "" {
		to += " (for <" + v.OrigTo + ">)"
	}
	text = to + ": " + text
	if v.Relay != "" && v.Relay != "none" {
		text += " by " + v.Relay
	}
	return text + ": " + v.Text
}

// ended are the recipients of whom the log has the last word.
func ended(entries []*logline.Entry) map[string]bool {
	told := make(map[string]bool)
	for _, e := range entries {
		if d, ok := e.Event.(logline.Delivery); ok && d.Status != "deferred" {
			told[d.To] = true
		}
	}
	return told
}

// recipients tells what the queue and the journal have of those who wait, and of those whose end was not told.
func (t *teller) recipients(m *message, told map[string]bool) {
	n := 0
	for _, r := range m.recipients {
		if !r.waits && told[r.address] {
			continue
		}
		if n++; n <= maxRecipients {
			t.recipient(r)
		}
	}
	if n > maxRecipients {
		t.say(1, "… and %d more recipients.", n-maxRecipients)
	}
}

func (t *teller) recipient(r recipient) {
	said := r.reply
	if said == "" {
		said = r.text
	}
	if r.relay != "" && r.relay != "none" {
		said = r.relay + ": " + said
	}
	switch {
	case r.waits && r.tried.IsZero():
		t.say(1, "<%s> was not tried yet.", r.address)
	case r.waits:
		t.say(1, "<%s> waits after %s, the last at %s: %s", r.address, attempts(r.attempts), t.when(r.tried), said)
	case r.status == spool.Sent || r.status == spool.Forwarded:
		t.say(1, "<%s> has it since %s: %s", r.address, t.when(r.tried), said)
	case r.status == spool.Failed:
		t.say(1, "<%s> was refused at %s: %s", r.address, t.when(r.tried), said)
	case r.status == spool.Expired:
		t.say(1, "<%s> was given up at %s: %s", r.address, t.when(r.tried), said)
	}
}

func attempts(n int) string {
	if n <= 1 {
		return "1 attempt"
	}
	return fmt.Sprintf("%d attempts", n)
}

// next says what will happen to a message that is in the queue, and what can be done.
func (t *teller) next(id string, m *message) {
	if m.trouble != "" {
		t.say(0, "Trouble: %s", m.trouble)
	}
	switch m.state {
	case control.Incoming:
		t.say(0, "It is in the %s queue and waits to be taken up by %s, which takes moments if that runs.", m.via, m.daemon)
	case control.Hold:
		t.say(0, "It is on hold in the %s queue%s. To let it go: mailq release %s", m.via, reason(m), id)
		return
	case control.Corrupt:
		t.say(0, "Its file is damaged, or was edited, and is kept: nothing more is done with it. See %spostrider spool check.", at(m.path))
		return
	case control.Active:
		t.say(0, "It is in the %s queue%s; an attempt is due or under way.", m.via, toward(m))
	case control.Deferred:
		t.say(0, "It is in the %s queue%s. Next attempt: %s (in %s). To try now: mailq retry %s", m.via, toward(m), t.when(m.due), in(m.due.Sub(t.now)), id)
	}
	t.end(m)
}

// end says when the sender will hear.
func (t *teller) end(m *message) {
	lifetime, warning := t.config.LocalDeliver.QueueLifetime.D(), t.config.LocalDeliver.DelayWarning.D()
	if m.via == envelope.Remote {
		lifetime, warning = t.config.Relayd.QueueLifetime.D(), t.config.Relayd.DelayWarning.D()
	}
	who := "then its sender is told"
	if m.sender == "" {
		who = "it has no sender who could be told"
	} else if at := m.arrival.Add(warning); warning > 0 && t.now.Before(at) {
		t.say(0, "If it is still here at %s its sender is told that it takes longer.", t.when(at))
	}
	t.say(0, "It is given up at %s; %s.", t.when(m.arrival.Add(lifetime)), who)
}

// toward names the next hop.
func toward(m *message) string {
	if m.via != envelope.Remote || m.hop == "" {
		return ""
	}
	if m.hop == "*" {
		return ", for several next hops"
	}
	return ", for the next hop " + m.hop
}

func reason(m *message) string {
	if m.envelope == nil || m.envelope.Hold == "" {
		return ""
	}
	return " (" + m.envelope.Hold + ")"
}

// at names a file before an advice.
func at(path string) string {
	if path == "" {
		return ""
	}
	return path + " and "
}

// in is a span of time as people say it.
func in(d time.Duration) string {
	switch {
	case d < time.Minute:
		return "less than a minute"
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", int(d.Round(time.Minute).Minutes()))
	}
	return fmt.Sprintf("%d h", int(d.Round(time.Hour).Hours()))
}

// gone says how a message ended that is not in the queue.
func (t *teller) gone(entries []*logline.Entry) {
	var ended *logline.Entry
	for _, e := range entries {
		if _, ok := e.Event.(logline.Removed); ok {
			ended = e
		}
	}
	if ended == nil {
		t.say(0, "It is not in the queue (as far as you may see it), and the log does not say how it left: it was removed by hand, or the log has a gap.")
		return
	}
	if ended.Time.IsZero() {
		t.say(0, "It is done: it left the queue.")
		return
	}
	t.say(0, "It is done: it left the queue at %s.", t.when(ended.Time))
}

// child says shortly what became of a message that was made from this one.
func (t *teller) child(id string) {
	kind, last, parent := "a copy", "", t.collection.parent[id]
	for _, e := range t.collection.of(id) {
		switch v := e.Event.(type) {
		case logline.MessageID: // which a notice has from the message that it is about
			if strings.HasPrefix(bare(v.MessageID), parent+".") {
				kind = "a notice"
			}
		case logline.Delivery:
			last = t.when(e.Time) + "  " + delivery(v)
		}
	}
	t.say(0, "From %s was made %s, %s; for its story: postrider why %s", parent, id, kind, id)
	if last != "" {
		t.say(1, "%s", last)
	}
}
