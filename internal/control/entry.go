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
	Trouble    string    // what is wrong with its file
	Recipients []Recipient
}

// Recipient is one for whom the message still waits.
type Recipient struct {
	Address string
	Orig    string // what the sender gave, if that is another address
	Reason  string // why it was not delivered yet; "" = not tried
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
	b = appendPair(b, "reason", r.Reason)
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
	n := numbers{pairs: l.pairs}
	e := &Entry{
		ID:       l.pairs["id"],
		State:    State(l.pairs["queue"]),
		Channel:  l.pairs["channel"],
		Arrival:  n.time("time"),
		Size:     n.get("size", 0),
		Sender:   l.pairs["sender"],
		UID:      n.get("uid", -1),
		Due:      n.time("due"),
		Attempts: int(n.get("attempts", 0)),
		Trouble:  l.pairs["trouble"],
	}
	if e.ID == "" {
		return nil, fmt.Errorf("%w: message without id", ErrSyntax)
	}
	return e, n.err
}

func recipientOf(l line) Recipient {
	return Recipient{Address: l.pairs["address"], Orig: l.pairs["orig"], Reason: l.pairs["reason"]}
}

// numbers reads numeric pairs and keeps the first error.
type numbers struct {
	pairs map[string]string
	err   error
}

func (n *numbers) get(key string, absent int64) int64 {
	text, ok := n.pairs[key]
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
