package logline

import (
	"sort"
	"strconv"
	"time"
)

// The grammar is that of Postfix's smtpd_client, log_adhoc and qmgr lines.

// Connect is a new connection; Client is NAME[IP].
type Connect struct {
	Client string `json:"client"`
}

func (Connect) name() string { return "connect" }
func (Connect) level() Level { return LevelInfo }
func (e Connect) appendText(b []byte) []byte {
	return appendClean(append(b, "connect from "...), e.Client)
}

// Disconnect is the end of a connection, with how many commands of each kind succeeded and came.
type Disconnect struct {
	Client   string         `json:"client"`
	Reason   string         `json:"reason,omitempty"` // lost connection, timeout; empty = an orderly end
	Stage    string         `json:"stage,omitempty"`  // last command, when there is a reason
	Good     map[string]int `json:"good,omitempty"`
	Commands map[string]int `json:"commands,omitempty"`
}

func (Disconnect) name() string { return "disconnect" }
func (Disconnect) level() Level { return LevelInfo }
func (e Disconnect) appendText(b []byte) []byte {
	if e.Reason != "" {
		b = appendClean(b, e.Reason)
		b = appendClean(append(b, " after "...), e.Stage)
		return appendClean(append(b, " from "...), e.Client)
	}
	b = appendClean(append(b, "disconnect from "...), e.Client)
	names := make([]string, 0, len(e.Commands))
	for n := range e.Commands {
		names = append(names, n)
	}
	sort.Strings(names)
	all, good := 0, 0
	for _, n := range names {
		b = appendCount(b, n, e.Good[n], e.Commands[n])
		all, good = all+e.Commands[n], good+e.Good[n]
	}
	return appendCount(b, "commands", good, all)
}

func appendCount(b []byte, name string, good, all int) []byte {
	b = append(append(append(b, ' '), name...), '=')
	b = strconv.AppendInt(b, int64(good), 10)
	if good != all {
		b = strconv.AppendInt(append(b, '/'), int64(all), 10)
	}
	return b
}

// Accept is a message that got its queue id.
type Accept struct {
	ID       string `json:"id"`
	Client   string `json:"client"`
	Method   string `json:"sasl_method,omitempty"`
	Username string `json:"sasl_username,omitempty"`
	UID      string `json:"uid,omitempty"`
	Parent   string `json:"parent,omitempty"`
}

func (Accept) name() string { return "accept" }
func (Accept) level() Level { return LevelInfo }
func (e Accept) appendText(b []byte) []byte {
	b = append(append(b, e.ID...), ": client="...)
	b = appendClean(b, e.Client)
	b = field(b, "sasl_method", e.Method)
	b = field(b, "sasl_username", e.Username)
	b = field(b, "uid", e.UID)
	return field(b, "parent", e.Parent)
}

// MessageID is the Message-ID that a message carries.
type MessageID struct {
	ID        string `json:"id"`
	MessageID string `json:"message_id"`
}

func (MessageID) name() string { return "message-id" }
func (MessageID) level() Level { return LevelInfo }
func (e MessageID) appendText(b []byte) []byte {
	return appendClean(append(append(b, e.ID...), ": message-id="...), e.MessageID)
}

// Active is a message picked up from the queue. From is without brackets.
type Active struct {
	ID   string `json:"id"`
	From string `json:"from"`
	Size int64  `json:"size"`
	Rcpt int    `json:"nrcpt"`
}

func (Active) name() string { return "active" }
func (Active) level() Level { return LevelInfo }
func (e Active) appendText(b []byte) []byte {
	b = append(append(b, e.ID...), ": from=<"...)
	b = appendClean(b, e.From)
	b = strconv.AppendInt(append(b, ">, size="...), e.Size, 10)
	b = strconv.AppendInt(append(b, ", nrcpt="...), int64(e.Rcpt), 10)
	return append(b, " (queue active)"...)
}

// Delivery is the result of one attempt for one recipient.
type Delivery struct {
	ID     string           `json:"id"`
	To     string           `json:"to"`
	OrigTo string           `json:"orig_to,omitempty"`
	Relay  string           `json:"relay"`  // "local", "virtual", host[ip]:port
	Delay  time.Duration    `json:"delay"`  // since arrival
	Delays [4]time.Duration `json:"delays"` // before the queue, in the queue, connection, transmission
	DSN    string           `json:"dsn"`    // enhanced status code
	Status string           `json:"status"` // sent, deferred, bounced, expired
	Text   string           `json:"text"`
}

func (Delivery) name() string { return "delivery" }
func (Delivery) level() Level { return LevelInfo }
func (e Delivery) appendText(b []byte) []byte {
	b = append(append(b, e.ID...), ": to=<"...)
	b = append(appendClean(b, e.To), '>')
	if e.OrigTo != "" && e.OrigTo != e.To {
		b = append(appendClean(append(b, ", orig_to=<"...), e.OrigTo), '>')
	}
	b = field(b, "relay", e.Relay)
	b = appendSeconds(append(b, ", delay="...), e.Delay)
	b = append(b, ", delays="...)
	for i, d := range e.Delays {
		if i > 0 {
			b = append(b, '/')
		}
		b = appendSeconds(b, d)
	}
	b = field(b, "dsn", e.DSN)
	b = field(b, "status", e.Status)
	b = append(b, " ("...)
	return append(appendClean(b, e.Text), ')')
}

// appendSeconds writes two significant digits, as Postfix does: 0.03, 1.5, 12.
func appendSeconds(b []byte, d time.Duration) []byte {
	s := max(d.Seconds(), 0)
	switch {
	case s < 0.01:
		return strconv.AppendFloat(b, float64(int(s*1000))/1000, 'f', -1, 64)
	case s < 1:
		return strconv.AppendFloat(b, float64(int(s*100))/100, 'f', -1, 64)
	case s < 10:
		return strconv.AppendFloat(b, float64(int(s*10))/10, 'f', -1, 64)
	}
	return strconv.AppendInt(b, int64(s), 10)
}

// Removed is a message that left the queue.
type Removed struct {
	ID string `json:"id"`
}

func (Removed) name() string                 { return "removed" }
func (Removed) level() Level                 { return LevelInfo }
func (e Removed) appendText(b []byte) []byte { return append(append(b, e.ID...), ": removed"...) }

// Reject is a command that was refused for a reason of policy.
type Reject struct {
	ID     string `json:"id,omitempty"` // empty = NOQUEUE
	Stage  string `json:"stage"`        // CONNECT, MAIL, RCPT, DATA, END-OF-MESSAGE
	Client string `json:"client"`
	Reply  string `json:"reply"` // code, enhanced code, text
	From   string `json:"from,omitempty"`
	To     string `json:"to,omitempty"`
	Proto  string `json:"proto,omitempty"`
	Helo   string `json:"helo,omitempty"`
	Cause  string `json:"cause,omitempty"` // what the client was not told
}

func (Reject) name() string { return "reject" }
func (Reject) level() Level { return LevelInfo }
func (e Reject) appendText(b []byte) []byte {
	id := e.ID
	if id == "" {
		id = "NOQUEUE"
	}
	b = append(append(b, id...), ": reject: "...)
	b = appendClean(append(append(b, e.Stage...), " from "...), e.Client)
	b = appendClean(append(b, ": "...), e.Reply)
	b = append(appendClean(append(b, "; from=<"...), e.From), '>')
	if e.To != "" {
		b = append(appendClean(append(b, " to=<"...), e.To), '>')
	}
	b = appendClean(append(b, " proto="...), e.Proto)
	b = append(appendClean(append(b, " helo=<"...), e.Helo), '>')
	if e.Cause != "" {
		b = appendClean(append(b, ": "...), e.Cause)
	}
	return b
}

// Login is the end of an authentication, in the grammar that matches Postfix's for failures.
type Login struct {
	Client string `json:"client"`
	Method string `json:"method"`
	Reason string `json:"reason"`
}

func (Login) name() string { return "login-failure" }
func (Login) level() Level { return LevelWarning }
func (e Login) appendText(b []byte) []byte {
	b = appendClean(append(b, "warning: "...), e.Client)
	b = appendClean(append(b, ": SASL "...), e.Method)
	return appendClean(append(b, " authentication failed: "...), e.Reason)
}

// Queue is something that happens to a queue file besides its delivery: hold, release, defer, expire, bad.
type Queue struct {
	ID     string `json:"id"`
	Action string `json:"action"`
	Text   string `json:"text,omitempty"`
}

func (Queue) name() string { return "queue" }
func (Queue) level() Level { return LevelInfo }
func (e Queue) appendText(b []byte) []byte {
	b = append(append(append(b, e.ID...), ": "...), e.Action...)
	if e.Text != "" {
		b = appendClean(append(b, ": "...), e.Text)
	}
	return b
}
