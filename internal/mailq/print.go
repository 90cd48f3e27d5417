package mailq

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"postrider/internal/control"
	"postrider/internal/reply"
)

// printer writes a listing.
type printer interface {
	entry(*control.Entry) error
	end() error
}

// daemonName stands for the null sender.
const daemonName = "MAILER-DAEMON"

func sender(e *control.Entry) string {
	if e.Sender == "" {
		return daemonName
	}
	return e.Sender
}

// text is the listing as Postfix writes it for long queue ids: `*` marks a message whose attempt is due or under way, `!` one
// on hold, `?` one whose file is damaged.
type text struct {
	w      *bufio.Writer
	count  int
	octets int64
}

func newText(w io.Writer) *text { return &text{w: bufio.NewWriterSize(w, 32<<10)} }

var markers = map[control.State]string{control.Active: "*", control.Hold: "!", control.Corrupt: "?"}

func (t *text) entry(e *control.Entry) error {
	if t.count == 0 {
		t.columns("----Queue ID-----", "--Size--", "---Arrival Time----", "--Sender/Recipient------")
	} else {
		t.w.WriteByte('\n')
	}
	t.count++
	t.octets += e.Size
	t.columns(e.ID+markers[e.State], fmt.Sprint(e.Size), e.Arrival.Local().Format("Mon Jan _2 15:04:05"), clean(sender(e)))
	if e.Trouble != "" {
		t.reason(e.Trouble)
	}
	before := ""
	for _, r := range e.Recipients {
		if r.Reason != before {
			t.reason(r.Reason)
			before = r.Reason
		}
		t.columns("", "", "", clean(r.Address))
	}
	if t.count == 1 {
		return t.w.Flush()
	}
	return nil
}

func (t *text) columns(id, size, arrival, address string) {
	fmt.Fprintf(t.w, "%-17s %8s %-19s %s\n", id, size, arrival, address)
}

func (t *text) reason(s string) {
	if s == "" {
		s = "reason unavailable"
	}
	fmt.Fprintf(t.w, "%78s\n", "("+clean(s)+")")
}

func (t *text) end() error {
	if t.count == 0 {
		fmt.Fprintln(t.w, "Mail queue is empty")
	} else {
		plural := "s"
		if t.count == 1 {
			plural = ""
		}
		fmt.Fprintf(t.w, "\n-- %d Kbytes in %d Request%s.\n", t.octets/1024, t.count, plural)
	}
	return t.w.Flush()
}

// clean makes a text fit for one line of a terminal.
func clean(s string) string { return strings.ReplaceAll(reply.Clean(s), "\n", " ") }

// objects is the listing as postqueue -j writes it, an object a line, with keys of our own behind.
type objects struct {
	w     *bufio.Writer
	lines *json.Encoder
	any   bool
}

func newObjects(w io.Writer) *objects {
	o := &objects{w: bufio.NewWriterSize(w, 32<<10)}
	o.lines = json.NewEncoder(o.w)
	o.lines.SetEscapeHTML(false)
	return o
}

type object struct {
	Queue      control.State `json:"queue_name"`
	ID         string        `json:"queue_id"`
	Arrival    int64         `json:"arrival_time"`
	Size       int64         `json:"message_size"`
	Forced     bool          `json:"forced_expire"`
	Sender     string        `json:"sender"`
	Recipients []objectTo    `json:"recipients"`
	Channel    string        `json:"channel"`
	Next       int64         `json:"next_attempt,omitempty"`
	Attempts   int           `json:"attempts"`
	Trouble    string        `json:"trouble,omitempty"`
}

type objectTo struct {
	Address string `json:"address"`
	Orig    string `json:"orig_address,omitempty"`
	Reason  string `json:"delay_reason,omitempty"`
}

func (o *objects) entry(e *control.Entry) error {
	line := object{
		Queue: e.State, ID: e.ID, Size: e.Size, Sender: sender(e), Recipients: make([]objectTo, len(e.Recipients)),
		Channel: e.Channel, Attempts: e.Attempts, Trouble: e.Trouble,
	}
	if !e.Arrival.IsZero() {
		line.Arrival = e.Arrival.Unix()
	}
	if !e.Due.IsZero() {
		line.Next = e.Due.Unix()
	}
	for i, r := range e.Recipients {
		line.Recipients[i] = objectTo(r)
	}
	if err := o.lines.Encode(&line); err != nil {
		return err
	}
	if !o.any {
		o.any = true
		return o.w.Flush()
	}
	return nil
}

func (o *objects) end() error { return o.w.Flush() }
