package logline

import (
	"strconv"
	"strings"
)

// The grammar is that of the login processes of Dovecot 2.3, which log readers and fail2ban's dovecot filter know.

// Visit is what the lines of imapd and pop3d say of a client's connection.
type Visit struct {
	Service  string `json:"service"` // imap or pop3
	User     string `json:"user,omitempty"`
	Method   string `json:"method,omitempty"` // SASL mechanism of the last attempt
	Remote   string `json:"rip,omitempty"`
	Local    string `json:"lip,omitempty"`
	Security string `json:"security,omitempty"` // TLS; secured, for a client of this host; or why there is no TLS
	Session  string `json:"session"`
}

// appendElements writes what follows the verb; before is a further element.
func (v *Visit) appendElements(b []byte, before string) []byte {
	b = append(appendElement(append(b, ": user=<"...), v.User), '>')
	for _, e := range []struct{ key, value string }{
		{"method=", v.Method}, {"rip=", v.Remote}, {"lip=", v.Local}, {"", before}, {"", v.Security},
	} {
		if e.value != "" {
			b = appendElement(append(append(b, ", "...), e.key...), e.value)
		}
	}
	return append(appendElement(append(b, ", session=<"...), v.Session), '>')
}

// appendElement writes a value in which nothing can pass for another element.
func appendElement(b []byte, s string) []byte {
	return appendClean(b, strings.Map(func(r rune) rune {
		switch r {
		case '<', '>', ',':
			return '?'
		}
		return r
	}, s))
}

// Opened is a login that led to a session.
type Opened struct {
	Visit
	PID int `json:"mpid"` // of the session process
}

func (Opened) name() string { return "login" }
func (Opened) level() Level { return LevelInfo }
func (e Opened) appendText(b []byte) []byte {
	b = append(append(b, e.Service...), "-login: Login"...)
	return e.appendElements(b, "mpid="+strconv.Itoa(e.PID))
}

// Unopened is a connection that ended without a session. Reason and Attempts are words of this program, without parentheses.
type Unopened struct {
	Visit
	Reason   string `json:"reason"`   // Connection closed, Inactivity, …
	Attempts string `json:"attempts"` // no auth attempts in 0 secs; auth failed, 2 attempts in 5 secs; …
}

func (Unopened) name() string { return "login-disconnect" }
func (Unopened) level() Level { return LevelInfo }
func (e Unopened) appendText(b []byte) []byte {
	b = append(append(b, e.Service...), "-login: Disconnected: "...)
	b = append(appendClean(b, e.Reason), " ("...)
	b = append(appendClean(b, e.Attempts), ')')
	return e.appendElements(b, "")
}
