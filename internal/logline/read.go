package logline

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"
)

// Entry is a line of a log about a message, read back. Event is an Accept, a MessageID, an Active, a Delivery, a Removed, or a
// Notice with the text of any other; each with its ID.
//
// What a line quotes of clients and peers was written by them. The grammar keeps that from looking like another line or another
// message's, and its fields from looking like others; the words of a reply remain theirs.
type Entry struct {
	Time    time.Time // zero if the line has none
	Program string
	Event   Event
}

// ID is the queue id of the message.
func (e *Entry) ID() string {
	switch v := e.Event.(type) {
	case Accept:
		return v.ID
	case MessageID:
		return v.ID
	case Active:
		return v.ID
	case Delivery:
		return v.ID
	case Removed:
		return v.ID
	case Notice:
		return v.ID
	}
	return ""
}

// Read reads a line as Log writes it, or as journalctl, syslog or svlogd pass it on, with their time in front. It returns false
// for lines that are not about a message that was accepted. Times without a year are the last ones before now, those without a
// zone in that of now.
func Read(line string, now time.Time) (*Entry, bool) {
	line = strings.TrimRight(line, "\r\n")
	if strings.HasPrefix(line, "{") {
		return readJSON(line)
	}
	i := strings.Index(line, "postrider/")
	if i < 0 {
		return nil, false
	}
	e := &Entry{}
	var ok bool
	if e.Time, ok = readStamp(line[:i], now); !ok {
		return nil, false // the name stands within the line of another program
	}
	program, rest, ok := strings.Cut(line[i+len("postrider/"):], "]: ")
	if !ok {
		return nil, false
	}
	name, pid, ok := strings.Cut(program, "[")
	if _, err := strconv.ParseUint(pid, 10, 32); !ok || err != nil || strings.ContainsAny(name, " :") {
		return nil, false
	}
	if strings.HasPrefix(rest, "{") { // an object that the journal has
		return readJSON(rest)
	}
	e.Program = name
	e.Event, ok = readEvent(rest)
	return e, ok
}

// readStamp reads what stands before the program: nothing, a time, or a time and a host.
func readStamp(head string, now time.Time) (time.Time, bool) {
	if head == "" {
		return time.Time{}, true
	}
	if !strings.HasSuffix(head, " ") {
		return time.Time{}, false
	}
	const syslog = "Jan _2 15:04:05"
	if len(head) > len(syslog) {
		if t, err := time.ParseInLocation(syslog, head[:len(syslog)], now.Location()); err == nil {
			return pastYear(t, now), isHost(head[len(syslog):])
		}
	}
	stamp, host, _ := strings.Cut(head, " ")
	if host != "" && !isHost(" "+host) {
		return time.Time{}, false
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05Z0700", "2006-01-02_15:04:05", "2006-01-02T15:04:05"} {
		if t, err := time.Parse(layout, stamp); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

// isHost says that s is ` host `.
func isHost(s string) bool {
	s, ok := strings.CutSuffix(s, " ")
	s, space := strings.CutPrefix(s, " ")
	return ok && space && s != "" && !strings.Contains(s, " ")
}

// pastYear gives a time that has none the year in which it was last.
func pastYear(t, now time.Time) time.Time {
	t = t.AddDate(now.Year()-t.Year(), 0, 0)
	if t.After(now.Add(24 * time.Hour)) {
		t = t.AddDate(-1, 0, 0)
	}
	return t
}

// readEvent reads what follows the program.
func readEvent(text string) (Event, bool) {
	severity := LevelInfo
	if rest, ok := strings.CutPrefix(text, "warning: "); ok {
		severity, text = LevelWarning, rest
	} else if rest, ok := strings.CutPrefix(text, "error: "); ok {
		severity, text = LevelError, rest
	}
	id, rest, ok := strings.Cut(text, ": ")
	if !ok || !isID(id) {
		return nil, false
	}
	if severity == LevelInfo {
		if e, ok := readMail(id, rest); ok {
			return e, true
		}
	}
	if tail, ok := strings.CutPrefix(rest, "warning: "); ok {
		severity, rest = LevelWarning, tail
	} else if tail, ok := strings.CutPrefix(rest, "error: "); ok {
		severity, rest = LevelError, tail
	}
	return Notice{Severity: severity, ID: id, Text: rest}, true
}

// isID says that a word is a queue id.
func isID(s string) bool {
	if len(s) != 16 {
		return false
	}
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return true
}

// readMail reads the events that have a form of their own.
func readMail(id, text string) (Event, bool) {
	switch {
	case text == "removed":
		return Removed{ID: id}, true
	case strings.HasPrefix(text, "client="):
		return readAccept(id, text), true
	case strings.HasPrefix(text, "message-id="):
		return MessageID{ID: id, MessageID: text[len("message-id="):]}, true
	case strings.HasPrefix(text, "from=<"):
		return readActive(id, text)
	case strings.HasPrefix(text, "to=<"):
		return readDelivery(id, text)
	}
	return nil, false
}

// readAccept reads fields, none of which has a comma in its value.
func readAccept(id, text string) Accept {
	e := Accept{ID: id}
	for field := range strings.SplitSeq(text, ", ") {
		key, value, _ := strings.Cut(field, "=")
		switch key {
		case "client":
			e.Client = value
		case "sasl_method":
			e.Method = value
		case "sasl_username":
			e.Username = value
		case "uid":
			e.UID = value
		case "parent":
			e.Parent = value
		}
	}
	return e
}

func readActive(id, text string) (Event, bool) {
	from, rest, ok := cutPath(text, "from=")
	if !ok {
		return nil, false
	}
	rest, ok = strings.CutSuffix(rest, " (queue active)")
	size, count, ok2 := strings.Cut(strings.TrimPrefix(rest, ", size="), ", nrcpt=")
	n, err1 := strconv.ParseInt(size, 10, 64)
	k, err2 := strconv.Atoi(count)
	return Active{ID: id, From: from, Size: n, Rcpt: k}, ok && ok2 && err1 == nil && err2 == nil
}

// readDelivery reads from the front: the reply at the end is the peer's.
func readDelivery(id, text string) (Event, bool) {
	e := Delivery{ID: id}
	var ok bool
	if e.To, text, ok = cutPath(text, "to="); !ok {
		return nil, false
	}
	if rest, found := strings.CutPrefix(text, ", "); found && strings.HasPrefix(rest, "orig_to=<") {
		if e.OrigTo, text, ok = cutPath(rest, "orig_to="); !ok {
			return nil, false
		}
	}
	for {
		rest, found := strings.CutPrefix(text, ", ")
		key, rest, ok := strings.Cut(rest, "=")
		if !found || !ok {
			return nil, false
		}
		if key == "status" {
			return readStatus(e, rest)
		}
		i := strings.Index(rest, ", ")
		if i < 0 {
			return nil, false
		}
		value := rest[:i]
		text = rest[i:]
		switch key {
		case "relay":
			e.Relay = value
		case "delay":
			e.Delay = readSeconds(value)
		case "delays":
			for i, s := range strings.SplitN(value, "/", len(e.Delays)) {
				e.Delays[i] = readSeconds(s)
			}
		case "dsn":
			e.DSN = value
		}
	}
}

// readStatus reads the end of a delivery, `sent (text)`.
func readStatus(e Delivery, text string) (Event, bool) {
	var ok bool
	e.Status, e.Text, ok = strings.Cut(text, " (")
	e.Text = strings.TrimSuffix(e.Text, ")")
	return e, ok
}

func readSeconds(s string) time.Duration {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || f < 0 || f > 1e9 {
		return 0
	}
	return time.Duration(f * float64(time.Second))
}

// cutPath cuts `key<address>`: the address ends at a > that is not in quotes.
func cutPath(text, key string) (address, rest string, ok bool) {
	text, ok = strings.CutPrefix(text, key+"<")
	if !ok {
		return "", "", false
	}
	quoted := false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\' && quoted:
			i++
		case c == '"':
			quoted = !quoted
		case c == '>' && !quoted:
			return text[:i], text[i+1:], true
		}
	}
	return "", "", false
}

// readJSON reads an object as Log writes it.
func readJSON(line string) (*Entry, bool) {
	var head struct {
		Time    time.Time `json:"time"`
		Program string    `json:"program"`
		Level   Level     `json:"level"`
		Event   string    `json:"event"`
		ID      string    `json:"id"`
	}
	if json.Unmarshal([]byte(line), &head) != nil || head.ID != "" && !isID(head.ID) {
		return nil, false
	}
	e := &Entry{Time: head.Time, Program: head.Program}
	var err error
	switch head.Event {
	case "accept":
		e.Event, err = decode[Accept](line)
	case "message-id":
		e.Event, err = decode[MessageID](line)
	case "active":
		e.Event, err = decode[Active](line)
	case "delivery":
		e.Event, err = decode[Delivery](line)
	case "removed":
		e.Event = Removed{ID: head.ID}
	case "queue", "reject":
		e.Event, err = decodeOther(head.Event, line)
	case "notice":
		return readNotice(e, head.Level, line)
	default:
		return nil, false
	}
	return e, err == nil && head.ID != ""
}

func decode[E Event](line string) (E, error) {
	var e E
	err := json.Unmarshal([]byte(line), &e)
	return e, err
}

// decodeOther makes a Notice of the events that are text to a reader.
func decodeOther(kind, line string) (Event, error) {
	if kind == "queue" {
		q, err := decode[Queue](line)
		text := q.Action
		if q.Text != "" {
			text += ": " + q.Text
		}
		return Notice{Severity: LevelInfo, ID: q.ID, Text: text}, err
	}
	r, err := decode[Reject](line)
	_, text, _ := strings.Cut(string(r.appendText(nil)), ": ")
	return Notice{Severity: LevelInfo, ID: r.ID, Text: text}, err
}

// readNotice finds the id in a notice's text where it has none of its own.
func readNotice(e *Entry, level Level, line string) (*Entry, bool) {
	n, err := decode[Notice](line)
	if err != nil {
		return nil, false
	}
	n.Severity = level
	if n.ID == "" {
		id, rest, ok := strings.Cut(n.Text, ": ")
		if !ok || !isID(id) {
			return nil, false
		}
		n.ID, n.Text = id, rest
	}
	e.Event = n
	return e, isID(n.ID)
}
