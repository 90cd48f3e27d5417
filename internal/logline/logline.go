// Package logline writes the log: one line an event to stderr, in Postfix's grammar, so that programs that read Postfix's
// log read ours, or the same events as JSON. Values from outside are cleaned of control characters here, in the one place
// that writes them.
package logline

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// Format is how lines look.
type Format int

const (
	Text   Format = iota // postrider/smtpd[pid]: …, for journald and svlogd, which add the time
	Syslog               // the same after time and host, for pflogsumm and its like
	JSON                 // an object a line
)

// ParseFormat reads the value of log_format.
func ParseFormat(s string) (Format, error) {
	switch s {
	case "", "text":
		return Text, nil
	case "syslog":
		return Syslog, nil
	case "json":
		return JSON, nil
	}
	return Text, fmt.Errorf("log format %q: want text, syslog or json", s)
}

// Level is the weight of an event, as syslog numbers it.
type Level int

const (
	LevelError   Level = 3
	LevelWarning Level = 4
	LevelInfo    Level = 6
)

// Event is something worth a line. Its exported fields are the JSON form.
type Event interface {
	appendText([]byte) []byte
	name() string
	level() Level
}

// Logger writes whole lines; it is safe for concurrent use. A nil Logger writes nothing.
type Logger struct {
	program string
	format  Format
	now     func() time.Time
	prefix  string // program and pid
	host    string
	journal bool // systemd adds program and pid, and reads <level>
	colour  string

	mu  sync.Mutex
	w   io.Writer
	buf []byte
}

// New returns a logger for a program of the suite that writes to stderr.
func New(program string, format Format) *Logger {
	l := NewWriter(os.Stderr, program, format)
	l.journal = format != Syslog && os.Getenv("JOURNAL_STREAM") != ""
	if s, err := os.Stderr.Stat(); err == nil && s.Mode()&os.ModeCharDevice != 0 && os.Getenv("NO_COLOR") == "" {
		l.colour = colours[program]
	}
	return l
}

// NewWriter returns a logger that writes elsewhere.
func NewWriter(w io.Writer, program string, format Format) *Logger {
	host, _ := os.Hostname()
	return &Logger{w: w, program: program, format: format, now: time.Now, host: host,
		prefix: "postrider/" + program + "[" + strconv.Itoa(os.Getpid()) + "]: "}
}

// colours tell the daemons apart on a terminal.
var colours = map[string]string{
	"smtpd": "\x1b[32m", "localdeliver": "\x1b[36m", "authd": "\x1b[35m", "relayd": "\x1b[33m", "imapd": "\x1b[34m", "pop3d": "\x1b[94m",
}

// Log writes an event.
func (l *Logger) Log(e Event) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.buf[:0]
	if l.format == JSON {
		b = l.appendJSON(b, e)
	} else {
		b = l.appendPrefix(b, e.level())
		b = e.appendText(b)
	}
	b = append(b, '\n')
	l.w.Write(b) // nobody can be told that the log is gone
	if cap(b) <= 64<<10 {
		l.buf = b
	}
}

func (l *Logger) appendPrefix(b []byte, level Level) []byte {
	switch {
	case l.journal:
		return append(b, '<', byte('0'+level), '>')
	case l.colour != "":
		b = l.now().AppendFormat(b, "15:04:05.000 ")
		b = append(b, l.colour...)
		b = append(b, l.program...)
		return append(b, "\x1b[0m "...)
	case l.format == Syslog:
		b = l.now().AppendFormat(b, "Jan _2 15:04:05 ")
		b = append(b, l.host...)
		b = append(b, ' ')
	}
	return append(b, l.prefix...)
}

func (l *Logger) appendJSON(b []byte, e Event) []byte {
	head, _ := json.Marshal(struct {
		Time    time.Time `json:"time"`
		Program string    `json:"program"`
		PID     int       `json:"pid"`
		Level   Level     `json:"level"`
		Event   string    `json:"event"`
	}{l.now(), l.program, os.Getpid(), e.level(), e.name()})
	body, err := json.Marshal(e)
	if err != nil {
		body = []byte("{}")
	}
	b = append(b, head...)
	if len(body) > 2 {
		b = append(b[:len(b)-1], ',')
		b = append(b, body[1:]...)
	}
	return b
}

// Notice is an event without a grammar of its own.
type Notice struct {
	Severity Level  `json:"-"`
	ID       string `json:"id,omitempty"`
	Text     string `json:"text"`
}

func (n Notice) name() string { return "notice" }
func (n Notice) level() Level { return n.Severity }
func (n Notice) appendText(b []byte) []byte {
	if n.ID != "" {
		b = append(append(b, n.ID...), ": "...)
	}
	switch n.Severity {
	case LevelError:
		b = append(b, "error: "...)
	case LevelWarning:
		b = append(b, "warning: "...)
	}
	return appendClean(b, n.Text)
}

// Info writes a notice.
func (l *Logger) Info(format string, args ...any) { l.notice(LevelInfo, format, args) }

// Warn writes what an administrator should look at some day.
func (l *Logger) Warn(format string, args ...any) { l.notice(LevelWarning, format, args) }

// Error writes what an administrator should look at now.
func (l *Logger) Error(format string, args ...any) { l.notice(LevelError, format, args) }

// Fatal writes an error and ends the program with status 1. It is for main, before the program is ready.
func (l *Logger) Fatal(format string, args ...any) {
	l.notice(LevelError, format, args)
	os.Exit(1)
}

func (l *Logger) notice(level Level, format string, args []any) {
	l.Log(Notice{Severity: level, Text: fmt.Sprintf(format, args...)})
}

// appendClean copies s without control characters, valid UTF-8 only.
func appendClean(b []byte, s string) []byte {
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if c < ' ' || c == 0x7f {
				c = '?'
				if s[i] == '\n' || s[i] == '\t' {
					c = ' '
				}
			}
			b = append(b, c)
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 || r < 0xa0 {
			b = append(b, '?')
		} else {
			b = append(b, s[i:i+n]...)
		}
		i += n
	}
	return b
}

// field appends `key=value` with its separator when value is not empty.
func field(b []byte, key, value string) []byte {
	if value == "" {
		return b
	}
	b = append(append(append(b, ", "...), key...), '=')
	return appendClean(b, strings.ReplaceAll(value, ",", "?"))
}
