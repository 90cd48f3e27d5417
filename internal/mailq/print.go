package mailq

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"time"
	"unicode/utf8"

	"postrider/internal/control"
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
	t.columns(clean(e.ID)+markers[e.State], strconv.FormatInt(e.Size, 10), e.Arrival.Local().Format("Mon Jan _2 15:04:05"), clean(sender(e)))
	if e.Trouble != "" {
		t.reason(e.Trouble)
	}
	if len(e.Recipients) == 0 && e.Trouble == "" {
		t.reason("nobody waits for it any more")
	}
	before := ""
	for i := range e.Recipients {
		r := &e.Recipients[i]
		if reason := r.Reason(); reason != before {
			t.reason(reason)
			before = reason
		}
		t.columns("", "", "", clean(r.Address))
	}
	if t.count == 1 {
		return t.w.Flush()
	}
	return nil
}

// columns writes a line: %-17s %8s %-19s %s.
func (t *text) columns(id, size, arrival, address string) {
	b := t.w.AvailableBuffer()
	b = append(b, id...)
	b = blanks(b, 17-len(id)+1+8-len(size))
	b = append(append(b, size...), ' ')
	b = append(b, arrival...)
	b = blanks(b, 19-len(arrival)+1)
	b = append(append(b, address...), '\n')
	t.w.Write(b)
}

func blanks(b []byte, n int) []byte {
	for range max(n, 1) {
		b = append(b, ' ')
	}
	return b
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

// objects is the listing as postqueue -j writes it, an object a line, with keys of our own behind.
type objects struct {
	w     *bufio.Writer
	line  bytes.Buffer
	lines *json.Encoder
	any   bool
}

func newObjects(w io.Writer) *objects {
	o := &objects{w: bufio.NewWriterSize(w, 32<<10)}
	o.lines = json.NewEncoder(&o.line)
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
	Hop        string        `json:"next_hop,omitempty"`
	UID        *int64        `json:"uid,omitempty"`
	Trouble    string        `json:"trouble,omitempty"`
}

type objectTo struct {
	Address string `json:"address"`
	Orig    string `json:"orig_address,omitempty"`
	Reason  string `json:"delay_reason,omitempty"`
	Relay   string `json:"relay,omitempty"`
	Reply   string `json:"last_reply,omitempty"`
	Tried   int64  `json:"last_attempt,omitempty"`
}

func (o *objects) entry(e *control.Entry) error {
	line := object{
		Queue: e.State, ID: e.ID, Size: e.Size, Sender: sender(e), Recipients: make([]objectTo, len(e.Recipients)),
		Channel: e.Channel, Arrival: epoch(e.Arrival), Next: epoch(e.Due), Attempts: e.Attempts, Hop: e.Hop, Trouble: e.Trouble,
	}
	if e.UID >= 0 {
		line.UID = &e.UID
	}
	for i := range e.Recipients {
		r := &e.Recipients[i]
		line.Recipients[i] = objectTo{r.Address, r.Orig, r.Reason(), r.Relay, r.Reply, epoch(r.Tried)}
	}
	o.line.Reset()
	if err := o.lines.Encode(&line); err != nil {
		return err
	}
	if _, err := o.w.Write(escapeControls(o.line.Bytes())); err != nil {
		return err
	}
	if !o.any {
		o.any = true
		return o.w.Flush()
	}
	return nil
}

// epoch is in seconds; 0 = none.
func epoch(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

// escapeControls escapes the control characters that JSON allows in a text: a terminal obeys them, too.
func escapeControls(b []byte) []byte {
	isControl := func(r rune) bool { return r >= 0x7f && r < 0xa0 }
	if bytes.IndexFunc(b, isControl) < 0 {
		return b
	}
	var out []byte
	for _, r := range string(b) {
		if isControl(r) {
			out = fmt.Appendf(out, "\\u%04x", r)
		} else {
			out = utf8.AppendRune(out, r)
		}
	}
	return out
}

func (o *objects) end() error { return o.w.Flush() }
