package logline

import "strconv"

// SessionEnd is the end of a mail session, in the grammar of Dovecot's imap and pop3 processes.
type SessionEnd struct {
	Service string `json:"service"` // imap, pop3
	User    string `json:"user"`
	PID     int    `json:"-"` // of the session process
	Session string `json:"session"`
	Text    string `json:"text"` // why, and what was done
}

func (SessionEnd) name() string { return "session-end" }
func (SessionEnd) level() Level { return LevelInfo }
func (e SessionEnd) appendText(b []byte) []byte {
	b = appendSession(b, e.Service, e.User, e.PID, e.Session)
	return appendClean(append(b, "Disconnected: "...), e.Text)
}

// SessionNotice is something that a mail session has to say.
type SessionNotice struct {
	Severity Level  `json:"-"`
	Service  string `json:"service"`
	User     string `json:"user"`
	PID      int    `json:"-"`
	Session  string `json:"session"`
	Text     string `json:"text"`
}

func (SessionNotice) name() string   { return "session-notice" }
func (n SessionNotice) level() Level { return n.Severity }
func (n SessionNotice) appendText(b []byte) []byte {
	b = appendSession(b, n.Service, n.User, n.PID, n.Session)
	switch n.Severity {
	case LevelError:
		b = append(b, "Error: "...)
	case LevelWarning:
		b = append(b, "Warning: "...)
	}
	return appendClean(b, n.Text)
}

// appendSession writes imap(alice)<4711><id>: and a blank.
func appendSession(b []byte, service, user string, pid int, session string) []byte {
	b = append(append(b, service...), '(')
	b = appendClean(b, user)
	b = strconv.AppendInt(append(b, ")<"...), int64(pid), 10)
	b = appendClean(append(b, "><"...), session)
	return append(b, ">: "...)
}
