package control

import (
	"fmt"
	"strconv"
	"time"
)

// State is where a message stands, by the names that Postfix gives its queues.
type State string

// The states.
const (
	Incoming State = "incoming" // accepted, not yet picked up
	Active   State = "active"   // its next attempt is due or under way
	Deferred State = "deferred" // waits for its next attempt
	Hold     State = "hold"     // waits for the administrator
	Corrupt  State = "corrupt"  // failed its checks, kept for the administrator
)

// Entry is a message in the queue of one channel, as mailq shows it.
type Entry struct {
	ID         string
	State      State
	Channel    string // "local" or "remote"
	Arrival    time.Time
	Size       int64     // of the message, in octets
	Sender     string    // "" = the null sender
	UID        int64     // of the process that submitted it, -1 = none of this host
	Due        time.Time // of the next attempt; zero = none
	Attempts   int       // made so far
	Hop        string    // routing key of where it goes next, as its file name has it; "" = not picked up
	Trouble    string    // what is wrong with its file
	Recipients []Recipient
}

// Recipient is one for whom the message still waits.
type Recipient struct {
	Address string
	Orig    string    // what the sender gave, if that is another address
	Relay   string    // who was asked at the last attempt
	Reply   string    // what was said then: why it was not delivered yet
	Tried   time.Time // when; zero = not tried
}

// Reason is why a recipient waits, as listings have it.
func (r *Recipient) Reason() string {
	if r.Relay == "" {
		return r.Reply
	}
	return r.Relay + ": " + r.Reply
}

// append writes the entry's lines.
func (e *Entry) append(b []byte) []byte {
	b = append(b, verbMessage...)
	b = appendPair(b, "id", e.ID)
	b = appendPair(b, "queue", string(e.State))
	b = appendPair(b, "channel", e.Channel)
	b = appendPair(b, "time", seconds(e.Arrival))
	b = appendPair(b, "size", strconv.FormatInt(e.Size, 10))
	b = appendPair(b, "sender", e.Sender)
	b = appendPair(b, "uid", strconv.FormatInt(e.UID, 10))
	b = appendPair(b, "due", seconds(e.Due))
	b = appendPair(b, "attempts", strconv.Itoa(e.Attempts))
	b = appendPair(b, "hop", e.Hop)
	b = appendPair(b, "trouble", e.Trouble)
	b = append(b, '\n')
	for i := range e.Recipients {
		b = e.Recipients[i].append(b)
	}
	return b
}

func (r *Recipient) append(b []byte) []byte {
	b = append(b, verbTo...)
	b = appendPair(b, "address", r.Address)
	b = appendPair(b, "orig", r.Orig)
	b = appendPair(b, "relay", r.Relay[:min(len(r.Relay), maxRelay)])
	b = appendPair(b, "reply", r.Reply)
	b = appendPair(b, "tried", seconds(r.Tried))
	return append(b, '\n')
}

func seconds(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return strconv.FormatInt(t.Unix(), 10)
}

// entryOf reads a message line.
func entryOf(l line) (*Entry, error) {
	n := numbers{line: l}
	e := &Entry{
		ID:       l.get("id"),
		State:    State(l.get("queue")),
		Channel:  l.get("channel"),
		Arrival:  n.time("time"),
		Size:     n.get("size", 0),
		Sender:   l.get("sender"),
		UID:      n.get("uid", -1),
		Due:      n.time("due"),
		Attempts: int(n.get("attempts", 0)),
		Hop:      l.get("hop"),
		Trouble:  l.get("trouble"),
	}
	if e.ID == "" {
		return nil, fmt.Errorf("%w: message without id", ErrSyntax)
	}
	return e, n.err
}

// recipientOf reads a to line.
func recipientOf(l line) (Recipient, error) {
	n := numbers{line: l}
	r := Recipient{Address: l.get("address"), Orig: l.get("orig"), Relay: l.get("relay"), Reply: l.get("reply"), Tried: n.time("tried")}
	return r, n.err
}

// numbers reads numeric pairs and keeps the first error.
type numbers struct {
	line line
	err  error
}

func (n *numbers) get(key string, absent int64) int64 {
	text, ok := n.line.find(key)
	if !ok {
		return absent
	}
	v, err := strconv.ParseInt(text, 10, 53)
	if err != nil && n.err == nil {
		n.err = fmt.Errorf("%w: %s=%.20q is no number", ErrSyntax, key, text)
	}
	return v
}

func (n *numbers) time(key string) time.Time {
	if v := n.get(key, 0); v != 0 {
		return time.Unix(v, 0)
	}
	return time.Time{}
}
