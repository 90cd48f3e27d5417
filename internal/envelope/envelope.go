// Package envelope is what the suite knows of a message besides its text: who sent it, for whom, from where, and how it is
// to be handled. It is the top of every queue file, as lines that people can read and grep; this package is the one place
// that writes and reads them. What it reads may have been written by an attacker who took over smtpd, so every line is
// bounded and checked; what it writes can hold no line break that a sender chose.
package envelope

import (
	"net/netip"
	"time"

	"postrider/internal/address"
)

// Via is the channel that owns a recipient. It is decided at RCPT and never derived again.
type Via string

// The two channels of the spool.
const (
	Local  Via = "local"
	Remote Via = "remote"
)

// Origin says by what right a message came in; what relayd may sign depends on it.
type Origin string

// Origins, from most to least trusted.
const (
	OriginDSN   Origin = "dsn"   // made by the suite itself
	OriginAuth  Origin = "auth"  // an authenticated user
	OriginLocal Origin = "local" // a uid of this host, by the submit socket
	OriginNet   Origin = "net"   // a network that may relay
	OriginMX    Origin = "mx"    // anybody, for a recipient of ours
)

// NoUID is the UID of a message that did not come from a process of this host.
const NoUID = -1

// Envelope is everything that stands above the message in a queue file.
type Envelope struct {
	ID     string // queue id; stands in line 1
	From   Sender
	To     []Recipient
	Client Client
	Origin Origin
	UID    int64     // of the submitting process, or NoUID
	Parent string    // queue id of the message that this one was made from
	Hold   string    // reason to keep the message until it is released
	Score  string    // what filters thought of it
	Time   time.Time // of acceptance, in microseconds
	Extra  []string  // lines of a later version: kept, not understood
}

// Sender is the reverse-path and what MAIL said of the message.
type Sender struct {
	Addr       address.Address // null for notices
	Ret        string          // "", "full" or "hdrs" (RFC 3461 §4.3)
	EnvID      string          // decoded ENVID (RFC 3461 §4.4)
	Body       string          // "", "7bit" or "8bitmime" (RFC 6152)
	SMTPUTF8   bool            // RFC 6531
	RequireTLS bool            // RFC 8689
	Extra      []string
}

// Recipient is a forward-path and what RCPT said of it.
type Recipient struct {
	Addr   address.Address
	Via    Via
	Notify []string        // "never", or any of "success", "failure", "delay"; empty = the default (RFC 3461 §4.1)
	ORcpt  string          // decoded ORCPT, "rfc822;alice@example.org"
	Orig   address.Address // what the client gave, where an alias made Addr of it
	Line   int             // of the queue file, from 1: journals name recipients by it
	Extra  []string
}

// Client is where a message came from.
type Client struct {
	Name  string     // verified host name, or "unknown"
	IP    netip.Addr // invalid for a Unix socket
	Helo  string
	Proto string // ESMTPS, LMTP, … (RFC 3848)
	Auth  string // canonical user name
	TLS   string // protocol version
}

// Has says whether any recipient is for that channel.
func (e *Envelope) Has(v Via) bool {
	for i := range e.To {
		if e.To[i].Via == v {
			return true
		}
	}
	return false
}

// Wants says whether the sender wants to hear of that event ("success", "failure", "delay") for this recipient. Without a
// NOTIFY it is failures and delays.
func (r *Recipient) Wants(event string) bool {
	if len(r.Notify) == 0 {
		return event == "failure" || event == "delay"
	}
	for _, n := range r.Notify {
		if n == event {
			return true
		}
	}
	return false
}
