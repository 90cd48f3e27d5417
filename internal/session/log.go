package session

import (
	"fmt"
	"os"

	"postrider/internal/logline"
	"postrider/internal/session/handover"
)

// Log writes the lines of one session.
type Log struct {
	log     *logline.Logger
	request *handover.Session
}

// Warn writes what an administrator should look at some day.
func (l *Log) Warn(format string, args ...any) { l.notice(logline.LevelWarning, format, args) }

// Error writes what an administrator should look at now.
func (l *Log) Error(format string, args ...any) { l.notice(logline.LevelError, format, args) }

func (l *Log) notice(level logline.Level, format string, args []any) {
	l.log.Log(logline.SessionNotice{Severity: level, Service: l.request.Service, User: l.request.User, PID: os.Getpid(),
		Session: l.request.ID, Text: fmt.Sprintf(format, args...)})
}

// end writes how the session went.
func (l *Log) end(summary string) {
	l.log.Log(logline.SessionEnd{Service: l.request.Service, User: l.request.User, PID: os.Getpid(), Session: l.request.ID, Text: summary})
}
